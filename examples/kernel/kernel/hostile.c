/*
 * fault=hostile: texts that try to harm whoever shows them. A debugger must
 * treat tags and names as data: no escape sequence may reach the terminal, no
 * text may be read without a bound.
 */
#include "kernel/process.h"

enum { FILLER_SIZE = 1 << 20 };

/* First in .bss, so its offset from ucopy_tags fits in 16 bits: kernel.ld. */
static char endless_tag[FILLER_SIZE] __attribute__((section(".bss.hostile")));

void hostile_init(void)
{
    memset(endless_tag, 'A', sizeof(endless_tag) - 1);
}

/* A copy under a tag that is not what it should be. */
s64 hostile_copy(u64 which, u64 buffer)
{
    u64 value = 0x656c6974736f68;       /* "hostile" */
    u64 left = 0;

    if (options.fault != FAULT_HOSTILE)
        return -ENOSYS;
    switch (which) {
    case 0:
        UCOPY_TAGGED("hostile:\x1b]0;owned\x07\x1b[2J\n\"quoted\"\\\x9b" "31m")
            left = copy_to_user(buffer, &value, sizeof(value));
        break;
    case 1:
        UCOPY_TAGGED_AT(endless_tag)
            left = copy_to_user(buffer, &value, sizeof(value));
        break;
    default:
        return -EINVAL;
    }
    return left ? -EFAULT : 0;
}
