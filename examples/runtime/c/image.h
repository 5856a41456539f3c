/*
 * What the start-up knows about its own program.
 *
 * Everything in this directory is hidden: with that the compiler calls and addresses it relative to the pc, which works
 * before relocation. It does not help for the functions that the compiler calls by itself, memcpy for one.
 */
#pragma once
#pragma GCC visibility push(hidden)

#include <elf.h>
#include <stddef.h>

struct table {
    char *start;
    size_t size;
};

struct image {
    char *base; /* where it was loaded: runtime minus link-time address */
    const Elf64_Phdr *headers;
    size_t header_count;
    const Elf64_Dyn *dynamic;

    struct table rela, relr;
    struct table init, fini;
    struct table relro; /* to be made read-only after relocation */

    size_t page_size;
    const char *random; /* 16 bytes from the kernel */
    const char *name;
    size_t argument_count;
    char **arguments;
    char **environment;
};

/* Fills in the image, which is all zero, from the stack that the kernel made. */
void find_image(struct image *image, unsigned long *stack);

/* Applies all relocations of the image. */
void relocate(const struct image *image);

/* Makes read-only what only relocation had to write. */
void protect(const struct image *image);

/* Sets the thread pointer, with a stack guard at fs:0x28. */
void set_up_guard(const struct image *image);

int main(const struct image *image);

#pragma GCC visibility pop
