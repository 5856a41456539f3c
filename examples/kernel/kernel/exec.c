/* execve: replace the program of the running process. */
#include "kernel/process.h"
#include "probe/events.h"

enum { FLAGS_AT_START = 0x202 };

static void reset_process(struct process *process)
{
    memset(process->regions, 0, sizeof(process->regions));
    memset(process->actions, 0, sizeof(process->actions));
    process->next_mmap = USER_MMAP_START;
    process_add_region(process, USER_STACK_TOP - USER_STACK_SIZE, USER_STACK_TOP, "stack", true);
    process_set_fs_base(0);
}

static void set_start(struct frame *frame, u64 entry, u64 stack)
{
    memset(frame, 0, sizeof(*frame));
    frame->vector = VECTOR_SYSCALL;
    frame->rip = entry;
    frame->cs = SELECTOR_USER_CODE;
    frame->rflags = FLAGS_AT_START;
    frame->rsp = stack;
    frame->ss = SELECTOR_USER_DATA;
}

/*
 * From here on a failure leaves a process without a program, so the caller
 * ends it. `name` is looked up, argument 0 becomes the name of the process.
 */
int exec_program(struct frame *frame, const char *name, const struct arguments *arguments)
{
    u64 *old_space = current->space;
    u64 stack = USER_STACK_TOP;
    u64 entry;
    int error;

    current->space = space_create();
    if (!current->space)
        panic("no memory for a program");
    reset_process(current);
    error = loader_load(current, name, &entry);
    space_activate(current->space);
    space_destroy(old_space);
    if (!error)
        error = arguments_push(&stack, arguments);
    if (error)
        return error;
    text_copy(current->probe.name, arguments->count ? arguments->text[0] : name,
              sizeof(current->probe.name));
    set_start(frame, entry, stack);
    event_process_exec(arguments->count ? arguments->text[0] : "", entry);
    return 0;
}

s64 sys_execve(struct frame *frame, u64 path, u64 argv)
{
    struct arguments arguments;
    char name[ARGUMENT_SIZE];
    s64 error;

    UCOPY_TAGGED("execve:path")
        error = copy_text_from_user(name, path, sizeof(name));
    if (error < 0)
        return error;
    UCOPY_TAGGED("execve:arguments")
        error = arguments_from_user(&arguments, argv);
    if (error < 0)
        return error;
    if (!loader_has(name))
        return -ENOENT;
    if (exec_program(frame, name, &arguments) < 0)
        process_exit(SIGSEGV, true);
    return 0;
}
