/* The ring of recorded copies, seen from C: the switch, the tags, the dump. */
#include "probe/json.h"
#include "probe/ucopy.h"

enum { DUMP_AT_MOST = 32, TAG_AT_MOST = 48 };

#if UCOPY_PROBE

struct trace_record {
    uint64_t destination, source, size, caller;
};

extern uint64_t ucopy_trace_idx;
extern uint8_t ucopy_trace_on;
extern const struct trace_record ucopy_trace_buf[];
extern const uint32_t ucopy_trace_context[];

void ucopy_trace_switch(bool on)
{
    ucopy_trace_on = on;
}

uint64_t ucopy_trace_total(void)
{
    return ucopy_trace_idx;
}

const char *ucopy_tag_text(uint32_t context)
{
    return ucopy_tags + (uint16_t)context;
}

static void dump_record(uint64_t number)
{
    const struct trace_record *record = &ucopy_trace_buf[number % UCOPY_RING];
    uint32_t context = ucopy_trace_context[number % UCOPY_RING];

    json_open(NULL, '{');
    json_number("n", number);
    json_hex("dst", record->destination);
    json_hex("src", record->source);
    json_number("len", record->size);
    json_hex("ret", record->caller);
    json_number("pid", context >> 16);
    json_text("ctx", ucopy_tag_text(context), TAG_AT_MOST);
    json_close('}');
}

/* Always allowed: it is only asked for when something is wrong. */
void ucopy_trace_dump(const char *trigger)
{
    uint64_t total = ucopy_trace_idx;
    uint64_t room = UCOPY_RING < DUMP_AT_MOST ? UCOPY_RING : DUMP_AT_MOST;
    uint64_t number = total > room ? total - room : 0;

    json_begin("ucopy_trace_dump");
    json_number("pid", ucopy_process->pid);
    json_text("trigger", trigger, 32);
    json_number("total_calls", total);
    json_open("entries", '[');
    for (; number < total; number++)
        dump_record(number);
    json_close(']');
    json_end();
}

#else

void ucopy_trace_switch(bool on)                 { (void)on; }
uint64_t ucopy_trace_total(void)                 { return 0; }
const char *ucopy_tag_text(uint32_t context)     { (void)context; return ""; }
void ucopy_trace_dump(const char *trigger)       { (void)trigger; }

#endif
