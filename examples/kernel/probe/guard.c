/*
 * Watch the guard of the running process. The first value that is not zero is
 * the right one; when it changes later, something wrote over it. Copies since
 * `guard_intact_at` are suspects; when there are none, it was the program.
 */
#include "probe/guard.h"
#include "probe/hooks.h"
#include "probe/ucopy.h"

enum { GUARD_OFFSET = 0x28 };

/* The damage that was reported last: once is enough. */
static struct {
    uint64_t pid, found;
} reported;

static bool is_reported(const struct probe_process *process, uint64_t found)
{
    return reported.pid == process->pid && reported.found == found;
}

static void report(const char *when, uint64_t fs_base, uint64_t found)
{
    reported.pid = ucopy_process->pid;
    reported.found = found;
    event_canary_check(when, fs_base, found, true);
    ucopy_trace_dump("canary");
}

void guard_check(const char *when, uint64_t fs_base)
{
    struct probe_process *process = ucopy_process;
    uint64_t found;

    if (!event_enabled(EVENT_CANARY) || !fs_base)
        return;
    if (!probe_hook_read_user(fs_base + GUARD_OFFSET, &found))
        return;
    if (!process->guard_expected)
        process->guard_expected = found;
    if (!process->guard_expected)
        return;
    if (found == process->guard_expected) {
        process->guard_intact_at = ucopy_trace_total();
        event_canary_check(when, fs_base, found, false);
    } else if (!is_reported(process, found)) {
        report(when, fs_base, found);
    }
}

void guard_forget(struct probe_process *process)
{
    process->guard_expected = 0;
    process->guard_intact_at = 0;
}
