/*
 * A program with a stack guard, at fs:0x28 as in every program on x86-64. It prints the guard, and then
 *
 *   guard               ends
 *   guard stay          leaves a process behind that only waits
 *   guard over FILE     reads 8 bytes of FILE over the guard itself: the system call writes them
 *   guard frame FILE    reads 64 bytes of FILE into a buffer of 16, and so over the copy of the guard in its frame
 *
 * The last two find out when the function returns: "stack smashing detected".
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define noinline __attribute__((noinline))

static uint64_t guard(void)
{
    uint64_t value;

    __asm__ volatile("movq %%fs:0x28, %0" : "=r"(value));
    return value;
}

static void *guard_address(void)
{
    char *thread;

    __asm__ volatile("movq %%fs:0, %0" : "=r"(thread));
    return thread + 0x28;
}

static void show_guard(void)
{
    printf("guard 0x%016lx at %p pid %d\n", (unsigned long)guard(), guard_address(), (int)getpid());
    fflush(stdout);
}

static int open_file(const char *name)
{
    int file = open(name, O_RDONLY);

    if (file < 0) {
        perror(name);
        exit(1);
    }
    return file;
}

static noinline int read_over_guard(int file)
{
    volatile char local[16] = "has a guard";
    long count = read(file, guard_address(), sizeof(uint64_t));

    printf("guard: read %ld bytes over it, now 0x%016lx; returning\n", count, (unsigned long)guard());
    fflush(stdout);
    return local[0];
}

static noinline int read_over_frame(int file)
{
    char local[16];
    char *volatile buffer = local;      /* or the compiler would know better */
    long count = read(file, buffer, 64);

    printf("guard: read %ld bytes into a buffer of %zu; returning\n", count, sizeof(local));
    fflush(stdout);
    return buffer[0];
}

/* Return when the child has printed its guard, not before. */
static void leave_process(void)
{
    int ready[2];
    char none;

    if (pipe(ready) != 0)
        exit(1);
    if (fork() == 0) {
        show_guard();
        close(ready[0]);
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    _exit(read(ready[0], &none, 1) != 0);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "stay") == 0)
        leave_process();
    show_guard();
    if (argc > 2 && strcmp(what, "over") == 0)
        read_over_guard(open_file(argv[2]));
    else if (argc > 2 && strcmp(what, "frame") == 0)
        read_over_frame(open_file(argv[2]));
    return 0;
}
