/* A process: one address space, one kernel stack, one user thread. */
#pragma once

#include "kernel/kernel.h"
#include "probe/guard.h"
#include "probe/ucopy.h"

enum { PROCESSES = 16, REGIONS = 8, SIGNALS = 32, KERNEL_STACK_SIZE = 8192 };

enum process_state { UNUSED, RUNNABLE, WAITING, ENDED };

/* A range of user addresses. Pages of a lazy one appear when first touched. */
struct region {
    u64 start, end;
    const char *type;
    bool lazy;
};

/* What rt_sigaction sets; the layout is that of Linux. */
struct signal_action {
    u64 handler;
    u64 flags;
    u64 restorer;
    u64 mask;
};

struct process {
    struct probe_process probe;     /* pid, name, ...: for the debugger too */
    u32 copy_context;               /* ucopy_context while not running */

    enum process_state state;
    struct process *parent;
    int exit_status;
    bool ended_by_signal;

    u64 *space;
    u64 fs_base;
    struct region regions[REGIONS];
    u64 next_mmap;

    u32 signals_pending;
    struct signal_action actions[SIGNALS];

    u64 saved_stack;                /* rsp while not running */
    u8 stack[KERNEL_STACK_SIZE] __attribute__((aligned(16)));
};

/* What execve hands to the new program. */
enum { ARGUMENTS = 4, ARGUMENT_SIZE = 64 };

struct arguments {
    u64 count;
    char text[ARGUMENTS][ARGUMENT_SIZE];
};

extern struct process processes[PROCESSES];
extern struct process *current;     /* null before the first process runs */

struct frame *process_frame(struct process *process);
bool process_add_region(struct process *process, u64 start, u64 end, const char *type, bool lazy);
const struct region *process_region(const struct process *process, u64 address);
void process_set_fs_base(u64 fs_base);
void process_wait_for_event(void);

/* arguments.c */
void arguments_for_first(struct arguments *arguments, const char *name);
s64 arguments_from_user(struct arguments *arguments, u64 argv);
s64 copy_text_from_user(char *to, u64 from, size_t room);
int arguments_push(u64 *stack, const struct arguments *arguments);
