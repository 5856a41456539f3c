/* From the kernel's stack to main: everything that must happen first, in the order that it must happen in. */
#include "image.h"
#include "system.h"

typedef void function(void);

__attribute__((visibility("hidden"))) _Noreturn void start_up(unsigned long *stack);

#if BY_VALUE

/*
 * Wrong: for a struct of 160 bytes by value the compiler calls memcpy, through a slot of the GOT that relocate() has
 * yet to fill.
 */
static __attribute__((noinline)) void relocate_copy(struct image image)
{
    relocate(&image);
}

static void relocate_first(const struct image *image)
{
    relocate_copy(*image);
}

#else

/* Right: by reference. */
static void relocate_first(const struct image *image)
{
    relocate(image);
}

#endif

static void call_all(struct table table)
{
    function **end = (function **)(table.start + table.size);

    for (function **next = (function **)table.start; next < end; next++)
        (*next)();
}

void start_up(unsigned long *stack)
{
    /* Static: one on the stack would have to be cleared, for which the compiler may call memset. */
    static struct image image;
    int status;

    find_image(&image, stack);
    relocate_first(&image);

    /* From here on everything works, but nothing that checks a stack guard before there is one. */
    set_up_guard(&image);
    protect(&image);
    call_all(image.init);
    status = main(&image);
    call_all(image.fini);
    leave(status);
}
