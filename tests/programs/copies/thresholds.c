/* What the C library's copy routines read at run time, which its start-up code sets by the processor's caches. */
#define WORD(name, value) __attribute__((visibility("hidden"))) long name = value

WORD(__x86_rep_movsb_threshold, 2048);
WORD(__x86_rep_stosb_threshold, 2048);
WORD(__x86_rep_movsb_stop_threshold, 0xc0000);
WORD(__x86_shared_non_temporal_threshold, 0xc0000);
WORD(__x86_shared_cache_size, 0x100000);
WORD(__x86_shared_cache_size_half, 0x80000);
__attribute__((visibility("hidden"))) int __x86_string_control;
