/*
 * An image that applies its own relocations, wherever it was put: a PIE kernel behind moved_start.S, and a program.
 * BASE is where it is linked. It has slots of three kinds: a table of functions, pointers to data, and one in the GOT.
 */
struct relocation {
    unsigned long offset, info, addend;
};

#define HIDDEN __attribute__((visibility("hidden")))
extern HIDDEN const struct relocation relocations[], relocations_end[];
extern HIDDEN char image[];

int numbers[16] = {3, 1, 4, 1, 5, 9, 2, 6};

int sum(int count) {
    int total = 0;
    for (int i = 0; i < count; i++)
        total += numbers[i] * 7 + (total >> 3);
    return total;
}

int product(int count) {
    int total = 1;
    for (int i = 0; i < count; i++)
        total = total * (numbers[i] | 1) + 0x12345;
    return total;
}

int largest(int count) {
    int best = numbers[0];
    for (int i = 1; i < count; i++)
        best = numbers[i] > best ? numbers[i] ^ 0x5a5a : best;
    return best;
}

int (*operations[])(int) = {sum, product, largest};
int *cursors[] = {&numbers[0], &numbers[4], &numbers[8]};

__attribute__((noinline)) void before(void) { __asm__ volatile(""); }
__attribute__((noinline)) void after(int result) { __asm__ volatile("" ::"r"(result)); }

static int use(void) {
    int (*function)(int);
    __asm__ volatile("mov sum@GOTPCREL(%%rip), %0" : "=r"(function));
    return function(8) + operations[1](4) + *cursors[1];
}

void enter(void) {
    unsigned long bias = (unsigned long)image - BASE;
    before();
    for (const struct relocation *entry = relocations; entry < relocations_end; entry++)
        *(unsigned long *)(entry->offset + bias) = entry->addend + bias;
    after(use());
#ifdef PROGRAM
    for (;;)
        __asm__ volatile("pause");
#endif
}
