"""Heads of reports by the kernel's own checkers: sanitizers, watchdogs, lockdep."""

from __future__ import annotations

# Pattern, title, type, rule for the guilty function, and `then` if there is one: see `Kind`.
CHECKERS: tuple[tuple[str, ...], ...] = (
    # Sanitizers.
    (
        r"BUG: KASAN: ((?:double-free or )?invalid-free|double-free) in (?P<f>\S+)",
        "KASAN: {free} in {f}",
        "KASAN-INVALID-FREE",
        "named",
    ),
    (
        r"BUG: KASAN: ([\w-]+) (?:in|on) (?P<f>[A-Za-z_<]\S*)",
        "KASAN: {0} {access} in {f}",
        "KASAN-{access}",
        "named",
    ),
    (
        r"BUG: KASAN: ([\w -]{1,40}?)(?: on address| in 0x|$)",
        "KASAN: {0} {access} in {f}",
        "KASAN-{access}",
        "fault",
    ),
    (
        "KASAN: (maybe wild-memory-access|null-ptr-deref|probably user-memory-access) in range",
        "general protection fault in {f}",
        "DoS",
        "fault",
        "same",
    ),
    (
        "BUG: KMSAN: kernel-(?:usb-)?infoleak",
        "KMSAN: {what} in {f}",
        "KMSAN-INFO-LEAK",
        "named",
    ),
    (
        r"BUG: KMSAN: ([\w-]+) in (?P<f>\S+)",
        "KMSAN: {0} in {f}",
        "KMSAN-{what}",
        "named",
    ),
    (
        "BUG: KCSAN: (assert: race|data-race|"
        r"racing) in (?P<f>[A-Za-z_][\w.]{0,500})(?:\+0x\S{1,40})?( / [A-Za-z_][\w.]{0,500})?",
        "KCSAN: {0} in {f}{2}",
        "KCSAN-{race}",
        "race",
    ),
    (
        r"BUG: KFENCE: ([\w -]+?) in (?P<f>\S+)",
        "KFENCE: {0} in {f}",
        "KFENCE-{what}",
        "named",
    ),
    (
        r"UBSAN: ([\w-]+|Undefined behaviour) in (\S+?:\d+)",
        "UBSAN: {0} in {f}",
        "UBSAN",
        "trace",
    ),
    (
        "BUG: memory leak",
        "memory leak in {f}",
        "LEAK",
        "leak",
    ),
    # Hangs. In each the task or CPU that does not get on is named; who holds it up is to be found in its stack.
    (
        r"BUG: soft lockup - CPU#\d+ stuck for",
        "BUG: soft lockup in {f}",
        "HANG",
        "lockup",
    ),
    (
        r"(?:INFO: )?rcu[\w-]{0,40} (?:self-)?detected (?:expedited )?stalls? on|"
        r"INFO: \S{0,20}rcu[\w-]{0,40} (?:self-)?detected (?:expedited )?stalls?",
        "INFO: rcu detected stall in {f}",
        "HANG",
        "stall",
    ),
    (
        r"INFO: rcu_tasks[\w ]* detected stalls? on tasks",
        "INFO: rcu detected stall in {f}",
        "HANG",
        "stall",
    ),
    (
        r"INFO: task (\S.{0,40}):\d+ (?:is )?blocked (?:in I/O wait )?(?:on .{1,60} )?for more than \d+ se"
        "conds",
        "INFO: task hung in {f}",
        "HANG",
        "hung",
    ),
    (
        r"INFO: task (\S.{0,40}):\d+ can't die for more than",
        "INFO: task can't die in {f}",
        "HANG",
        "hung",
    ),
    (
        "[Ww]atchdog detected hard LOCKUP|BUG: .{0,20}hard LOCKUP",
        "BUG: hard lockup in {f}",
        "HANG",
        "lockup",
    ),
    (
        "BUG: workqueue lockup",
        "BUG: workqueue lockup",
        "",
        "none",
    ),
    (
        r"BUG: workqueue leaked ([a-zA-Z, ]{3,40}):",
        "BUG: workqueue leaked {0} in {f}",
        "",
        "last",
    ),
    (
        r"unregister_netdevice: waiting for \S+ to become free",
        "unregister_netdevice: waiting for DEV to become free",
        "DoS",
        "none",
    ),
    # Locks.
    (
        "(?:INFO|WARNING): possible (?:circular locking dependency|recursive locking|irq lock inversion)|"
        "irq lock inversion dependency detected",
        "possible deadlock in {f}",
        "LOCKDEP",
        "lock",
    ),
    (
        r"(?:HARD|SOFT|RECLAIM_)\w{0,20}IRQ\w{0,20}-safe -> \w+-unsafe lock order detected|"
        r"-safe -> \S+-unsafe lock order detected",
        "possible deadlock in {f}",
        "LOCKDEP",
        "order",
    ),
    (
        "(?:INFO|WARNING): inconsistent lock state",
        "inconsistent lock state in {f}",
        "LOCKDEP",
        "lock",
    ),
    (
        "INFO: suspicious RCU usage",
        "INFO: suspicious RCU usage in {f}",
        "",
        "dump",
    ),
    (
        "WARNING: suspicious RCU usage",
        "WARNING: suspicious RCU usage in {f}",
        "LOCKDEP",
        "dump",
    ),
    (
        "(BUG|WARNING): bad unlock balance detected",
        "{0}: bad unlock balance in {f}",
        "LOCKDEP",
        "lock",
    ),
    (
        "(BUG|WARNING): held lock freed",
        "{0}: held lock freed in {f}",
        "LOCKDEP",
        "lock",
    ),
    (
        "(BUG|WARNING): lock held when returning to user space",
        "{0}: lock held when returning to user space in {f}",
        "LOCKDEP",
        "held",
    ),
    (
        "(BUG|WARNING): [Nn]ested lock was not taken",
        "{0}: nested lock was not taken in {f}",
        "LOCKDEP",
        "lock",
    ),
    (
        "(BUG|WARNING): .{0,80}still has locks held",
        "{0}: still has locks held in {f}",
        "LOCKDEP",
        "held",
    ),
    (
        "(BUG|WARNING): [Ii]nvalid wait context",
        "WARNING: locking bug in {f}",
        "LOCKDEP",
        "lock",
    ),
    (
        r"BUG: (MAX_\w+ too low!?)",
        "BUG: {0}",
        "",
        "none",
    ),
    (
        "INFO: trying to register non-static key",
        "INFO: trying to register non-static key in {f}",
        "",
        "dump",
    ),
    (
        "BUG: spinlock ([a-z ]+?)(?: on | detected|,|$)",
        "BUG: spinlock {0} in {f}",
        "LOCKDEP",
        "trace",
    ),
    (
        "BUG: rwlock ([a-z ]+?)(?: on |,|$)",
        "BUG: rwlock {0} in {f}",
        "LOCKDEP",
        "trace",
    ),
    (
        r"BUG: using (\w+)\(\) in preemptible",
        "BUG: using {0}() in preemptible code in {f}",
        "LOCKDEP",
        "trace",
    ),
    (
        "BUG: sleeping function called from invalid context",
        "BUG: sleeping function called from invalid context in {f}",
        "ATOMIC_SLEEP",
        "trace",
    ),
    (
        "BUG: scheduling while atomic",
        "BUG: scheduling while atomic in {f}",
        "ATOMIC_SLEEP",
        "waits",
    ),
)
