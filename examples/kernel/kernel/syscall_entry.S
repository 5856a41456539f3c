/*
 * The way in and out for the SYSCALL instruction.
 *
 * At syscall_entry all registers are the user's, except that the processor
 * has put the return address into rcx and the flags into r11. At syscall_exit
 * they are the user's again, with the result in rax.
 *
 * The unwinding information leads a debugger from any kernel function called
 * below into the user program: its rip and rsp are in the frame.
 */
#include "kernel/frame.h"
#include "kernel/layout.h"
#include "probe/asm.h"

/* Offsets in struct cpu (segments.c), which gs points to in the kernel. */
#define CPU_KERNEL_STACK %gs:0
#define CPU_USER_STACK   %gs:8

    .text

FUNCTION syscall_entry
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 0
    .cfi_register rip, rcx
    swapgs
    mov %rsp, CPU_USER_STACK
    mov CPU_KERNEL_STACK, %rsp

    /* For the next two instructions no register holds the user's rsp. Rather
       than mislead the unwinder, let the backtrace end here. */
    .cfi_undefined rip
    pushq $SELECTOR_USER_DATA
    .cfi_adjust_cfa_offset 8
    pushq CPU_USER_STACK
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rsp, 0
    .cfi_register rip, rcx
    pushq %r11                          /* flags */
    .cfi_adjust_cfa_offset 8
    pushq $SELECTOR_USER_CODE
    .cfi_adjust_cfa_offset 8
    pushq %rcx                          /* return address */
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rip, 0
    pushq $0
    .cfi_adjust_cfa_offset 8
    pushq $VECTOR_SYSCALL
    .cfi_adjust_cfa_offset 8
    PUSH_REGISTERS

    mov %rsp, %rdi
    call syscall_dispatch

    /* rt_sigreturn changes the vector: then rcx and r11 matter to the
       interrupted code, and SYSRET would destroy them. */
    cmpq $VECTOR_SYSCALL, FRAME_VECTOR(%rsp)
    jne trap_return

    POP_REGISTERS
    mov 16(%rsp), %rcx                  /* rip */
    mov 32(%rsp), %r11                  /* flags */
    mov 40(%rsp), %rsp
    .cfi_def_cfa rsp, 0
    .cfi_restore rsp
    .cfi_register rip, rcx
GLOBAL syscall_exit
    swapgs
    sysretq
    .cfi_endproc
END syscall_entry
