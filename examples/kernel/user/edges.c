/*
 * fault=unmapped: four system calls whose answer does not fit in the mapped
 * page, so that the copy faults in each phase of ucopy. Every one must fail
 * with EFAULT, after exactly the bytes that had room.
 */
#include "user/lib/user.h"

enum { UNTOUCHED = 0xa5 };

static char *page, *page_end;
static int failures;

/* How many bytes before the end of the page have been written. */
static int written(void)
{
    int count = 0;

    while (count < PAGE_SIZE && (unsigned char)page_end[-1 - count] != UNTOUCHED)
        count++;
    return count;
}

static void expect(const char *phase, long result, int bytes)
{
    int good = result == -EFAULT && written() == bytes;

    say("edges: %s: result %d, %d bytes written, %s\n", phase, (int)result, written(),
        good ? "good" : "WRONG");
    failures += !good;
    memset(page, UNTOUCHED, PAGE_SIZE);
}

static void try_uname(const char *phase, char *address, int bytes)
{
    expect(phase, uname(address), bytes);
}

int main(void)
{
    page = (char *)mmap(NULL, PAGE_SIZE);
    page_end = page + PAGE_SIZE;        /* nothing is mapped from here on */
    memset(page, UNTOUCHED, PAGE_SIZE);

    /* 390 bytes: up to 7 leading ones, then words, then the rest. The leading
       bytes end where a word begins, so they never cross a page: that copy
       fails as a whole. */
    try_uname("leading", page_end + 1, 0);
    try_uname("bulk", page_end - 64, 64);
    try_uname("trailing", page_end - 384, 384);
    expect("small", ioctl(0, TIOCGPGRP, page_end - 2), 2);
    return failures != 0;
}
