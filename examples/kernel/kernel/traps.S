/*
 * Exceptions: one short stub for each vector, and the common way in and out.
 *
 * The unwinding information here describes a whole struct frame, marked as a
 * signal frame: the interrupted instruction has not been executed, and every
 * register of the interrupted code can be restored. That lets a debugger walk
 * from the page fault handler into the function that touched the page.
 */
#include "kernel/frame.h"
#include "kernel/layout.h"
#include "probe/asm.h"

    .text

/* A stub brings the frame to the same shape for all vectors. */
.macro TRAP vector, has_error_code=0
    .balign 16
    .if \has_error_code
    CFI_PROCESSOR_FRAME 48      /* the processor pushed the error code */
    .else
    CFI_PROCESSOR_FRAME 40
    pushq $0
    .cfi_adjust_cfa_offset 8
    .endif
    pushq $\vector
    .cfi_adjust_cfa_offset 8
    jmp trap_entry
    .cfi_endproc
.endm

/* Stub n is at trap_stubs + 16 n. */
FUNCTION trap_stubs
    .irp vector, 0, 1, 2, 3, 4, 5, 6, 7
    TRAP \vector
    .endr
    TRAP 8, 1
    TRAP 9
    .irp vector, 10, 11, 12, 13, 14
    TRAP \vector, 1
    .endr
    TRAP 15
    TRAP 16
    TRAP 17, 1
    .irp vector, 18, 19, 20
    TRAP \vector
    .endr
    TRAP 21, 1
    .irp vector, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    TRAP \vector
    .endr
END trap_stubs

FUNCTION trap_entry
    CFI_PROCESSOR_FRAME 56
    PUSH_REGISTERS
    cld
    testb $3, FRAME_CS(%rsp)            /* did we come from ring 3? */
    jz 1f
    swapgs
1:  mov %rsp, %rdi
    call trap_dispatch
    jmp trap_return
    .cfi_endproc
END trap_entry

/*
 * Leave the kernel by IRET, which restores every register. Also the first
 * thing a new process does, and the way back from rt_sigreturn.
 */
FUNCTION trap_return
    CFI_WHOLE_FRAME
    testb $3, FRAME_CS(%rsp)
    jz 1f
    swapgs
1:  POP_REGISTERS
    add $16, %rsp                       /* vector and error code */
    .cfi_adjust_cfa_offset -16
    iretq
    .cfi_endproc
END trap_return
