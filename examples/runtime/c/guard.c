/* The stack guard: gcc's stack protector takes it from fs:0x28, so the thread pointer has to be set as well. */
#include "image.h"
#include "system.h"

enum { ARCH_SET_FS = 0x1002 };

static struct {
    void *self; /* the ABI wants the thread pointer at fs:0 */
    unsigned long unused[4];
    unsigned long guard;
} thread;

void set_up_guard(const struct image *image)
{
    const unsigned long *random = (const unsigned long *)image->random;

    /* A lowest byte of 0 stops an overrun by strcpy, and any leak of the guard as a string. */
    thread.guard = random[0] & ~0xfful;
    thread.self = &thread;
    if (system_call(SYS_ARCH_PRCTL, ARCH_SET_FS, (long)&thread, 0) != 0)
        fail("runtime: the thread pointer cannot be set\n");
}

_Noreturn void __stack_chk_fail(void)
{
    fail("runtime: stack smashed\n");
}
