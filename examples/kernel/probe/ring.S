/*
 * The data of the probe. docs/ring-format.md specifies every byte of it.
 *
 * All names here are plain labels, without type and size: that is what a
 * debugger finds in a kernel whose probe was written in assembly, and what it
 * must be able to work with.
 */
#include "probe/asm.h"

    .data

    /* One cache line, so that one read gets all of it. */
    .balign 64
#if UCOPY_PROBE
GLOBAL ucopy_trace_idx
    .quad 0                     /* copies ever recorded */
GLOBAL ucopy_trace_on
    .long 1
#endif
GLOBAL ucopy_context
    .word 0, 0                  /* offset of the tag, process id */
GLOBAL ucopy_process
    .quad ucopy_no_process
    .balign 64

    .bss
#if UCOPY_PROBE
    .balign 64
GLOBAL ucopy_trace_buf
    .skip UCOPY_RING * 32
GLOBAL ucopy_trace_context
    .skip UCOPY_RING * 4
#endif
