/*
 * The functions that gcc calls without being asked, in every environment. They have to be visible: its calls go through
 * the GOT with -fno-plt, and the slot is one that needs relocation.
 */
#include <stddef.h>

/* In assembly, as gcc would make a loop a call of the function that it is in. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
    return start;
}

void *memset(void *to, int value, size_t size)
{
    void *start = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return start;
}
