/* uname: who am I talking to? */
#include "kernel/process.h"

struct utsname {
    char fields[6][65];
};

s64 system_uname(u64 buffer)
{
    static const struct utsname names = { {
        "Example", "probe", "1.0", "a kernel to read", "x86_64", "(none)",
    } };
    u64 left;

    UCOPY_TAGGED("uname:utsname")
        left = copy_to_user(buffer, &names, sizeof(names));
    return left ? -EFAULT : 0;
}
