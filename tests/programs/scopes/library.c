/* A library that offers `shared` (-DFIRST, -DSECOND), that uses it (-DUSER), or that the loader tells of all (-DAUDIT). */

#ifdef USER
#include <stdio.h>

extern int shared(int);
extern int absent(void) __attribute__((weak));

int (*const kept)(int) = shared;

int use(int x)
{
    return kept(x) + shared(x) + puts("") + (absent ? absent() : 0);
}
#elif defined(AUDIT)
#include <stdlib.h>

unsigned int la_version(unsigned int version)
{
    return getenv("NO_AUDIT") ? 0 : version;
}
#else
int shared(int x)
{
    return x + 1;
}
#endif
