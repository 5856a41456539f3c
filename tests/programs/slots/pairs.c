/*
 * A program without a runtime that copies two pointers at once out of slots that nothing has relocated, by one vector
 * register, and goes through one of them. CHANGED gives them another value before: then no slot is to blame.
 */

typedef int function(int);

extern function first, second;
extern int one, two;

#define HIDDEN __attribute__((noipa, visibility("hidden")))

HIDDEN void known(void **pair)
{
#ifdef CHANGED
    pair[0] = pair[1] = (void *)CHANGED;
#endif
    __asm__ volatile("" ::"r"(pair) : "memory");
}

HIDDEN int call_one(void)
{
    function *pair[2] = {first, second};

    known((void **)pair);
    return pair[HIGH](1) + 1;
}

HIDDEN int read_one(void)
{
    int *pair[2] = {&one, &two};

    known((void **)pair);
    return *pair[HIGH] + 1;
}

HIDDEN void begin(void)
{
    int result = WHAT();

    __asm__ volatile("mov $60, %%eax; syscall" ::"D"(result) : "rax", "rcx", "r11", "memory");
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tcall begin\n\tud2\n");
