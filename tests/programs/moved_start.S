/* Starts moved.c as a kernel in a machine without firmware (PVH): maps it SHIFT above where it is linked, and after it
   has relocated itself goes on with the program moved.elf in user mode, at USER. Addresses below 1 GiB are physical. */

    .set TEXT, 0x100000
    .set TABLES, 0x110000
    .set PROGRAM, 0x120000
    .set HIGH, 0xffffffff80000000
    .set USER, 0x40000000

    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long TEXT

    .section .text.start, "ax"
    .code32
    movl $TABLES, %eax
    movl %eax, %cr3
    movl $0x20, %eax
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    movl $0x100, %eax
    xorl %edx, %edx
    wrmsr
    movl $0x80000001, %eax
    movl %eax, %cr0
    lgdt TABLES + 0x5028
    ljmpl $8, $(TEXT + 0x80)
    .org 0x80
    .code64
    movabsq $(HIGH + SHIFT), %rcx
    leaq high(%rip), %rax
    addq %rcx, %rax
    jmp *%rax
high:
    movl $16, %eax
    movl %eax, %ss
    leaq stack_end(%rip), %rsp
    call enter
    movq $(USER + PROGRAM), %rax
    addq 24(%rax), %rax
    pushq $0x1b
    pushq $(USER + PROGRAM)
    pushq $2
    pushq $0x23
    pushq %rax
    iretq

    .section .tables, "aw"
    .quad TABLES + 0x1007
    .fill 510, 8, 0
    .quad TABLES + 0x2003
    .quad TABLES + 0x3007, TABLES + 0x3007
    .fill 510, 8, 0
    .fill 510, 8, 0
    .quad TABLES + 0x4003, 0
    .set page, 0
    .rept 8
    .quad page + 0x87
    .set page, page + 0x200000
    .endr
    .fill 504, 8, 0
    .fill SHIFT >> 21, 8, 0
    .set page, 0
    .rept 8
    .quad page + 0x83
    .set page, page + 0x200000
    .endr
    .fill 504 - (SHIFT >> 21), 8, 0
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cff2000000ffff, 0x00affa000000ffff
    .word 39
    .quad TABLES + 0x5000

    .section .program, "aw"
    .incbin "moved.elf"

    .bss
    .balign 16
    .skip 4096
stack_end:
    .section .note.GNU-stack, "", @progbits
