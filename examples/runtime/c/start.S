/*
 * The first instructions of the process. The kernel has put argc, argv, the environment and the auxiliary vector on the
 * stack, and nothing else is there: no relocation is applied, no function may be called through a slot.
 */
    .text
    .globl  _start
    .hidden _start
    .type   _start, @function
_start:
    .cfi_startproc
    .cfi_undefined %rip         /* tells a debugger that no one called us */
    xor     %ebp, %ebp
    mov     %rsp, %rdi
    and     $-16, %rsp
    call    start_up
    ud2
    .cfi_endproc
    .size   _start, . - _start

    .section .note.GNU-stack, "", @progbits
