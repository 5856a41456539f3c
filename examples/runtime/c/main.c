/* The program. It may do what the start-up may not: copy by value, and call through tables of functions. */
#include <stdbool.h>

#include "image.h"
#include "system.h"

struct device {
    const char *name;
    void (*write)(const char *text);
};

static void write_out(const char *text)
{
    say(text);
}

static void write_nothing(const char *text)
{
    (void)text;
}

static const struct device console = {"console", write_out};
static const struct device null = {"null", write_nothing};

static bool constructed;

static __attribute__((constructor)) void construct(void)
{
    constructed = true;
}

static __attribute__((noipa)) const struct device *find_device(struct image image)
{
    return image.base && constructed ? &console : &null;
}

int main(const struct image *image)
{
    const struct device *device = find_device(*image);

    device->write("runtime: up\n");
    return 0;
}
