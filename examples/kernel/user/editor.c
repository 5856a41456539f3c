/*
 * An editor starting up: it asks for the size of its window and for the
 * foreground process group and keeps both in the thread control block, sets
 * its title, and reads one command.
 *
 * In the faulty runs one of the first three functions finds its stack guard
 * changed when it returns. See README.md.
 */
#include "user/lib/user.h"

#define noinline __attribute__((noinline))

static noinline void learn_window(void)
{
    ioctl(0, TIOCGWINSZ, &thread()->window);
}

static noinline void learn_foreground_group(void)
{
    ioctl(0, TIOCGPGRP, &thread()->foreground_group);
}

/* The mistake that fault=user_overflow shows: nobody checks the length. */
static noinline void set_title(const char *title)
{
    strcpy(thread()->title, title);
}

static noinline void read_command(void)
{
    char command[32];
    long length = read(0, command, sizeof(command) - 1);

    if (length <= 0)
        return;
    command[length - 1] = 0;
    say("editor: command \"%s\"\n", command);
}

int main(int argc, char **argv)
{
    (void)argv;
    learn_window();
    learn_foreground_group();
    set_title(argc > 1 ? "notes.txt - changed" : "notes.txt");
    say("editor: %d by %d, \"%s\", group %d\n", thread()->window.columns,
        thread()->window.rows, thread()->title, thread()->foreground_group);
    read_command();
    return 0;
}
