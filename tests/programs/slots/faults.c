/*
 * Calls that go wrong in ways that the six shapes do not have, one for each number that FAULT may be. 1 to 9 are for a
 * static PIE or a shared library without libc that has not applied its relocations; 10 to 12 for a program with libc.
 */
#ifndef FAULT
#error "which fault: -DFAULT=1 to -DFAULT=12"
#endif

#define FUNCTION(name, body)                                                                                          \
    __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n.cfi_startproc\n" body                   \
            "\n.cfi_endproc\n.size " #name ", . - " #name "\n")

void ring_bell(void);
void use_slot(void);

#if FAULT <= 9
FUNCTION(ring_bell, "ret");
#if FAULT == 4
FUNCTION(_start, "xor %ebp, %ebp\nmov 8(%rsp), %rax\nret");
#elif FAULT == 5
FUNCTION(_start, "xor %ebp, %ebp\npush %rbp\nand $-16, %rsp\npush %rbp\ncall use_slot\nud2");
#else
FUNCTION(_start, ".cfi_undefined %rip\nxor %ebp, %ebp\nand $-16, %rsp\ncall use_slot\nud2");
#endif
#endif

#if FAULT == 1
/* The register is loaded before a loop, and kept over calls in it. */
FUNCTION(use_slot, "push %rbx\n.cfi_def_cfa_offset 16\nmov ring_bell@GOTPCREL(%rip), %rbx\nmov $3, %ebp\n"
                   "1: call nothing\ncall *%rbx\ndec %ebp\njnz 1b\npop %rbx\n.cfi_def_cfa_offset 8\nret");
FUNCTION(nothing, "ret");
#elif FAULT == 2
/* The slot is filled between the load of the register and the call. */
FUNCTION(use_slot, "mov ring_bell@GOTPCREL(%rip), %rbx\nlea ring_bell(%rip), %rax\n"
                   "mov %rax, ring_bell@GOTPCREL(%rip)\ncall *%rbx\nret");
#elif FAULT == 3
/* Two ways lead to the call, with a slot each. */
FUNCTION(use_slot, "test %rsp, %rsp\nje 1f\nmov ring_bell@GOTPCREL(%rip), %rax\njmp 2f\n"
                   "1: mov _start@GOTPCREL(%rip), %rax\n2: call *%rax\nret");
#elif FAULT == 4
FUNCTION(use_slot, "ret");
#elif FAULT == 5
/* At the entry of a function the stack is 8 off a multiple of 16. */
FUNCTION(use_slot, "sub $24, %rsp\n.cfi_def_cfa_offset 32\nmovaps %xmm0, (%rsp)\nadd $24, %rsp\nret");
#elif FAULT == 6
/* Through the PLT of a shared library: run as a program it has no dynamic linker to bind its slots. */
FUNCTION(use_slot, "call ring_bell@PLT\nret");
#elif FAULT == 7
/* By a call in a function that itself was called through a table. */
FUNCTION(use_slot, "lea table(%rip), %rdi\nlea pass_on(%rip), %rax\nmov %rax, (%rdi)\ncall *(%rdi)\nret");
FUNCTION(pass_on, "test %rdi, %rdi\nje 1f\njmp *ring_bell@GOTPCREL(%rip)\n1: ret");
__asm__(".data\n.globl table\n.hidden table\ntable: .quad 0\n.text");
#elif FAULT == 8
/* The address of the pointer is itself read from a slot, and an index computed. */
FUNCTION(use_slot, "lea handlers(%rip), %rax\nmov $1, %ecx\nlea (%rax,%rcx,8), %rax\nmov (%rax), %rdx\nmov %rdx, %rax\n"
                   "call *%rax\nret");
__asm__(".section .data.rel.ro, \"aw\"\n.type handlers, @object\n.hidden handlers\nhandlers: .quad _start, ring_bell\n"
        ".size handlers, 16\n.text");
#elif FAULT == 9
/* The slots of the PLT are moved to where the file is loaded, and not bound. */
FUNCTION(use_slot, "lea _GLOBAL_OFFSET_TABLE_(%rip), %rdi\nlea __ehdr_start(%rip), %rax\nadd %rax, 24(%rdi)\n"
                   "call ring_bell@PLT\nret");
__asm__(".hidden __ehdr_start\n.hidden use_slot");
#endif

#if FAULT >= 10
#include <stdio.h>
#include <stdlib.h>

static void **slot_of_puts(void)
{
    void **slot;

    __asm__("lea puts@GOTPCREL(%%rip), %0" : "=r"(slot));
    return slot;
}

int main(void)
{
    puts("before");
#if FAULT == 10
    *slot_of_puts() = (void *)0x414243444546;
#elif FAULT == 11
    *slot_of_puts() = (void *)0x4142434445464748;
#elif FAULT == 12
    *slot_of_puts() = slot_of_puts();
#endif
    puts("after");
}
#endif
