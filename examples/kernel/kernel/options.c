/*
 * The kernel command line: words of the form key=value.
 *
 *   fault=NAME         one deliberate fault, see fault_names
 *   debug=LIST         categories of events, with commas between, or "all"
 *   ring=off           start with the recording of copies switched off
 *   bench=NAME:COUNT   run the measuring program alone
 */
#include "kernel/kernel.h"
#include "probe/events.h"

struct options options = { .ring = true, .fault_name = "none" };

static const char *const fault_names[] = {
    [FAULT_NONE] = "none",
    [FAULT_DOUBLE_COPY] = "double_copy",
    [FAULT_WRONG_SIZE] = "wrong_size",
    [FAULT_WILD_COPY] = "wild_copy",
    [FAULT_USER_OVERFLOW] = "user_overflow",
    [FAULT_UNMAPPED] = "unmapped",
    [FAULT_PANIC] = "panic",
    [FAULT_HOSTILE] = "hostile",
};

/* Cut the word up to `end` out of *text, and step over the end character. */
static void next_word(const char **text, char end, char *word, size_t room)
{
    const char *from = *text;
    size_t length = 0;

    while (from[length] && from[length] != end)
        length++;
    text_copy(word, from, length + 1 < room ? length + 1 : room);
    *text = from + length + (from[length] == end);
}

static void set_fault(const char *name)
{
    for (size_t i = 0; i < array_length(fault_names); i++) {
        if (!text_equal(name, fault_names[i]))
            continue;
        options.fault = i;
        text_copy(options.fault_name, name, sizeof(options.fault_name));
        return;
    }
    print("kernel: no such fault: %s\n", name);
}

static void set_debug(const char *list)
{
    char name[16];

    while (*list) {
        next_word(&list, ',', name, sizeof(name));
        if (!event_category_enable(name))
            print("kernel: no such category of events: %s\n", name);
    }
}

static void set_bench(const char *value)
{
    next_word(&value, ':', options.bench_name, sizeof(options.bench_name));
    text_copy(options.bench_count, value, sizeof(options.bench_count));
}

void options_parse(const char *command_line)
{
    char word[96], key[16];

    while (*command_line) {
        const char *value = word;

        next_word(&command_line, ' ', word, sizeof(word));
        next_word(&value, '=', key, sizeof(key));
        if (text_equal(key, "fault"))
            set_fault(value);
        else if (text_equal(key, "debug"))
            set_debug(value);
        else if (text_equal(key, "ring"))
            options.ring = !text_equal(value, "off");
        else if (text_equal(key, "bench"))
            set_bench(value);
    }
}
