/* The end of a process, and its parent's wait for it. */
#include "kernel/process.h"
#include "probe/events.h"

/* Children that outlive their parent have nobody to wait for them. */
static void disown_children(void)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state == UNUSED || p->parent != current)
            continue;
        p->parent = NULL;
        if (p->state == ENDED)
            p->state = UNUSED;
    }
}

noreturn void process_exit(int status, bool by_signal)
{
    struct process *parent = current->parent;
    u64 *space = current->space;

    event_process_exit(status, by_signal);
    disown_children();
    current->exit_status = status;
    current->ended_by_signal = by_signal;
    current->state = parent ? ENDED : UNUSED;
    current->space = NULL;
    if (parent && parent->state == WAITING)
        parent->state = RUNNABLE;

    /* The page tables in use must not be those that are being freed. */
    space_activate(boot_page_map);
    space_destroy(space);
    process_yield();
    panic("an ended process runs");
}

static struct process *find_child(s64 pid, bool *any)
{
    struct process *ended = NULL;

    *any = false;
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state == UNUSED || p->parent != current)
            continue;
        if (pid > 0 && p->probe.pid != (u64)pid)
            continue;
        *any = true;
        if (p->state == ENDED)
            ended = p;
    }
    return ended;
}

/* As in C's <sys/wait.h>: the exit code in the second byte, a signal in the first. */
static int encode_status(const struct process *child)
{
    return child->ended_by_signal ? child->exit_status : (child->exit_status & 0xff) << 8;
}

static s64 copy_status(const struct process *child, u64 address)
{
    int status = encode_status(child);
    u64 left;

    if (!address)
        return 0;
    UCOPY_TAGGED("wait4:status")
        left = copy_to_user(address, &status, sizeof(status));
    return left ? -EFAULT : 0;
}

s64 process_wait(s64 pid, u64 status_address)
{
    for (;;) {
        bool any;
        struct process *child = find_child(pid, &any);

        if (child) {
            s64 ended = child->probe.pid;
            s64 error = copy_status(child, status_address);

            child->state = UNUSED;
            return error ? error : ended;
        }
        if (!any)
            return -ECHILD;
        if (current->signals_pending)
            return -EINTR;
        process_wait_for_event();
    }
}
