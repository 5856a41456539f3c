/* Exceptions: a fault of a program becomes a signal, one of ours a panic. */
#include "kernel/cpu.h"
#include "kernel/process.h"
#include "probe/events.h"

enum { VECTORS = 32, DOUBLE_FAULT = 8, PAGE_FAULT = 14, STUB_SIZE = 16 };

struct gate {
    u16 offset_low;
    u16 selector;
    u8 interrupt_stack;
    u8 type;
    u16 offset_middle;
    u32 offset_high;
    u32 reserved;
};

static struct gate idt[VECTORS];
extern char trap_stubs[];

static const struct {
    const char *name;
    int signal;
} exceptions[VECTORS] = {
    [0]  = { "divide_error", SIGFPE },
    [1]  = { "debug", SIGTRAP },
    [3]  = { "breakpoint", SIGTRAP },
    [6]  = { "invalid_opcode", SIGILL },
    [8]  = { "double_fault", SIGSEGV },
    [12] = { "stack_segment", SIGSEGV },
    [13] = { "general_protection", SIGSEGV },
    [14] = { "page_fault", SIGSEGV },
    [17] = { "alignment_check", SIGSEGV },
};

static void set_gate(int vector)
{
    u64 stub = (u64)trap_stubs + vector * STUB_SIZE;

    idt[vector] = (struct gate) {
        .offset_low = stub,
        .selector = SELECTOR_KERNEL_CODE,
        .interrupt_stack = vector == DOUBLE_FAULT ? 1 : 0,
        .type = vector == 3 ? 0xee : 0x8e,      /* int3 is open to programs */
        .offset_middle = stub >> 16,
        .offset_high = stub >> 32,
    };
}

void trap_init(void)
{
    struct { u16 limit; u64 base; } __attribute__((packed)) pointer = { sizeof(idt) - 1, (u64)idt };

    for (int vector = 0; vector < VECTORS; vector++)
        set_gate(vector);
    asm volatile("lidt %0" : : "m"(pointer));

    /* No device interrupts: every switch of process is voluntary. */
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
}

static void exception(struct frame *frame)
{
    const char *name = exceptions[frame->vector].name;
    int signal = exceptions[frame->vector].signal;

    if ((frame->cs & 3) == 0)
        panic(name ? name : "unexpected exception");
    if (!signal)
        signal = SIGILL;
    event_user_fault(name ? name : "other", frame->rip, signal);
    signal_raise(current, signal);
}

void trap_dispatch(struct frame *frame)
{
    if (frame->vector == PAGE_FAULT)
        page_fault(frame);
    else
        exception(frame);
    if (frame->cs & 3)
        signal_deliver(frame);
}
