/*
 * The first instructions. QEMU finds the PVH note, loads the kernel at 1 MiB
 * and jumps to boot_entry in 32-bit protected mode, paging off, with the
 * physical address of its start information in ebx.
 *
 * Until paging is on, the linked (higher half) addresses do not exist, so
 * every symbol here is written as PHYSICAL(symbol).
 */
#include "kernel/layout.h"
#include "probe/asm.h"

#define PHYSICAL(symbol) ((symbol) - KERNEL_BASE)
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define PTE_PRESENT_WRITE 0x03
#define PTE_LARGE         0x80

    .section .note.pvh, "a", @note
    .balign 4
    .long 4                     /* length of the name */
    .long 4                     /* length of the value */
    .long XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long PHYSICAL(boot_entry)

    .section .text.boot, "ax"
    .code32
FUNCTION boot_entry
    cld
    cli
    mov $PHYSICAL(boot_stack_top), %esp

    /* The top level: the first GiB twice, at 0 (until we have jumped up) and
       at KERNEL_BASE, which is slot 511 and there slot 510. */
    mov $PHYSICAL(boot_directory_pointers) + PTE_PRESENT_WRITE, %eax
    mov %eax, PHYSICAL(boot_page_map)
    mov %eax, PHYSICAL(boot_page_map) + 511 * 8
    mov $PHYSICAL(boot_directory) + PTE_PRESENT_WRITE, %eax
    mov %eax, PHYSICAL(boot_directory_pointers)
    mov %eax, PHYSICAL(boot_directory_pointers) + 510 * 8

    /* 512 large pages of 2 MiB. */
    mov $PTE_PRESENT_WRITE + PTE_LARGE, %eax
    mov $PHYSICAL(boot_directory), %edi
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    cmp $PHYSICAL(boot_directory) + 4096, %edi
    jne 1b

    mov %cr4, %eax
    or $0x20, %eax              /* PAE */
    mov %eax, %cr4
    mov $PHYSICAL(boot_page_map), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx       /* EFER: SYSCALL, long mode, no-execute */
    rdmsr
    or $0x901, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80010000, %eax        /* paging, write protection in ring 0 too */
    mov %eax, %cr0

    lgdt PHYSICAL(boot_gdt_pointer)
    ljmp $SELECTOR_KERNEL_CODE, $PHYSICAL(boot_long_mode)

    .code64
boot_long_mode:
    mov $boot_higher_half, %rax
    jmp *%rax
END boot_entry

FUNCTION boot_higher_half
    .cfi_startproc
    .cfi_undefined rip          /* nobody called us: backtraces end here */
    mov $boot_stack_top, %rsp
    xor %eax, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    xor %ebp, %ebp
    mov %ebx, %edi              /* start information, a physical address */
    call kernel_main
1:  hlt
    jmp 1b
    .cfi_endproc
END boot_higher_half

    .section .rodata
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00209a0000000000    /* kernel code, 64 bits */
boot_gdt_pointer:
    .word . - boot_gdt - 1
    .quad PHYSICAL(boot_gdt)

    .bss
    .balign 4096
GLOBAL boot_page_map
    .skip 4096
boot_directory_pointers:
    .skip 4096
boot_directory:
    .skip 4096
boot_stack:
    .skip 16384
GLOBAL boot_stack_top
