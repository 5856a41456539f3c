/*
 * Something for the kernel to do, and how long it took:
 *
 *   work calls COUNT            uname() over and over
 *   work files DIRECTORY COUNT  makes files, writes, renames, reads and removes them; checks what it reads
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONTENT = 9000 };

static char directory[256], content[MAX_CONTENT], again[MAX_CONTENT];

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void check(int good, const char *what, long number)
{
    if (good)
        return;
    printf("work: file %ld: %s failed\n", number, what);
    exit(1);
}

/* Names and sizes of all kinds, the same in every run. */
static const char *name_of(long number, const char *prefix)
{
    static char name[512];
    int length = 8 + number * 7 % 90;

    snprintf(name, sizeof(name), "%s/%s-%0*ld", directory, prefix, length, number);
    return name;
}

static size_t size_of(long number)
{
    return 1 + number * 131 % (MAX_CONTENT - 1);
}

static void fill(long number)
{
    for (size_t i = 0; i < size_of(number); i++)
        content[i] = (char)(number + i * 13);
}

static void make(long number)
{
    const char *name = name_of(number, "new");
    int file = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    char from[512];

    fill(number);
    check(file >= 0, "open", number);
    check(write(file, content, size_of(number)) == (ssize_t)size_of(number), "write", number);
    check(close(file) == 0, "close", number);
    strcpy(from, name);
    check(rename(from, name_of(number, "kept")) == 0, "rename", number);
}

static void read_back(long number)
{
    int file = open(name_of(number, "kept"), O_RDONLY);

    fill(number);
    check(file >= 0, "open again", number);
    check(read(file, again, sizeof(again)) == (ssize_t)size_of(number), "read", number);
    check(memcmp(content, again, size_of(number)) == 0, "comparison", number);
    check(close(file) == 0, "close", number);
}

static void do_files(long count)
{
    double start = now();

    for (long i = 0; i < count; i++)
        make(i);
    sync();
    for (long i = 0; i < count; i++)
        read_back(i);
    for (long i = 0; i < count; i++)
        check(unlink(name_of(i, "kept")) == 0, "unlink", i);
    sync();
    printf("work: %ld files, all right, %.3f s\n", count, now() - start);
}

static void do_calls(long count)
{
    struct utsname names;
    double start = now();

    for (long i = 0; i < count; i++)
        uname(&names);
    printf("work: %ld calls, %.3f us each\n", count, (now() - start) * 1e6 / count);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "calls") == 0) {
        do_calls(atol(argv[2]));
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "files") == 0) {
        snprintf(directory, sizeof(directory), "%s", argv[2]);
        do_files(atol(argv[3]));
        return 0;
    }
    printf("usage: work calls COUNT | work files DIRECTORY COUNT\n");
    return 2;
}
