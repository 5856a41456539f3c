/* Where C begins: start everything, run the processes, power off. */
#include "kernel/kernel.h"
#include "kernel/process.h"
#include "probe/hooks.h"

/* What QEMU passes by the PVH convention; all addresses are physical. */
struct start_info {
    u32 magic, version, flags, module_count;
    u64 modules, command_line, acpi, memory_map;
    u32 memory_map_entries, reserved;
};

struct memory_map_entry {
    u64 start, size;
    u32 type, reserved;
};

enum { MEMORY_RAM = 1, MIB = 1 << 20, MAPPED = 1 << 30 };

static void *at_physical(u64 address)
{
    return (void *)(KERNEL_BASE + address);
}

/* The end of the piece of memory that the kernel is in. */
static u64 find_end_of_memory(const struct start_info *info)
{
    const struct memory_map_entry *map = at_physical(info->memory_map);

    for (u32 i = 0; i < info->memory_map_entries; i++) {
        u64 end = map[i].start + map[i].size;

        if (map[i].type == MEMORY_RAM && map[i].start <= MIB && end > MIB)
            return (end < MAPPED ? end : MAPPED) & -PAGE_SIZE;
    }
    panic("no memory map");
}

static void choose_copy_routine(void)
{
    if (options.fault == FAULT_DOUBLE_COPY)
        ucopy_routine = ucopy_double;
    ucopy_trace_switch(options.ring);
}

void kernel_main(u64 start_info)
{
    const struct start_info *info = at_physical(start_info);

    console_init();
    segments_init();
    trap_init();
    memory_init(find_end_of_memory(info));
    if (info->command_line)
        options_parse(at_physical(info->command_line));
    print("kernel: started, fault=%s\n", options.fault_name);

    choose_copy_routine();
    if (options.fault == FAULT_HOSTILE)
        hostile_init();
    process_start_first();
    processes_run();

    print("kernel: all processes finished\n");
    if (options.fault == FAULT_PANIC)
        panic("asked for on the command line");
    power_off(0);
}
