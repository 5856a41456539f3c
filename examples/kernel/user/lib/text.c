/* The few functions on text and memory that the programs need. */
#include "user/lib/user.h"

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length])
        length++;
    return length;
}

char *strcpy(char *to, const char *from)
{
    char *start = to;

    while ((*to++ = *from++))
        ;
    return start;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a - *b;
}

void *memset(void *to, int value, size_t size)
{
    char *byte = to;

    while (size--)
        *byte++ = value;
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    char *target = to;
    const char *source = from;

    while (size--)
        *target++ = *source++;
    return to;
}

long number(const char *text)
{
    long value = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + *text - '0';
    return value;
}
