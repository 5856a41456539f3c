/* Program arguments: out of the old program's memory, onto the new one's stack. */
#include "kernel/cpu.h"
#include "kernel/process.h"

enum { AT_NULL = 0, AT_RANDOM = 25, RANDOM_SIZE = 16, BLOCK_SIZE = 512 };

static void add(struct arguments *arguments, const char *text)
{
    text_copy(arguments->text[arguments->count++], text, ARGUMENT_SIZE);
}

/* init learns the fault by name; bench learns what to measure. */
void arguments_for_first(struct arguments *arguments, const char *name)
{
    arguments->count = 0;
    add(arguments, name);
    if (options.bench_name[0]) {
        add(arguments, options.bench_name);
        add(arguments, options.bench_count);
    } else {
        add(arguments, options.fault_name);
    }
}

/*
 * The length of a user's text is not known in advance. Copies end at a page
 * boundary, so that a text just before an unmapped page is read without fault.
 */
s64 copy_text_from_user(char *to, u64 from, size_t room)
{
    size_t done = 0;

    while (done < room) {
        size_t part = PAGE_SIZE - (from + done) % PAGE_SIZE;

        if (part > room - done)
            part = room - done;
        if (copy_from_user(to + done, from + done, part))
            return -EFAULT;
        for (; part; part--, done++)
            if (!to[done])
                return done;
    }
    return -EINVAL;
}

s64 arguments_from_user(struct arguments *arguments, u64 argv)
{
    for (arguments->count = 0; arguments->count < ARGUMENTS; arguments->count++) {
        u64 text;
        s64 length;

        if (copy_from_user(&text, argv + 8 * arguments->count, sizeof(text)))
            return -EFAULT;
        if (!text)
            return 0;
        length = copy_text_from_user(arguments->text[arguments->count], text, ARGUMENT_SIZE);
        if (length < 0)
            return length;
    }
    return -EINVAL;
}

/* Good enough to give every program a guard of its own. */
static u64 random_word(void)
{
    static u64 state;
    u64 x = state += read_timestamp() | 1;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/*
 * The block at the top of the new stack, from low to high:
 *   count, argument pointers, 0, (no environment) 0, AT_RANDOM pair,
 *   AT_NULL pair, random bytes, argument texts.
 * Built here and copied to the user in one piece.
 */
int arguments_push(u64 *stack, const struct arguments *arguments)
{
    u64 block[BLOCK_SIZE / 8];
    u64 base = *stack - BLOCK_SIZE;
    u64 *word = block;
    u64 text = base + BLOCK_SIZE - sizeof(arguments->text);
    u64 left;

    memset(block, 0, sizeof(block));
    *word++ = arguments->count;
    for (u64 i = 0; i < arguments->count; i++)
        *word++ = text + i * ARGUMENT_SIZE;
    word += 2;
    *word++ = AT_RANDOM;
    *word++ = text - RANDOM_SIZE;
    *word++ = AT_NULL;
    block[(text - base) / 8 - 2] = random_word();
    block[(text - base) / 8 - 1] = random_word();
    memcpy((u8 *)block + (text - base), arguments->text, sizeof(arguments->text));

    UCOPY_TAGGED("execve:stack")
        left = copy_to_user(base, block, sizeof(block));
    *stack = base;
    return left ? -EFAULT : 0;
}
