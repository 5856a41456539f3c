/* The check of a program's stack guard, which the compiler keeps at fs:0x28. */
#pragma once

#include <stdint.h>

struct probe_process;

/* At every system call entry ("pre_syscall") and exit ("post_syscall"). */
void guard_check(const char *when, uint64_t fs_base);

/* When fs_base changes: the new guard is not known yet. */
void guard_forget(struct probe_process *process);
