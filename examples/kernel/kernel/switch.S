/*
 * context_switch(u64 *save, u64 load): leave one kernel stack, go on with
 * another. Only the registers that a C function must preserve are kept; the
 * caller expects the others to be lost.
 */
#include "kernel/frame.h"
#include "probe/asm.h"

    .text

FUNCTION context_switch
    .cfi_startproc
    PUSH_REGISTER rbp
    PUSH_REGISTER rbx
    PUSH_REGISTER r12
    PUSH_REGISTER r13
    PUSH_REGISTER r14
    PUSH_REGISTER r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    POP_REGISTER r15
    POP_REGISTER r14
    POP_REGISTER r13
    POP_REGISTER r12
    POP_REGISTER rbx
    POP_REGISTER rbp
    ret
    .cfi_endproc
END context_switch
