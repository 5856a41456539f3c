/* The ELF loader: the loadable segments of an embedded program into pages. */
#include "kernel/process.h"

struct elf_header {
    u8 magic[16];
    u16 type, machine;
    u32 version;
    u64 entry, segments_offset, sections_offset;
    u32 flags;
    u16 header_size, segment_size, segment_count;
};

struct elf_segment {
    u32 type, flags;
    u64 offset, address, physical, file_size, memory_size, alignment;
};

enum { SEGMENT_LOAD = 1, SEGMENT_EXECUTE = 1, SEGMENT_WRITE = 2 };

extern const struct {
    const char *name;
    const u8 *start, *end;
} program_table[];

static const u8 *find_program(const char *name)
{
    for (int i = 0; program_table[i].name; i++)
        if (text_equal(program_table[i].name, name))
            return program_table[i].start;
    return NULL;
}

bool loader_has(const char *name)
{
    return find_program(name) != NULL;
}

/* Copy the part of the file that belongs into the page at `address`. */
static void fill_page(u8 *page, u64 address, const struct elf_segment *segment, const u8 *file)
{
    u64 start = address > segment->address ? address : segment->address;
    u64 end = segment->address + segment->file_size;

    if (end > address + PAGE_SIZE)
        end = address + PAGE_SIZE;
    if (start < end)
        memcpy(page + (start - address),
               file + segment->offset + (start - segment->address), end - start);
}

static int load_segment(struct process *process, const struct elf_segment *segment, const u8 *file)
{
    u64 start = segment->address & -PAGE_SIZE;
    u64 end = (segment->address + segment->memory_size + PAGE_SIZE - 1) & -PAGE_SIZE;
    int access = segment->flags & (SEGMENT_EXECUTE | SEGMENT_WRITE);

    for (u64 address = start; address < end; address += PAGE_SIZE) {
        void *page = page_allocate();

        if (!page)
            return -ENOMEM;
        fill_page(page, address, segment, file);
        if (!space_map(process->space, address, page, access))
            return -ENOMEM;
    }
    return process_add_region(process, start, end, "image", false) ? 0 : -ENOMEM;
}

int loader_load(struct process *process, const char *name, u64 *entry)
{
    const u8 *file = find_program(name);
    const struct elf_header *header = (const void *)file;
    const struct elf_segment *segments;

    if (!file)
        return -ENOENT;
    segments = (const void *)(file + header->segments_offset);
    for (int i = 0; i < header->segment_count; i++) {
        int error = 0;

        if (segments[i].type == SEGMENT_LOAD)
            error = load_segment(process, &segments[i], file);
        if (error)
            return error;
    }
    *entry = header->entry;
    return 0;
}
