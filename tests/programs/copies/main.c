/* A program that holds the copy routines and only waits. */
#include <unistd.h>

int main(void)
{
    pause();
    return 0;
}
