int shared_counter = 7;
__thread int shared_tls = 3;
void crash_here(int *where, int depth) {
  if (depth) crash_here(where, depth - 1);
  shared_tls += depth;
  *where = shared_counter++;
  shared_counter++;
}
