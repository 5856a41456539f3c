/* The small library that all user programs are built on. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    SIGABRT = 6, SIGUSR1 = 10, SIGSEGV = 11,
    EINTR = 4, EFAULT = 14, ENOSYS = 38,
    TIOCGPGRP = 0x540f, TIOCGWINSZ = 0x5413,
    PAGE_SIZE = 4096,
};

struct window_size {
    uint16_t rows, columns, width, height;
};

struct utsname {
    char system[65], node[65], release[65], version[65], machine[65], domain[65];
};

/*
 * The thread control block, at fs_base. The compiler dictates the place of
 * `guard`: every function of these programs compares it on return.
 */
struct tcb {
    struct tcb *self;                   /* 0x00 */
    uint64_t reserved;                  /* 0x08 */
    struct window_size window;          /* 0x10 */
    char title[12];                     /* 0x18 */
    int foreground_group;               /* 0x24, ends where the guard begins */
    uint64_t guard;                     /* 0x28 */
};

_Static_assert(offsetof(struct tcb, foreground_group) == 0x24, "layout");
_Static_assert(offsetof(struct tcb, guard) == 0x28, "layout");

static inline struct tcb *thread(void)
{
    struct tcb *self;

    asm("mov %%fs:0, %0" : "=r"(self));
    return self;
}

/* syscalls.S: as in Linux, but a failure is returned as -errno. */
long read(int file, void *buffer, size_t size);
long write(int file, const void *buffer, size_t size);
long mmap(void *hint, size_t size);
long rt_sigaction(int signal, const void *action, void *old);
long ioctl(int file, unsigned long request, void *argument);
long sched_yield(void);
long getpid(void);
long fork(void);
long execve(const char *path, const char *const *argv);
_Noreturn void exit(int status);
long wait4(long pid, int *status);
long kill(long pid, int signal);
long uname(void *names);
long arch_prctl(int operation, void *address);
long gettid(void);
long hostile(int which, void *buffer);
void signal_restorer(void);

/* text.c */
size_t strlen(const char *text);
char *strcpy(char *to, const char *from);
int strcmp(const char *a, const char *b);
void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);
long number(const char *text);

/* say.c: one line, in one write. %s and %d only. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
