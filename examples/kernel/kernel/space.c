/*
 * Address spaces: four levels of page tables. The lower half is the process's
 * own; slot 511, the kernel, is the same in all of them.
 */
#include "kernel/cpu.h"
#include "kernel/kernel.h"

#define PTE_PRESENT     1ull
#define PTE_WRITE       2ull
#define PTE_USER        4ull
#define PTE_NO_EXECUTE  (1ull << 63)
#define PTE_ADDRESS     0x000ffffffffff000ull

enum { TOP_LEVEL = 3, SLOTS = 512, USER_SLOTS = 256, KERNEL_SLOT = 511 };


static void *entry_page(u64 entry)
{
    return (void *)(KERNEL_BASE + (entry & PTE_ADDRESS));
}

static u64 page_entry(const void *page, u64 flags)
{
    return ((u64)page - KERNEL_BASE) | flags;
}

static int slot(u64 address, int level)
{
    return address >> (12 + 9 * level) & (SLOTS - 1);
}

u64 *space_create(void)
{
    u64 *space = page_allocate();

    if (space)
        space[KERNEL_SLOT] = boot_page_map[KERNEL_SLOT];
    return space;
}

void space_activate(u64 *space)
{
    write_cr3((u64)space - KERNEL_BASE);
}

/* The last-level entry for an address; null if a table is missing. */
static u64 *find_entry(u64 *table, u64 address, bool create)
{
    for (int level = TOP_LEVEL; level > 0; level--) {
        u64 *entry = &table[slot(address, level)];

        if (!(*entry & PTE_PRESENT)) {
            void *page = create ? page_allocate() : NULL;

            if (!page)
                return NULL;
            *entry = page_entry(page, PTE_PRESENT | PTE_WRITE | PTE_USER);
        }
        table = entry_page(*entry);
    }
    return &table[slot(address, 0)];
}

bool space_map(u64 *space, u64 address, void *page, int access)
{
    u64 *entry = find_entry(space, address, true);
    u64 flags = PTE_PRESENT | PTE_USER;

    if (!entry)
        return false;
    if (access & PAGE_WRITE)
        flags |= PTE_WRITE;
    if (!(access & PAGE_EXECUTE))
        flags |= PTE_NO_EXECUTE;
    *entry = page_entry(page, flags);
    flush_page(address);
    return true;
}

/* The kernel address behind a user address; null when nothing is mapped. */
void *space_find(u64 *space, u64 address)
{
    u64 *entry = address < USER_END ? find_entry(space, address, false) : NULL;

    if (!entry || !(*entry & PTE_PRESENT))
        return NULL;
    return (u8 *)entry_page(*entry) + address % PAGE_SIZE;
}

static void destroy_table(u64 *table, int level, int slots)
{
    for (int i = 0; i < slots; i++) {
        if (!(table[i] & PTE_PRESENT))
            continue;
        if (level > 0)
            destroy_table(entry_page(table[i]), level - 1, SLOTS);
        else
            page_free(entry_page(table[i]));
    }
    page_free(table);
}

void space_destroy(u64 *space)
{
    destroy_table(space, TOP_LEVEL, USER_SLOTS);
}

/* Every page is copied at once: simple, and the programs are small. */
static bool copy_table(u64 *to, const u64 *from, int level, int slots)
{
    for (int i = 0; i < slots; i++) {
        void *page;

        if (!(from[i] & PTE_PRESENT))
            continue;
        page = page_allocate();
        if (!page)
            return false;
        to[i] = page_entry(page, from[i] & ~PTE_ADDRESS);
        if (level == 0)
            memcpy(page, entry_page(from[i]), PAGE_SIZE);
        else if (!copy_table(page, entry_page(from[i]), level - 1, SLOTS))
            return false;
    }
    return true;
}

u64 *space_copy(u64 *space)
{
    u64 *copy = space_create();

    if (copy && !copy_table(copy, space, TOP_LEVEL, USER_SLOTS)) {
        space_destroy(copy);
        copy = NULL;
    }
    return copy;
}
