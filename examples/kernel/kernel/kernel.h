/* What each file of the kernel offers to the others, in the order of reading. */
#pragma once

#include "kernel/frame.h"
#include "kernel/layout.h"
#include "kernel/types.h"

#define noreturn        __attribute__((noreturn))
#define array_length(a) (sizeof(a) / sizeof((a)[0]))

/* Error numbers, as in Linux; a system call returns them negated. */
enum {
    ENOENT = 2, ESRCH = 3, EINTR = 4, EBADF = 9, ECHILD = 10, EAGAIN = 11,
    ENOMEM = 12, EFAULT = 14, EINVAL = 22, ENOTTY = 25, ENOSYS = 38,
};

struct process;
struct arguments;

/* options.c: the kernel command line. */
enum fault {
    FAULT_NONE, FAULT_DOUBLE_COPY, FAULT_WRONG_SIZE, FAULT_WILD_COPY,
    FAULT_USER_OVERFLOW, FAULT_UNMAPPED, FAULT_PANIC, FAULT_HOSTILE,
};
struct options {
    enum fault fault;
    char fault_name[32];
    bool ring;
    char bench_name[16];
    char bench_count[16];
};
extern struct options options;
void options_parse(const char *command_line);

/* console.c: the serial line. */
void console_init(void);
void console_put(char c);
void console_flush(void);
void console_fresh_line(void);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* string.c */
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
bool text_equal(const char *a, const char *b);
void text_copy(char *to, const char *from, size_t room);

/* memory.c: physical pages, named by their kernel address. */
void memory_init(u64 end_of_memory);
void *page_allocate(void);
void page_free(void *page);

/* space.c: page tables. An address space is the kernel address of its top table. */
enum { PAGE_WRITE = 2, PAGE_EXECUTE = 1 };
u64 *space_create(void);
void space_destroy(u64 *space);
u64 *space_copy(u64 *space);
void space_activate(u64 *space);
extern u64 boot_page_map[];
bool space_map(u64 *space, u64 address, void *page, int access);
void *space_find(u64 *space, u64 address);

/* segments.c: GDT, TSS and the SYSCALL instruction. */
void segments_init(void);
void segments_set_kernel_stack(u64 top);

/* trap.c: exceptions. */
void trap_init(void);
void trap_dispatch(struct frame *frame);

/* page_fault.c */
void page_fault(struct frame *frame);

/* process.c, wait.c */
void process_start_first(void);
void processes_run(void);
s64 process_fork(struct frame *frame);
void process_yield(void);
noreturn void process_exit(int status, bool by_signal);
s64 process_wait(s64 pid, u64 status_address);

/* exec.c, loader.c (arguments.c is in process.h) */
s64 sys_execve(struct frame *frame, u64 path, u64 argv);
int exec_program(struct frame *frame, const char *name, const struct arguments *arguments);
bool loader_has(const char *name);
int loader_load(struct process *process, const char *name, u64 *entry);

/* signal.c */
enum { SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGFPE = 8, SIGUSR1 = 10, SIGSEGV = 11 };
void signal_raise(struct process *process, int signal);
void signal_deliver(struct frame *frame);
s64 signal_send(s64 pid, int signal);
s64 signal_set_action(u64 signal, u64 action, u64 old);
s64 signal_return(struct frame *frame);
const char *signal_name(int signal);

/* syscall.c */
void syscall_dispatch(struct frame *frame);

/* tty.c, system.c */
s64 tty_ioctl(u64 request, u64 argument);
s64 tty_read(u64 buffer, u64 size);
s64 tty_write(u64 buffer, u64 size);
s64 system_uname(u64 buffer);

/* hostile.c */
void hostile_init(void);
s64 hostile_copy(u64 which, u64 buffer);

/* panic.c */
noreturn void panic(const char *message);
noreturn void power_off(int code);
