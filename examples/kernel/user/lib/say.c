/* Output of one line, by one system call. */
#include "user/lib/user.h"

#include <stdarg.h>

struct line {
    char text[128];
    size_t length;
};

static void add(struct line *line, char c)
{
    if (line->length < sizeof(line->text))
        line->text[line->length++] = c;
}

static void add_number(struct line *line, long value)
{
    unsigned long rest = value < 0 ? -(unsigned long)value : (unsigned long)value;
    char digits[20];
    int count = 0;

    if (value < 0)
        add(line, '-');
    do
        digits[count++] = '0' + rest % 10;
    while (rest /= 10);
    while (count)
        add(line, digits[--count]);
}

void say(const char *format, ...)
{
    struct line line = { .length = 0 };
    va_list list;

    va_start(list, format);
    for (; *format; format++) {
        if (*format != '%') {
            add(&line, *format);
        } else if (*++format == 's') {
            for (const char *text = va_arg(list, const char *); *text; text++)
                add(&line, *text);
        } else {
            add_number(&line, va_arg(list, int));
        }
    }
    va_end(list);
    write(1, line.text, line.length);
}
