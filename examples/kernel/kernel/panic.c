/* The end, orderly or not. */
#include "kernel/cpu.h"
#include "kernel/kernel.h"
#include "probe/events.h"

enum { DEBUG_EXIT_PORT = 0xf4, FRAMES = 16 };

extern char kernel_text_start[], kernel_text_end[];

/* QEMU's isa-debug-exit device ends it with the status 2 * code + 1. */
noreturn void power_off(int code)
{
    console_flush();
    out8(DEBUG_EXIT_PORT, code);
    halt_forever();
}

/* Follow the frame pointers, as long as they look like ours. */
static int backtrace(u64 *addresses, int room)
{
    u64 *frame = __builtin_frame_address(0);
    int count = 0;

    while (count < room && (u64)frame >= KERNEL_BASE && (u64)frame % 8 == 0) {
        u64 address = frame[1];

        if (address < (u64)kernel_text_start || address >= (u64)kernel_text_end)
            break;
        addresses[count++] = address;
        if (frame[0] <= (u64)frame)
            break;
        frame = (u64 *)frame[0];
    }
    return count;
}

noreturn void panic(const char *message)
{
    u64 addresses[FRAMES];
    int count = backtrace(addresses, FRAMES);

    console_fresh_line();
    print("kernel panic: %s\n", message);
    event_panic(message, addresses, count);
    power_off(1);
}
