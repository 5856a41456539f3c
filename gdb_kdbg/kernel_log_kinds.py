"""What kernels print at the head of a report, and what each means: its title, its type, where its culprit is found.

The first pattern that matches decides. `{f}` in a title is the guilty function, `{0}`, `{1}` the groups of the pattern.
Titles and types follow the public corpora of crash reports, so that results can be compared.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, Optional


class Kind(NamedTuple):
    """A kind of report; `pick` names the rule that finds the guilty function, `then` whether it may follow another."""

    pattern: re.Pattern[str]
    title: str
    type: str
    pick: str
    then: str = ""


# `then`: "same" goes on with the report before it that has no stack yet; "end" ends one, whatever it has.
_TABLE = (
    # Sanitizers.
    (r"BUG: KASAN: ((?:double-free or )?invalid-free|double-free) in (?P<f>\S+)", "KASAN: {free} in {f}", "KASAN-INVALID-FREE", "named"),
    (r"BUG: KASAN: ([\w-]+) (?:in|on) (?P<f>[A-Za-z_<]\S*)", "KASAN: {0} {access} in {f}", "KASAN-{access}", "named"),
    (r"BUG: KASAN: ([\w -]{1,40}?)(?: on address| in 0x|$)", "KASAN: {0} {access} in {f}", "KASAN-{access}", "fault"),
    (r"KASAN: (maybe wild-memory-access|null-ptr-deref|probably user-memory-access) in range", "general protection fault in {f}", "DoS", "fault", "same"),
    (r"BUG: KMSAN: kernel-(?:usb-)?infoleak", "KMSAN: {what} in {f}", "KMSAN-INFO-LEAK", "named"),
    (r"BUG: KMSAN: ([\w-]+) in (?P<f>\S+)", "KMSAN: {0} in {f}", "KMSAN-{what}", "named"),
    (r"BUG: KCSAN: (assert: race|data-race|racing) in (?P<f>[A-Za-z_][\w.]{0,500})(?:\+0x\S{1,40})?( / [A-Za-z_][\w.]{0,500})?", "KCSAN: {0} in {f}{2}", "KCSAN-{race}", "race"),
    (r"BUG: KFENCE: ([\w -]+?) in (?P<f>\S+)", "KFENCE: {0} in {f}", "KFENCE-{what}", "named"),
    (r"UBSAN: ([\w-]+|Undefined behaviour) in (\S+?:\d+)", "UBSAN: {0} in {f}", "UBSAN", "trace"),
    (r"BUG: memory leak", "memory leak in {f}", "LEAK", "leak"),
    # Hangs. In each the task or CPU that does not get on is named; who holds it up is to be found in its stack.
    (r"BUG: soft lockup - CPU#\d+ stuck for", "BUG: soft lockup in {f}", "HANG", "stall"),
    (r"(?:INFO: )?rcu[\w-]* (?:self-)?detected (?:expedited )?stalls? on|INFO: \S*rcu[\w-]* (?:self-)?detected (?:expedited )?stalls?", "INFO: rcu detected stall in {f}", "HANG", "stall"),
    (r"INFO: rcu_tasks[\w ]* detected stalls? on tasks", "INFO: rcu detected stall in {f}", "HANG", "stall"),
    (r"INFO: task (\S.{0,40}):\d+ (?:is )?blocked (?:in I/O wait )?(?:on .{1,60} )?for more than \d+ seconds", "INFO: task hung in {f}", "HANG", "hung"),
    (r"INFO: task (\S.{0,40}):\d+ can't die for more than", "INFO: task can't die in {f}", "HANG", "hung"),
    (r"[Ww]atchdog detected hard LOCKUP|BUG: .{0,20}hard LOCKUP", "BUG: hard lockup in {f}", "HANG", "stall"),
    (r"BUG: workqueue lockup", "BUG: workqueue lockup", "", "none"),
    (r"unregister_netdevice: waiting for \S+ to become free", "unregister_netdevice: waiting for DEV to become free", "DoS", "none"),
    # Locks.
    (r"(?:INFO|WARNING): possible (?:circular locking dependency|recursive locking|irq lock inversion)|irq lock inversion dependency detected", "possible deadlock in {f}", "LOCKDEP", "lock"),
    (r"(?:HARD|SOFT|RECLAIM_)\w*IRQ\w*-safe -> \w+-unsafe lock order detected|-safe -> \S+-unsafe lock order detected", "possible deadlock in {f}", "LOCKDEP", "order"),
    (r"(?:INFO|WARNING): inconsistent lock state", "inconsistent lock state in {f}", "LOCKDEP", "lock"),
    (r"INFO: suspicious RCU usage", "INFO: suspicious RCU usage in {f}", "", "dump"),
    (r"WARNING: suspicious RCU usage", "WARNING: suspicious RCU usage in {f}", "LOCKDEP", "dump"),
    (r"(BUG|WARNING): bad unlock balance detected", "{0}: bad unlock balance in {f}", "LOCKDEP", "lock"),
    (r"(BUG|WARNING): held lock freed", "{0}: held lock freed in {f}", "LOCKDEP", "lock"),
    (r"(BUG|WARNING): lock held when returning to user space", "{0}: lock held when returning to user space in {f}", "LOCKDEP", "held"),
    (r"(BUG|WARNING): [Nn]ested lock was not taken", "{0}: nested lock was not taken in {f}", "LOCKDEP", "lock"),
    (r"(BUG|WARNING): .{0,80}still has locks held", "{0}: still has locks held in {f}", "LOCKDEP", "held"),
    (r"(BUG|WARNING): [Ii]nvalid wait context", "{0}: Invalid wait context in {f}", "LOCKDEP", "lock"),
    (r"BUG: MAX_LOCK\w+ too low", "BUG: {what}", "", "none"),
    (r"INFO: trying to register non-static key", "INFO: trying to register non-static key in {f}", "", "dump"),
    (r"BUG: spinlock ([a-z ]+?)(?: on | detected|,|$)", "BUG: spinlock {0} in {f}", "LOCKDEP", "trace"),
    (r"BUG: rwlock ([a-z ]+?)(?: on |,|$)", "BUG: rwlock {0} in {f}", "LOCKDEP", "trace"),
    (r"BUG: using (\w+)\(\) in preemptible", "BUG: using {0}() in preemptible code in {f}", "LOCKDEP", "trace"),
    (r"BUG: sleeping function called from invalid context", "BUG: sleeping function called from invalid context in {f}", "ATOMIC_SLEEP", "trace"),
    (r"BUG: scheduling while atomic", "BUG: scheduling while atomic in {f}", "ATOMIC_SLEEP", "waits"),
    # Bad accesses.
    (r"(?:BUG: )?[Uu]nable to handle (?:kernel )?NULL pointer dereference|BUG: kernel NULL pointer dereference|Unable to handle kernel NULL", "BUG: unable to handle kernel NULL pointer dereference in {f}", "NULL-POINTER-DEREFERENCE", "fault"),
    (r"[Uu]nable to handle (?:kernel )?(?:paging request|page fault|data access|instruction fetch|data for)|BUG: unable to handle page fault|Unable to handle paging request", "BUG: unable to handle kernel paging request in {f}", "MEMORY_SAFETY_BUG", "fault"),
    (r"[Uu]nable to handle kernel (access to user memory|write to read-only memory|execute from non-executable memory|[a-z][a-z -]{3,40}?)(?: without| outside| at |$)", "BUG: unable to handle kernel {0} in {f}", "", "fault"),
    (r"[Uu]nable to handle kernel", "BUG: unable to handle kernel in {f}", "", "fault"),
    (r"general protection fault(?:, |: [0-9a-f]{4} \[#| in user access| \[#)", "general protection fault in {f}", "DoS", "fault", "same"),
    (r"BUG: (?:\w+ )?stack guard page was hit", "BUG: stack guard page was hit in {f}", "", "deep"),
    (r"Insufficient stack space to handle exception|kernel stack overflow \(", "kernel stack overflow in {f}", "DoS", "deep"),
    (r"PANIC: double fault", "PANIC: double fault in {f}", "DoS", "fault"),
    (r"double fault: [0-9a-f]{4} \[#", "PANIC: double fault in {f}", "DoS", "fault", "same"),
    (r"(list_add|list_del) corruption|list_add double add", "BUG: corrupted list in {f}", "MEMORY_SAFETY_BUG", "fault"),
    (r"usercopy: [Kk]ernel memory (?:exposure|overwrite) attempt|usercopy: kernel memory", "BUG: bad usercopy in {f}", "BUG", "fault"),
    (r"Bad or missing usercopy whitelist", "WARNING: bad usercopy in {f}", "WARNING", "fault"),
    (r"(?:detected buffer overflow|detected buffer \w+flow) in (\w+)|(\w+): detected buffer overflow", "kernel BUG in {f}", "BUG", "fault"),
    (r"(\w+): detected field-spanning write", "WARNING in {f}", "WARNING", "fault"),
    (r"[Kk]ernel BUG at (\S+?):(\d+)!?", "kernel BUG in {f}", "BUG", "fault", "same"),
    (r"BUG: stack-protector", "kernel panic: stack is corrupted in {f}", "DoS", "fault"),
    # The processor's other exceptions; user mode's are printed without the number of the oops.
    (r"(divide error|stack segment|alignment check|coprocessor segment overrun|invalid TSS|segment not present|int3|bounds|overflow): [0-9a-f]{4} \[#", "{0} in {f}", "DoS", "fault", "same"),
    (r"(invalid opcode): [0-9a-f]{4} \[#", "invalid opcode in {f}", "DoS", "fault", "same"),
    (r"(?:^|Oops: )([a-z#][\w# -]{2,40}): [0-9a-f]{4} \[#\d", "{0} in {f}", "DoS", "fault", "same"),
    (r"^(Bad mode) in .{1,60} handler|^(SError) Interrupt on CPU|^(undefined instruction): pc=", "{0} in {f}", "DoS", "fault"),
    (r"Unhandled (?:prefetch abort|fault): ", "Unhandled fault in {f}", "DoS", "fault"),
    (r"(Alignment trap): not handling instruction|(Unhandled exception)", "{what} in {f}", "DoS", "fault"),
    (r"Internal error: (?:Oops(?: - )?)?[:\s]*([\w ,-]{0,60}?)[:\s]*[0-9a-f]* \[#", "Internal error in {f}", "DoS", "fault", "same"),
    (r"\b[Oo]ops(?: - [\w -]{1,40})?: (?:\S{1,60} ){0,6}\[#\d|Oops \[#\d|Unexpected kernel BRK|Unrecoverable exception", "Oops in {f}", "DoS", "fault", "same"),
    (r"Kernel (?:mode fault at addr|tried to access user memory at addr)", "kernel panic: {what}", "DoS", "fault"),
    # Warnings that name a place.
    (r"WARNING: CPU: \d+ PID: \d+ at (\S+?):(\d+)(?: (?P<f>[A-Za-z_<]\S*))?", "WARNING in {f}", "WARNING", "warning"),
    (r"WARNING: (?:at )?((?:\.{0,2}/)?[\w./-]+\.[chS]|[\w./-]+\.rs):(\d+)(?: at)?(?: (?P<f>[A-Za-z_<]\S*\+0x\S+))?", "WARNING in {f}", "WARNING", "warning"),
    (r"WARNING: (kernel stack (?:frame pointer|regs))(?: at \S+)? .{0,60}has bad '?\w+'? value|WARNING: (kernel stack \w+) ", "WARNING: {0} has bad value", "", "none"),
    (r"WARNING: stack (going in the wrong direction\?|recursion)", "WARNING: stack {0} in {f}", "WARNING", "trace"),
    (r"WARNING: can't (?:access registers|dereference registers|find unwind table)", "WARNING: {what}", "WARNING", "none"),
    # Broken invariants.
    (r"BUG: Bad (page state|page map|rss-counter state|page cache)(?: in process (\S+))?", "BUG: Bad {0} in {f}", "", "any"),
    (r"BUG: non-zero (\w+) on freeing mm", "BUG: non-zero {0} on freeing mm", "", "none"),
    (r"BUG: Dentry .{0,80} still in use", "BUG: Dentry still in use", "", "any"),
    (r"VFS: Busy inodes after unmount", "VFS: Busy inodes after unmount (use-after-free)", "DoS", "none"),
    (r"BUG (\S{1,60}) \((?:Not tainted|Tainted: .{1,60}|[GPFSRMBUDAWCIOELKXT ]{1,30})\): (?!kasan)(.{1,60})", "BUG: corrupted slab in {f}", "MEMORY_SAFETY_BUG", "trace"),
    (r"INFO: (Allocated|Freed) in (?P<f>\w+) age=\d+", "INFO: {0} in {f} age=NUM cpu=NUM pid=NUM", "", "named", "end"),
    (r"(?:rust_kernel|\w{1,30}): panicked at (\S+?):(\d+):\d+:", "{next} in {f}", "", "rust"),
    (r"trusty: (?:panic|.{0,60}panic)", "trusty: panic in {f}", "DoS", "trace"),
    (r"BUG: (?:corrupted|looking up|Object|unexpected|Invalid|recent printk|key \w+ has)\b.{0,80}", "BUG: {what}", "", "any"),
    (r"Kernel panic - not syncing: (?:Fatal exception|panic_on_|kernel: panic_on_|hung_task|softlockup|Hard LOCKUP|Aiee|Oops|KASAN|UBSAN|KFENCE|KCSAN|RCU Stall|Machine halted|BUG!|.{0,30}panic_on_|Unrecovered|kasan\.)", "kernel panic: {what}", "DoS", "none", "end"),
    (r"[Kk]ernel [Pp]anic - not syncing: stack-protector: Kernel stack is corrupted in: (?P<f>\S+)", "kernel panic: stack is corrupted in {f}", "DoS", "named", "panic"),
    (r"[Kk]ernel [Pp]anic - not syncing: corrupted stack end", "kernel panic: corrupted stack end in {f}", "DoS", "deep", "panic"),
    (r"[Kk]ernel [Pp]anic - not syncing: kernel stack overflow", "kernel stack overflow in {f}", "DoS", "deep", "panic"),
    (r"[Kk]ernel [Pp]anic - not syncing", "kernel panic: {what}", "DoS", "message", "panic"),
    # Heads of no known kind: with a stack below they are reports all the same.
    (r"^(?:\S{1,40}: )?BUG: \S", "BUG: {what}", "", "any"),
    (r"^(?:\S{1,40}: )?WARNING: \S", "WARNING: {what}", "WARNING", "any", "stack"),
    (r"^(?:\S{1,40}: )?INFO: \S", "INFO: {what}", "", "any", "stack"),
)  # fmt: skip

# Each report's head contains one of these; strings are looked for much faster than patterns.
NEEDLES = (
    "BUG: ", "BUG ", "WARNING: ", "INFO: ", "anic", "nable to handle", " [#", "corruption", "UBSAN", "usercopy", "detected ",
    "Internal error", "Bad mode in", "SError ", "undefined instruction", "Unhandled ", "Unexpected kernel", "PANIC: ", "unregister_netdevice: ", "VFS: Busy",
    "not handling instruction", "stack guard page", "stack space to handle", "Kernel mode fault",
    "Kernel tried to access", "KASAN: ", "panicked at", "LOCKUP", "still has locks",
    "double add", "cut here", "RIP: 0033:", "Pid: ", "lock order", "Linux version ", "Booting ",
)  # fmt: skip
# What looks like a head, and is none: lines about reports, and what user programs print about themselves.
_HARMLESS = re.compile(
    r"INFO: (?:lockdep is turned off|Stall ended|NMI handler|rcu_\w+ detected expedited stalls .{0,40}\{ \} )"
    r"|audit: type="
)


@lru_cache(maxsize=1)
def kinds() -> tuple[Kind, ...]:
    """Return all kinds of reports, those that must be tried first in front."""
    return tuple(Kind(re.compile(row[0]), *row[1:]) for row in _TABLE)


# One pattern for all kinds: most lines with a needle are no head, and leave with one search.
@lru_cache(maxsize=1)
def _any() -> re.Pattern[str]:
    return re.compile("|".join(re.sub(r"(?<!\\)\((?:\?P<\w+>|(?!\?))", "(?:", row[0]) for row in _TABLE))


def kind_of(line: str) -> Optional[Kind]:
    """Return the kind of report that a line begins, None if it begins none."""
    if not _any().search(line) or _HARMLESS.search(line):
        return None
    return next((kind for kind in kinds() if kind.pattern.search(line)), None)
