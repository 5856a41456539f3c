/* Every event and its members. The ring dump is in ring.c. */
#include "probe/events.h"
#include "probe/hooks.h"
#include "probe/json.h"
#include "probe/ucopy.h"

enum { NAME_AT_MOST = 64, MESSAGE_AT_MOST = 256 };

uint32_t event_categories = EVENT_PANIC;

static bool begin(enum event_category category, const char *type)
{
    if (!event_enabled(category))
        return false;
    json_begin(type);
    json_number("pid", ucopy_process->pid);
    return true;
}

static void syscall_members(const char *name, uint64_t number)
{
    json_text("name", name, NAME_AT_MOST);
    json_number("nr", number);
}

void event_syscall_entry(const char *name, uint64_t number, const uint64_t arguments[6])
{
    if (!begin(EVENT_SYSCALL, "syscall_entry"))
        return;
    syscall_members(name, number);
    json_open("args", '[');
    for (int i = 0; i < 6; i++)
        json_number(NULL, arguments[i]);
    json_close(']');
    json_end();
}

void event_syscall_exit(const char *name, uint64_t number, int64_t result)
{
    if (!begin(EVENT_SYSCALL, "syscall_exit"))
        return;
    syscall_members(name, number);
    json_number("result", result);
    if (result < 0 && result > -4096)
        json_number("errno", -result);
    json_end();
}

void event_unimplemented_syscall(const char *name, uint64_t number)
{
    if (!begin(EVENT_SYSCALL, "unimplemented_syscall"))
        return;
    syscall_members(name, number);
    json_end();
}

void event_canary_check(const char *when, uint64_t fs_base, uint64_t found, bool corrupted)
{
    if (!begin(EVENT_CANARY, "canary_check"))
        return;
    json_hex("fsbase", fs_base);
    json_hex("expected", ucopy_process->guard_expected);
    json_hex("found", found);
    json_bool("corrupted", corrupted);
    json_text("when", when, NAME_AT_MOST);
    json_number("syscall", ucopy_process->syscall);
    json_end();
}

void event_page_fault(uint64_t address, uint64_t instruction, const char *reason, bool resolved,
                      uint64_t region_start, uint64_t region_end, const char *region_type)
{
    if (!begin(EVENT_FAULT, "page_fault"))
        return;
    json_hex("vaddr", address);
    json_hex("ip", instruction);
    json_text("reason", reason, NAME_AT_MOST);
    json_bool("resolved", resolved);
    if (region_type) {
        json_hex("vma_start", region_start);
        json_hex("vma_end", region_end);
        json_text("vma_type", region_type, NAME_AT_MOST);
    }
    json_end();
}

void event_user_fault(const char *exception, uint64_t instruction, int signal)
{
    if (!begin(EVENT_FAULT, "user_fault"))
        return;
    json_text("exception", exception, NAME_AT_MOST);
    json_hex("ip", instruction);
    json_number("signal_delivered", signal);
    json_end();
}

static void signal_members(int signal)
{
    json_number("signal", signal);
    json_text("signal_name", probe_hook_signal_name(signal), NAME_AT_MOST);
}

void event_signal(int signal, const char *action, uint64_t instruction, uint64_t handler)
{
    if (!begin(EVENT_SIGNAL, "signal"))
        return;
    signal_members(signal);
    json_text("action", action, NAME_AT_MOST);
    json_hex("ip", instruction);
    if (handler)
        json_hex("handler", handler);
    json_end();
}

void event_signal_stack_write(int signal, const char *what, uint64_t address, uint64_t size,
                              uint64_t rsp_before, uint64_t rsp_after)
{
    if (!begin(EVENT_SIGNAL, "signal_stack_write"))
        return;
    signal_members(signal);
    json_text("what", what, NAME_AT_MOST);
    json_hex("addr", address);
    json_number("len", size);
    json_hex("rsp_before", rsp_before);
    json_hex("rsp_after", rsp_after);
    json_end();
}

void event_process_exit(int status, bool by_signal)
{
    if (!begin(EVENT_PROCESS, "process_exit"))
        return;
    json_number("status", status);
    json_bool("by_signal", by_signal);
    json_end();
}

void event_process_exec(const char *argv0, uint64_t entry)
{
    if (!begin(EVENT_PROCESS, "process_exec"))
        return;
    json_text("argv0", argv0, NAME_AT_MOST);
    json_hex("entry", entry);
    json_end();
}

void event_process_fork(uint64_t child_pid)
{
    if (!begin(EVENT_PROCESS, "process_fork"))
        return;
    json_number("parent_pid", ucopy_process->pid);
    json_number("child_pid", child_pid);
    json_end();
}

void event_usercopy(const char *direction, uint64_t address, uint64_t size)
{
    if (!begin(EVENT_USERCOPY, "usercopy"))
        return;
    json_text("dir", direction, NAME_AT_MOST);
    json_hex("addr", address);
    json_number("len", size);
    json_text("ctx", ucopy_tag_text(ucopy_context), NAME_AT_MOST);
    json_end();
}

void event_usercopy_fault(const struct ucopy_fault_record *record, const char *phase)
{
    if (!begin(EVENT_USERCOPY, "usercopy_fault"))
        return;
    json_hex("fault_addr", record->fault_address);
    json_hex("ip", record->instruction);
    json_text("label", phase, NAME_AT_MOST);
    json_hex("dst", record->destination);
    json_hex("src", record->source);
    json_number("remaining", record->remaining);
    json_number("orig_len", record->size);
    json_text("ctx", ucopy_tag_text(record->context), NAME_AT_MOST);
    json_end();
}

/* Addresses only: there is no symbol table in the kernel. */
void event_panic(const char *message, const uint64_t *addresses, int count)
{
    if (!begin(EVENT_PANIC, "panic"))
        return;
    json_text("message", message, MESSAGE_AT_MOST);
    json_open("backtrace", '[');
    for (int i = 0; i < count; i++) {
        json_open(NULL, '{');
        json_hex("addr", addresses[i]);
        json_text("sym", "", 0);
        json_hex("off", 0);
        json_close('}');
    }
    json_close(']');
    json_end();
}
