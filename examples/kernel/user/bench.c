/*
 * bench=NAME:COUNT: the same system call over and over. Nothing is printed
 * between the two lines, so that the host can measure the time between them.
 */
#include "user/lib/user.h"

static void repeat(const char *name, long count)
{
    struct utsname names;
    struct window_size window;

    if (strcmp(name, "uname") == 0) {
        while (count--)
            uname(&names);
    } else if (strcmp(name, "winsize") == 0) {
        while (count--)
            ioctl(0, TIOCGWINSZ, &window);
    } else {
        while (count--)
            getpid();
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 1;
    say("BENCH start\n");
    repeat(argv[1], number(argv[2]));
    say("BENCH end %s\n", argv[2]);
    return 0;
}
