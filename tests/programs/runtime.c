/*
 * A native program that copies with the probe kit's routines, as a language runtime might: the guard is glibc's, the
 * ring is the kit's. The first argument names the mistake it makes.
 */
#include <stdio.h>
#include <string.h>

#include "probe/hooks.h"
#include "probe/ucopy.h"

static struct {
    unsigned short rows, columns, width, height;
    int group, session;
} tty = {25, 80, 1280, 800, 0x1001, 0x5e55104e};

static struct probe_process self = {4242, -1, 0, 0, "runtime"};

void probe_hook_put(char c) { (void)c; }
void probe_hook_fresh_line(void) {}
bool probe_hook_read_user(uint64_t address, uint64_t *value) { *value = *(uint64_t *)address; return true; }
const char *probe_hook_signal_name(int signal) { (void)signal; return ""; }

static uint64_t thread_block(void)
{
    uint64_t base;
    __asm__("mov %%fs:0, %0" : "=r"(base));
    return base;
}

/* The bytes at fs:0x18 to fs:0x28 are not used by glibc on x86-64. */
__attribute__((noinline)) void get_group(const char *mistake)
{
    uint64_t user = thread_block() + 0x24;
    uint64_t size = strcmp(mistake, "wrong_size") ? 4 : 8;

    UCOPY_TAGGED("ioctl:TIOCGPGRP")
        copy_to_user(user, &tty.group, size);
}

__attribute__((noinline)) void get_window_size(const char *mistake)
{
    static char place[8];
    uint64_t user = strcmp(mistake, "wild_copy") ? (uint64_t)place : thread_block() + 0x28;

    UCOPY_TAGGED("ioctl:TIOCGWINSZ")
        copy_to_user(user, &tty, 8);
}

__attribute__((noinline)) void set_title(const char *title)
{
    char *place = (char *)thread_block() + 0x18;

    for (int i = 0; title[i]; i++)
        ((volatile char *)place)[i] = title[i];
}

/* Overruns its own buffer into its canary, not into the guard. */
__attribute__((noinline)) void overrun(volatile int size)
{
    char buffer[16];

    memset(buffer, 'A', size);
    __asm__ volatile("" : : "r"(buffer) : "memory");
}

/* A copy routine does the overrun, as it was asked to. */
__attribute__((noinline)) void fill(const char *from, volatile int size)
{
    char buffer[16];

    UCOPY_TAGGED("read:buffer")
        copy_to_user((uint64_t)buffer, from, size);
    __asm__ volatile("" : : "r"(buffer) : "memory");
}

__attribute__((noinline)) void finished(void) { __asm__ volatile(""); }

__attribute__((noinline)) int run(const char *mistake)
{
    static const char text[] = "a text that is longer than the buffer it goes to";

    if (!strcmp(mistake, "double_copy"))
        ucopy_routine = &ucopy_double;
    fill(text, strcmp(mistake, "long_copy") ? 16 : 32);
    get_window_size(mistake);
    get_group(mistake);
    set_title(strcmp(mistake, "user_overflow") ? "title" : "a title of 23 letters!!");
    overrun(strcmp(mistake, "stack_overflow") ? 16 : 32);
    return 0;
}

int main(int argc, char **argv)
{
    int loops = argc > 2 ? 100 : 1;

    ucopy_process = &self;
    ucopy_context = ucopy_context_of(self.pid);
    for (int i = 0; i + 1 < loops; i++)
        run("none");
    run(argc > 1 ? argv[1] : "none");
    finished();
    puts("runtime: done");
    return 0;
}
