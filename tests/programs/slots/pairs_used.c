/* What pairs.c leads to; in a file of its own, so that it is only known by the global offset table. */

int one = 1, two = 2;

int first(int x)
{
    return x + one;
}

int second(int x)
{
    return x + two;
}
