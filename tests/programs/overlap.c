// Copies that overlap and copies that do not, by threads. With an argument it says "ready" and waits for a line first.
// -DOWN gives it a memcpy of its own, and then nothing of memmove's shares it.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 200

char areas[8][1024];

#ifdef OWN
__asm__(".globl memcpy\n.type memcpy, @function\nmemcpy:\n"
        "  mov %rdi, %rax\n  mov %rdx, %rcx\n  rep movsb\n  ret\n.size memcpy, . - memcpy\n");
#endif

__attribute__((noinline)) void copy_items(char *area, int by, int size)
{
    memcpy(area + 300 + by, area + 300, size); // copy_items
    __asm__ volatile("");
}

__attribute__((noinline)) void move_items(char *area, int by, int size)
{
    memmove(area + 300 + by, area + 300, size);
    __asm__ volatile("");
}

__attribute__((noinline)) void healthy(char *area)
{
    copy_items(area, 400, 171);
    copy_items(area, 0, 171);     // the same place
    copy_items(area, 64, 64);     // adjacent above
    copy_items(area, -64, 64);    // adjacent below
    copy_items(area, 1, 0);       // nothing
    copy_items(area, 1, 1);       // one byte, adjacent
    move_items(area, 31, 171);
    move_items(area, -31, 171);
}

void *work(void *area)
{
    for (int round = 0; round < ROUNDS; round++)
        healthy(area);
    return NULL;
}

void reached(void) { __asm__ volatile(""); }

#ifdef LIBRARY
static void by_library(char *area)
{
    void *library = dlopen(LIBRARY, RTLD_NOW);
    void (*copy)(char *, int, int) = (void (*)(char *, int, int))dlsym(library, "library_copy");
    reached();
    copy(area, 7, 70);
}
#endif

int main(int count, char **words)
{
    pthread_t threads[4];
    (void)words;
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < 1024; i++)
        areas[7][i] = (char)i;
    if (count > 1) {
        char line[16];
        puts("ready");
        if (read(0, line, sizeof line) <= 0) // which allocates nothing
            return 2;
    }
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, areas[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
#ifdef LIBRARY
    by_library(areas[5]);
#endif
    for (int i = 0; i < 3; i++)
        copy_items(areas[6], 31, 171); // upwards
    copy_items(areas[7], -31, 171);
    int sum = 0;
    for (int i = 0; i < 1024; i++)
        sum = sum * 31 + areas[7][i];
    printf("sum %u\n", (unsigned)sum);
    return 0;
}
