/* Physical pages: a list of free ones, linked through the pages themselves. */
#include "kernel/kernel.h"

struct free_page {
    struct free_page *next;
};

extern char kernel_end[];
static struct free_page *free_pages;

/* `end_of_memory` is a physical address. */
void memory_init(u64 end_of_memory)
{
    u64 page = KERNEL_BASE + end_of_memory;

    /* From the top down, so that allocation starts just above the kernel. */
    while ((page -= PAGE_SIZE) >= (u64)kernel_end)
        page_free((void *)page);
}

/* A page of zeros. A null pointer when there are no more. */
void *page_allocate(void)
{
    struct free_page *page = free_pages;

    if (page) {
        free_pages = page->next;
        memset(page, 0, PAGE_SIZE);
    }
    return page;
}

void page_free(void *page)
{
    struct free_page *free = page;

    free->next = free_pages;
    free_pages = free;
}
