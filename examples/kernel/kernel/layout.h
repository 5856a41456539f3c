/*
 * The memory layout, for C and for assembly.
 *
 * Physical memory (up to 1 GiB of it) is visible at KERNEL_BASE, so the
 * address of a physical page P is KERNEL_BASE + P. The kernel itself is
 * linked at KERNEL_BASE + 1 MiB and loaded at 1 MiB.
 */
#pragma once

#define KERNEL_BASE       0xffffffff80000000
#define PAGE_SIZE         4096

/*
 * The lower half belongs to user programs, but for its last page: after a
 * SYSCALL at the very end of that, SYSRET would have to return to USER_END,
 * which is no valid address.
 */
#define USER_END          0x0000800000000000
#define USER_MMAP_START   0x0000000010000000
#define USER_STACK_TOP    0x00007ffffffff000
#define USER_STACK_SIZE   0x0000000000010000

/* Segment selectors. SYSCALL and SYSRET dictate this order. */
#define SELECTOR_KERNEL_CODE 0x08
#define SELECTOR_KERNEL_DATA 0x10
#define SELECTOR_USER_DATA   0x1b      /* 0x18, ring 3 */
#define SELECTOR_USER_CODE   0x23      /* 0x20, ring 3 */
#define SELECTOR_TSS         0x28
