#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <unistd.h>
void crash_here(int *where, int depth);
struct record { unsigned long sequence, destination; int size; };
struct record ring[16] = {{1, 2, 3}};
static pthread_barrier_t barrier;
static void handler(int number) { (void)number; crash_here((int *)16, 2); }
static void *waiter(void *argument) {
  pthread_barrier_wait(&barrier);
  pause();
  return argument;
}
static int middle(int value) {
  char buffer[64];
  snprintf(buffer, sizeof buffer, "%d", value);
  raise(SIGUSR1);
  return buffer[0];
}
int main(int argc, char **argv) {
  pthread_t threads[2];
  (void)argv;
  pthread_barrier_init(&barrier, 0, 3);
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, waiter, 0);
  pthread_barrier_wait(&barrier);
  signal(SIGUSR1, handler);
  return middle(argc);
}
