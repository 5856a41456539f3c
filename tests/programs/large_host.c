/*
 * To be preloaded: a host as one with AMX, whose extended registers are 11008 bytes. It hands out as many of them as
 * there is room for, and takes all or nothing (Linux arch/x86/kernel/fpu/regset.c, xstateregs_get and xstateregs_set).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { LARGE = 11008, HEADER = 512, HEADER_END = 576 };
/* XTILECFG and XTILEDATA (Intel SDM volume 1, 13.1), which a process of the host has used. */
static const uint64_t tiles = 3ull << 17;

typedef long function(enum __ptrace_request, pid_t, void *, void *);

static unsigned char registers[LARGE];

static long get(function *next, pid_t pid, void *address, struct iovec *given)
{
    struct iovec own = { registers, sizeof(registers) };
    uint64_t present;

    memset(registers, 0, sizeof(registers));
    if (next(PTRACE_GETREGSET, pid, address, &own) < 0)
        return -1;
    memcpy(&present, registers + HEADER, sizeof(present));
    present |= tiles;
    memcpy(registers + HEADER, &present, sizeof(present));
    if (given->iov_len > LARGE)
        given->iov_len = LARGE;
    memcpy(given->iov_base, registers, given->iov_len);
    return 0;
}

static long set(function *next, pid_t pid, void *address, const struct iovec *given)
{
    struct iovec own = { registers, sizeof(registers) };
    uint64_t present;

    if (given->iov_len < LARGE) {
        errno = EFAULT;
        return -1;
    }
    memcpy(registers, given->iov_base, sizeof(registers));
    memcpy(&present, registers + HEADER, sizeof(present));
    for (int i = HEADER + 8; i < HEADER_END; i++) {
        if (registers[i]) {
            errno = EINVAL;
            return -1;
        }
    }
    present &= ~tiles;
    memcpy(registers + HEADER, &present, sizeof(present));
    return next(PTRACE_SETREGSET, pid, address, &own);
}

long ptrace(enum __ptrace_request request, ...)
{
    static function *next;
    va_list arguments;

    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (!next)
        next = (function *)dlsym(RTLD_NEXT, "ptrace");
    if ((uintptr_t)address == NT_X86_XSTATE && request == PTRACE_GETREGSET)
        return get(next, pid, address, data);
    if ((uintptr_t)address == NT_X86_XSTATE && request == PTRACE_SETREGSET)
        return set(next, pid, address, data);
    return next(request, pid, address, data);
}
