/*
 * ucopy(destination, source, size): copy between kernel and user memory, in
 * either direction. Returns how many bytes were NOT copied; 0 is success.
 *
 * The phases have global labels, so that a debugger can say in which one a
 * program counter is.
 */
#include "probe/ucopy_macros.h"

    .text

FUNCTION ucopy
    .cfi_startproc
    PROBE_CHECK ucopy_record
    UCOPY_BEGIN
    jb ucopy_small

GLOBAL ucopy_leading
    UCOPY_LEADING
GLOBAL ucopy_bulk
    UCOPY_BULK
GLOBAL ucopy_trailing
    UCOPY_TRAILING

GLOBAL ucopy_small
    mov %rdx, %rcx
    UCOPY_MAY_FAULT small, rep movsb
    xor %eax, %eax
    ret

    /* The page fault handler comes back here. */
GLOBAL ucopy_fixup
    lea (%r8, %r9), %rax
    sub %rdi, %rax
    ret

#if UCOPY_PROBE
    /* Begins the copy itself: a jump back would cost more than this does. */
    PROBE_RECORD ucopy_record
    UCOPY_BEGIN
    jae ucopy_leading
    jmp ucopy_small
#endif
    .cfi_endproc
END ucopy
