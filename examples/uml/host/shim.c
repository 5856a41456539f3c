/*
 * To be preloaded into a User-mode Linux kernel of at most 6.12, on hosts whose extended registers are larger than the
 * 2696 bytes it knows of (AMX has 8 KiB of them). The kernel saves the registers of a guest process with
 * PTRACE_GETREGSET, which fills as much of its buffer as there is; but PTRACE_SETREGSET with less than all registers
 * fails. So here the buffer is made as long as the host wants it, and components that are not in it are said to be
 * in their initial state (Intel SDM volume 1, 13.4: XSTATE_BV is the first word of the header at 512).
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { XSTATE_LEAF = 0xd, HEADER = 512, MAX_SIZE = 1 << 16, COMPONENTS = 63 };

/* Not on the stack: those of the kernel are small. Only its main thread comes here. */
static unsigned char registers[MAX_SIZE];

typedef long ptrace_function(enum __ptrace_request, pid_t, void *, void *);

/* What the host says itself: the processor may have more than the host uses. 0 if it does not say. */
static size_t host_size(ptrace_function *next, pid_t pid)
{
    static size_t size;
    struct iovec all = { .iov_base = registers, .iov_len = sizeof(registers) };

    if (size == 0 && next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) == 0)
        size = all.iov_len;
    return size;
}

/* The components of XSTATE_BV which lie within the first LENGTH bytes. */
static uint64_t components_within(size_t length)
{
    static uint64_t within;
    static size_t known_length;
    unsigned size = 0, offset = 0, flags = 0, d;

    if (known_length != length) {
        within = 3;                     /* x87 and SSE, before the header */
        for (int i = 2; i < COMPONENTS; i++) {
            __get_cpuid_count(XSTATE_LEAF, i, &size, &offset, &flags, &d);
            /* The system's own components have no place of their own (bit 0 of ECX). */
            if (size && !(flags & 1) && offset + (size_t)size <= length)
                within |= 1ull << i;
        }
        known_length = length;
    }
    return within;
}

static void lengthen(struct iovec *given, size_t size)
{
    uint64_t present;

    memcpy(registers, given->iov_base, given->iov_len);
    memset(registers + given->iov_len, 0, size - given->iov_len);
    memcpy(&present, registers + HEADER, sizeof(present));
    present &= components_within(given->iov_len);
    memcpy(registers + HEADER, &present, sizeof(present));
    given->iov_base = registers;
    given->iov_len = size;
}

long ptrace(enum __ptrace_request request, ...)
{
    static ptrace_function *next;
    va_list arguments;

    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (!next)
        next = (ptrace_function *)dlsym(RTLD_NEXT, "ptrace");
    if (request == PTRACE_SETREGSET && (uintptr_t)address == NT_X86_XSTATE) {
        struct iovec given = *(struct iovec *)data;
        size_t size = host_size(next, pid);

        if (given.iov_len > HEADER + sizeof(uint64_t) && given.iov_len < size) {
            lengthen(&given, size);
            return next(request, pid, address, &given);
        }
    }
    return next(request, pid, address, data);
}
