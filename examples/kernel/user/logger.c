/* Writes some lines, giving way to others after each. */
#include "user/lib/user.h"

enum { LINES = 3 };

int main(void)
{
    struct utsname names;

    if (gettid() == -ENOSYS && uname(&names) == 0)
        say("logger: %s %s on %s\n", names.system, names.release, names.machine);
    for (int line = 1; line <= LINES; line++) {
        sched_yield();
        say("logger: line %d of process %d\n", line, (int)getpid());
    }
    return 0;
}
