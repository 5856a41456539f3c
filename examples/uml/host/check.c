/*
 * Can this host run User-mode Linux? It needs ptrace() to stop system calls of a child before they happen. Prints how
 * many bytes of extended registers the host keeps for a process; or what failed, and ends with 1.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif

static char registers[1 << 16];
static pid_t child;

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    if (child > 0)
        kill(child, SIGKILL);
    exit(1);
}

static void run_child(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(errno);
    raise(SIGSTOP);
    getppid();
    _exit(0);
}

static void wait_for_stop(const char *what)
{
    int status;

    if (waitpid(child, &status, 0) < 0)
        fail(what);
    if (!WIFSTOPPED(status)) {
        errno = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EPERM;
        child = 0;
        fail(what);
    }
}

int main(void)
{
    struct iovec all = { .iov_base = registers, .iov_len = sizeof(registers) };

    child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0)
        run_child();
    wait_for_stop("ptrace");
    if (ptrace(PTRACE_GETREGSET, child, NT_X86_XSTATE, &all) < 0)
        fail("ptrace(PTRACE_GETREGSET, NT_X86_XSTATE)");
    if (ptrace(PTRACE_SYSEMU, child, NULL, NULL) < 0)
        fail("ptrace(PTRACE_SYSEMU)");
    wait_for_stop("ptrace(PTRACE_SYSEMU)");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("%zu\n", all.iov_len);
    return 0;
}
