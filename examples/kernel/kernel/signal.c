/*
 * Signals. A handler runs on the user's stack: the kernel writes the saved
 * registers there, below them the return address of the "restorer", and the
 * restorer calls rt_sigreturn, which takes the registers back.
 */
#include "kernel/process.h"
#include "probe/events.h"

enum { HANDLER_DEFAULT = 0, HANDLER_IGNORE = 1, RED_ZONE = 128 };

#define FLAGS_USER_MAY_SET 0xcd5

const char *signal_name(int signal)
{
    switch (signal) {
    case SIGILL:  return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    case SIGABRT: return "SIGABRT";
    case SIGFPE:  return "SIGFPE";
    case SIGUSR1: return "SIGUSR1";
    case SIGSEGV: return "SIGSEGV";
    default:      return "signal";
    }
}

/* A process that waits is woken up to look at its signals. */
void signal_raise(struct process *process, int signal)
{
    process->signals_pending |= 1u << signal;
    if (process->state == WAITING)
        process->state = RUNNABLE;
}

s64 signal_send(s64 pid, int signal)
{
    if (signal <= 0 || signal >= SIGNALS)
        return -EINVAL;
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->probe.pid != (u64)pid || p->state == UNUSED || p->state == ENDED)
            continue;
        signal_raise(p, signal);
        return 0;
    }
    return -ESRCH;
}

s64 signal_set_action(u64 signal, u64 action, u64 old)
{
    struct signal_action *entry = &current->actions[signal % SIGNALS];
    struct signal_action new = *entry;
    u64 left = 0;

    if (signal == 0 || signal >= SIGNALS)
        return -EINVAL;
    UCOPY_TAGGED("rt_sigaction:action") {
        if (action)
            left = copy_from_user(&new, action, sizeof(new));
        if (!left && old)
            left = copy_to_user(old, entry, sizeof(*entry));
    }
    if (left)
        return -EFAULT;
    if (new.handler >= USER_END)
        return -EINVAL;             /* SYSRET to such an address faults in ring 0 */
    *entry = new;
    return 0;
}

static int take_signal(void)
{
    int signal = __builtin_ctz(current->signals_pending);

    current->signals_pending &= ~(1u << signal);
    return signal;
}

/* Both parts of the frame on the user's stack; false if it has no room. */
static bool push_signal_frame(struct frame *frame, int signal, const struct signal_action *action)
{
    u64 before = frame->rsp;
    u64 at = (before - RED_ZONE - sizeof(*frame)) & -16;
    u64 left;

    UCOPY_TAGGED("signal:frame")
        left = copy_to_user(at, frame, sizeof(*frame));
    event_signal_stack_write(signal, "registers", at, sizeof(*frame), before, at);
    if (left)
        return false;
    at -= sizeof(action->restorer);
    UCOPY_TAGGED("signal:return_address")
        left = copy_to_user(at, &action->restorer, sizeof(action->restorer));
    event_signal_stack_write(signal, "return_address", at, sizeof(action->restorer), before, at);
    frame->rsp = at;
    return left == 0;
}

/* Before every return to user mode. One handler at a time is enough here. */
void signal_deliver(struct frame *frame)
{
    const struct signal_action *action;
    int signal;

    if (!current->signals_pending)
        return;
    signal = take_signal();
    action = &current->actions[signal];
    if (action->handler == HANDLER_IGNORE) {
        event_signal(signal, "ignore", frame->rip, 0);
        return;
    }
    if (action->handler != HANDLER_DEFAULT) {
        event_signal(signal, "handler", frame->rip, action->handler);
        if (push_signal_frame(frame, signal, action)) {
            frame->rip = action->handler;
            frame->rdi = signal;
            frame->rax = 0;
            return;
        }
        signal = SIGSEGV;
    }
    event_signal(signal, "terminate", frame->rip, 0);
    process_exit(signal, true);
}

/* The user may have changed the frame: only harmless parts of it are taken. */
s64 signal_return(struct frame *frame)
{
    struct frame saved;
    u64 left;

    UCOPY_TAGGED("signal:return")
        left = copy_from_user(&saved, frame->rsp, sizeof(saved));
    if (left || saved.rip >= USER_END)
        process_exit(SIGSEGV, true);
    saved.cs = SELECTOR_USER_CODE;
    saved.ss = SELECTOR_USER_DATA;
    saved.rflags = (saved.rflags & FLAGS_USER_MAY_SET) | 0x202;
    saved.vector = 0;         /* leave by IRET: syscall_entry.S */
    *frame = saved;
    return frame->rax;
}
