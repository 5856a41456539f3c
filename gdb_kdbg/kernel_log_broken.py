"""Heads of reports of broken invariants: warnings, damaged structures, panics, and heads of no known kind."""

from __future__ import annotations

# Pattern, title, type, rule for the guilty function, and `then` if there is one: see `Kind`.
BROKEN: tuple[tuple[str, ...], ...] = (
    # Warnings that name a place.
    (
        r"WARNING: CPU: \d+ PID: \d+ at (\S+?):(\d+)(?: (?P<f>[A-Za-z_<]\S*))?",
        "WARNING in {f}",
        "WARNING",
        "warning",
    ),
    (
        r"WARNING: (?:at )?((?:\.{0,2}/)?[\w./-]+\.[chS]|"
        r"[\w./-]+\.rs):(\d+)(?: at)?(?: (?P<f>[A-Za-z_<]\S*\+0x\S+))?",
        "WARNING in {f}",
        "WARNING",
        "warning",
    ),
    (
        r"WARNING: (kernel stack (?:frame pointer|\w+)) ",
        "WARNING: {0} has bad value",
        "",
        "none",
    ),
    (
        r"WARNING: stack (going in the wrong direction\?|recursion)",
        "WARNING: stack {0} in {f}",
        "WARNING",
        "trace",
    ),
    (
        "WARNING: can't (?:access registers|dereference registers|find unwind table)",
        "WARNING: {what}",
        "WARNING",
        "none",
    ),
    # Broken invariants.
    (
        "BUG: Bad rss-counter state",
        "BUG: Bad rss-counter state",
        "",
        "none",
    ),
    (
        r"BUG: Bad (page state|page map|page cache)(?: in process (\S+))?",
        "BUG: Bad {0} in {f}",
        "",
        "any",
    ),
    (
        r"BUG: non-zero (\w+) on freeing mm",
        "BUG: non-zero {0} on freeing mm",
        "",
        "none",
    ),
    (
        "BUG: Dentry .{0,80} still in use",
        "BUG: Dentry still in use",
        "",
        "any",
    ),
    (
        r"VFS: Close: file count is (?:0|zero)",
        "VFS: Close: file count is zero (use-after-free)",
        "DoS",
        "none",
    ),
    (
        "VFS: Busy inodes after unmount",
        "VFS: Busy inodes after unmount (use-after-free)",
        "DoS",
        "none",
    ),
    (
        r"BUG (\S{1,60}) \((?:Not tainted|Tainted: .{1,60}|"
        r"[GPFSRMBUDAWCIOELKXT ]{1,30})\): (?!kasan)(.{1,60})",
        "BUG: corrupted slab in {f}",
        "MEMORY_SAFETY_BUG",
        "trace",
    ),
    (
        r"INFO: (Allocated|Freed) in (?P<f>\w+) age=\d+",
        "INFO: {0} in {f} age=NUM cpu=NUM pid=NUM",
        "",
        "named",
        "end",
    ),
    (
        r"(?:rust_kernel|\b\w{1,30}): panicked at (\S+?):(\d+):\d+:",
        "{next} in {f}",
        "",
        "rust",
    ),
    (
        "trusty: (?:panic|.{0,60}panic)",
        "trusty: panic in {f}",
        "DoS",
        "trace",
    ),
    (
        r"BUG: (?:corrupted|looking up|Object|unexpected|Invalid|recent printk|key \w+ has)\b.{0,80}",
        "BUG: {what}",
        "",
        "any",
    ),
    (
        "Kernel panic - not syncing: (?:Fatal exception|panic_on_|kernel: panic_on_|hung_task|softlockup|"
        "Hard LOCKUP|Aiee|Oops|KASAN|UBSAN|KFENCE|KCSAN|RCU Stall|Machine halted|BUG!|.{0,30}panic_on_|"
        r"Unrecovered|kasan\.)",
        "kernel panic: {what}",
        "DoS",
        "none",
        "end",
    ),
    (
        r"[Kk]ernel [Pp]anic - not syncing: stack-protector: Kernel stack is corrupted in: (?P<f>\S+)",
        "kernel panic: stack is corrupted in {f}",
        "DoS",
        "named",
        "panic",
    ),
    (
        "[Kk]ernel [Pp]anic - not syncing: Attempted to kill init!",
        "kernel panic: Attempted to kill init!",
        "DoS",
        "message",
        "panic",
    ),
    (
        "[Kk]ernel [Pp]anic - not syncing: corrupted stack end",
        "kernel panic: corrupted stack end in {f}",
        "DoS",
        "deep",
        "panic",
    ),
    (
        "[Kk]ernel [Pp]anic - not syncing: kernel stack overflow",
        "kernel stack overflow in {f}",
        "DoS",
        "deep",
        "panic",
    ),
    (
        "[Kk]ernel [Pp]anic - not syncing",
        "kernel panic: {what}",
        "DoS",
        "message",
        "panic",
    ),
    (
        r"^[Kk]ernel [Pp]anic(?:[:,] \S|!)",
        "kernel panic: {what}",
        "DoS",
        "message",
        "panic",
    ),
    (
        "[Aa]lignment trap: ",
        "Alignment trap in {f}",
        "DoS",
        "fault",
        "stack",
    ),
    # Heads of no known kind: with a stack below they are reports all the same.
    (
        r"^(?:\S{1,40}: )?BUG: \S",
        "BUG: {what}",
        "",
        "any",
        "stack",
    ),
    (
        r"^(?:\S{1,40}: )?WARNING: \S",
        "WARNING: {what}",
        "WARNING",
        "any",
        "stack",
    ),
    (
        r"^(?:\S{1,40}: )?INFO: \S",
        "INFO: {what}",
        "",
        "any",
        "stack",
    ),
)
