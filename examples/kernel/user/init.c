/* Process 1: runs the other programs and tells how they ended. */
#include "user/lib/user.h"

/*
 * Not on the stack: with fault=double_copy the kernel writes 4 bytes behind
 * `status`, and the run is to be about the editor.
 */
static struct {
    int status;
    int spare;
} ended;

static long start_program(const char *program, const char *name, const char *argument)
{
    const char *argv[] = { name, argument, NULL };
    long pid = fork();

    if (pid == 0) {
        execve(program, argv);
        exit(126);
    }
    return pid;
}

static void wait_for(long pid, const char *name)
{
    while (wait4(pid, &ended.status) == -EINTR)
        ;
    if (ended.status & 0x7f)
        say("init: %s ended by signal %d\n", name, ended.status & 0x7f);
    else
        say("init: %s ended with %d\n", name, ended.status >> 8);
}

static void run(const char *program, const char *name)
{
    wait_for(start_program(program, name, NULL), program);
}

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "none";
    int overflow = strcmp(fault, "user_overflow") == 0;
    long logger, editor;

    /* These two take turns. */
    logger = start_program("logger", "logger", NULL);
    editor = start_program("editor", "editor", overflow ? "overflow" : NULL);
    wait_for(editor, "editor");
    wait_for(logger, "logger");

    run("signals", "signals");
    if (strcmp(fault, "unmapped") == 0)
        run("edges", "edges");
    if (strcmp(fault, "hostile") == 0)
        run("hostile", "\x1b]0;owned\x07\x1b[2J\n\"quoted\"\\");
    return 0;
}
