/*
 * Structured events: what happens in the kernel, one line of JSON each, after
 * the word DBG. Each belongs to a category, and a category that is off costs
 * one test of a bit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum event_category {
    EVENT_SYSCALL  = 1 << 0,
    EVENT_SIGNAL   = 1 << 1,
    EVENT_FAULT    = 1 << 2,
    EVENT_PROCESS  = 1 << 3,
    EVENT_CANARY   = 1 << 4,
    EVENT_USERCOPY = 1 << 5,
    EVENT_PANIC    = 1 << 6,
};

extern uint32_t event_categories;

static inline bool event_enabled(enum event_category category)
{
    return event_categories & category;
}

/* "syscall", "signal", ... or "all"; false for an unknown name. */
bool event_category_enable(const char *name);

struct ucopy_fault_record;

/* Events about the running process: its pid is added to each. */
void event_syscall_entry(const char *name, uint64_t number, const uint64_t arguments[6]);
void event_syscall_exit(const char *name, uint64_t number, int64_t result);
void event_unimplemented_syscall(const char *name, uint64_t number);
void event_canary_check(const char *when, uint64_t fs_base, uint64_t found, bool corrupted);
void event_page_fault(uint64_t address, uint64_t instruction, const char *reason, bool resolved,
                      uint64_t region_start, uint64_t region_end, const char *region_type);
void event_user_fault(const char *exception, uint64_t instruction, int signal);
void event_signal(int signal, const char *action, uint64_t instruction, uint64_t handler);
void event_signal_stack_write(int signal, const char *what, uint64_t address, uint64_t size,
                              uint64_t rsp_before, uint64_t rsp_after);
void event_process_exit(int status, bool by_signal);
void event_process_exec(const char *argv0, uint64_t entry);
void event_process_fork(uint64_t child_pid);
void event_usercopy(const char *direction, uint64_t address, uint64_t size);
void event_usercopy_fault(const struct ucopy_fault_record *record, const char *phase);
void event_panic(const char *message, const uint64_t *addresses, int count);
