/* All that the probe kit wants from the kernel it is dropped into. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One character to wherever events go: a serial line, usually. */
void probe_hook_put(char c);

/* End an unfinished line, so that an event starts a line of its own. */
void probe_hook_fresh_line(void);

/*
 * Read 8 bytes of the running process's memory WITHOUT ucopy (which would
 * record it) and without a page fault. False: nothing is mapped there.
 */
bool probe_hook_read_user(uint64_t address, uint64_t *value);

/* "SIGSEGV" for 11, and so on. */
const char *probe_hook_signal_name(int signal);
