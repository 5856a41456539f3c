/* Puts its own function before a library's, and offers one more to be written into a slot by hand. */

#include <unistd.h>

int puts(const char *text)
{
    return text ? (int)write(1, "", 0) : 1;
}

int hook(const char *text)
{
    return text ? 1 : 0;
}
