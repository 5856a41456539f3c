/* GDT, task state segment, and where the SYSCALL instruction goes. */
#include "kernel/cpu.h"
#include "kernel/kernel.h"

#define FLAGS_TRAP       0x100
#define FLAGS_INTERRUPTS 0x200
#define FLAGS_DIRECTION  0x400
#define FLAGS_ALIGNMENT  0x40000

/* gs points here in the kernel; syscall_entry.S knows the two offsets. */
struct cpu {
    u64 kernel_stack;
    u64 user_stack;
};

struct task_state {
    u32 reserved0;
    u64 stacks[3];
    u64 reserved1;
    u64 interrupt_stacks[7];
    u64 reserved2;
    u16 reserved3;
    u16 io_map;
} __attribute__((packed));

struct table_pointer {
    u16 limit;
    u64 base;
} __attribute__((packed));

static struct cpu cpu;
static struct task_state task_state = { .io_map = sizeof(task_state) };
static u8 double_fault_stack[4096] __attribute__((aligned(16)));

static u64 gdt[] = {
    0,
    0x00209a0000000000,         /* 0x08 kernel code */
    0x0000920000000000,         /* 0x10 kernel data */
    0x0000f20000000000,         /* 0x18 user data */
    0x0020fa0000000000,         /* 0x20 user code */
    0, 0,                       /* 0x28 task state, filled in below */
};

void syscall_entry(void);

static void load_task_state(void)
{
    u64 base = (u64)&task_state;

    gdt[5] = (sizeof(task_state) - 1)
           | (base & 0xffffff) << 16
           | 0x89ull << 40
           | (base >> 24 & 0xff) << 56;
    gdt[6] = base >> 32;
    asm volatile("ltr %w0" : : "r"(SELECTOR_TSS));
}

void segments_init(void)
{
    struct table_pointer pointer = { sizeof(gdt) - 1, (u64)gdt };

    /* A double fault may come from a broken stack, so it has one of its own. */
    task_state.interrupt_stacks[0] = (u64)double_fault_stack + sizeof(double_fault_stack);
    asm volatile("lgdt %0" : : "m"(pointer));
    asm volatile("mov %w0, %%ss" : : "r"(SELECTOR_KERNEL_DATA));
    load_task_state();

    write_msr(MSR_GS_BASE, (u64)&cpu);
    write_msr(MSR_KERNEL_GS_BASE, 0);   /* the user's, until swapgs */

    /* SYSRET takes its selectors from 0x10: data at +8, code at +16. */
    write_msr(MSR_STAR, (u64)SELECTOR_KERNEL_DATA << 48 | (u64)SELECTOR_KERNEL_CODE << 32);
    write_msr(MSR_LSTAR, (u64)syscall_entry);
    write_msr(MSR_SFMASK, FLAGS_TRAP | FLAGS_INTERRUPTS | FLAGS_DIRECTION | FLAGS_ALIGNMENT);
}

void segments_set_kernel_stack(u64 top)
{
    cpu.kernel_stack = top;
    task_state.stacks[0] = top;
}
