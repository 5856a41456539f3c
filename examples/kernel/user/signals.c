/* A handler that is called, and a child that dies of a null pointer. */
#include "user/lib/user.h"

struct action {
    void (*handler)(int);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};

static volatile int received;

/* See init.c: not on the stack. */
static struct {
    int status;
    int spare;
} ended;

static void on_signal(int signal)
{
    received = signal;
}

static void wait_for_child(void)
{
    while (wait4(-1, &ended.status) == -EINTR)
        ;
}

static void be_signalled(void)
{
    const struct action action = { .handler = on_signal, .restorer = signal_restorer };
    long parent = getpid();

    rt_sigaction(SIGUSR1, &action, NULL);
    if (fork() == 0) {
        kill(parent, SIGUSR1);
        exit(0);
    }
    wait_for_child();
    say("signals: handler saw signal %d\n", received);
}

static void lose_a_child(void)
{
    volatile int *volatile nowhere = NULL;

    if (fork() == 0) {
        *nowhere = 1;
        exit(1);
    }
    wait_for_child();
    say("signals: child ended by signal %d\n", ended.status & 0x7f);
}

int main(void)
{
    be_signalled();
    lose_a_child();
    return received == SIGUSR1 && ended.status == SIGSEGV ? 0 : 1;
}
