/*
 * The user programs, each a stripped ELF file inside the kernel, and the
 * table in which exec finds them: name, start, end. A null name ends it.
 */
.macro PROGRAM name
    .section .rodata.programs, "a"
    .balign 4096
.Lstart_\name:
    .incbin "programs/\name\().stripped"
.Lend_\name:
    .section .rodata.program_table, "a"
    .quad .Lname_\name, .Lstart_\name, .Lend_\name
    .section .rodata.program_names, "aMS", @progbits, 1
.Lname_\name:
    .asciz "\name"
.endm

    .section .rodata.program_table, "a"
    .balign 8
    .globl program_table
program_table:
    .irp name, init, logger, editor, signals, edges, hostile, bench
    PROGRAM \name
    .endr
    .section .rodata.program_table, "a"
    .quad 0, 0, 0
