/* Copy routines without a mistake, in the styles that occur. */
#include "macros.h"

    .text

FUNCTION good_rep_movsb
    mov %rdi, %rax
    BYTES
    ret
END good_rep_movsb

FUNCTION good_phases
    PHASES
END good_phases

FUNCTION good_byte_loop
    mov %rdi, %rax
    xor %ecx, %ecx
    jmp 2f
1:  mov (%rsi,%rcx), %r8b
    mov %r8b, (%rdi,%rcx)
    inc %rcx
2:  cmp %rdx, %rcx
    jb 1b
    ret
END good_byte_loop

/* Small sizes with two overlapping accesses, large ones with vectors and an overlapping last one. */
FUNCTION good_sse2
    mov %rdi, %rax
    cmp $16, %rdx
    jae 3f
    cmp $8, %rdx
    jae 2f
    cmp $4, %rdx
    jae 1f
    test %rdx, %rdx
    jz 9f
    mov %rdx, %r10
    shr %r10
    movzbl (%rsi), %ecx
    movzbl (%rsi,%r10), %r9d
    movzbl -1(%rsi,%rdx), %r8d
    mov %cl, (%rdi)
    mov %r9b, (%rdi,%r10)
    mov %r8b, -1(%rdi,%rdx)
9:  ret
1:  mov (%rsi), %ecx
    mov -4(%rsi,%rdx), %r8d
    mov %ecx, (%rdi)
    mov %r8d, -4(%rdi,%rdx)
    ret
2:  mov (%rsi), %rcx
    mov -8(%rsi,%rdx), %r8
    mov %rcx, (%rdi)
    mov %r8, -8(%rdi,%rdx)
    ret
3:  movdqu -16(%rsi,%rdx), %xmm1
    lea -16(%rdx), %rcx
    xor %r9d, %r9d
    test %rcx, %rcx
    jz 5f
4:  movdqu (%rsi,%r9), %xmm0
    movdqu %xmm0, (%rdi,%r9)
    add $16, %r9
    cmp %rcx, %r9
    jb 4b
5:  movdqu %xmm1, (%rdi,%rcx)
    ret
END good_sse2

/* Four vectors at a time, prefetching ahead of the end. */
FUNCTION good_sse2_unrolled
    mov %rdi, %rax
    cmp $64, %rdx
    jb 2f
1:  prefetcht0 512(%rsi)
    movups (%rsi), %xmm0
    movups 16(%rsi), %xmm1
    movups 32(%rsi), %xmm2
    movups 48(%rsi), %xmm3
    movups %xmm0, (%rdi)
    movups %xmm1, 16(%rdi)
    movups %xmm2, 32(%rdi)
    movups %xmm3, 48(%rdi)
    add $64, %rsi
    add $64, %rdi
    sub $64, %rdx
    cmp $64, %rdx
    jae 1b
2:  BYTES
    ret
END good_sse2_unrolled

/* Whole aligned words of the source are read, of which only some bytes were asked for. */
FUNCTION good_aligned_words
    mov %rdi, %rax
    test %rdx, %rdx
    jz 3f
    mov %esi, %ecx
    and $7, %ecx
    shl $3, %ecx
1:  mov %rsi, %r8
    and $-8, %r8
    mov (%r8), %r9
    shr %cl, %r9
2:  mov %r9b, (%rdi)
    inc %rdi
    inc %rsi
    shr $8, %r9
    dec %rdx
    jz 3f
    test $7, %sil
    jnz 2b
    xor %ecx, %ecx
    jmp 1b
3:  ret
END good_aligned_words

/* All registers that have to be kept, kept. */
FUNCTION good_saves_registers
    push %rbx
    push %rbp
    push %r12
    push %r15
    mov %rdi, %rbx
    mov %rsi, %rbp
    mov %rdx, %r12
    xor %r15d, %r15d
    jmp 2f
1:  mov (%rbp,%r15), %al
    mov %al, (%rbx,%r15)
    inc %r15
2:  cmp %r12, %r15
    jne 1b
    mov %rbx, %rax
    pop %r15
    pop %r12
    pop %rbp
    pop %rbx
    ret
END good_saves_registers

FUNCTION good_calls
    push %rdi
    call good_phases
    pop %rax
    ret
END good_calls

FUNCTION good_tail_jump
    test %rdx, %rdx
    jne good_sse2_unrolled
    mov %rdi, %rax
    ret
END good_tail_jump

FUNCTION good_jump_table
    mov %rdi, %rax
    cmp $4, %rdx
    jae 9f
    jmp *.Lsizes(,%rdx,8)
1:  mov (%rsi), %cl
    mov %cl, (%rdi)
    ret
2:  mov (%rsi), %cx
    mov %cx, (%rdi)
    ret
3:  mov (%rsi), %cx
    mov 2(%rsi), %r8b
    mov %cx, (%rdi)
    mov %r8b, 2(%rdi)
0:  ret
9:  BYTES
    ret
    .pushsection .rodata
    .balign 8
.Lsizes:
    .quad 0b, 1b, 2b, 3b
    .popsection
END good_jump_table

FUNCTION good_mmx
    mov %rdi, %rax
    MMX_WORDS
    emms
    ret
END good_mmx

/* What is kept there no signal handler touches. */
FUNCTION good_red_zone
    mov %rdi, -128(%rsp)
    orq $0, -4096(%rsp)
    mov %rdx, %rcx
    rep movsb
    mov -128(%rsp), %rax
    ret
END good_red_zone

FUNCTION good_memmove_std
    mov %rdi, %rax
    mov %rdi, %rcx
    sub %rsi, %rcx
    cmp %rdx, %rcx
    mov %rdx, %rcx
    jae 1f
    lea -1(%rdi,%rdx), %rdi
    lea -1(%rsi,%rdx), %rsi
    std
    rep movsb
    cld
    ret
1:  rep movsb
    ret
END good_memmove_std

/* Vectors in both directions; what the last one would overwrite is read before. */
FUNCTION good_memmove_sse2
    mov %rdi, %rax
    cmp $16, %rdx
    jb good_memmove_std
    movdqu (%rsi), %xmm2
    movdqu -16(%rsi,%rdx), %xmm3
    mov %rdi, %rcx
    sub %rsi, %rcx
    lea -16(%rdx), %r8
    cmp %rdx, %rcx
    jb 3f
    xor %ecx, %ecx
    jmp 2f
1:  movdqu (%rsi,%rcx), %xmm0
    movdqu %xmm0, (%rdi,%rcx)
    add $16, %rcx
2:  cmp %r8, %rcx
    jb 1b
    movdqu %xmm3, (%rdi,%r8)
    ret
3:  test %r8, %r8
    jz 5f
4:  movdqu (%rsi,%r8), %xmm0
    movdqu %xmm0, (%rdi,%r8)
    sub $16, %r8
    ja 4b
5:  movdqu %xmm2, (%rdi)
    ret
END good_memmove_sse2

FUNCTION good_mempcpy
    BYTES
    mov %rdi, %rax
    ret
END good_mempcpy

FUNCTION good_memset_rep_stosb
    mov %rdi, %r8
    mov %esi, %eax
    mov %rdx, %rcx
    rep stosb
    mov %r8, %rax
    ret
END good_memset_rep_stosb

FUNCTION good_memset_sse2
    mov %rdi, %rax
    movzbl %sil, %ecx
    imul $0x01010101, %ecx, %ecx
    movd %ecx, %xmm0
    pshufd $0, %xmm0, %xmm0
    lea (%rdi,%rdx), %r8
    cmp $16, %rdx
    jb 3f
1:  movdqu %xmm0, (%rdi)
    add $16, %rdi
    lea 16(%rdi), %r9
    cmp %r8, %r9
    jbe 1b
    movdqu %xmm0, -16(%r8)
    ret
2:  mov %cl, (%rdi)
    inc %rdi
3:  cmp %r8, %rdi
    jb 2b
    ret
END good_memset_sse2

FUNCTION good_copy_to_user
    mov %rdx, %rcx
    KIT .Lkit_left, rep movsb
    xor %eax, %eax
    ret
.Lkit_left:
    mov %rcx, %rax
    ret
END good_copy_to_user

/* As a kernel does it: access to user memory is let only while copying; words, and byte by byte after a fault. */
FUNCTION good_copy_from_user
    stac
    mov %rdx, %rcx
    shr $3, %rcx
    and $7, %edx
    LINUX .Lwords_left, rep movsq
    mov %edx, %ecx
.Lbytes:
    LINUX .Lbytes_left, rep movsb
    clac
    xor %eax, %eax
    ret
.Lwords_left:
    lea (%rdx,%rcx,8), %rcx
    jmp .Lbytes
.Lbytes_left:
    clac
    mov %rcx, %rax
    ret
END good_copy_from_user

/* The length of the string, or the size if it has no end in that; -EFAULT. */
FUNCTION good_strncpy_from_user
    xor %eax, %eax
1:  cmp %rdx, %rax
    je 2f
    LINUX .Lstring_fault, mov (%rsi,%rax), %cl
    mov %cl, (%rdi,%rax)
    test %cl, %cl
    jz 2f
    inc %rax
    jmp 1b
2:  ret
.Lstring_fault:
    mov $-14, %rax
    ret
END good_strncpy_from_user
