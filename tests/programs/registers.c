/*
 * Gives a stopped child back the first bytes of its extended registers, as User-mode Linux does, with a value in them;
 * prints what came of it. Where the host has more registers than that, it refuses.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { XMM5 = 160 + 5 * 16 };

static char registers[1 << 16], again[1 << 16];

int main(int argc, char **argv)
{
    size_t length = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
    struct iovec some = { registers, length }, all = { again, sizeof(again) };
    pid_t child = fork();

    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    ptrace(PTRACE_GETREGSET, child, NT_X86_XSTATE, &some);
    memset(registers + XMM5, 0x5a, 16);
    registers[512] |= 2;                /* SSE is not in its initial state */
    some.iov_len = length;
    if (ptrace(PTRACE_SETREGSET, child, NT_X86_XSTATE, &some) < 0) {
        printf("refused: %s\n", strerror(errno));
    } else {
        ptrace(PTRACE_GETREGSET, child, NT_X86_XSTATE, &all);
        printf("set: %s\n", memcmp(registers + XMM5, again + XMM5, 16) ? "something else" : "the same");
    }
    kill(child, SIGKILL);
    return 0;
}
