/*
 * The terminal: what programs read from and write to, and what they ask it.
 *
 * Three of the named faults are in tty_ioctl, each where such a mistake is
 * easily made. See README.md.
 */
#include "kernel/process.h"

enum { TIOCGPGRP = 0x540f, TIOCGWINSZ = 0x5413, WRITE_CHUNK = 128 };

struct window_size {
    u16 rows, columns, width, height;
};

static struct tty {
    char name[8];
    struct window_size window;
    int number;
    int foreground_group;
    int session;                    /* lies right behind foreground_group */
    size_t input_length;
    char input[32];                 /* a line that is waiting to be read */
} console = {
    .name = "tty3",
    .window = { 25, 80, 640, 400 },
    .number = 3,
    .foreground_group = 1,
    .session = 0x5e551017,
    .input_length = 12,
    .input = "make coffee\n",
};

static s64 get_foreground_group(u64 argument)
{
    size_t size = sizeof(console.foreground_group);
    u64 left;

    if (options.fault == FAULT_WRONG_SIZE)
        size = sizeof(u64);         /* the mistake: a group is an int */
    UCOPY_TAGGED("ioctl:TIOCGPGRP")
        left = copy_to_user(argument, &console.foreground_group, size);
    return left ? -EFAULT : 0;
}

static s64 get_window_size(u64 argument)
{
    u64 left;

    if (options.fault == FAULT_WILD_COPY)
        argument += console.number * sizeof(console.window);
                                    /* the mistake: one answer is asked for,
                                       not an array of them, one per terminal */
    UCOPY_TAGGED("ioctl:TIOCGWINSZ")
        left = copy_to_user(argument, &console.window, sizeof(console.window));
    return left ? -EFAULT : 0;
}

s64 tty_ioctl(u64 request, u64 argument)
{
    switch (request) {
    case TIOCGPGRP:
        return get_foreground_group(argument);
    case TIOCGWINSZ:
        return get_window_size(argument);
    default:
        return -ENOTTY;
    }
}

/* One line is waiting; after it comes the end of the input. */
s64 tty_read(u64 buffer, u64 size)
{
    u64 left;

    if (size > console.input_length)
        size = console.input_length;
    if (size == 0)
        return 0;
    UCOPY_TAGGED("read:buffer")
        left = copy_to_user(buffer, console.input, size);
    if (left)
        return -EFAULT;
    console.input_length -= size;
    memcpy(console.input, console.input + size, console.input_length);
    return size;
}

s64 tty_write(u64 buffer, u64 size)
{
    char chunk[WRITE_CHUNK];

    for (u64 done = 0; done < size; ) {
        u64 part = size - done < sizeof(chunk) ? size - done : sizeof(chunk);
        u64 left;

        UCOPY_TAGGED("write:buffer")
            left = copy_from_user(chunk, buffer + done, part);
        if (left)
            return done ? (s64)done : -EFAULT;
        for (u64 i = 0; i < part; i++)
            console_put(chunk[i]);
        done += part;
    }
    return size;
}
