/*
 * Page faults. Three ends are possible: the page is supplied, a copy to or
 * from user memory is cut short, or somebody did wrong.
 */
#include "kernel/cpu.h"
#include "kernel/process.h"
#include "probe/events.h"

enum { ERROR_PRESENT = 1, ERROR_WRITE = 2, ERROR_USER = 4 };

/* A lazy page, touched for the first time, is a page of zeros. */
static bool supply_page(const struct region *region, u64 address)
{
    void *page;

    if (!region || !region->lazy)
        return false;
    page = page_allocate();
    return page && space_map(current->space, address & -PAGE_SIZE, page, PAGE_WRITE);
}

static const char *reason(const struct frame *frame, const struct region *region)
{
    if (frame->error & ERROR_PRESENT)
        return "protection";
    if (!region)
        return "no_region";
    return region->lazy ? "first_touch" : "not_present";
}

/* Was it ucopy that faulted? Then go on at its fixup, which returns the rest. */
static bool cut_copy_short(struct frame *frame, u64 address)
{
    u64 fixup = ucopy_fault_fixup(address, frame->rip, frame->rdi, frame->rsi, frame->r8, frame->r9);

    if (fixup)
        frame->rip = fixup;
    return fixup != 0;
}

void page_fault(struct frame *frame)
{
    u64 address = read_cr2();
    const struct region *region = current ? process_region(current, address) : NULL;
    bool resolved = !(frame->error & ERROR_PRESENT) && supply_page(region, address);

    event_page_fault(address, frame->rip, reason(frame, region), resolved,
                     region ? region->start : 0, region ? region->end : 0,
                     region ? region->type : NULL);
    if (resolved)
        return;
    if (!(frame->cs & 3)) {
        if (!cut_copy_short(frame, address))
            panic("page fault in the kernel");
        return;
    }
    event_user_fault("page_fault", frame->rip, SIGSEGV);
    signal_raise(current, SIGSEGV);
}
