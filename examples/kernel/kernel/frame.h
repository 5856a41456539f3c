/*
 * struct frame: all registers of whoever was running when the kernel was
 * entered, on the kernel stack. System calls and exceptions build the same
 * frame, so fork, signals and the debugger's unwinder know just one layout.
 *
 * The upper five words are pushed by the processor on an exception and by
 * hand on a system call.
 */
#pragma once

#define FRAME_SIZE     176
#define FRAME_VECTOR   120
#define FRAME_CS       144

/* "Vector" of a frame made by SYSCALL; real vectors are below 256. */
#define VECTOR_SYSCALL 256

#ifndef __ASSEMBLER__

#include "kernel/types.h"

struct frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8;
    u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

_Static_assert(sizeof(struct frame) == FRAME_SIZE, "frame and assembly differ");
_Static_assert(offsetof(struct frame, vector) == FRAME_VECTOR, "frame and assembly differ");
_Static_assert(offsetof(struct frame, cs) == FRAME_CS, "frame and assembly differ");

#else

/*
 * Each push tells the unwinder that the stack grew by 8 and where the
 * register is now; each pop takes that back. So a backtrace is right between
 * any two of these instructions.
 */
.macro PUSH_REGISTER name
    push %\name
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset \name, 0
.endm

.macro POP_REGISTER name
    pop %\name
    .cfi_adjust_cfa_offset -8
    .cfi_restore \name
.endm

.macro PUSH_REGISTERS
    .irp name, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    PUSH_REGISTER \name
    .endr
.endm

.macro POP_REGISTERS
    .irp name, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
    POP_REGISTER \name
    .endr
.endm

/* The words pushed by the processor, the last `offset` bytes of a frame. */
.macro CFI_PROCESSOR_FRAME offset
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, \offset
    .cfi_offset rsp, -16
    .cfi_offset rip, -40
.endm

/* A whole frame at the stack pointer, for code that does not start with pushes. */
.macro CFI_WHOLE_FRAME
    CFI_PROCESSOR_FRAME FRAME_SIZE
    .set at, -64
    .irp name, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    .cfi_offset \name, at
    .set at, at - 8
    .endr
.endm

#endif
