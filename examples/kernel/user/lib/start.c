/*
 * Before main: the thread control block and its guard. And what happens when
 * the guard is found changed. This file is compiled without stack protector:
 * there is no guard yet, or no longer.
 */
#include "user/lib/user.h"

enum { AT_NULL = 0, AT_RANDOM = 25, ARCH_SET_FS = 0x1002 };

int main(int argc, char **argv);

/* At the same address in every program: user.ld. */
static struct tcb tcb __attribute__((section(".tcb")));

/* The lowest byte is 0, so that a text that is too long does not run on. */
static uint64_t make_guard(const uint64_t *auxiliary)
{
    for (; auxiliary[0] != AT_NULL; auxiliary += 2)
        if (auxiliary[0] == AT_RANDOM)
            return *(const uint64_t *)auxiliary[1] & ~0xfful;
    return 0;
}

/* The stack: argument count, arguments, 0, environment, 0, auxiliary pairs. */
_Noreturn void start(uint64_t *stack)
{
    int argc = stack[0];
    uint64_t *environment = stack + 1 + argc + 1;
    uint64_t *auxiliary = environment;

    while (*auxiliary++)
        ;
    tcb.self = &tcb;
    tcb.guard = make_guard(auxiliary);
    arch_prctl(ARCH_SET_FS, &tcb);
    exit(main(argc, (char **)(stack + 1)));
}

/* The compiler calls this from a function that finds the guard changed. */
_Noreturn void __stack_chk_fail(void)
{
    static const char message[] = "*** stack smashing detected ***\n";

    write(2, message, sizeof(message) - 1);
    kill(getpid(), SIGABRT);
    exit(127);
}
