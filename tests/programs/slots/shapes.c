/*
 * A static PIE without libc that calls through a slot in one of the six ways that compilers have for it: -DSHAPE=1..6.
 * It does so before it applies its relocations, and dies; with -DFIXED=1 it applies them first, and exits with 0.
 * The calls are written in assembly, so that each compiler makes the same of them. shapes.rs is the same in Rust.
 */
#include <elf.h>
#include <stdbool.h>

#ifndef SHAPE
#error "which of the six shapes: -DSHAPE=1 to -DSHAPE=6"
#endif
#ifndef FIXED
#define FIXED 0
#endif

bool rung;

void open_door(void) {}
void close_door(void) {}
void ring_bell(void) { rung = true; }

/* A table of functions: what shape 4 calls through, in its third entry. */
void (*const handlers[])(void) = {open_door, close_door, ring_bell, open_door};

/* An object with a function in it, at 0x18: shape 5 goes to it by a pointer in the GOT. */
struct device {
    const char *name;
    long line, level;
    void (*ring)(void);
} bell = {"bell", 4, 7, ring_bell};

/* The first instruction of a start-up that has a frame: so that a backtrace has one to show. */
#define FUNCTION(name, body)                                            \
    __asm__(".text\n.globl " #name "\n.type " #name ", @function\n"     \
            #name ":\n.cfi_startproc\npush %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp, -16\n" \
            "mov %rsp, %rbp\n.cfi_def_cfa_register %rbp\n"              \
            body                                                        \
            "\npop %rbp\n.cfi_def_cfa %rsp, 8\nret\n.cfi_endproc\n.size " #name ", . - " #name "\n")

/* A piece of code without a frame and without a symbol, as the PLT is. */
#define STUB(body) __asm__(".section .text.stub, \"ax\", @progbits\n.cfi_startproc\n" body "\n.cfi_endproc\n.text\n")

void use_slot(void);

#if SHAPE == 1
FUNCTION(use_slot, "mov ring_bell@GOTPCREL(%rip), %rax\n"
                   "call *%rax");
#elif SHAPE == 2
FUNCTION(use_slot, "call *ring_bell@GOTPCREL(%rip)");
#elif SHAPE == 3
STUB(".Lstub: endbr64\n"
     "jmp *ring_bell@GOTPCREL(%rip)");
FUNCTION(use_slot, "call .Lstub");
#elif SHAPE == 4
FUNCTION(use_slot, "lea handlers(%rip), %rdx\n"
                   "mov $2, %ecx\n"
                   "call *(%rdx,%rcx,8)");
#elif SHAPE == 5
FUNCTION(use_slot, "mov bell@GOTPCREL(%rip), %rax\n"
                   "call *0x18(%rax)");
#elif SHAPE == 6
__asm__(".text\n.globl pass_on\n.type pass_on, @function\n"
        "pass_on:\n.cfi_startproc\n"
        "mov ring_bell@GOTPCREL(%rip), %r11\n"
        "jmp *%r11\n"
        ".cfi_endproc\n.size pass_on, . - pass_on\n");
FUNCTION(use_slot, "call pass_on");
#endif

/* Hidden symbols need no relocation: their addresses are computed from the pc. */
extern const Elf64_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));
extern char image[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));

static void apply_rela(const Elf64_Rela *entry, unsigned long size)
{
    for (const Elf64_Rela *end = (void *)((char *)entry + size); entry < end; entry++)
        if (ELF64_R_TYPE(entry->r_info) == R_X86_64_RELATIVE)
            *(char **)(image + entry->r_offset) = image + entry->r_addend;
}

/* An even entry is the address of a slot, an odd one a bitmap of the 63 slots that follow. */
static void apply_relr(const unsigned long *entry, unsigned long size)
{
    unsigned long *next = 0, base = (unsigned long)image;

    for (const unsigned long *end = (void *)((char *)entry + size); entry < end; entry++) {
        if (!(*entry & 1)) {
            next = (unsigned long *)(image + *entry);
            *next++ += base;
            continue;
        }
        for (unsigned long i = 0, bits = *entry >> 1; bits; i++, bits >>= 1)
            if (bits & 1)
                next[i] += base;
        next += 63;
    }
}

static void relocate(void)
{
    /* By number: the highest is DT_RELR, which the elf.h of older systems does not have. */
    unsigned long value[37] = {0};

    for (const Elf64_Dyn *entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag < 37)
            value[entry->d_tag] = entry->d_un.d_val;
    apply_rela((void *)(image + value[DT_RELA]), value[DT_RELASZ]);
    apply_relr((void *)(image + value[36]), value[35]);
}

static _Noreturn void leave(int status)
{
    __asm__ volatile("syscall" ::"a"(60), "D"(status));
    __builtin_unreachable();
}

void start(void)
{
    if (FIXED)
        relocate();
    use_slot();
    if (!FIXED)
        relocate();
    leave(rung ? 0 : 1);
}

__asm__(".text\n.globl _start\n.type _start, @function\n"
        "_start:\n.cfi_startproc\n.cfi_undefined %rip\n"
        "xor %ebp, %ebp\nand $-16, %rsp\ncall start\nud2\n"
        ".cfi_endproc\n.size _start, . - _start\n");
