/* fault=hostile: copies whose tags are bad to show; this program's name too. */
#include "user/lib/user.h"

int main(void)
{
    uint64_t value = 0;

    for (int which = 0; which < 2; which++)
        if (hostile(which, &value) != 0 || value == 0)
            return 1;
    say("hostile: still here\n");
    return 0;
}
