/*
 * The first instruction of every program, the system calls, and the way back
 * from a signal handler.
 */
    .text

    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined rip          /* the outermost frame */
    xor %ebp, %ebp
    mov %rsp, %rdi
    call start
    hlt                         /* not reached */
    .cfi_endproc
    .size _start, . - _start

.macro CALL_KERNEL name, number
    .globl \name
    .type \name, @function
\name:
    .cfi_startproc
    mov %rcx, %r10              /* SYSCALL itself overwrites rcx */
    mov $\number, %eax
    syscall
    ret
    .cfi_endproc
    .size \name, . - \name
.endm

    CALL_KERNEL read, 0
    CALL_KERNEL write, 1
    CALL_KERNEL mmap, 9
    CALL_KERNEL rt_sigaction, 13
    CALL_KERNEL ioctl, 16
    CALL_KERNEL sched_yield, 24
    CALL_KERNEL getpid, 39
    CALL_KERNEL fork, 57
    CALL_KERNEL execve, 59
    CALL_KERNEL exit, 60
    CALL_KERNEL wait4, 61
    CALL_KERNEL kill, 62
    CALL_KERNEL uname, 63
    CALL_KERNEL arch_prctl, 158
    CALL_KERNEL gettid, 186
    CALL_KERNEL hostile, 500

/*
 * A signal handler returns to here, with the saved registers at the stack
 * pointer (struct frame of the kernel: r15 first, rip at 136, rsp at 160).
 * The unwinder looks up the address before a return address, hence the nop.
 */
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 176
    .set at, -176
    .irp name, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
    .cfi_offset \name, at
    .set at, at + 8
    .endr
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    nop
    .globl signal_restorer
    .type signal_restorer, @function
signal_restorer:
    mov $15, %eax               /* rt_sigreturn */
    syscall
    .cfi_endproc
    .size signal_restorer, . - signal_restorer

    .section .note.GNU-stack, "", @progbits
