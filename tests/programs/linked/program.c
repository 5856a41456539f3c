/* A program with every kind of slot. It stops itself at main and after it has used them; with an argument it dies. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP() __asm__ volatile("int3")

typedef int operation(int);

extern int shared_number;
extern __thread int shared_local;
extern operation plain, borrowed, chosen, use_library;
extern int absent(int) __attribute__((weak));

static __thread int own_local = 5;

static int own(int x)
{
    return x * 2;
}

static int other(int x)
{
    return x * 3;
}

static operation *choose(void)
{
    return own;
}

int own_chosen(int x) __attribute__((ifunc("choose")));

int exported(int x)
{
    return own(x) + other(x);
}

operation *const constant_table[] = {own, other, plain, chosen, own_chosen, absent};
operation *writable_table[] = {own, other, plain};
int *const number = &shared_number;

int main(int argc, char **argv)
{
    char line[64];
    STOP();
    int x = argc + own_local + shared_local + (absent ? absent(1) : 0);
    for (int i = 0; i < 5; i++)
        x += constant_table[i](x);
    writable_table[0] = writable_table[argc];
    x += plain(x) + borrowed(x) + chosen(x) + own_chosen(x) + exported(x) + use_library(x) + *number;
    snprintf(line, sizeof line, "%d %s", x, getenv("HOME") ? "home" : "none");
    memcpy(line + 32, line, strlen(line) + 1);
    puts(line + 32);
    STOP();
    if (argc > 2)
        *(volatile int *)(long)x = 0;
    if (argc > 99)
        perror(argv[0]);
    printf("%d\n", x);
    return 0;
}
