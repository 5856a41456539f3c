/* What the probe kit wants from this kernel: see probe/hooks.h. */
#include "probe/hooks.h"
#include "kernel/process.h"

void probe_hook_put(char c)
{
    console_put(c);
}

void probe_hook_fresh_line(void)
{
    console_fresh_line();
}

/* Through the page tables; a word that is not aligned may cross a page. */
bool probe_hook_read_user(u64 address, u64 *value)
{
    const u64 *word = address % 8 ? NULL : space_find(current->space, address);

    if (!word)
        return false;
    *value = *word;
    return true;
}

const char *probe_hook_signal_name(int signal)
{
    return signal_name(signal);
}
