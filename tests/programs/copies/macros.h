/* What the right and the wrong copy routines have in common. System V calling convention throughout. */
#pragma once

.macro FUNCTION name
    .balign 16
    .globl \name
    .type \name, @function
\name:
.endm

.macro END name
    .size \name, . - \name
.endm

/* An instruction that may fault, in the table of the probe kit: instruction, fixup, name of the phase. */
.macro KIT fixup, instruction:vararg
.Linstruction\@:
    \instruction
    .pushsection .ucopy_faults, "a"
    .quad .Linstruction\@, \fixup, .Lphase\@
    .popsection
    .pushsection .rodata
.Lphase\@:
    .asciz "phase"
    .popsection
.endm

/* The same in the table of Linux: distances from each field, then the type (1: just go on at the fixup). */
.macro LINUX fixup, instruction:vararg
.Linstruction\@:
    \instruction
    .pushsection __ex_table, "a"
    .balign 4
    .long .Linstruction\@ - ., \fixup - ., 1
    .popsection
.endm

/* From 16 bytes up: bytes until the destination is aligned, words, the bytes that are left. What a mistake adds is
   done right before the phase copies, with its count in rcx. */
.macro PHASES leading=nop, bulk=nop, trailing=nop, small=nop
    mov %rdi, %rax
    cmp $16, %rdx
    jb .Lsmall\@
    mov %edi, %ecx
    neg %ecx
    and $7, %ecx
    sub %rcx, %rdx
    \leading
    rep movsb
    mov %rdx, %rcx
    shr $3, %rcx
    \bulk
    rep movsq
    mov %edx, %ecx
    and $7, %ecx
    \trailing
    rep movsb
    ret
.Lsmall\@:
    mov %rdx, %rcx
    \small
    rep movsb
    ret
.endm

.macro ONE_MORE
    inc %rcx
.endm

.macro ONE_MORE_UNLESS_NONE
    cmp $1, %rcx
    sbb $-1, %rcx
.endm

.macro ONE_LESS_UNLESS_NONE
    cmp $1, %rcx
    adc $-1, %rcx
.endm

.macro BYTES
    mov %rdx, %rcx
    rep movsb
.endm

/* Behind a right copy of all bytes, something that only happens from a size on. */
.macro BYTES_AND_FROM size, what:vararg
    mov %rdi, %rax
    BYTES
    cmp $\size, %rdx
    jb .Lrest\@
    \what
.Lrest\@:
    ret
.endm

.macro MMX_WORDS
1:  cmp $8, %rdx
    jb 2f
    movq (%rsi), %mm0
    movq %mm0, (%rdi)
    add $8, %rsi
    add $8, %rdi
    sub $8, %rdx
    jmp 1b
2:  mov %rdx, %rcx
    rep movsb
.endm
