/* Finds the program's own image: from the auxiliary vector to the program headers to the dynamic section. */
#include "image.h"

_Static_assert(sizeof(struct image) == 160, "large enough that it is copied by a call of memcpy");

static void read_auxiliary_vector(struct image *image, const Elf64_auxv_t *entry)
{
    for (; entry->a_type != AT_NULL; entry++) {
        unsigned long value = entry->a_un.a_val;

        if (entry->a_type == AT_PHDR)
            image->headers = (const Elf64_Phdr *)value;
        else if (entry->a_type == AT_PHNUM)
            image->header_count = value;
        else if (entry->a_type == AT_PAGESZ)
            image->page_size = value;
        else if (entry->a_type == AT_RANDOM)
            image->random = (const char *)value;
        else if (entry->a_type == AT_EXECFN)
            image->name = (const char *)value;
    }
}

/*
 * The base is the difference between where the dynamic section is and where it was linked to be. Its address may be
 * taken before relocation, as the symbol is hidden.
 */
static void read_program_headers(struct image *image)
{
    extern const Elf64_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));
    const Elf64_Phdr *end = image->headers + image->header_count;

    image->dynamic = _DYNAMIC;
    for (const Elf64_Phdr *header = image->headers; header < end; header++)
        if (header->p_type == PT_DYNAMIC)
            image->base = (char *)((unsigned long)_DYNAMIC - header->p_vaddr);
    for (const Elf64_Phdr *header = image->headers; header < end; header++)
        if (header->p_type == PT_GNU_RELRO)
            image->relro = (struct table){image->base + header->p_vaddr, header->p_memsz};
}

/* By number, as older elf.h do not know the tags of RELR. */
enum { TAG_RELR_SIZE = 35, TAG_RELR = 36 };

static void read_dynamic_section(struct image *image)
{
    for (const Elf64_Dyn *entry = image->dynamic; entry->d_tag != DT_NULL; entry++) {
        char *address = image->base + entry->d_un.d_ptr;
        size_t size = entry->d_un.d_val;

        switch (entry->d_tag) {
        case DT_RELA: image->rela.start = address; break;
        case DT_RELASZ: image->rela.size = size; break;
        case TAG_RELR: image->relr.start = address; break;
        case TAG_RELR_SIZE: image->relr.size = size; break;
        case DT_INIT_ARRAY: image->init.start = address; break;
        case DT_INIT_ARRAYSZ: image->init.size = size; break;
        case DT_FINI_ARRAY: image->fini.start = address; break;
        case DT_FINI_ARRAYSZ: image->fini.size = size; break;
        }
    }
}

void find_image(struct image *image, unsigned long *stack)
{
    char **end;

    image->argument_count = stack[0];
    image->arguments = (char **)(stack + 1);
    image->environment = image->arguments + image->argument_count + 1;
    for (end = image->environment; *end; end++)
        ;
    read_auxiliary_vector(image, (const Elf64_auxv_t *)(end + 1));
    read_program_headers(image);
    read_dynamic_section(image);
}
