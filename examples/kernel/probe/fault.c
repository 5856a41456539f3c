/* What happens when a page fault interrupts a copy. */
#include "probe/ucopy.h"

/* Written by UCOPY_MAY_FAULT, collected by the linker script. */
struct may_fault {
    uint64_t instruction;
    uint64_t fixup;
    const char *phase;
};

extern const struct may_fault ucopy_faults[], ucopy_faults_end[];

ucopy_function *ucopy_routine = ucopy;
struct probe_process ucopy_no_process = { .syscall = -1, .name = "kernel" };
struct ucopy_fault_record ucopy_fault_last;

static const struct may_fault *find(uint64_t instruction)
{
    for (const struct may_fault *entry = ucopy_faults; entry < ucopy_faults_end; entry++)
        if (entry->instruction == instruction)
            return entry;
    return NULL;
}

static const char *phase_name(uint64_t instruction)
{
    const struct may_fault *entry = find(instruction);

    return entry ? entry->phase : "";
}

/* A good place for a breakpoint: everything is in the record. */
__attribute__((noinline))
void ucopy_fault(const struct ucopy_fault_record *record)
{
    event_usercopy_fault(record, phase_name(record->instruction));
    ucopy_trace_dump("usercopy_fault");
}

/*
 * The registers of the interrupted copy tell everything: rdi and rsi have
 * moved on from where they started, r8 and r9 are the destination and the
 * size that were asked for (ucopy_macros.h).
 */
uint64_t ucopy_fault_fixup(uint64_t address, uint64_t instruction, uint64_t rdi,
                           uint64_t rsi, uint64_t r8, uint64_t r9)
{
    const struct may_fault *entry = find(instruction);
    uint64_t copied = rdi - r8;

    if (!entry)
        return 0;
    ucopy_fault_last = (struct ucopy_fault_record) {
        .count = ucopy_fault_last.count + 1,
        .fault_address = address,
        .instruction = instruction,
        .destination = r8,
        .source = rsi - copied,
        .size = r9,
        .remaining = r9 - copied,
        .context = ucopy_context,
    };
    ucopy_fault(&ucopy_fault_last);
    return entry->fixup;
}
