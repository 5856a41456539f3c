"""Heads of reports of faults: bad accesses, and the processor's other exceptions."""

from __future__ import annotations

# Pattern, title, type, rule for the guilty function, and `then` if there is one: see `Kind`.
FAULTS: tuple[tuple[str, ...], ...] = (
    # Bad accesses.
    (
        "(?:BUG: )?[Uu]nable to handle (?:kernel )?NULL pointer dereference|"
        "BUG: [Kk]ernel NULL pointer dereference|Unable to handle kernel NULL",
        "BUG: unable to handle kernel NULL pointer dereference in {f}",
        "NULL-POINTER-DEREFERENCE",
        "fault",
    ),
    (
        "[Uu]nable to handle (?:kernel )?(?:paging request|page fault|data access|instruction fetch|"
        "data for)|BUG: unable to handle page fault|Unable to handle paging request",
        "BUG: unable to handle kernel paging request in {f}",
        "MEMORY_SAFETY_BUG",
        "fault",
    ),
    (
        "[Uu]nable to handle kernel (access to user memory|write to read-only memory|"
        "execute from non-executable memory|[a-z][a-z -]{3,40}?)(?: without| outside| at |$)",
        "BUG: unable to handle kernel {0} in {f}",
        "",
        "fault",
    ),
    (
        "[Uu]nable to handle kernel",
        "BUG: unable to handle kernel in {f}",
        "",
        "fault",
    ),
    (
        r"general protection fault(?:, |: [0-9a-f]{4}(?: |$)| in user access| \[#|$)",
        "general protection fault in {f}",
        "DoS",
        "fault",
        "same",
    ),
    (
        r"BUG: (?:\w+ )?stack guard page was hit",
        "BUG: stack guard page was hit in {f}",
        "",
        "deep",
    ),
    (
        r"Insufficient stack space to handle exception|kernel stack overflow \(",
        "kernel stack overflow in {f}",
        "DoS",
        "deep",
    ),
    (
        "PANIC: double fault",
        "PANIC: double fault in {f}",
        "DoS",
        "fault",
    ),
    (
        r"double fault: [0-9a-f]{4} \[#",
        "PANIC: double fault in {f}",
        "DoS",
        "fault",
        "same",
    ),
    # Before the kernel has its own handlers (arch/x86/mm/extable.c; `rip` before Linux 4.9).
    (
        r"PANIC: early exception (?:0x)?[0-9a-f]{2} (?:IP|rip) ",
        "PANIC: early exception in {f}",
        "DoS",
        "fault",
    ),
    (
        "(list_add|list_del) corruption|list_add double add",
        "BUG: corrupted list in {f}",
        "MEMORY_SAFETY_BUG",
        "fault",
        "lead",
    ),
    (
        "usercopy: [Kk]ernel memory (?:exposure|overwrite) attempt|usercopy: kernel memory",
        "BUG: bad usercopy in {f}",
        "BUG",
        "fault",
        "lead",
    ),
    (
        "Bad or missing usercopy whitelist",
        "WARNING: bad usercopy in {f}",
        "WARNING",
        "fault",
        "lead",
    ),
    (
        r"(?:detected buffer overflow|detected buffer \w+flow) in (\w+)|\b(\w{1,60}): detected buffer overflow",
        "kernel BUG in {f}",
        "BUG",
        "fault",
        "lead",
    ),
    (
        r"\b(\w{1,60}): detected field-spanning write",
        "WARNING in {f}",
        "WARNING",
        "fault",
        "lead",
    ),
    (
        r"[Kk]ernel BUG at (\S+?):(\d+)!?",
        "kernel BUG in {f}",
        "BUG",
        "fault",
        "same",
    ),
    (
        r"Missing ENDBR: (?P<f>[A-Za-z_]\S*)",
        "kernel BUG in {f}",
        "BUG",
        "named",
        "lead",
    ),
    (
        "BUG: stack-protector",
        "kernel panic: stack is corrupted in {f}",
        "DoS",
        "fault",
    ),
    (
        r"stack segment: [0-9a-f]{4} \[#",
        "stack segment fault in {f}",
        "DoS",
        "fault",
        "same",
    ),
    # The processor's other exceptions; user mode's are printed without the number of the oops.
    (
        "(divide error|alignment check|coprocessor segment overrun|invalid TSS|"
        r"segment not present|int3|bounds|overflow): [0-9a-f]{4} \[#",
        "{0} in {f}",
        "DoS",
        "fault",
        "same",
    ),
    (
        r"(invalid opcode): [0-9a-f]{4} \[#",
        "invalid opcode in {f}",
        "DoS",
        "fault",
        "same",
    ),
    (
        r"(?:^|Oops: )([a-z#][\w# -]{2,40}): [0-9a-f]{4} \[#\d",
        "{0} in {f}",
        "DoS",
        "fault",
        "same",
    ),
    (
        "^(Bad mode) in .{1,60} handler|^(SError) Interrupt on CPU|^(undefined instruction): pc=",
        "{0} in {f}",
        "DoS",
        "fault",
    ),
    (
        "Unhandled (?:prefetch abort|fault): ",
        "Unhandled fault in {f}",
        "DoS",
        "fault",
    ),
    (
        "(Alignment trap): not handling instruction",
        "{what} in {f}",
        "DoS",
        "fault",
    ),
    (
        r"Internal error: (?:Oops(?: - )?)?[:\s]*([\w :,-]{0,60}?)[:\s]*[0-9a-f]* \[#",
        "Internal error in {f}",
        "DoS",
        "fault",
        "same",
    ),
    (
        r"\b[Oo]ops(?: - [\w -]{1,40})?: (?:\S{1,60} ){0,6}\[#\d|Oops \[#\d|Unexpected kernel BRK|"
        "Unrecoverable exception",
        "Oops in {f}",
        "DoS",
        "fault",
        "same",
    ),
    (
        "Kernel (?:mode fault at addr|tried to access user memory at addr)",
        "kernel panic: {what}",
        "DoS",
        "fault",
    ),
)
