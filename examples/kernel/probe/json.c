/* The JSON writer. Whatever it is given, what comes out is one valid line. */
#include "probe/json.h"
#include "probe/hooks.h"

#include <stddef.h>

static uint64_t sequence;
static bool needs_comma;

static void put(const char *text)
{
    while (*text)
        probe_hook_put(*text++);
}

static void put_digits(uint64_t value, unsigned base)
{
    char digits[20];
    int count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (count)
        probe_hook_put(digits[--count]);
}

/* Only plain ASCII gets through as it is; a quote or an escape never does. */
static void put_escaped(unsigned char c)
{
    if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
        probe_hook_put(c);
        return;
    }
    put("\\u00");
    probe_hook_put("0123456789abcdef"[c >> 4]);
    probe_hook_put("0123456789abcdef"[c & 15]);
}

static void put_string(const char *text, unsigned at_most)
{
    probe_hook_put('"');
    for (; *text && at_most; text++, at_most--)
        put_escaped(*text);
    probe_hook_put('"');
}

static void member(const char *key)
{
    if (needs_comma)
        probe_hook_put(',');
    needs_comma = true;
    if (key) {
        put_string(key, 64);
        probe_hook_put(':');
    }
}

void json_begin(const char *type)
{
    probe_hook_fresh_line();
    put("DBG {");
    needs_comma = false;
    json_text("type", type, 64);
    json_number("seq", sequence++);
}

void json_end(void)
{
    put("}\n");
}

void json_number(const char *key, int64_t value)
{
    member(key);
    if (value < 0)
        probe_hook_put('-');
    put_digits(value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

void json_hex(const char *key, uint64_t value)
{
    member(key);
    put("\"0x");
    put_digits(value, 16);
    probe_hook_put('"');
}

void json_bool(const char *key, bool value)
{
    member(key);
    put(value ? "true" : "false");
}

void json_text(const char *key, const char *text, unsigned at_most)
{
    member(key);
    put_string(text, at_most);
}

void json_open(const char *key, char bracket)
{
    member(key);
    probe_hook_put(bracket);
    needs_comma = false;
}

void json_close(char bracket)
{
    probe_hook_put(bracket);
    needs_comma = true;
}
