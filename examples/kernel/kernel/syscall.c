/* System calls: the table, and what happens around every one of them. */
#include "kernel/process.h"
#include "probe/events.h"

typedef s64 syscall_function(struct frame *frame);

enum { ARCH_SET_FS = 0x1002 };

static s64 sys_read(struct frame *f)
{
    return f->rdi == 0 ? tty_read(f->rsi, f->rdx) : -EBADF;
}

static s64 sys_write(struct frame *f)
{
    return f->rdi <= 2 ? tty_write(f->rsi, f->rdx) : -EBADF;
}

/* Memory without a file behind it; pages appear when first touched. */
static s64 sys_mmap(struct frame *f)
{
    u64 size = (f->rsi + PAGE_SIZE - 1) & -PAGE_SIZE;
    u64 start = current->next_mmap;

    if (!size || size > PAGE_SIZE * 256)
        return -EINVAL;
    if (!process_add_region(current, start, start + size, "mmap", true))
        return -ENOMEM;
    current->next_mmap = start + size + PAGE_SIZE;      /* a gap after it */
    return start;
}

static s64 sys_ioctl(struct frame *f)
{
    return f->rdi <= 2 ? tty_ioctl(f->rsi, f->rdx) : -EBADF;
}

static s64 sys_sched_yield(struct frame *f)
{
    (void)f;
    process_yield();
    return 0;
}

static s64 sys_getpid(struct frame *f)
{
    (void)f;
    return current->probe.pid;
}

static s64 sys_arch_prctl(struct frame *f)
{
    if (f->rdi != ARCH_SET_FS || f->rsi >= USER_END)
        return -EINVAL;
    process_set_fs_base(f->rsi);
    return 0;
}

static s64 sys_rt_sigaction(struct frame *f) { return signal_set_action(f->rdi, f->rsi, f->rdx); }
static s64 sys_rt_sigreturn(struct frame *f) { return signal_return(f); }
static s64 sys_fork(struct frame *f)         { return process_fork(f); }
static s64 sys_execve_entry(struct frame *f) { return sys_execve(f, f->rdi, f->rsi); }
static s64 sys_exit(struct frame *f)         { process_exit(f->rdi & 0xff, false); }
static s64 sys_wait4(struct frame *f)        { return process_wait(f->rdi, f->rsi); }
static s64 sys_kill(struct frame *f)         { return signal_send(f->rdi, f->rsi); }
static s64 sys_uname(struct frame *f)        { return system_uname(f->rdi); }

/* Not in Linux: exists with fault=hostile only. */
static s64 sys_hostile(struct frame *f)      { return hostile_copy(f->rdi, f->rsi); }

static const struct {
    const char *name;
    syscall_function *function;
} syscalls[] = {
    [0]   = { "read", sys_read },
    [1]   = { "write", sys_write },
    [9]   = { "mmap", sys_mmap },
    [13]  = { "rt_sigaction", sys_rt_sigaction },
    [15]  = { "rt_sigreturn", sys_rt_sigreturn },
    [16]  = { "ioctl", sys_ioctl },
    [24]  = { "sched_yield", sys_sched_yield },
    [39]  = { "getpid", sys_getpid },
    [57]  = { "fork", sys_fork },
    [59]  = { "execve", sys_execve_entry },
    [60]  = { "exit", sys_exit },
    [61]  = { "wait4", sys_wait4 },
    [62]  = { "kill", sys_kill },
    [63]  = { "uname", sys_uname },
    [158] = { "arch_prctl", sys_arch_prctl },
    [500] = { "hostile", sys_hostile },
};

static s64 unimplemented(const char *name, u64 number)
{
    event_unimplemented_syscall(name, number);
    return -ENOSYS;
}

/*
 * The guard is looked at before and after: a change between two system calls
 * is the program's own doing, a change within one is the kernel's.
 */
void syscall_dispatch(struct frame *frame)
{
    u64 number = frame->rax;
    bool known = number < array_length(syscalls) && syscalls[number].function;
    const char *name = known ? syscalls[number].name : "unknown";
    u64 arguments[6] = { frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9 };

    current->probe.syscall = number;
    event_syscall_entry(name, number, arguments);
    guard_check("pre_syscall", current->fs_base);
    frame->rax = known ? syscalls[number].function(frame) : unimplemented(name, number);
    guard_check("post_syscall", current->fs_base);
    event_syscall_exit(name, number, frame->rax);
    signal_deliver(frame);
    current->probe.syscall = -1;
}
