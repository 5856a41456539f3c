/*
 * ucopy_double: the same routine with one line missing, for fault=double_copy.
 * Every copy of less than 8 bytes is made twice, one after the other: a copy
 * of 4 bytes writes 8. Compare with ucopy.S.
 */
#include "probe/ucopy_macros.h"

    .text

FUNCTION ucopy_double
    .cfi_startproc
    PROBE_CHECK ucopy_double_record
    UCOPY_BEGIN
    jb .Lbyte_copy

GLOBAL ucopy_double_leading
    UCOPY_LEADING
GLOBAL ucopy_double_bulk
    UCOPY_BULK
GLOBAL ucopy_double_trailing
    UCOPY_TRAILING

GLOBAL ucopy_double_small
.Lbyte_copy:
    mov %rdx, %rcx
    UCOPY_MAY_FAULT small, rep movsb
    /* THE MISTAKE: no "xor %eax, %eax; ret" here. rdi and rsi have moved on,
       and rdx still holds the whole size, so it is copied once more. */
.Lcopy_small:
    mov %rdx, %rcx
    UCOPY_MAY_FAULT small, rep movsb
    xor %eax, %eax
    ret

#if UCOPY_PROBE
    PROBE_RECORD ucopy_double_record
    UCOPY_BEGIN
    jae ucopy_double_leading
    jmp .Lbyte_copy
#endif
    .cfi_endproc
END ucopy_double
