/*
 * Processes: making them, and switching between them. A process gives up the
 * processor only when it yields, waits or ends.
 */
#include "kernel/cpu.h"
#include "kernel/process.h"
#include "probe/events.h"

struct process processes[PROCESSES];
struct process *current;

static u64 boot_saved_stack;
static u64 last_pid;

void context_switch(u64 *save, u64 load);
void trap_return(void);

struct frame *process_frame(struct process *process)
{
    return (struct frame *)(process->stack + KERNEL_STACK_SIZE) - 1;
}

/* A new process, once chosen, "returns" from context_switch to trap_return. */
static void prepare_stack(struct process *process)
{
    u64 *stack = (u64 *)process_frame(process);

    *--stack = (u64)trap_return;
    stack -= 6;                         /* rbp, rbx, r12 to r15: any values */
    process->saved_stack = (u64)stack;
}

static struct process *allocate(const char *name)
{
    for (struct process *p = processes; p < processes + PROCESSES; p++) {
        if (p->state != UNUSED)
            continue;
        memset(p, 0, sizeof(*p));
        p->probe.pid = ++last_pid;
        p->probe.syscall = -1;
        text_copy(p->probe.name, name, sizeof(p->probe.name));
        p->copy_context = ucopy_context_of(p->probe.pid);
        prepare_stack(p);
        return p;
    }
    return NULL;
}

/* False when there are too many already. */
bool process_add_region(struct process *process, u64 start, u64 end, const char *type, bool lazy)
{
    for (int i = 0; i < REGIONS; i++) {
        if (process->regions[i].type)
            continue;
        process->regions[i] = (struct region) { start, end, type, lazy };
        return true;
    }
    return false;
}

const struct region *process_region(const struct process *process, u64 address)
{
    for (int i = 0; i < REGIONS; i++)
        if (address >= process->regions[i].start && address < process->regions[i].end)
            return &process->regions[i];
    return NULL;
}

/* A new thread control block: its guard is not known yet. */
void process_set_fs_base(u64 fs_base)
{
    current->fs_base = fs_base;
    write_msr(MSR_FS_BASE, fs_base);
    guard_forget(&current->probe);
}

/* Everything that is "of the running process", except the kernel stack. */
static void make_current(struct process *next)
{
    if (current)
        current->copy_context = ucopy_context;
    current = next;
    ucopy_process = &next->probe;
    ucopy_context = next->copy_context;
    space_activate(next->space);
    write_msr(MSR_FS_BASE, next->fs_base);
    segments_set_kernel_stack((u64)next->stack + KERNEL_STACK_SIZE);
}

/* The boot code, before the first process and after the last one. */
static void make_nobody_current(void)
{
    current = NULL;
    ucopy_process = &ucopy_no_process;
    ucopy_context = 0;
}

static struct process *choose_next(void)
{
    int start = current ? current - processes + 1 : 0;

    for (int i = 0; i < PROCESSES; i++) {
        struct process *p = &processes[(start + i) % PROCESSES];

        if (p->state == RUNNABLE)
            return p;
    }
    return NULL;
}

/* When nobody can run, the boot code goes on where it called processes_run. */
static void switch_away(void)
{
    struct process *previous = current;
    struct process *next = choose_next();

    if (next == previous)
        return;
    if (next)
        make_current(next);
    else
        make_nobody_current();
    context_switch(previous ? &previous->saved_stack : &boot_saved_stack,
                   next ? next->saved_stack : boot_saved_stack);
}

void processes_run(void)
{
    switch_away();
}

void process_yield(void)
{
    switch_away();
}

void process_wait_for_event(void)
{
    current->state = WAITING;
    switch_away();
    current->state = RUNNABLE;
}

/* The first process: the boot code stands in for it while its image is loaded. */
void process_start_first(void)
{
    const char *name = options.bench_name[0] ? "bench" : "init";
    struct arguments arguments;
    struct process *first = allocate(name);

    first->space = space_create();
    if (!first->space)
        panic("no memory for the first process");
    make_current(first);
    arguments_for_first(&arguments, name);
    if (exec_program(process_frame(first), name, &arguments) < 0)
        panic("the first program does not load");
    make_nobody_current();
    first->state = RUNNABLE;
}

s64 process_fork(struct frame *frame)
{
    struct process *child = allocate(current->probe.name);

    if (!child)
        return -EAGAIN;
    child->space = space_copy(current->space);
    if (!child->space)
        return -ENOMEM;
    child->parent = current;
    child->fs_base = current->fs_base;
    child->next_mmap = current->next_mmap;
    child->probe.guard_expected = current->probe.guard_expected;
    child->probe.guard_intact_at = current->probe.guard_intact_at;
    memcpy(child->regions, current->regions, sizeof(child->regions));
    memcpy(child->actions, current->actions, sizeof(child->actions));
    *process_frame(child) = *frame;
    process_frame(child)->rax = 0;
    child->state = RUNNABLE;
    event_process_fork(child->probe.pid);
    return child->probe.pid;
}
