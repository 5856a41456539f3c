/* Opens libraries as its arguments say: `local`, `global`, `deep` or `apart`, then `:` and a file. Then calls stop. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

__attribute__((noipa)) void stop(void) {}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *file = strchr(argv[i], ':') + 1;
        int how = RTLD_NOW;
        void *opened;

        if (argv[i][0] == 'g')
            how |= RTLD_GLOBAL;
        if (argv[i][0] == 'd')
            how |= RTLD_DEEPBIND;
        opened = argv[i][0] == 'a' ? dlmopen(LM_ID_NEWLM, file, how) : dlopen(file, how);
        if (!opened)
            return puts(dlerror());
    }
    stop();
    return 0;
}
