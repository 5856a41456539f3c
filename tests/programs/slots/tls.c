/*
 * A program without libc that uses fs before it has set fs_base, in one of three ways; with -DSET=1 it sets it first,
 * and exits with 0.
 *   -DACCESS=1  the thread pointer itself, at fs:0
 *   -DACCESS=2  a thread-local variable, below it
 *   -DACCESS=3  the stack guard, at fs:0x28, in the prologue of a function
 */
#ifndef SET
#define SET 0
#endif

__thread volatile int errors = 3;

__attribute__((noinline)) static void *thread_pointer(void)
{
    void *pointer;

    __asm__ volatile("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

__attribute__((noinline)) static void count_error(void)
{
    errors++;
}

__attribute__((noinline, stack_protect)) static void fill(void)
{
    volatile char buffer[16];

    for (unsigned i = 0; i < sizeof buffer; i++)
        buffer[i] = 0;
}

static long system_call(long number, long first, long second)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second) : "rcx", "r11", "memory");
    return result;
}

void __stack_chk_fail(void)
{
    system_call(60, 2, 0);
}

void start(void)
{
    static struct {
        long variables[8];
        void *self;
        long unused[7];
    } block = {.self = &block.self};

    if (SET)
        system_call(158, 0x1002, (long)&block.self);
    if (ACCESS == 1)
        thread_pointer();
    if (ACCESS == 2)
        count_error();
    if (ACCESS == 3)
        fill();
    system_call(60, 0, 0);
}

__asm__(".globl _start\n.type _start, @function\n"
        "_start:\n.cfi_startproc\n.cfi_undefined %rip\n"
        "xor %ebp, %ebp\nand $-16, %rsp\ncall start\nud2\n"
        ".cfi_endproc\n.size _start, . - _start\n");
