/* Threads that copy small pieces through the PLT, and once, in one of them, over itself. Prints the time of one call in
   nanoseconds, of the quickest of many rounds. Arguments: threads, calls in all, rounds. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 64 };
static long calls_a_round, rounds;
static double best[THREADS];
static struct { char from[256], to[256]; } areas[THREADS] __attribute__((aligned(64)));
static const unsigned char sizes[16] = {1, 8, 16, 4, 24, 32, 7, 40, 12, 64, 20, 3, 100, 15, 33, 8};

__attribute__((noinline)) static void overlap(char *area)
{
    memcpy(area + 31, area, 171);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void *work(void *argument)
{
    long me = (long)argument;
    char *from = areas[me].from, *to = areas[me].to;
    best[me] = 1e9;
    for (long round = 0; round < rounds; round++) {
        double start = now();
        for (long call = 0; call < calls_a_round; call++)
            memcpy(to, from, sizes[call & 15]);
        double took = now() - start;
        best[me] = took < best[me] ? took : best[me];
        if (me == 0 && round == rounds / 2)
            overlap(from);
    }
    return NULL;
}

int main(int count, char **words)
{
    pthread_t threads[THREADS];
    int number = count > 3 ? atoi(words[1]) : 1;
    rounds = atol(words[3]);
    calls_a_round = atol(words[2]) / number / rounds;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < number; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    double least = 1e9;
    for (int i = 0; i < number; i++) {
        pthread_join(threads[i], NULL);
        least = best[i] < least ? best[i] : least;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double all = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) * 1e-9;
    printf("BENCH %.3f %.3f\n", least * 1e9 / calls_a_round, all * 1e9 / (calls_a_round * number * rounds));
    return 0;
}
