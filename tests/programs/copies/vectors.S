/* Copy routines with AVX and AVX-512, right and wrong. */
#include "macros.h"

    .text

.macro SMALL
    mov %rdx, %rcx
    rep movsb
.endm

/* From 32 bytes up: vectors forward, the last one of them ending with the area. */
.macro VECTORS load=vmovdqu, store=vmovdqu, before_tail=nop, tail=vmovdqu, last=ymm1
    mov %rdi, %rax
    cmp $32, %rdx
    jb 3f
    vmovdqu -32(%rsi,%rdx), %ymm1
    lea -32(%rdi,%rdx), %r8
    jmp 2f
1:  \load (%rsi), %ymm0
    \store %ymm0, (%rdi)
    add $32, %rsi
    add $32, %rdi
2:  cmp %r8, %rdi
    jb 1b
    \before_tail
    \tail %\last, (%r8)
    vzeroupper
    ret
3:  SMALL
    ret
.endm

FUNCTION good_avx2
    VECTORS
END good_avx2

/* Nobody has to clear the upper halves. */
FUNCTION good_without_vzeroupper
    mov %rdi, %rax
    cmp $32, %rdx
    jb 1f
    vmovups (%rsi), %ymm0
    vmovups -32(%rsi,%rdx), %ymm15
    cmp $64, %rdx
    ja 1f
    vmovups %ymm0, (%rdi)
    vmovups %ymm15, -32(%rdi,%rdx)
    ret
1:  SMALL
    ret
END good_without_vzeroupper

/* Aligned stores around the caches, behind a head of at most 32 bytes. */
FUNCTION good_avx2_aligned
    mov %rdi, %rax
    cmp $64, %rdx
    jb 2f
    vmovdqu (%rsi), %ymm0
    vmovdqu %ymm0, (%rdi)
    mov %edi, %ecx
    and $31, %ecx
    neg %rcx
    add $32, %rcx
    add %rcx, %rsi
    add %rcx, %rdi
    sub %rcx, %rdx
1:  vmovdqu (%rsi), %ymm2
    vmovntdq %ymm2, (%rdi)
    add $32, %rsi
    add $32, %rdi
    sub $32, %rdx
    cmp $32, %rdx
    jae 1b
    sfence
    vzeroupper
2:  SMALL
    ret
END good_avx2_aligned

/* The emulator's own instructions with the same registers. */
FUNCTION good_mixed
    mov %rdi, %rax
    cmp $32, %rdx
    jb 1f
    vmovdqu (%rsi), %ymm3
    movdqu -32(%rsi,%rdx), %xmm0
    movdqu -16(%rsi,%rdx), %xmm1
    vinserti128 $1, %xmm1, %ymm0, %ymm0
    movdqa %xmm3, %xmm2
    vextracti128 $1, %ymm3, %xmm3
    cmp $64, %rdx
    ja 1f
    movdqu %xmm2, (%rdi)
    movdqu %xmm3, 16(%rdi)
    vmovdqu %ymm0, -32(%rdi,%rdx)
    ret
1:  SMALL
    ret
END good_mixed

.macro MASK_OF size
    mov $-1, %rcx
    bzhi \size, %rcx, %rcx
    kmovq %rcx, %k1
.endm

/* Up to 64 bytes at once: what is masked out is not accessed. */
.macro MASKED_UP_TO_64
    cmp $64, %rdx
    ja 2f
    MASK_OF %rdx
    vmovdqu8 (%rsi), %zmm16{%k1}{z}
    vmovdqu8 %zmm16, (%rdi){%k1}
    ret
.endm

.macro FORWARD
1:  vmovdqu64 (%rsi), %zmm17
    vmovdqu64 %zmm17, (%rdi)
    add $64, %rsi
    add $64, %rdi
    sub $64, %rdx
    cmp $64, %rdx
    ja 1b
.endm

FUNCTION good_avx512
    mov %rdi, %rax
    MASKED_UP_TO_64
2:  FORWARD
    MASK_OF %rdx
    vmovdqu8 (%rsi), %zmm16{%k1}{z}
    vmovdqu8 %zmm16, (%rdi){%k1}
    ret
END good_avx512

FUNCTION good_memmove_avx512
    mov %rdi, %rax
    MASKED_UP_TO_64
2:  mov %rdi, %rcx
    sub %rsi, %rcx
    cmp %rdx, %rcx
    jb 3f
    vmovdqu64 -64(%rsi,%rdx), %zmm20
    lea -64(%rdi,%rdx), %r8
    FORWARD
    vmovdqu64 %zmm20, (%r8)
    ret
3:  vmovdqu64 (%rsi), %zmm20
4:  vmovdqu64 -64(%rsi,%rdx), %zmm21
    vmovdqu64 %zmm21, -64(%rdi,%rdx)
    sub $64, %rdx
    cmp $64, %rdx
    ja 4b
    vmovdqu64 %zmm20, (%rax)
    ret
END good_memmove_avx512

FUNCTION good_memset_avx2
    mov %rdi, %rax
    vmovd %esi, %xmm0
    vpbroadcastb %xmm0, %ymm0
1:  cmp $32, %rdx
    jb 2f
    vmovdqu %ymm0, (%rdi)
    add $32, %rdi
    sub $32, %rdx
    jmp 1b
2:  test %rdx, %rdx
    jz 3f
    vmovd %xmm0, %ecx
    mov %cl, (%rdi)
    inc %rdi
    dec %rdx
    jmp 2b
3:  vzeroupper
    ret
END good_memset_avx2

FUNCTION good_memset_avx512
    mov %rdi, %rax
    vpbroadcastb %esi, %zmm16
1:  cmp $64, %rdx
    jb 2f
    vmovdqu64 %zmm16, (%rdi)
    add $64, %rdi
    sub $64, %rdx
    jmp 1b
2:  MASK_OF %rdx
    vmovdqu8 %zmm16, (%rdi){%k1}
    ret
END good_memset_avx512

/* Vectors while they can be written; from the first that cannot, byte by byte. */
FUNCTION good_avx2_to_user
1:  cmp $32, %rdx
    jb .Lavx2_bytes
    vmovdqu (%rsi), %ymm0
    LINUX .Lavx2_bytes, vmovdqu %ymm0, (%rdi)
    add $32, %rsi
    add $32, %rdi
    sub $32, %rdx
    jmp 1b
.Lavx2_bytes:
    vzeroupper
    mov %rdx, %rcx
    LINUX .Lavx2_left, rep movsb
.Lavx2_left:
    mov %rcx, %rax
    ret
END good_avx2_to_user

FUNCTION good_avx512_from_user
1:  cmp $64, %rdx
    jb .Lavx512_bytes
    LINUX .Lavx512_bytes, vmovdqu64 (%rsi), %zmm0
    vmovdqu64 %zmm0, (%rdi)
    add $64, %rsi
    add $64, %rdi
    sub $64, %rdx
    jmp 1b
.Lavx512_bytes:
    mov %rdx, %rcx
    LINUX .Lavx512_left, rep movsb
.Lavx512_left:
    mov %rcx, %rax
    ret
END good_avx512_from_user

/* And now the mistakes. */

FUNCTION vector_tail_lost
    VECTORS before_tail="test %r8, %r8", tail="nop #"
END vector_tail_lost

FUNCTION vector_too_many
    mov %rdi, %rax
    cmp $32, %rdx
    jb 2f
    lea (%rdi,%rdx), %r8
1:  vmovdqu (%rsi), %ymm0
    vmovdqu %ymm0, (%rdi)
    add $32, %rsi
    add $32, %rdi
    cmp %r8, %rdi
    jb 1b
    vzeroupper
    ret
2:  SMALL
    ret
END vector_too_many

FUNCTION vector_half_a_tail
    VECTORS last=xmm1
END vector_half_a_tail

FUNCTION vector_upper_half_lost
    VECTORS before_tail=vzeroupper
END vector_upper_half_lost

FUNCTION vector_all_lost
    VECTORS before_tail=vzeroall
END vector_all_lost

FUNCTION vector_aligned_load
    VECTORS load=vmovdqa
END vector_aligned_load

FUNCTION vector_aligned_store
    VECTORS store=vmovaps
END vector_aligned_store

FUNCTION vector_aligned_tail
    VECTORS tail=vmovntdq
END vector_aligned_tail

FUNCTION vector_of_64
    mov %rdi, %rax
    cmp $32, %rdx
    jne 1f
    vmovdqu64 (%rsi), %zmm0
    vmovdqu64 %zmm0, (%rdi)
    ret
1:  SMALL
    ret
END vector_of_64

FUNCTION vector_shifted
    VECTORS before_tail="vpalignr $1, %ymm1, %ymm1, %ymm1"
END vector_shifted

/* Up to 64 bytes are read together with what is behind them. */
FUNCTION vector_reads_all
    mov %rdi, %rax
    test %rdx, %rdx
    jz 3f
    cmp $64, %rdx
    ja 2f
    MASK_OF %rdx
    vmovdqu64 (%rsi), %zmm16
    vmovdqu8 %zmm16, (%rdi){%k1}
3:  ret
2:  SMALL
    ret
END vector_reads_all

.macro MASKED_WITH size, move, add=nop
    mov %rdi, %rax
    cmp $64, %rdx
    ja 2f
    mov %rdx, %r9
    \add
    mov $-1, %rcx
    bzhi \size, %rcx, %rcx
    \move %k1
    vmovdqu8 (%rsi), %zmm16{%k1}{z}
    vmovdqu8 %zmm16, (%rdi){%k1}
    ret
2:  SMALL
    ret
.endm

FUNCTION mask_one_less
    MASKED_WITH %r9, "kmovq %rcx,", "sub $1, %r9; adc $0, %r9"
END mask_one_less

FUNCTION mask_one_more
    MASKED_WITH %r9, "kmovq %rcx,", "cmp $1, %r9; sbb $-1, %r9"
END mask_one_more

FUNCTION mask_of_32
    MASKED_WITH %r9, "kmovd %ecx,"
END mask_of_32

FUNCTION mask_of_16
    MASKED_WITH %r9, "kmovw %ecx,"
END mask_of_16

FUNCTION mask_not_set
    MASKED_WITH %r9, "kmovq %rcx, %k2; nop #"
END mask_not_set

FUNCTION mask_shifted
    MASKED_WITH %r9, "shl $1, %rcx; kmovq %rcx,"
END mask_shifted

FUNCTION move_avx512_forward
    mov %rdi, %rax
    MASKED_UP_TO_64
2:  vmovdqu64 -64(%rsi,%rdx), %zmm20
    lea -64(%rdi,%rdx), %r8
    FORWARD
    vmovdqu64 %zmm20, (%r8)
    ret
END move_avx512_forward

FUNCTION move_avx512_backward
    mov %rdi, %rax
    MASKED_UP_TO_64
2:  vmovdqu64 (%rsi), %zmm20
3:  vmovdqu64 -64(%rsi,%rdx), %zmm21
    vmovdqu64 %zmm21, -64(%rdi,%rdx)
    sub $64, %rdx
    cmp $64, %rdx
    ja 3b
    vmovdqu64 %zmm20, (%rax)
    ret
END move_avx512_backward

FUNCTION vector_clobbers_rbx
    vmovdqa .Lconstant(%rip), %ymm2
    vmovq %xmm2, %rbx
    VECTORS
END vector_clobbers_rbx

FUNCTION set_without_broadcast
    mov %rdi, %rax
    vmovd %esi, %xmm0
1:  cmp $32, %rdx
    jb 2f
    vmovdqu %ymm0, (%rdi)
    add $32, %rdi
    sub $32, %rdx
    jmp 1b
2:  mov %rax, %r8
    mov %esi, %eax
    mov %rdx, %rcx
    rep stosb
    mov %r8, %rax
    ret
END set_without_broadcast

FUNCTION vector_without_fixup
1:  cmp $32, %rdx
    jb 2f
    vmovdqu (%rsi), %ymm0
    vmovdqu %ymm0, (%rdi)
    add $32, %rsi
    add $32, %rdi
    sub $32, %rdx
    jmp 1b
2:  mov %rdx, %rcx
    LINUX .Lvector_left, rep movsb
.Lvector_left:
    mov %rcx, %rax
    ret
END vector_without_fixup

/* A vector that cannot be written is not written at all. */
FUNCTION vector_remainder_less
1:  cmp $32, %rdx
    jb 2f
    vmovdqu (%rsi), %ymm0
    sub $32, %rdx
    LINUX .Lless_left, vmovdqu %ymm0, (%rdi)
    add $32, %rsi
    add $32, %rdi
    jmp 1b
2:  mov %rdx, %rcx
    LINUX .Lless_bytes, rep movsb
.Lless_bytes:
    mov %rcx, %rdx
.Lless_left:
    mov %rdx, %rax
    ret
END vector_remainder_less

/* What kdbg does not carry out. */

FUNCTION gathers
    mov %rdi, %rax
    cmp $32, %rdx
    jb 1f
    vmovdqa .Lconstant(%rip), %ymm1
    vpcmpeqd %ymm2, %ymm2, %ymm2
    vpgatherdd %ymm2, (%rsi,%ymm1,4), %ymm0
    vmovdqu %ymm0, (%rdi)
1:  SMALL
    ret
END gathers

FUNCTION permutes
    mov %rdi, %rax
    cmp $64, %rdx
    jb 1f
    vmovdqu64 (%rsi), %zmm0
    vpermb %zmm0, %zmm1, %zmm0
    vmovdqu64 %zmm0, (%rdi)
1:  SMALL
    ret
END permutes

FUNCTION of_a_segment
    mov %rdi, %rax
    cmp $32, %rdx
    jb 1f
    vmovdqu %fs:(%rsi), %ymm0
1:  SMALL
    ret
END of_a_segment

FUNCTION repeats_an_element
    mov %rdi, %rax
    cmp $64, %rdx
    jb 1f
    vpandd (%rsi){1to16}, %zmm1, %zmm1
1:  SMALL
    ret
END repeats_an_element

FUNCTION adds_masks
    mov %rdi, %rax
    cmp $64, %rdx
    jb 1f
    kaddq %k1, %k2, %k3
1:  SMALL
    ret
END adds_masks

    .section .rodata
    .balign 32
.Lconstant:
    .long 0, 1, 2, 3, 4, 5, 6, 7
    .section .note.GNU-stack, "", @progbits
