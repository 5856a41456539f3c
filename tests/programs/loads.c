/* A program whose files are of interest, not what it does: it loads one more library while it runs, and ends. */
#ifdef WITH_DLOPEN
#include <dlfcn.h>
#endif
#include <unistd.h>

int value = 3;
int *pointer = &value;

int main(int argc, char **argv) {
#ifdef WITH_DLOPEN
    if (dlopen("libm.so.6", RTLD_NOW) == 0)
        return 1;
#endif
    if (argc > 1)
        pause();
    return *pointer - 3;
}
