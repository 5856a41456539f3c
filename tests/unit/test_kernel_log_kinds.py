"""One report of each kind: its title, its type, who is guilty; and its twin, where another is."""

from __future__ import annotations

import re
from typing import Callable, Iterable

import pytest
from kernel_reports import REGISTERS, TAIL, WHO, calls, report, trace

from gdb_kdbg.kernel_log import crashes_in
from gdb_kdbg.kernel_log_classes import DISPATCHING, EXCEPT, PARTS, PATTERNS, SERVING
from gdb_kdbg.kernel_log_frames import plain
from gdb_kdbg.kernel_log_guilty import dispatches, never_guilty, waits
from gdb_kdbg.kernel_log_kinds import kinds, words_of
from gdb_kdbg.kernel_log_picks import RULES
from gdb_kdbg.kernel_log_records import Crash

BAKE = ("bake_pie", "bakery_ioctl", "__x64_sys_ioctl", "do_syscall_64")
DUMP = ("dump_stack_lvl", "print_report", "kasan_report")
WARNED = ("dump_stack", "panic", "__warn", "report_bug", "do_error_trap", "invalid_op")


def judged(*parts: str) -> Crash:
    return next(crashes_in(report(*parts)))


def told(crash: Crash) -> tuple[str, str, str]:
    return crash.title, crash.type, crash.guilty


def fault(head: str, name: str = "bake_pie") -> Crash:
    return judged(head, WHO, f"RIP: 0010:{name}+0x1/0x2", REGISTERS, trace(*BAKE), TAIL)


@pytest.mark.parametrize(
    ("head", "title", "kind"),
    [
        (
            "BUG: kernel NULL pointer dereference, address: 0000000000000018",
            "BUG: unable to handle kernel NULL pointer dereference in",
            "NULL-POINTER-DEREFERENCE",
        ),
        (
            "BUG: unable to handle page fault for address: ffffc90000123000",
            "BUG: unable to handle kernel paging request in",
            "MEMORY_SAFETY_BUG",
        ),
        (
            "BUG: unable to handle kernel paging request at ffffc90000123000",
            "BUG: unable to handle kernel paging request in",
            "MEMORY_SAFETY_BUG",
        ),
        (
            "BUG: Kernel NULL pointer dereference on read at 0x00000018",
            "BUG: unable to handle kernel NULL pointer dereference in",
            "NULL-POINTER-DEREFERENCE",
        ),
        (
            "Internal error: UBSAN: array index out of bounds: 00000000f2005512 [#1] PREEMPT SMP",
            "Internal error in",
            "DoS",
        ),
        ("general protection fault: 0000 [#1] SMP", "general protection fault in", "DoS"),
        (
            "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP",
            "general protection fault in",
            "DoS",
        ),
        ("divide error: 0000 [#1] SMP", "divide error in", "DoS"),
        ("Oops: int3: 0000 [#1] SMP", "int3 in", "DoS"),
        ("stack segment: 0000 [#1] SMP", "stack segment fault in", "DoS"),
        ("traps: PANIC: double fault, error_code: 0x0", "PANIC: double fault in", "DoS"),
        (
            "PANIC: early exception 0x0e IP 10:ffffffff82a00123 error 2 cr2 0xffff888000001000",
            "PANIC: early exception in",
            "DoS",
        ),
        (
            "list_add corruption. prev->next should be next (ffff888012345678), but was 0000000000000000.",
            "BUG: corrupted list in",
            "MEMORY_SAFETY_BUG",
        ),
        (
            "usercopy: Kernel memory overwrite attempt detected to SLUB object 'kmalloc-8' (offset 0, size 16)!",
            "BUG: bad usercopy in",
            "BUG",
        ),
        ("kernel BUG at mm/oven.c:12!", "kernel BUG in", "BUG"),
        ("detected buffer overflow in memcpy", "kernel BUG in", "BUG"),
        (
            'memcpy: detected field-spanning write (size 16) of single field "pie" at a.c:1 (size 8)',
            "WARNING in",
            "WARNING",
        ),
        ("WARNING: CPU: 1 PID: 7 at fs/oven.c:9 bake_pie+0x1/0x2", "WARNING in", "WARNING"),
        ("WARNING: fs/oven.c:9 at bake_pie+0x1/0x2, CPU#1: eater/7", "WARNING in", "WARNING"),
    ],
)
def test_faults(head: str, title: str, kind: str) -> None:
    assert told(fault(head)) == (f"{title} bake_pie", kind, "bake_pie")


@pytest.mark.parametrize("helper", ["memcpy", "_raw_spin_lock", "__list_del_entry_valid", "kfree", "refcount_inc"])
def test_a_fault_in_what_serves_all_is_its_callers(helper: str) -> None:
    assert fault("general protection fault: 0000 [#1] SMP", helper).guilty == "bake_pie"


def kasan(what: str, access: str, *names: str) -> Crash:
    return judged(
        "==================================================================",
        f"BUG: KASAN: {what} in {names[0]}+0x10/0x20",
        f"{access} of size 8 at addr ffff888012345678 by task eater/4242",
        WHO,
        trace(*DUMP, *names, *BAKE),
        "",
        "Allocated by task 4242:",
        calls("kasan_save_stack", "__kmalloc", "new_pie"),
        "",
        "Freed by task 1:",
        calls("kasan_save_stack", "kfree", "eat_pie"),
    )


@pytest.mark.parametrize(
    ("what", "access", "kind"),
    [
        ("slab-use-after-free", "Read", "KASAN-USE-AFTER-FREE-READ"),
        ("use-after-free", "Write", "KASAN-USE-AFTER-FREE-WRITE"),
        ("slab-out-of-bounds", "Read", "KASAN-READ"),
        ("stack-out-of-bounds", "Write", "KASAN-WRITE"),
        ("null-ptr-deref", "Read", "KASAN-NULL-POINTER-DEREFERENCE-READ"),
    ],
)
def test_kasan(what: str, access: str, kind: str) -> None:
    crash = kasan(what, access, "slice_pie")
    assert told(crash) == (f"KASAN: {what} {access} in slice_pie", kind, "slice_pie")
    assert crash.access is not None
    assert (crash.access.kind, crash.access.address, crash.access.size) == (access.lower(), 0xFFFF888012345678, 8)
    assert [frame.function for frame in crash.allocated][-1] == "new_pie"
    assert [frame.function for frame in crash.freed][-1] == "eat_pie"
    assert kasan(what, access, "memcpy", "_copy_to_iter", "slice_pie").guilty == "slice_pie"


def test_the_other_sanitizers() -> None:
    kmsan = judged("BUG: KMSAN: uninit-value in string+0x1/0x2", calls("string", "vsnprintf", "name_pie"), "", WHO)
    assert told(kmsan) == ("KMSAN: uninit-value in name_pie", "KMSAN-UNINIT-VALUE", "name_pie")
    leak = judged("BUG: KMSAN: kernel-infoleak in _copy_to_user+0x1/0x2", calls("_copy_to_user", "show_pie"))
    assert told(leak) == ("KMSAN: kernel-infoleak in show_pie", "KMSAN-INFO-LEAK", "show_pie")
    race = judged(
        "BUG: KCSAN: data-race in bake_pie / eat_pie", "", "write to 0xffff888012345678 of 8 bytes by task 7:"
    )
    assert told(race) == ("KCSAN: data-race in bake_pie / eat_pie", "KCSAN-DATARACE", "bake_pie")
    fence = judged("BUG: KFENCE: use-after-free read in eat_pie+0x1/0x2", "", trace(*BAKE))
    assert told(fence) == ("KFENCE: use-after-free read in eat_pie", "KFENCE-USE-AFTER-FREE-READ", "eat_pie")
    bounds = judged(
        "UBSAN: array-index-out-of-bounds in fs/oven.c:12:3",
        "index 9 is out of range for type 'pie *[8]'",
        WHO,
        trace("dump_stack", "ubsan_epilogue", "__ubsan_handle_out_of_bounds", "slice_pie"),
    )
    assert told(bounds)[1:] == ("MEMORY_SAFETY_UBSAN", "slice_pie")
    lost = judged(
        "BUG: memory leak",
        "unreferenced object 0xffff888012345678 (size 64):",
        '  comm "eater", pid 4242, jiffies 4294944000 (age 12.345s)',
        "  backtrace:",
        calls("kmem_cache_alloc", "alloc_pie", "order_pie", form="[<{a:016x}>] {name}+0x{offset:x}/0x200"),
    )
    assert told(lost) == ("memory leak in order_pie", "LEAK", "order_pie")


@pytest.mark.parametrize(
    ("waiting", "guilty"),
    [
        (("__schedule", "schedule", "schedule_timeout", "wait_for_completion", "cool_pie"), "cool_pie"),
        (("__schedule", "schedule", "rwsem_down_write_slowpath", "down_write", "cool_pie"), "cool_pie"),
        (("__schedule", "schedule", "synchronize_rcu_expedited", "cool_pie"), "synchronize_rcu"),
        (("__schedule", "schedule", "__mutex_lock", "rtnl_lock", "cool_pie"), "rtnl_lock"),
    ],
)
def test_hung_tasks(waiting: tuple[str, ...], guilty: str) -> None:
    crash = judged(
        "INFO: task eater:4242 blocked for more than 143 seconds.",
        "      Not tainted 7.1.0-pie #3",
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        "task:eater           state:D stack:25608 pid: 4242 ppid:     1 flags:0x00004006",
        trace(*waiting, *BAKE),
        "",
        "Showing all locks held in the system:",
        "1 lock held by khungtaskd/29:",
    )
    assert told(crash) == (f"INFO: task hung in {guilty}", "HANG", guilty)
    assert (crash.task.comm, crash.task.pid) == ("eater", 4242)


def test_each_hung_task_is_a_report() -> None:
    lines = [
        line
        for name in ("cool_pie", "warm_pie")
        for line in report(f"INFO: task {name}:1 blocked for more than 120 seconds.", trace("schedule", name))
    ]
    assert [crash.guilty for crash in crashes_in(lines)] == ["cool_pie", "warm_pie"]


NOTICED = ("dump_stack", "rcu_dump_cpu_stacks", "update_process_times", "hrtimer_interrupt", "apic_timer_interrupt")


def test_a_stall_is_named_by_who_owns_the_loop() -> None:
    crash = judged(
        "rcu: INFO: rcu_sched self-detected stall on CPU",
        "rcu: \t0-....: (10499 ticks this GP) idle=ad6/1/0x4000000000000002 softirq=74488/74499 fqs=5208",
        "NMI backtrace for cpu 0",
        WHO,
        "Call Trace:",
        " <IRQ>",
        calls(*NOTICED),
        " </IRQ>",
        "RIP: 0010:stir+0x1/0x2",
        REGISTERS,
        calls("stir_all", "oven_write_iter", "vfs_write", "ksys_write", "do_syscall_64"),
    )
    assert told(crash) == ("INFO: rcu detected stall in oven_write_iter", "HANG", "oven_write_iter")


def test_idle_cpus_and_the_threads_of_rcu_stall_nothing() -> None:
    crash = judged(
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "rcu: RCU grace-period kthread stack dump:",
        trace("__schedule", "schedule", "rcu_gp_fqs_loop", "rcu_gp_kthread", "kthread", "ret_from_fork"),
        "NMI backtrace for cpu 1",
        "RIP: 0010:native_safe_halt+0x1/0x2",
        trace("default_idle", "do_idle", "cpu_startup_entry"),
        "NMI backtrace for cpu 2",
        "RIP: 0010:stir+0x1/0x2",
        trace("oven_timer", "call_timer_fn", "run_timer_softirq"),
    )
    assert crash.guilty == "oven_timer"


def test_a_lockup_is_where_the_registers_are() -> None:
    parts = ("watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [eater:4242]", WHO, "RIP: 0010:stir+0x1/0x2", REGISTERS)
    crash = judged(*parts, trace("oven_rmdir", "vfs_rmdir", "__x64_sys_rmdir", "do_syscall_64"))
    assert told(crash) == ("BUG: soft lockup in sys_rmdir", "HANG", "sys_rmdir")
    waiting = judged(*parts, trace("smp_call_function_many_cond", "flush_all", "do_syscall_64"))
    assert waiting.guilty == "smp_call_function"


def circle(at: str, held: str) -> Crash:
    return judged(
        "======================================================",
        "WARNING: possible circular locking dependency detected",
        "7.1.0-pie #3 Not tainted",
        "------------------------------------------------------",
        "eater/4242 is trying to acquire lock:",
        f"ffff888012345678 (&pie->lock){{+.+.}}-{{3:3}}, at: {at}+0x10/0x20",
        "",
        "but task is already holding lock:",
        f"ffff888012345699 (&oven->lock){{+.+.}}-{{3:3}}, at: {held}+0x10/0x20",
        "",
        "the existing dependency chain (in reverse order) is:",
        "",
        "-> #1 (&oven->lock){+.+.}-{3:3}:",
        calls("lock_acquire", "__mutex_lock", "heat_oven"),
        "stack backtrace:",
        WHO,
        trace("dump_stack", "check_noncircular", "__lock_acquire", "lock_acquire", "slice_pie"),
    )


def test_deadlocks_are_named_by_where_the_circle_closes() -> None:
    assert told(circle("slice_pie", "heat_oven")) == ("possible deadlock in slice_pie", "LOCKDEP", "slice_pie")
    assert circle("flush_workqueue", "heat_oven").guilty == "heat_oven"


@pytest.mark.parametrize(
    ("parts", "title", "kind"),
    [
        (
            ("WARNING: inconsistent lock state", "takes:", "x (&l){?.+.}, at: bake_pie+0x1/0x2"),
            "inconsistent lock state in bake_pie",
            "LOCKDEP",
        ),
        (
            (
                "WARNING: suspicious RCU usage",
                "stack backtrace:",
                trace("dump_stack", "lockdep_rcu_suspicious", "bake_pie"),
            ),
            "WARNING: suspicious RCU usage in bake_pie",
            "LOCKDEP",
        ),
        (
            (
                "WARNING: bad unlock balance detected!",
                "eater/1 is trying to release lock (x) at:",
                "[<ffffffff81000000>] bake_pie+0x1/0x2",
            ),
            "WARNING: bad unlock balance in bake_pie",
            "LOCKDEP",
        ),
        (
            (
                "WARNING: lock held when returning to user space!",
                "1 lock held by eater/1:",
                " #0: x (&l){+.+.}, at: bake_pie+0x1/0x2",
            ),
            "WARNING: lock held when returning to user space in bake_pie",
            "LOCKDEP",
        ),
        (
            (
                "BUG: spinlock bad magic on CPU#0, eater/1",
                trace("dump_stack", "spin_bug", "do_raw_spin_lock", "bake_pie"),
            ),
            "BUG: spinlock bad magic in bake_pie",
            "LOCKDEP",
        ),
        (
            (
                "BUG: using smp_processor_id() in preemptible [00000000] code: eater/1",
                trace("dump_stack", "check_preemption_disabled", "bake_pie"),
            ),
            "BUG: using smp_processor_id() in preemptible code in bake_pie",
            "LOCKDEP",
        ),
        (
            (
                "BUG: sleeping function called from invalid context at mm/a.c:1",
                trace("dump_stack", "___might_sleep", "__mutex_lock", "bake_pie"),
            ),
            "BUG: sleeping function called from invalid context in bake_pie",
            "ATOMIC_SLEEP",
        ),
        (
            (
                "BUG: scheduling while atomic: eater/1/0x00000002",
                trace("dump_stack", "__schedule_bug", "__schedule", "schedule", "bake_pie"),
            ),
            "BUG: scheduling while atomic in bake_pie",
            "ATOMIC_SLEEP",
        ),
        (
            (
                "INFO: trying to register non-static key.",
                trace("dump_stack", "register_lock_class", "lock_acquire", "bake_pie"),
            ),
            "INFO: trying to register non-static key in bake_pie",
            "",
        ),
        (
            ("unregister_netdevice: waiting for eth7 to become free. Usage count = 2",),
            "unregister_netdevice: waiting for DEV to become free",
            "DoS",
        ),
        (("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 32s!",), "BUG: workqueue lockup", ""),
        (
            ("BUG: Bad page state in process eater  pfn:12345", WHO, trace("dump_stack", "bad_page", "bake_pie")),
            "BUG: Bad page state in bake_pie",
            "",
        ),
    ],
)
def test_locks_and_invariants(parts: tuple[str, ...], title: str, kind: str) -> None:
    crash = judged(*parts)
    assert (crash.title, crash.type) == (title, kind)


def warning(place: str, named: str, *names: str) -> Crash:
    return judged(
        "------------[ cut here ]------------",
        f"WARNING: CPU: 0 PID: 7 at {place} {named}+0x1/0x2",
        "Kernel panic - not syncing: panic_on_warn set ...",
        WHO,
        trace(*WARNED, *names),
    )


@pytest.mark.parametrize(
    ("place", "named", "title", "kind"),
    [
        ("lib/refcount.c:28", "refcount_warn_saturate", "WARNING: refcount bug in eat_pie", "REFCOUNT_WARNING"),
        ("lib/debugobjects.c:291", "debug_print_object", "WARNING: ODEBUG bug in eat_pie", "WARNING"),
        ("kernel/locking/lockdep.c:167", "hlock_class", "WARNING: locking bug in eat_pie", "LOCKDEP"),
        ("mm/slab_common.c:99", "kmalloc_slab", "WARNING: kmalloc bug in eat_pie", "WARNING"),
        ("fs/oven.c:99", "eat_pie", "WARNING in eat_pie", "WARNING"),
    ],
)
def test_warnings_of_helpers_are_their_callers(place: str, named: str, title: str, kind: str) -> None:
    assert told(warning(place, named, named, "eat_pie", "vfs_read")) == (title, kind, "eat_pie")


def test_what_is_said_before_a_warning_belongs_to_it() -> None:
    lines = report(
        "------------[ cut here ]------------",
        'memcpy: detected field-spanning write (size 16) of single field "pie->crust" at fs/oven.c:12 (size 8)',
        "WARNING: CPU: 0 PID: 7 at fs/oven.c:12 bake_pie+0x1/0x2",
        WHO,
        "RIP: 0010:bake_pie+0x1/0x2",
        REGISTERS,
        trace(*BAKE[1:]),
        TAIL,
    )
    (crash,) = crashes_in(lines)
    assert told(crash) == ("WARNING in bake_pie", "WARNING", "bake_pie")
    assert crash.headline.startswith("memcpy: detected field-spanning write")
    lines[1] = "list_del corruption. prev->next should be ffff888012345678, but was ffff888012345679"
    (crash,) = crashes_in(lines)
    assert told(crash) == ("BUG: corrupted list in bake_pie", "MEMORY_SAFETY_BUG", "bake_pie")


@pytest.mark.parametrize(
    ("text", "title", "guilty"),
    [
        ("stack-protector: Kernel stack is corrupted in: eat_pie+0x1/0x2", "stack is corrupted in eat_pie", "eat_pie"),
        ("stack-protector: Kernel stack is corrupted in: ffffffff81234567", "stack is corrupted in eat_pie", "eat_pie"),
        ("Attempted to kill init! exitcode=0x0000000b", "Attempted to kill init!", "eat_pie"),
        (
            "VFS: Unable to mount root fs on unknown-block(0,0)",
            "VFS: Unable to mount root fs on unknown-block(NUM,NUM)",
            "eat_pie",
        ),
    ],
)
def test_panics(text: str, title: str, guilty: str) -> None:
    crash = judged(
        f"Kernel panic - not syncing: {text}", WHO, trace("dump_stack", "panic", "__stack_chk_fail", "eat_pie")
    )
    assert told(crash) == (f"kernel panic: {title}", "DoS", guilty)


def test_system_calls_lose_their_wrappers() -> None:
    for name in ("__se_sys_pause", "SyS_pause", "__do_sys_pause"):
        assert fault("general protection fault: 0000 [#1] SMP", name).guilty == "pause"


def test_a_report_without_a_stack_says_so() -> None:
    crash = judged("BUG: unable to handle kernel paging request at ffffc90000123000")
    assert (crash.guilty, crash.corrupted) == ("", "the report has no stack")
    assert crash.title.endswith(" in corrupted")


def test_every_kind_has_a_rule() -> None:
    assert {kind.pick for kind in kinds()} <= RULES.keys()
    assert {kind.then for kind in kinds()} <= {"", "same", "end", "panic", "lead", "stack"}


@pytest.mark.parametrize(
    "name", ["bake_pie", "copy_net_ns", "copy_process", "console_lock_pie", "wake_up_new_pie", "lock_mount"]
)
def test_ordinary_functions_may_be_guilty(name: str) -> None:
    assert not never_guilty(name)


@pytest.mark.parametrize(
    "name", ["__kasan_report", "strncpy_from_user", "mutex_lock_nested", "kmem_cache_alloc", "vprintk"]
)
def test_servants_are_never_guilty(name: str) -> None:
    assert never_guilty(name)


def test_the_other_classes() -> None:
    assert waits("wait_on_page_bit") and not waits("bake_pie")
    assert dispatches("process_one_work") and not dispatches("bake_pie")
    assert plain("bake_pie.constprop.0.isra.7") == "bake_pie" and plain("bake.pie") == "bake.pie"
    assert plain("__pfx_bake_pie") == "bake_pie"


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("BUG: memory leak", ["BUG: memory leak"]),
        (r"BUG: KASAN: ([\w-]+) in (?P<f>\S+)", ["BUG: KASAN: "]),
        ("[Kk]ernel [Pp]anic - not syncing", ["anic - not syncing"]),
        (r"INFO: task \S{0,40}: stuck", ["INFO: task "]),
        ("colou?r: ab*", ["colo"]),
        ("(a|b)(c(d|e))", [""]),
        ("WARNING: one|BUG: two", ["WARNING: one", "BUG: two"]),
        (r"(one|two): \[# \[?", [": [# "]),
        (r"[^\](|]x\|y(\)|z)", ["x"]),
    ],
)
def test_each_match_of_a_pattern_has_one_of_its_words(pattern: str, words: list[str]) -> None:
    assert list(words_of(pattern)) == words


def written_out(text: str) -> list[str]:
    words = text.split()
    while any("{" in word for word in words):
        words = [
            word.replace(braces[0], choice, 1)
            for word in words
            for braces in [re.search(r"\{(.*?)\}", word) or [""]]
            for choice in braces[0].strip("{}").split(",")
        ]
    return words


# What begins like an exception is meant by longer words than that only.
def as_pattern(word: str, excepted: Iterable[str] = ()) -> str:
    start = word.rstrip("*+")
    rests = [other[len(start) : -1] for other in excepted if other.startswith(start)]
    unless = f"(?!{'|'.join(rests)})" if rests and start != word else ""
    return start + unless + {"*": r"\w*", "+": r"\w+"}.get(word[-1], "")


@pytest.mark.parametrize(
    ("tells", "words", "excepted", "others"),
    [
        (
            never_guilty,
            written_out(" ".join(SERVING.values())),
            written_out(EXCEPT),
            [*PATTERNS, *(rf"\w*{part}\w*" for part in written_out(PARTS))],
        ),
        (dispatches, written_out(DISPATCHING), [], [r"compat_sys_\w*ioctl", r"\w+_compat_ioctl"]),
    ],
)
def test_names_are_told_by_sets_of_words_as_by_one_pattern(
    tells: Callable[[str], bool], words: list[str], excepted: list[str], others: list[str]
) -> None:
    whole = re.compile(rf"_*(?:{'|'.join([*(as_pattern(word, excepted) for word in words), *others])})")
    texts = (*words, *excepted, *others)
    for word in sorted({part for text in texts for part in re.findall(r"\w+", re.sub(r"\\[wd]", "", text))}):
        for name in (
            word,
            f"__{word}",
            f"{word}_x",
            f"{word[:-1]}",
            f"{word}.x",
            f"my_{word}",
            f"{word}64",
            f"{word}-",
        ):
            assert tells(name) == (not name or whole.fullmatch(name) is not None), name


@pytest.mark.parametrize("text", [" ".join(SERVING.values()), EXCEPT, DISPATCHING])
def test_no_word_of_a_class_is_said_by_another(text: str) -> None:
    starts = {word[:-1] for word in written_out(text) if word[-1] in "*+"}
    excepted = tuple(word[:-1] for word in written_out(EXCEPT)) if text != EXCEPT else ()

    def said(word: str) -> bool:
        shorter = (word[:end] for end in range(1, len(word.rstrip("*+"))))
        return not word.startswith(excepted) and not starts.isdisjoint(shorter)

    assert [word for word in text.split() if all(map(said, written_out(word)))] == []
    assert [word for word in written_out(text) if word[-1] == "+" and said(word)] == []
    assert len(set(text.split())) == len(text.split())


@pytest.mark.parametrize(
    "name, serves",
    [("trace_clock", True), ("trace_event_read", False), ("trace_event_raw_event_x", True), ("get_user_8", True),
     ("get_user_pages", False), ("__get_user_pages_fast", False), ("bitmap_zero", True), ("bitmap_ip_add", False)],
)  # fmt: skip
def test_of_two_words_that_begin_a_name_the_longer_decides(name: str, serves: bool) -> None:
    assert never_guilty(name) == serves


def test_no_word_of_a_class_is_shorter_than_the_letters_it_is_looked_up_by() -> None:
    starts = [word for word in written_out(" ".join([*SERVING.values(), EXCEPT, DISPATCHING])) if word[-1] in "*+"]
    assert starts and min(map(len, starts)) > 3
