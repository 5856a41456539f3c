/*
 * Crashes that have nothing to do with relocation, one for each name that the first argument may be. Each is made by
 * the function of that name (with _ for -). Without an argument all names are listed.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef void function(void);
#define CRASH __attribute__((noipa)) static void

/* What the compiler must not know. */
static volatile unsigned long zero = 0;

/* --- data --- */

struct node {
    long payload[80];
    struct node *next;
};

CRASH null_read(void) { printf("%d\n", *(volatile int *)zero); }
CRASH null_write(void) { *(volatile int *)zero = 1; }
CRASH null_member(void) { printf("%p\n", (void *)((volatile struct node *)zero)->next); }
CRASH wild_read(void) { printf("%d\n", *(volatile int *)(zero + 0x414243444548)); }
CRASH non_canonical_read(void) { printf("%d\n", *(volatile int *)(zero + 0xdeadbeefdeadbee8)); }
CRASH negative_index(void) { printf("%d\n", ((volatile char *)&zero)[-(long)(zero + (1l << 40))]); }
CRASH string_null(void) { printf("%zu\n", strlen((char *)zero)); }
CRASH literal_write(void) { *(volatile char *)"literal" = 'L'; }

static const long constant[2] = {1, 2};
CRASH read_only_write(void) { *(volatile long *)&constant[zero] = 3; }

/* With the alignment check on, as few programs have it. */
CRASH misaligned_read(void)
{
    const char *place = (const char *)constant + 1;

    __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf; mov (%0), %%eax" ::"r"(place) : "rax", "memory");
}

CRASH misaligned_movaps(void)
{
    char place[48] __attribute__((aligned(16))) = {0};

    __asm__ volatile("movaps %%xmm0, (%0)" ::"r"(place + 8) : "memory");
}

CRASH bus_error(void)
{
    int file = memfd_create("cut short", 0);
    char *page;

    assert(file >= 0 && ftruncate(file, 4096) == 0);
    page = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
    assert(page != MAP_FAILED && ftruncate(file, 0) == 0);
    printf("%d\n", *(volatile char *)page);
}

/* --- the program ends itself --- */

CRASH call_abort(void) { abort(); }
CRASH failed_assertion(void) { assert(zero == 1); }
CRASH raised_signal(void) { raise(SIGSEGV); }
CRASH breakpoint(void) { __asm__ volatile("int3"); }
CRASH illegal_instruction(void) { __asm__ volatile("ud2"); }
CRASH division_by_zero(void) { printf("%ld\n", 7 / (long)zero); }

/* Ends by a signal that GDB does not stop at, if it is not told to. */
CRASH alarm_clock(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 20000}}, 0);
    for (;;)
        zero;
}

/* Ends by a signal that it stops at, and that dumps core. */
CRASH endless_loop(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGQUIT};
    timer_t timer;

    assert(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    timer_settime(timer, 0, &(struct itimerspec){.it_value = {0, 20000000}}, 0);
    for (;;)
        zero;
}

/* --- stack --- */

__attribute__((noipa)) static long recurse(volatile long *above)
{
    volatile long frame[64];

    frame[0] = above[0] + 1;
    if (zero)
        return 0;
    return recurse(frame) + frame[0];
}

CRASH stack_overflow(void)
{
    long bottom = 0;

    printf("%ld\n", recurse(&bottom));
}

/* Overruns a buffer of 16 bytes, up to and including the return address. */
__attribute__((noipa)) static void overrun(unsigned long value)
{
    volatile unsigned long buffer[2] = {0};
    volatile unsigned long *place = buffer + zero, *end = __builtin_frame_address(0);

    while (place <= end + 1)
        *place++ = value;
}

CRASH smashed_return(void) { overrun(0x414141414141); }
CRASH smashed_return_wide(void) { overrun(0x4141414141414141); }
CRASH smashed_return_null(void) { overrun(0); }

__attribute__((stack_protect)) CRASH smashed_canary(void)
{
    volatile char buffer[16] = {0};

    for (unsigned long i = 0; i < sizeof buffer + 16 + zero; i++)
        buffer[i] = 'A';
}

/* --- heap --- */

CRASH double_free(void)
{
    char *volatile block = malloc(40);

    free(block);
    free(block);
}

CRASH invalid_free(void)
{
    char *block = malloc(40 + zero);

    free((char *)((unsigned long)block + 8 + zero));
}

CRASH heap_overflow(void)
{
    char *volatile block = malloc(24);

    memset(block, 'A', 48 + zero);
    printf("%p\n", malloc(4000));
}

/* --- calls --- */

CRASH null_call(void)
{
    function *volatile callback = 0;

    callback();
}

CRASH null_callback(void)
{
    int numbers[2] = {2, 1};

    qsort(numbers, 2 + zero, sizeof *numbers, (int (*)(const void *, const void *))zero);
}

CRASH small_call(void) { ((function *)(zero + 0x1238))(); }
CRASH wild_call(void) { ((function *)(zero + 0x414243444548))(); }
CRASH non_canonical_call(void) { ((function *)(zero + 0xdeadbeefdeadbee8))(); }

/* The offset of a function in the program, as if its base had been forgotten. */
CRASH baseless_call(void)
{
    extern char image[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));

    ((function *)((char *)null_read - image + zero))();
}

CRASH jump_nx(void)
{
    char *code = malloc(64);

    memset(code, 0xc3, 64);
    ((function *)(code + zero))();
}

CRASH jump_nx_stack(void)
{
    volatile char code[16] = {(char)0xc3};

    ((function *)(unsigned long)(code + zero))();
}

CRASH jump_nx_data(void) { ((function *)((char *)constant + zero))(); }

CRASH unmapped_code(void)
{
    char *code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    code[0] = (char)0xc3;
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    ((function *)code)();
    munmap(code, 4096);
    ((function *)code)();
}

/* A page of nops, and behind it one that is no code. */
CRASH runs_into_data(void)
{
    char *code = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(code, 0x90, 8192);
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    ((function *)(code + 4000))();
}

/* --- calls through slots that are as the program wants them --- */

/* It is in the relocation table, and was relocated; then the program has cleared it. */
static function *handlers[] = {null_read, null_write, null_member};

CRASH cleared_handler(void)
{
    memset(handlers, (int)zero, sizeof handlers);
    handlers[1 + zero]();
}

/* An undefined weak symbol has a slot too, which stays 0. */
extern void optional(void) __attribute__((weak));

CRASH weak_call(void) { optional(); }

/*
 * A register with two sources: a GOT slot, and the function that is passed. Which it was cannot be seen at the call; it
 * was the second, so the slot has nothing to do with it.
 */
#define EITHER(symbol)                                                                                                \
    __asm__(".text\n.type either_" #symbol ", @function\neither_" #symbol ":\n\t"                                     \
            "sub $8, %rsp\n\ttest %edi, %edi\n\tje 1f\n\tmov " #symbol "@GOTPCREL(%rip), %rax\n\tjmp 2f\n1:\t"         \
            "lea (%rsi), %rax\n2:\tcall *%rax\n\tadd $8, %rsp\n\tret\n.size either_" #symbol ", . - either_" #symbol);   \
    extern void either_##symbol(int from_slot, void *passed)

EITHER(puts);
EITHER(optional);

CRASH either_null(void) { either_puts((int)zero, (void *)zero); }
CRASH either_small(void) { either_puts((int)zero, (void *)(zero + 0x1238)); }
CRASH either_weak(void) { either_optional((int)zero, (void *)zero); }

struct shape;
struct operations {
    const char *name;
    double (*area)(const struct shape *);
};
struct shape {
    const struct operations *operations;
    double side;
};

static double square_area(const struct shape *shape) { return shape->side * shape->side; }
static double half_area(const struct shape *shape) { return shape->side * shape->side / 2; }
static const struct operations square = {"square", square_area}, triangle = {"triangle", half_area};

__attribute__((noipa)) static struct shape *new_shape(const struct operations *operations)
{
    struct shape *shape = malloc(sizeof *shape);

    *shape = (struct shape){operations, 2};
    return shape;
}

CRASH virtual_zeroed(void)
{
    struct shape *shape = new_shape(zero ? &triangle : &square);

    memset(shape, (int)zero, sizeof *shape);
    printf("%f\n", shape->operations->area(shape));
}

CRASH virtual_freed(void)
{
    struct shape *shape = new_shape(zero ? &triangle : &square);

    memset(shape, 0x5a, sizeof *shape);
    printf("%f\n", shape->operations->area(shape));
}

/* The table of operations lies in memory that has been used for something else. */
CRASH virtual_overwritten(void)
{
    struct operations *table = malloc(sizeof *table);
    struct shape *shape;

    *table = zero ? triangle : square;
    shape = new_shape(table);
    strcpy((char *)table, "overwritten by");
    printf("%f\n", shape->operations->area(shape));
}

#define NAMES(name)                                                                                                   \
    name(null_read) name(null_write) name(null_member) name(wild_read) name(non_canonical_read)                       \
    name(negative_index) name(string_null) name(literal_write) name(read_only_write) name(misaligned_read)            \
    name(misaligned_movaps) name(bus_error) name(call_abort) name(failed_assertion) name(raised_signal)               \
    name(breakpoint) name(illegal_instruction) name(division_by_zero) name(alarm_clock) name(endless_loop)            \
    name(stack_overflow) name(smashed_return) name(smashed_return_wide) name(smashed_return_null)                     \
    name(smashed_canary) name(double_free) name(invalid_free) name(heap_overflow) name(null_call)                     \
    name(null_callback) name(small_call) name(wild_call) name(non_canonical_call) name(baseless_call)                 \
    name(jump_nx) name(jump_nx_stack) name(jump_nx_data) name(unmapped_code) name(runs_into_data)                     \
    name(cleared_handler) name(weak_call) name(either_null) name(either_small) name(either_weak)                      \
    name(virtual_zeroed) name(virtual_freed) name(virtual_overwritten)

#define ENTRY(name) {#name, name},
static const struct {
    const char *name;
    function *crash;
} crashes[] = {NAMES(ENTRY)};

static int same(const char *name, const char *wanted)
{
    for (; *name && (*name == *wanted || (*name == '_' && *wanted == '-')); name++, wanted++)
        ;
    return *name == *wanted;
}

int main(int argc, char **argv)
{
    for (unsigned long i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        if (argc < 2)
            puts(crashes[i].name);
        else if (same(crashes[i].name, argv[1])) {
            crashes[i].crash();
            puts("still alive");
            return 1;
        }
    }
    return argc < 2 ? 0 : 2;
}
