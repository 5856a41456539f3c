/* The names of the categories, for a kernel command line. */
#include "probe/events.h"

static const struct {
    const char *name;
    uint32_t bits;
} categories[] = {
    { "syscall", EVENT_SYSCALL },
    { "signal", EVENT_SIGNAL },
    { "fault", EVENT_FAULT },
    { "process", EVENT_PROCESS },
    { "canary", EVENT_CANARY },
    { "usercopy", EVENT_USERCOPY },
    { "panic", EVENT_PANIC },
    { "all", ~0u },
};

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

bool event_category_enable(const char *name)
{
    for (unsigned i = 0; i < sizeof(categories) / sizeof(categories[0]); i++) {
        if (same(name, categories[i].name)) {
            event_categories |= categories[i].bits;
            return true;
        }
    }
    return false;
}
