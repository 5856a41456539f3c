/*
 * Applies the program's own relocations. A static PIE has RELATIVE ones only, in one of two formats.
 */
#include "image.h"
#include "system.h"

static void apply_rela(const struct image *image, struct table table)
{
    const Elf64_Rela *entry = (const Elf64_Rela *)table.start;
    const Elf64_Rela *end = (const Elf64_Rela *)(table.start + table.size);

    for (; entry < end; entry++) {
        char **slot = (char **)(image->base + entry->r_offset);

        if (ELF64_R_TYPE(entry->r_info) == R_X86_64_RELATIVE)
            *slot = image->base + entry->r_addend;
        else if (ELF64_R_TYPE(entry->r_info) != R_X86_64_NONE)
            fail("runtime: a relocation that is not RELATIVE\n");
    }
}

/* An even entry is the link-time address of a slot, an odd one a bitmap of the 63 slots that follow. */
static void apply_relr(const struct image *image, struct table table)
{
    const unsigned long *end = (const unsigned long *)(table.start + table.size);
    unsigned long base = (unsigned long)image->base, *next = 0;

    for (const unsigned long *entry = (const unsigned long *)table.start; entry < end; entry++) {
        if (!(*entry & 1)) {
            next = (unsigned long *)(base + *entry);
            *next++ += base;
            continue;
        }
        for (unsigned long i = 0, bits = *entry >> 1; bits; i++, bits >>= 1)
            if (bits & 1)
                next[i] += base;
        next += 63;
    }
}

#if BY_TABLE

/*
 * Wrong: the operations are constants that hold addresses, so they are themselves among what is to be relocated. The
 * call lands where the linker left `apply` to point.
 */
struct operations {
    const char *name;
    void (*apply)(const struct image *image, struct table table);
};

static const struct operations rela_operations = {"RELA", apply_rela};
static const struct operations relr_operations = {"RELR", apply_relr};

struct step {
    const struct operations *format;
    struct table table;
};

/* Not inlined: otherwise the compiler sees which function each call reaches, and calls it directly. */
static __attribute__((noipa)) void apply_steps(const struct image *image, const struct step *step, size_t count)
{
    for (const struct step *end = step + count; step < end; step++)
        step->format->apply(image, step->table);
}

void relocate(const struct image *image)
{
    struct step steps[] = {{&rela_operations, image->rela}, {&relr_operations, image->relr}};

    apply_steps(image, steps, sizeof(steps) / sizeof(*steps));
}

#else

/* Right: direct calls, relative to the pc. */
void relocate(const struct image *image)
{
    apply_rela(image, image->rela);
    apply_relr(image, image->relr);
}

#endif

void protect(const struct image *image)
{
    unsigned long mask = ~(image->page_size - 1);
    unsigned long start = (unsigned long)image->relro.start & mask;
    unsigned long end = (unsigned long)(image->relro.start + image->relro.size) & mask;

    if (start < end && system_call(SYS_MPROTECT, (long)start, (long)(end - start), 1 /* PROT_READ */) != 0)
        fail("runtime: the relocated data cannot be made read-only\n");
}
