/* The smallest guest worth dumping: it enters long mode, maps itself to the kernel half, sets the three segment
   bases, and stops three calls deep in `idle`. QEMU starts it by its PVH note. */

    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start - HIGH
    .set HIGH, 0xffffffff80000000

    .section .text.start, "ax"
    .code32
    .globl start
start:
    movl $(pml4 - HIGH), %eax
    movl %eax, %cr3
    movl $0x20, %eax
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    movl $0x100, %eax
    xorl %edx, %edx
    wrmsr
    movl $0x80000001, %eax
    movl %eax, %cr0
    lgdt gdt_pointer - HIGH
    ljmpl $8, $(long_mode - HIGH)
    .code64
long_mode:
    movabsq $high, %rax
    jmp *%rax
high:
    movl $16, %eax
    movl %eax, %ss
    movq $stack_end, %rsp
    movl $0xc0000100, %ecx
    movq $thread_block, %rax
    movl $-1, %edx
    wrmsr
    movl $0xc0000101, %ecx
    movq $cpu_block, %rax
    wrmsr
    movl $0xc0000102, %ecx
    movl $0x1234, %eax
    xorl %edx, %edx
    wrmsr
    xorl %ebp, %ebp
    pushq $0
    call outer
    hlt

    .text
    .globl outer
    .type outer, @function
outer:
    pushq %rbp
    movq %rsp, %rbp
    subq $32, %rsp
    call inner
    leave
    ret
    .size outer, . - outer

    /* The only routine with unwinding rules; the others must be understood from their code. */
    .globl inner
    .type inner, @function
inner:
    .cfi_startproc
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    subq $48, %rsp
    .cfi_def_cfa_offset 64
    call idle
    addq $48, %rsp
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size inner, . - inner

    .globl idle
    .type idle, @function
idle:
    hlt
    jmp idle
    .size idle, . - idle

    .data
    .balign 4096
pml4:
    .quad low - HIGH + 3
    .fill 510, 8, 0
    .quad upper - HIGH + 3
low:
    .quad directory - HIGH + 3
    .fill 511, 8, 0
upper:
    .fill 510, 8, 0
    .quad directory - HIGH + 3, 0
directory:
    .set page, 0
    .rept 8
    .quad page + 0x83
    .set page, page + 0x200000
    .endr
    .fill 504, 8, 0
gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
    .word 23
    .quad gdt - HIGH
    .balign 8
    .globl thread_block
thread_block:
    .quad 0, 1, 2, 3, 4, 0x00feedfacecafe00
cpu_block:
    .quad 5
    .bss
    .balign 16
    .skip 4096
stack_end:
