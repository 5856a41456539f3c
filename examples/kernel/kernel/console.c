/* The serial line, and print(): %s %c %d %u %x with l for 64 bits, no widths. */
#include "kernel/cpu.h"
#include "kernel/kernel.h"

#include <stdarg.h>

enum {
    COM1 = 0x3f8,
    COM1_INTERRUPTS = COM1 + 1,
    COM1_FIFO = COM1 + 2,
    COM1_LINE_CONTROL = COM1 + 3,
    COM1_LINE_STATUS = COM1 + 5,
    CAN_SEND = 0x20,
    ALL_SENT = 0x40,
};

static bool at_line_start = true;

void console_init(void)
{
    out8(COM1_INTERRUPTS, 0);
    out8(COM1_LINE_CONTROL, 3);         /* 8 bits, no parity, one stop bit */
    out8(COM1_FIFO, 1);
}

void console_put(char c)
{
    while (!(in8(COM1_LINE_STATUS) & CAN_SEND))
        ;
    out8(COM1, c);
    at_line_start = c == '\n';
}

/* Before the power goes off. */
void console_flush(void)
{
    while (!(in8(COM1_LINE_STATUS) & ALL_SENT))
        ;
}

/* For output that a program will read line by line. */
void console_fresh_line(void)
{
    if (!at_line_start)
        console_put('\n');
}

static void put_text(const char *text)
{
    while (*text)
        console_put(*text++);
}

static void put_number(u64 value, unsigned base)
{
    char digits[20];
    int count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (count)
        console_put(digits[--count]);
}

static void put_signed(s64 value)
{
    if (value < 0)
        console_put('-');
    put_number(value < 0 ? -(u64)value : (u64)value, 10);
}

void print(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    for (; *format; format++) {
        bool is_long = false;

        if (*format != '%') {
            console_put(*format);
            continue;
        }
        if (*++format == 'l') {
            is_long = true;
            format++;
        }
        switch (*format) {
        case 's': put_text(va_arg(list, const char *)); break;
        case 'c': console_put(va_arg(list, int)); break;
        case 'd': put_signed(is_long ? va_arg(list, s64) : va_arg(list, int)); break;
        case 'u': put_number(is_long ? va_arg(list, u64) : va_arg(list, u32), 10); break;
        case 'x': put_number(is_long ? va_arg(list, u64) : va_arg(list, u32), 16); break;
        default:  console_put(*format);
        }
    }
    va_end(list);
}
