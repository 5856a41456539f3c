/*
 * The probe kit for C code: copies to and from user memory, the tags that say
 * what a copy is for, and what a debugger may read about the running process.
 * docs/ring-format.md describes the layout of everything a debugger reads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/events.h"

/* User addresses are below this one, the start of the non-canonical hole. */
#define UCOPY_USER_END 0x800000000000

/* The running process, as a debugger sees it. */
struct probe_process {
    uint64_t pid;
    int64_t syscall;            /* number of the one in progress, -1: none */
    uint64_t guard_expected;    /* stack guard; 0: not known */
    uint64_t guard_intact_at;   /* ucopy_trace_idx when it was last seen intact */
    char name[32];
};

/* The last copy that was cut short by a page fault. */
struct ucopy_fault_record {
    uint64_t count;             /* faults so far */
    uint64_t fault_address;
    uint64_t instruction;
    uint64_t destination;       /* destination, source and size as asked for */
    uint64_t source;
    uint64_t size;
    uint64_t remaining;         /* bytes not copied */
    uint32_t context;           /* ucopy_context at that moment */
    uint32_t reserved;
};

_Static_assert(sizeof(struct probe_process) == 64, "documented size");
_Static_assert(sizeof(struct ucopy_fault_record) == 64, "documented size");

typedef uint64_t ucopy_function(void *destination, const void *source, uint64_t size);

/* ucopy.S, ucopy_double.S, and the one in use (fault.c). */
ucopy_function ucopy, ucopy_double;
extern ucopy_function *ucopy_routine;

/* ring.S, fault.c */
extern uint32_t ucopy_context;
extern struct probe_process *ucopy_process;
extern struct probe_process ucopy_no_process;
extern struct ucopy_fault_record ucopy_fault_last;

/* fault.c: call it from the page fault handler. 0: it was not a copy. */
uint64_t ucopy_fault_fixup(uint64_t address, uint64_t instruction, uint64_t rdi,
                           uint64_t rsi, uint64_t r8, uint64_t r9);
void ucopy_fault(const struct ucopy_fault_record *record);

/* ring.c */
void ucopy_trace_switch(bool on);
uint64_t ucopy_trace_total(void);
void ucopy_trace_dump(const char *trigger);
const char *ucopy_tag_text(uint32_t context);

/*
 * Tags. UCOPY_TAGGED("uname:utsname") in front of a statement or a block says
 * what the copies in it are for. Do not jump out of the block.
 */
#if UCOPY_PROBE
extern const char ucopy_tags[];

#define UCOPY_TAG(text) ({                                                  \
        static const char tag_[]                                            \
            __attribute__((section(".ucopy_tags"), aligned(1))) = text;     \
        tag_; })
#define UCOPY_TAGGED_AT(tag)                                                \
    for (uint32_t saved_ = ucopy_tag_set(tag), once_ = 1; once_;            \
         once_ = 0, ucopy_tag_restore(saved_))
#define UCOPY_TAGGED(text) UCOPY_TAGGED_AT(UCOPY_TAG(text))
#else
#define UCOPY_TAGGED_AT(tag)
#define UCOPY_TAGGED(text)
#endif

/* The context word of a process that is copying nothing in particular. */
static inline uint32_t ucopy_context_of(uint64_t pid)
{
    return (uint32_t)pid << 16;
}

#if UCOPY_PROBE
static inline uint32_t ucopy_tag_set(const char *tag)
{
    uint32_t saved = ucopy_context;

    ucopy_context = (saved & 0xffff0000) | (uint16_t)(tag - ucopy_tags);
    return saved;
}

static inline void ucopy_tag_restore(uint32_t saved)
{
    ucopy_context = saved;
}
#endif

static inline bool ucopy_is_user(uint64_t address, uint64_t size)
{
    return address < UCOPY_USER_END && size <= UCOPY_USER_END - address;
}

/*
 * Both return the number of bytes not copied. They are inlined into their
 * callers always, so that the return address which the probe records is in
 * the function that wanted the copy.
 */
static inline __attribute__((always_inline))
uint64_t copy_to_user(uint64_t user, const void *from, uint64_t size)
{
    if (!ucopy_is_user(user, size))
        return size;
    if (event_enabled(EVENT_USERCOPY))
        event_usercopy("to_user", user, size);
    return ucopy_routine((void *)user, from, size);
}

static inline __attribute__((always_inline))
uint64_t copy_from_user(void *to, uint64_t user, uint64_t size)
{
    if (!ucopy_is_user(user, size))
        return size;
    if (event_enabled(EVENT_USERCOPY))
        event_usercopy("from_user", user, size);
    return ucopy_routine(to, (const void *)user, size);
}
