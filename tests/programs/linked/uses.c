/* What a program borrows from a library: data (COPY), functions, an IFUNC, and thread-local storage in every model. */

#include <stdio.h>
#include <string.h>


typedef int operation(int);

extern int absent(int) __attribute__((weak));

int shared_number = 42;
__thread int shared_local = 7;
static __thread int hidden_local = 9;
__thread int early_local __attribute__((tls_model("initial-exec"))) = 3;

int plain(int x)
{
    return x + 1;
}

int borrowed(int x)
{
    return x + 2;
}

static int chosen_here(int x)
{
    return x + 3;
}

static operation *choose(void)
{
    return chosen_here;
}

int chosen(int x) __attribute__((ifunc("choose")));

static int chosen_inside(int x) __attribute__((ifunc("choose")));

/* Words with a symbol (the library may be interposed), and words that only move with it. */
operation *const shared_table[] = {plain, borrowed, chosen, absent};
static operation *hidden_table[] = {chosen_here, chosen_inside};
const char *shared_words[] = {"one", "two"};

int use_library(int x)
{
    shared_local += x;
    hidden_local += x;
    early_local += x;
    hidden_table[0] = hidden_table[x & 1];
    for (unsigned i = 0; i < 3; i++)
        x += shared_table[i](x);
    printf("%s %zu\n", shared_words[x & 1], strlen(shared_words[1]));
    return x + chosen_inside(x) + shared_local + hidden_local + early_local + shared_number;
}
