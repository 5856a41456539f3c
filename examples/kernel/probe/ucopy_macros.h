/*
 * The parts that the right and the wrong copy routine have in common.
 * What they do differently is written out in ucopy.S and ucopy_double.S.
 *
 * Registers, from the first instruction to the last:
 *   rdi, rsi   destination and source, moving on as bytes are copied
 *   rdx        size; after the leading bytes, what is left for later phases
 *   rcx        count of the phase
 *   r8, r9     the destination and the size as they were asked for
 * So at any instruction the bytes not copied are r8 + r9 - rdi.
 */
#pragma once

#include "probe/asm.h"

/*
 * The probe, first thing in the routine. Switched off it costs a compare with
 * memory and a branch that is not taken; the work is out of line, in
 * PROBE_RECORD.
 */
.macro PROBE_CHECK record
#if UCOPY_PROBE
    cmpb $0, ucopy_trace_on(%rip)
    jne \record
#endif
.endm

/*
 * Record the arguments and the return address, and who is copying. rax, rcx,
 * r10 and r11 are free here; the arguments and the stack are untouched.
 *
 * The number is claimed first, then the words are written: whoever stops the
 * kernel in between sees the last record half old and half new.
 */
.macro PROBE_RECORD record
GLOBAL \record
    mov $1, %eax
    lock xadd %rax, ucopy_trace_idx(%rip)
    and $(UCOPY_RING - 1), %eax             /* slot */
    lea ucopy_trace_context(%rip), %r10
    mov ucopy_context(%rip), %ecx
    mov %ecx, (%r10, %rax, 4)
    shl $5, %eax                            /* 32 bytes each */
    lea ucopy_trace_buf(%rip), %r10
    add %rax, %r10
    mov (%rsp), %r11                        /* return address */
    mov %rdi, (%r10)
    mov %rsi, 8(%r10)
    mov %rdx, 16(%r10)
    mov %r11, 24(%r10)
.endm

/*
 * One instruction that touches memory of the user and so may fault. The table
 * tells the page fault handler where to go on and what to call the phase.
 */
.macro UCOPY_MAY_FAULT phase, instruction:vararg
.Linstruction\@:
    \instruction
    .pushsection .ucopy_faults, "a"
    .quad .Linstruction\@, ucopy_fixup, .Lphase\@
    .popsection
    .pushsection .rodata
.Lphase\@:
    .asciz "\phase"
    .popsection
.endm

/* What the fixup needs to know, and the choice between small and large. */
.macro UCOPY_BEGIN
    mov %rdi, %r8
    mov %rdx, %r9
    cmp $8, %rdx
.endm

/* From 8 bytes up: single bytes until the destination is aligned, ... */
.macro UCOPY_LEADING
    mov %edi, %ecx
    neg %ecx
    and $7, %ecx
    sub %rcx, %rdx
    UCOPY_MAY_FAULT leading, rep movsb
.endm

/* ... then words of 8 bytes, ... */
.macro UCOPY_BULK
    mov %rdx, %rcx
    shr $3, %rcx
    UCOPY_MAY_FAULT bulk, rep movsq
.endm

/* ... then the single bytes that are left. */
.macro UCOPY_TRAILING
    mov %edx, %ecx
    and $7, %ecx
    UCOPY_MAY_FAULT trailing, rep movsb
    xor %eax, %eax
    ret
.endm
