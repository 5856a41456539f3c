/*
 * FUNCTION and END around every assembly function.
 *
 * With SIZES=1 (the default) they say to the linker that the name is a
 * function and how long it is. With SIZES=0 they leave both out: hand-written
 * assembly in real kernels often does, and a debugger must live with that.
 */
#pragma once

.macro GLOBAL name
    .globl \name
\name:
.endm

.macro FUNCTION name
    .balign 16
#if ASM_SIZES
    .type \name, @function
#endif
    GLOBAL \name
.endm

.macro END name
#if ASM_SIZES
    .size \name, . - \name
#endif
.endm
