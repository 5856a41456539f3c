/* Copy routines with one mistake each; tests/copies.py says what it does, and from which size on. */
#include "macros.h"

    .text

/* Phases. */

FUNCTION double_small
    mov %rdi, %rax
    cmp $8, %rdx
    jae 1f
    BYTES
1:  BYTES
    ret
END double_small

FUNCTION leading_one_more
    PHASES leading=ONE_MORE
END leading_one_more

FUNCTION leading_one_less
    PHASES leading=ONE_LESS_UNLESS_NONE
END leading_one_less

FUNCTION bulk_one_more
    PHASES bulk=ONE_MORE
END bulk_one_more

FUNCTION bulk_one_less
    PHASES bulk=ONE_LESS_UNLESS_NONE
END bulk_one_less

FUNCTION trailing_one_more
    PHASES trailing=ONE_MORE
END trailing_one_more

FUNCTION trailing_one_less
    PHASES trailing=ONE_LESS_UNLESS_NONE
END trailing_one_less

FUNCTION small_one_more
    PHASES small=ONE_MORE_UNLESS_NONE
END small_one_more

FUNCTION small_one_less
    PHASES small=ONE_LESS_UNLESS_NONE
END small_one_less

FUNCTION tail_lost
    PHASES trailing="xor %ecx, %ecx"
END tail_lost

FUNCTION words_only
    mov %rdi, %rax
    mov %rdx, %rcx
    shr $3, %rcx
    rep movsq
    ret
END words_only

FUNCTION words_rounded_up
    mov %rdi, %rax
    lea 7(%rdx), %rcx
    shr $3, %rcx
    rep movsq
    ret
END words_rounded_up

FUNCTION tail_shifted
    mov %rdi, %rax
    cmp $16, %rdx
    jbe 1f
    movdqu -17(%rsi,%rdx), %xmm0
    lea -16(%rdi,%rdx), %r8
    BYTES
    movdqu %xmm0, (%r8)
    ret
1:  BYTES
    ret
END tail_shifted

FUNCTION head_twice
    mov %rdi, %rax
    mov %rsi, %r9
    BYTES
    cmp $16, %rdx
    jb 1f
    mov (%r9), %rcx
    mov %rcx, 8(%rax)
1:  ret
END head_twice

/* Overlaps. */

FUNCTION move_forward
    mov %rdi, %rax
    BYTES
    ret
END move_forward

FUNCTION move_backward
    mov %rdi, %rax
    lea -1(%rdi,%rdx), %rdi
    lea -1(%rsi,%rdx), %rsi
    std
    BYTES
    cld
    ret
END move_backward

.macro BACKWARD_IF condition, end=cld
    mov %rdi, %rax
    mov %rdi, %rcx
    sub %rsi, %rcx
    je 1f
    \condition
    lea -1(%rdi,%rdx), %rdi
    lea -1(%rsi,%rdx), %rsi
    std
    BYTES
    \end
    ret
1:  BYTES
    ret
.endm

.macro FORWARD_IF_BELOW
    cmp %rdx, %rcx
    jb 1f
.endm

.macro FORWARD_UNLESS_BELOW
    cmp %rdx, %rcx
    jae 1f
.endm

/* Rounds the distance down, so that near ones look like none. */
.macro FORWARD_IF_NEAR
    cmp %rdx, %rcx
    jae 1f
    cmp $8, %rcx
    jb 1f
.endm

.macro FORWARD_FROM_64
    cmp %rdx, %rcx
    jae 1f
    cmp $64, %rcx
    jae 1f
.endm

FUNCTION move_test_reversed
    BACKWARD_IF FORWARD_IF_BELOW
END move_test_reversed

FUNCTION move_near_8
    BACKWARD_IF FORWARD_IF_NEAR
END move_near_8

FUNCTION move_far_64
    BACKWARD_IF FORWARD_FROM_64
END move_far_64

/* Vectors forward, then the rest of the source, which the vectors have overwritten if it was less than 16 away. */
FUNCTION move_near_16
    mov %rdi, %rax
    mov %rdi, %rcx
    sub %rsi, %rcx
    cmp $16, %rcx
    jae good_memmove_std
    cmp $17, %rdx
    jb good_memmove_std
1:  movdqu (%rsi), %xmm0
    movdqu %xmm0, (%rdi)
    add $16, %rsi
    add $16, %rdi
    sub $16, %rdx
    cmp $16, %rdx
    jae 1b
    BYTES
    ret
END move_near_16

FUNCTION direction_left_set
    BACKWARD_IF FORWARD_UNLESS_BELOW, nop
END direction_left_set

/* Registers and the stack. */

FUNCTION clobbers_rbx
    mov %rdi, %rbx
    BYTES
    mov %rbx, %rax
    ret
END clobbers_rbx

FUNCTION clobbers_rbp
    mov %rdi, %rax
    mov %rdx, %rcx
    jrcxz 1f
    mov (%rsi), %bpl
    rep movsb
1:  ret
END clobbers_rbp

FUNCTION clobbers_r12
    BYTES_AND_FROM 64, mov %rsi, %r12
END clobbers_r12

FUNCTION clobbers_r15
    BYTES_AND_FROM 128, xor %r15d, %r15d
END clobbers_r15

FUNCTION saves_in_wrong_order
    push %r13
    push %r14
    mov %rdi, %r13
    mov %rdx, %r14
    mov %rdi, %rax
    mov %r14, %rcx
    rep movsb
    pop %r13
    pop %r14
    ret
END saves_in_wrong_order

FUNCTION pops_too_much
    mov %rdi, %rax
    BYTES
    pop %rcx
    pop %rdx
    jmp *%rcx
END pops_too_much

FUNCTION pops_too_little
    mov %rdi, %rax
    BYTES
    jmp *(%rsp)
END pops_too_little

FUNCTION returns_and_pops
    mov %rdi, %rax
    BYTES
    ret $8
END returns_and_pops

/* Return values. */

FUNCTION returns_end
    BYTES
    mov %rdi, %rax
    ret
END returns_end

FUNCTION returns_start
    mov %rdi, %rax
    BYTES
    ret
END returns_start

FUNCTION returns_half
    mov %edi, %eax
    BYTES
    ret
END returns_half

FUNCTION set_returns_end
    mov %esi, %eax
    mov %rdx, %rcx
    rep stosb
    mov %rdi, %rax
    ret
END set_returns_end

/* Faults. */

FUNCTION remainder_one_less
    mov %rdx, %rcx
    KIT 1f, rep movsb
    xor %eax, %eax
    ret
1:  lea -1(%rcx), %rax
    ret
END remainder_one_less

FUNCTION remainder_of_nothing
    mov %rdx, %rcx
    LINUX 1f, rep movsb
    xor %eax, %eax
    ret
1:  mov %rdx, %rax
    ret
END remainder_of_nothing

FUNCTION remainder_zero
    mov %rdx, %rcx
    KIT 1f, rep movsb
1:  xor %eax, %eax
    ret
END remainder_zero

FUNCTION remainder_in_words
    mov %rdx, %rcx
    shr $3, %rcx
    and $7, %edx
    LINUX 1f, rep movsq
    mov %edx, %ecx
    LINUX 2f, rep movsb
    xor %eax, %eax
    ret
1:  add %rdx, %rcx
2:  mov %rcx, %rax
    ret
END remainder_in_words

FUNCTION remainder_without_tail
    mov %rdx, %rcx
    shr $3, %rcx
    and $7, %edx
    KIT 1f, rep movsq
    mov %edx, %ecx
    KIT 2f, rep movsb
    xor %eax, %eax
    ret
1:  shl $3, %rcx
    KIT 2f, rep movsb
2:  mov %rcx, %rax
    ret
END remainder_without_tail

FUNCTION clobbers_rbx_on_fault
    mov %rdx, %rcx
    LINUX 1f, rep movsb
    xor %eax, %eax
    ret
1:  mov %rcx, %rbx
    mov %rcx, %rax
    ret
END clobbers_rbx_on_fault

FUNCTION user_double_small
    cmp $8, %rdx
    jae 1f
    mov %rdx, %rcx
    KIT 2f, rep movsb
1:  mov %rdx, %rcx
    KIT 2f, rep movsb
    xor %eax, %eax
    ret
2:  mov %rcx, %rax
    ret
END user_double_small

/* Reads and writes around what was asked for. */

FUNCTION reads_a_vector
    mov %rdi, %rax
    cmp $16, %rdx
    jae 1f
    test %rdx, %rdx
    jz 1f
    movdqu (%rsi), %xmm0
    movdqu %xmm0, -24(%rsp)
    lea -24(%rsp), %rsi
1:  BYTES
    ret
END reads_a_vector

FUNCTION reads_a_vector_backward
    mov %rdi, %rax
    cmp $16, %rdx
    jae 1f
    test %rdx, %rdx
    jz 1f
    movdqu -16(%rsi,%rdx), %xmm0
    movdqu %xmm0, -24(%rsp)
    lea -8(%rsp), %rsi
    sub %rdx, %rsi
1:  BYTES
    ret
END reads_a_vector_backward

FUNCTION reads_ahead
    BYTES_AND_FROM 48, mov 64(%rsi), %cl
END reads_ahead

FUNCTION restores_past_end
    BYTES_AND_FROM 1, lock orb $0, (%rdi)
END restores_past_end

FUNCTION clears_before_start
    BYTES_AND_FROM 1, movb $0, -1(%rax)
END clears_before_start

FUNCTION backward_one_more
    mov %rdi, %rax
    test %rdx, %rdx
    jz 2f
1:  mov -1(%rsi,%rdx), %cl
    mov %cl, -1(%rdi,%rdx)
    dec %rdx
    jns 1b
2:  ret
END backward_one_more

FUNCTION zero_writes
    mov %rdi, %rax
    cmp $1, %rdx
    adc $0, %rdx
    BYTES
    ret
END zero_writes

/* Only at some alignments and sizes. */

FUNCTION one_destination
    mov %edi, %ecx
    and $15, %ecx
    cmp $5, %ecx
    jne good_rep_movsb
    mov %rdi, %rax
    mov %rdx, %rcx
    jrcxz 1f
    dec %rcx
1:  rep movsb
    ret
END one_destination

FUNCTION one_source
    mov %esi, %ecx
    and $15, %ecx
    cmp $11, %ecx
    jne good_rep_movsb
    test %rdx, %rdx
    jz good_rep_movsb
    mov %rdi, %rax
    BYTES
    xorb $1, -1(%rdi)
    ret
END one_source

FUNCTION above_a_page
    mov %rdi, %rax
    mov %rdx, %rcx
    cmp $4096, %rdx
    jbe 1f
    dec %rcx
1:  rep movsb
    ret
END above_a_page

FUNCTION exactly_256
    mov %rdi, %rax
    mov %rdx, %rcx
    cmp $256, %rdx
    jne 1f
    dec %rcx
1:  rep movsb
    ret
END exactly_256

FUNCTION size_of_8_bits
    mov %rdi, %rax
    movzbl %dl, %ecx
    rep movsb
    ret
END size_of_8_bits

FUNCTION size_of_16_bits
    mov %rdi, %rax
    movzwl %dx, %ecx
    rep movsb
    ret
END size_of_16_bits

/* Control. */

FUNCTION jumps_out
    BYTES_AND_FROM 100, jmp 0x10
END jumps_out

FUNCTION calls_undefined
    push %rdi
    call no_such_helper
    pop %rax
    ret
END calls_undefined

FUNCTION endless_at_13
    mov %rdi, %rax
    BYTES
1:  cmp $13, %rdx
    je 1b
    ret
END endless_at_13

FUNCTION stack_overflow
    cmp $33, %rdx
    jb good_rep_movsb
    push %rdi
    call stack_overflow
    pop %rax
    ret
END stack_overflow

FUNCTION halts
    BYTES_AND_FROM 32, hlt
END halts

FUNCTION writes_a_model_register
    BYTES_AND_FROM 32, wrmsr
END writes_a_model_register

FUNCTION traps
    BYTES_AND_FROM 32, ud2
END traps

/* Of these instructions there is more than kdbg carries out. */
FUNCTION copies_with_avx2
    mov %rdi, %rax
    cmp $32, %rdx
    jb 1f
    vmovdqu (%rsi), %ymm0
    vpermq $0xe4, -32(%rsi,%rdx), %ymm1
    vmovdqu %ymm0, (%rdi)
    vmovdqu %ymm1, -32(%rdi,%rdx)
    vzeroupper
1:  BYTES
    ret
END copies_with_avx2

FUNCTION copies_with_avx512
    mov %rdi, %rax
    cmp $64, %rdx
    jb 1f
    vpermq $0xe4, (%rsi), %zmm16
    vmovdqu64 %zmm16, (%rdi)
1:  BYTES
    ret
END copies_with_avx512

/* memset. */

FUNCTION set_one_less
    mov %rdi, %r8
    mov %esi, %eax
    mov %rdx, %rcx
    ONE_LESS_UNLESS_NONE
    rep stosb
    mov %r8, %rax
    ret
END set_one_less

FUNCTION set_one_more
    mov %rdi, %r8
    mov %esi, %eax
    mov %rdx, %rcx
    ONE_MORE_UNLESS_NONE
    rep stosb
    mov %r8, %rax
    ret
END set_one_more

FUNCTION set_second_byte
    mov %rdi, %r8
    mov %esi, %eax
    mov %ah, %al
    mov %rdx, %rcx
    rep stosb
    mov %r8, %rax
    ret
END set_second_byte

FUNCTION set_not_spread
    mov %rdi, %r8
    movzbl %sil, %eax
    mov %rdx, %rcx
    shr $3, %rcx
    rep stosq
    mov %edx, %ecx
    and $7, %ecx
    rep stosb
    mov %r8, %rax
    ret
END set_not_spread

/* strncpy_from_user. */

.macro STRING_COPY last=nop, at_end=nop, before=nop
    xor %eax, %eax
1:  \before
    cmp %rdx, %rax
    je 2f
    LINUX 3f, mov (%rsi,%rax), %cl
    mov %cl, (%rdi,%rax)
    test %cl, %cl
    jz 4f
    inc %rax
    jmp 1b
4:  \at_end
    ret
2:  \last
    ret
3:  mov $-14, %rax
    ret
.endm

.macro TERMINATE
    cmp $1, %rdx
    jb 5f
    movb $0, (%rdi,%rax)
5:
.endm

.macro PEEK
    cmp $1, %rdx
    jb 5f
    mov (%rsi,%rax), %cl
5:
.endm

FUNCTION string_counts_its_end
    STRING_COPY at_end="inc %rax"
END string_counts_its_end

FUNCTION string_ended_past_size
    STRING_COPY last=TERMINATE
END string_ended_past_size

FUNCTION string_reads_past_size
    STRING_COPY before=PEEK
END string_reads_past_size

FUNCTION string_without_its_end
    xor %eax, %eax
1:  cmp %rdx, %rax
    je 2f
    LINUX 3f, mov (%rsi,%rax), %cl
    test %cl, %cl
    jz 2f
    mov %cl, (%rdi,%rax)
    inc %rax
    jmp 1b
2:  ret
3:  mov $-14, %rax
    ret
END string_without_its_end

/* What no byte that is left behind shows. */
FUNCTION writes_source_back
    mov %rdi, %rax
    test %rdx, %rdx
    jz 1f
    notb (%rsi)
    notb (%rsi)
1:  mov %rdx, %rcx
    rep movsb
    ret
END writes_source_back

FUNCTION callers_frame
    mov %rdi, %rax
    movq $0, 8(%rsp)
    mov %rdx, %rcx
    rep movsb
    ret
END callers_frame

FUNCTION below_red_zone
    mov %rdi, -160(%rsp)
    mov %rdx, %rcx
    rep movsb
    mov -160(%rsp), %rax
    ret
END below_red_zone

FUNCTION rounding_left_changed
    mov %rdi, %rax
    mov %rdx, %rcx
    rep movsb
    movl $0x7f80, -8(%rsp)
    ldmxcsr -8(%rsp)
    ret
END rounding_left_changed

FUNCTION mmx_left_in_use
    mov %rdi, %rax
    MMX_WORDS
    ret
END mmx_left_in_use

FUNCTION access_left_open
    stac
    mov %rdx, %rcx
    LINUX 1f, rep movsb
    clac
    xor %eax, %eax
    ret
1:  mov %rcx, %rax
    ret
END access_left_open

FUNCTION aligned_from_2048
    mov %rdi, %rax
    mov %rdx, %rcx
    cmp $2048, %rdx
    jb 1f
    movaps (%rsi), %xmm0
1:  rep movsb
    ret
END aligned_from_2048
