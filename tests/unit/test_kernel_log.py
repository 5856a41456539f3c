"""Reports in logs: found, told apart, in order; and what is no report stays silent."""

from __future__ import annotations

import itertools
import random
import time
from typing import Sequence

import pytest
from kernel_reports import REGISTERS, TAIL, WHO, gpf, report, stamped, trace

from gdb_kdbg.kernel_log import LINES_A_REPORT, crashes_in, crashes_in_blocks
from gdb_kdbg.kernel_log_lines import message
from gdb_kdbg.kernel_log_records import Crash


def only(lines: Sequence[str]) -> Crash:
    (crash,) = crashes_in(lines)
    return crash


def test_a_fault_is_told_whole() -> None:
    crash = only(stamped(["usb 1-1: new device", *gpf()], "T4242"))
    assert (crash.title, crash.type) == ("general protection fault in apple_pie_open", "DoS")
    assert (crash.guilty, crash.corrupted) == ("apple_pie_open", "")
    assert (crash.first_line, crash.last_line) == (2, 21)
    assert (crash.task.comm, crash.task.pid, crash.task.cpu) == ("eater", 4242, 1)
    assert (crash.kernel.version, crash.kernel.architecture, crash.kernel.tainted) == ("7.1.0-pie+", "x86-64", "GW")
    assert crash.access is not None and crash.access.address == 0xDFFFFC0000000003
    first, unsure, second = crash.stack[:3]
    assert (first.function, first.offset, first.size, first.reliable) == ("apple_pie_open", 0x25A, 0x2C00, True)
    assert (unsure.function, unsure.reliable) == ("__pfx_crumbs", False)
    assert second.function == "bakery_open"
    registers = dict(crash.registers)
    assert registers["rax"] == 0xDFFFFC0000000000 and registers["cr2"] == 0x18


def test_the_user_side_of_a_system_call_is_no_part_of_the_fault() -> None:
    crash = only(gpf())
    assert 0x7F56A8C90369 not in dict(crash.registers).values()
    assert [frame.function for frame in crash.stack][-1] == "entry_SYSCALL_64_after_hwframe"


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "[   12.345678] ",
        "<4>[   12.345678] ",
        "[   12.345678][  T12] ",
        "[   12.345678][    C3] ",
        "login: [   12.345678][  T12] ",
        "Jan  2 03:04:05 oven kernel: [   12.345678] ",
        "Jan  2 03:04:05 oven kernel: ",
        "2026-01-02T03:04:05.123456+00:00 oven kernel: ",
        "[Fri Jan  2 03:04:05 2026] ",
        "6,1234,5678901,-;",
        "<6>",
        "\x1b[1;31m[   12.345678] ",
    ],
)
def test_what_stands_before_the_message_does_not_matter(prefix: str) -> None:
    crash = only([prefix + line + "\r\n" for line in gpf()])
    assert crash.guilty == "apple_pie_open"
    assert len([frame for frame in crash.stack if frame.reliable]) == 4


def test_the_caller_is_read_from_the_line() -> None:
    assert message("[    1.000000][    C3] x") == ("C3", "x")
    assert message("[    1.000000][ T1234]  x+0x1/0x2") == ("T1234", " x+0x1/0x2")
    assert message("[    1.000000] [net] x") == ("", "[net] x")


def test_two_cpus_printing_at_once_are_told_apart() -> None:
    one = stamped(gpf("apple_pie_open", "apple_user"), "T1")
    two = stamped(gpf("plum_pie_open", "plum_user"), "T2")
    mixed = [line for pair in itertools.zip_longest(one, two) for line in pair if line]
    first, second = crashes_in(mixed)
    assert [frame.function for frame in first.stack if frame.reliable] == ["apple_pie_open", "apple_user"]
    assert [frame.function for frame in second.stack if frame.reliable] == ["plum_pie_open", "plum_user"]


def test_what_programs_print_between_does_not_matter() -> None:
    lines = stamped(gpf(), "T1")
    crash = only([text for line in lines for text in (line, "hello from user space")])
    assert len(crash.stack) == 5


def test_several_reports_come_in_order() -> None:
    logs = [stamped(gpf(name), "T9") for name in ("first_pie", "second_pie", "third_pie")]
    found = list(crashes_in(line for log in logs for line in [*log, "between"]))
    assert [crash.guilty for crash in found] == ["first_pie", "second_pie", "third_pie"]
    assert [crash.first_line for crash in found] == [1, 22, 43]


def test_the_panic_that_follows_is_no_report_of_its_own() -> None:
    for end in ("Fatal exception", "panic_on_warn set ...", "Fatal exception in interrupt"):
        assert (
            only([*gpf(), f"Kernel panic - not syncing: {end}", "Kernel Offset: disabled"]).guilty == "apple_pie_open"
        )
    assert only(["Kernel panic - not syncing: Fatal exception"]).title == "kernel panic: Fatal exception"


def test_a_head_inside_another_report_of_the_same_oops_is_part_of_it() -> None:
    lines = report(
        "------------[ cut here ]------------",
        "kernel BUG at fs/oven.c:77!",
        "invalid opcode: 0000 [#1] SMP",
        WHO,
        "RIP: 0010:oven_close+0x10/0x20",
        REGISTERS,
        trace("oven_release", "__fput"),
        TAIL,
    )
    crash = only(lines)
    assert (crash.title, crash.type, crash.guilty_file) == ("kernel BUG in oven_close", "BUG", "fs/oven.c:77")


@pytest.mark.parametrize(
    "line",
    [
        "INFO: lockdep is turned off.",
        "INFO: task eater:7 is blocked on a mutex likely owned by task baker:8.",
        "INFO: NMI handler (sizzle) took too long to run: 1.356 msecs",
        "INFO: Stall ended before state dump start",
        "BUG UNIX (Not tainted): kasan: bad access detected",
        "WARNING: the oven option is deprecated",
        "systemd[1]: Started Kernel panic watcher",
        "traps: cook[12] general protection fault ip:401000 sp:7ffc12345678 error:0 in cook[400000+1000]",
        "cook[12]: segfault at 0 ip 0000000000401000 sp 00007ffc12345678 error 4 in cook[400000+1000]",
        "traps: cook[12] trap divide error ip:401000 sp:7ffc12345678 error:0",
        "Command line: panic=10 oops=panic nmi_watchdog=panic",
        "rcu: Hierarchical RCU implementation.",
        "audit: type=1400 audit(1.2:3): avc: denied BUG: KASAN: use-after-free in x",
        "ftrace: allocating 1234 entries",
        "EXT4-fs: Warning: mounting with an experimental option",
        "INFO: rcu implementation is hierarchical",
        "------------[ cut here ]------------",
        "RIP: 0033:0x7f1234567abc",
    ],
)
def test_a_line_that_is_no_head_is_silent(line: str) -> None:
    assert list(crashes_in(["before", line, "after"])) == []
    assert list(crashes_in(stamped(["before", line, "after"], "T3"))) == []


def test_a_stack_without_a_report_is_silent_and_a_weak_head_needs_one() -> None:
    assert list(crashes_in(report(WHO, trace("apple_pie_open")))) == []
    assert list(crashes_in(["WARNING: the dough is sticky"])) == []
    crash = only(report("WARNING: the dough is sticky", WHO, trace("dump_stack", "knead_dough")))
    assert (crash.type, crash.guilty) == ("WARNING", "knead_dough")


def test_a_kernel_that_starts_again_unasked_is_reported() -> None:
    boot = stamped(["Linux version 7.1.0 (cook@oven)", "Command line: quiet"], start=0.0)
    running = stamped(["eth0: link up"] * 3, start=90.0)
    assert only([*boot, *running, *boot]).title == "unexpected kernel reboot"
    assert list(crashes_in([*boot, *running])) == []
    assert list(crashes_in([*boot, *running, "reboot: Restarting system", *boot])) == []
    assert [crash.guilty for crash in crashes_in([*boot, *running, *gpf(), *boot])] == ["apple_pie_open"]


def test_bytes_of_any_kind_are_read() -> None:
    lines = [line.encode() for line in gpf()]
    lines.insert(3, bytes(range(256)))
    lines[2] = lines[2].replace(b"eater", b"e\xff\x00\x1b[2Jr")
    crash = only(lines)  # type: ignore[arg-type]
    assert crash.guilty == "apple_pie_open"


def test_control_bytes_never_get_out() -> None:
    crash = only(["BUG: Bad page state in process \x1b[2J\u202e  pfn:1", trace("dump_stack", "a")])
    assert crash.title.isprintable() and crash.headline.isprintable()


def test_blocks_and_lines_tell_the_same() -> None:
    text = "\n".join([*stamped(gpf(), "T1"), "noise", *stamped(gpf("plum_pie_open"), "T2")])
    whole = list(crashes_in(text.split("\n")))
    lines = [line + "\n" for line in text.split("\n")]
    for size in (1, 2, 7):
        blocks = ["".join(lines[start : start + size]) for start in range(0, len(lines), size)]
        assert list(crashes_in_blocks(blocks)) == whole


def test_what_is_kept_is_bounded() -> None:
    endless = itertools.chain(gpf()[:8], (f" f{number}+0x1/0x2" for number in range(10 * LINES_A_REPORT)))
    crash = only(list(endless))
    assert len(crash.stack) <= LINES_A_REPORT
    many = [line for task in range(200) for line in stamped(gpf(f"pie_{task}")[:-2], f"T{task}")]
    assert [crash.guilty for crash in crashes_in(many)] == [f"pie_{task}" for task in range(200)]


def test_damaged_logs_are_read_without_an_error() -> None:
    chance = random.Random(7)
    text = "\n".join([*stamped(gpf(), "T1"), *stamped(gpf("plum_pie_open"), "T2")])
    for _ in range(300):
        damaged = list(text)
        for _ in range(chance.randrange(1, 12)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randrange(4)] = chance.choice(
                ["\n", "", "\0", "\udcff", "[<", "+0x", "0" * 50]
            )
        for crash in crashes_in("".join(damaged).split("\n")):
            assert crash.title.isprintable() and crash.guilty.isprintable()
            assert all(frame.function.isprintable() for frame in crash.stack)


@pytest.mark.parametrize(
    "filler", [" ", "a", "0", "<A> ", "a/", ": ", "? ", "(a", "f+0x1/0x2", "[<ffffffff81000000>] ", "RIP: ", "x from "]
)
def test_long_lines_take_no_long_time(filler: str) -> None:
    head = "Internal error: Oops: 5 [#1] SMP"
    bad = (filler * 4000)[:4000]
    lines = [head, "Call Trace:", *[bad + "+0x1/0x2", bad + head, "RIP: 0010:" + bad] * 20]
    start = time.process_time()
    list(crashes_in(lines))
    assert time.process_time() - start < 2


def test_a_function_called_as_a_head_begins_is_no_head() -> None:
    lines = ["Linux says hello", " panic+0x10/0x200", " usercopy_abort+0x1/0x20", " some_BUG+0x1/0x20"]
    assert list(crashes_in(lines)) == []
    assert [crash.type for crash in crashes_in([*lines, "Kernel panic - not syncing: the oven is out"])] == ["DoS"]
