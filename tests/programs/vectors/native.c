/* Runs instructions on random states and writes the states before and after, for tests/oracle/test_vectors.py.
   The page that the instructions work on has none beside it, so that many accesses fault. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct state {
	uint8_t vectors[32][64];
	uint64_t masks[8], general[16], flags, fault, address, code;
};
enum { PAGE = 4096, WINDOW = 512 };
typedef void stub(struct state *);
extern stub *const stubs[];
extern void *const behind[];
extern const uint64_t count;
static struct state now;
static uint8_t *page;
static uint64_t seed = 88172645463325252ull, running;

static uint64_t noise(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	now.fault = 1;
	now.address = number == SIGILL ? ~0ull : (uint64_t)info->si_addr;
	now.code = (uint64_t)info->si_code;
	at->uc_mcontext.gregs[REG_RIP] = (greg_t)behind[running];
}

static void fill_vectors(void)
{
	for (unsigned i = 0; i < 32; i++) {
		uint64_t kind = noise() % 8;
		for (unsigned j = 0; j < 64; j++)
			now.vectors[i][j] = kind < 4 ? noise() >> 20 : kind < 6 ? noise() >> 20 & 1 : kind == 6 ? 0 : 255;
		if (i && noise() % 3 == 0)
			memcpy(now.vectors[i], now.vectors[noise() % i], 64);
		else if (i && noise() % 8 == 0)
			for (unsigned j = 0; j < 64; j++)
				now.vectors[i][j] = ~now.vectors[i - 1][j];
	}
}

static uint64_t some_mask(void)
{
	switch (noise() % 6) {
	case 0: return 0;
	case 1: return ~0ull;
	case 2:
	case 3: return (1ull << noise() % 64) - 1;
	default: return noise();
	}
}

static void fill(unsigned round)
{
	static const uint64_t results = 0x8d5;
	fill_vectors();
	for (unsigned i = 0; i < 8; i++)
		now.masks[i] = i && noise() % 3 == 0 ? ~now.masks[i - 1] : some_mask();
	for (unsigned i = 0; i < 16; i++)
		now.general[i] = noise();
	int64_t place = round % 3 == 0 ? 192 : (int64_t)(noise() % 240) - 80;
	if (round % 3 == 1)
		place &= -64;
	uint8_t *pointer = round & 1 ? page + PAGE - place : page + place;
	now.general[6] = now.general[12] = now.general[13] = (uint64_t)pointer;
	now.general[1] = noise() % 32;
	now.flags = 0x202 | (noise() & results);
	now.fault = now.address = now.code = 0;
	for (unsigned i = 0; i < PAGE; i++)
		page[i] = noise() >> 24;
}

static void put(void)
{
	fwrite(&now, sizeof now, 1, stdout);
	fwrite(page, WINDOW, 1, stdout);
	fwrite(page + PAGE - WINDOW, WINDOW, 1, stdout);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? atoi(argv[1]) : 1;
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	page = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || mprotect(page += PAGE, PAGE, PROT_READ | PROT_WRITE))
		return 1;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	fwrite(&page, sizeof page, 1, stdout);
	for (running = 0; running < count; running++)
		for (unsigned round = 0; round < rounds; round++) {
			fill(round);
			put();
			stubs[running](&now);
			put();
		}
	return fflush(stdout) ? 1 : 0;
}
