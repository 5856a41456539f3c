"""What each command does with its options, from the line typed to the result."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from fakes import FakeSession, FakeTarget
from stories import GOOD, GUARD, INDEX, SWITCH, Kernel, damaged

from gdb_kdbg.arguments import parse
from gdb_kdbg.errors import KdbgError, NotSupported, TargetUnavailable
from gdb_kdbg.registry import commands


def run(line: str, session: FakeSession) -> Any:
    name, *words = line.split()
    command = next(command for command in commands() if command.name == name)
    return command.run(session, parse(command, words))


def session_of(target: Optional[FakeTarget] = None, **settings: str) -> FakeSession:
    return FakeSession(target or Kernel(), {name.replace("_", "-"): value for name, value in settings.items()})


def kernel_with_copies() -> Kernel:
    kernel = Kernel()
    kernel.copy(0x1000, 8)
    kernel.copy(GUARD - 4, 4)
    kernel.copy(0x2000, 8)
    return kernel


def test_ring_shows_every_record() -> None:
    assert [record.sequence for record in run("ring", session_of(kernel_with_copies())).records] == [0, 1, 2]


@pytest.mark.parametrize(("count", "kept"), [("2", [1, 2]), ("0x1", [2]), ("9", [0, 1, 2]), ("0", [])])
def test_ring_last_keeps_the_newest(count: str, kept: list[int]) -> None:
    report = run(f"ring --last {count}", session_of(kernel_with_copies()))
    assert [record.sequence for record in report.records] == kept
    assert report.total == 3


@pytest.mark.parametrize(("address", "kept"), [(GUARD, [1]), (GUARD + 63, [1]), (GUARD + 64, []), (0x1007, [0])])
def test_ring_around_keeps_the_copies_within_64_bytes(address: int, kept: list[int]) -> None:
    report = run(f"ring --around {address:#x}", session_of(kernel_with_copies()))
    assert [record.sequence for record in report.records] == kept


def test_ring_off_and_on_write_the_switch_and_then_show() -> None:
    kernel = kernel_with_copies()
    session = session_of(kernel)
    assert run("ring --off", session).enabled is False
    assert kernel.peek(SWITCH, 1) == b"\0"
    assert run("ring --on", session).enabled is True


def test_ring_on_and_off_exclude_each_other_and_change_nothing() -> None:
    kernel = kernel_with_copies()
    with pytest.raises(KdbgError, match="exclude each other"):
        run("ring --on --off --clear", session_of(kernel))
    assert kernel.peek(INDEX, 1) == b"\3"


def test_ring_clear_forgets_the_records() -> None:
    assert run("ring --clear", session_of(kernel_with_copies())).total == 0


@pytest.mark.parametrize("option", ["--on", "--off", "--clear"])
def test_ring_changes_no_core_dump(option: str) -> None:
    session = session_of(kernel_with_copies())
    session.is_live = False
    assert run("ring", session).total == 3
    with pytest.raises(NotSupported, match="needs a live target"):
        run(f"ring {option}", session)


def test_ring_takes_its_layout_from_the_setting() -> None:
    assert run("ring", session_of(ring_layout="capacity=2")).capacity == 2


def test_canary_checks_once_and_takes_the_expected_value_from_the_setting() -> None:
    kernel = Kernel()
    assert run("canary", session_of(kernel, expected_guard=hex(GOOD))).verdict == "intact"
    kernel.set_guard(damaged(b"A"))
    assert run("canary", session_of(kernel, expected_guard=hex(GOOD))).verdict == "corrupted"


def test_canary_remembers_in_the_session() -> None:
    session = session_of()
    assert [run("canary", session).verdict for _ in range(2)] == ["unknown", "intact"]
    assert run("canary", session_of()).verdict == "unknown"


def test_canary_on_system_calls_is_armed_with_the_settings() -> None:
    session = session_of(syscall_entry="a", syscall_exit="b")
    assert run("canary --syscalls", session).done == "armed guard check"
    assert session.checked == [("a", "b")]


def test_canary_off_says_how_much_was_removed() -> None:
    session = session_of()
    run("watch guard", session)
    assert run("canary --off", session).done.startswith("removed 1 ")
    assert run("canary --off", session).done.startswith("removed 0 ")


def test_watch_guards_the_guard_of_this_process_by_default() -> None:
    session = session_of()
    report = run("watch", session)
    ((what, range, any_process),) = session.watched
    assert (what, range.start, range.size, any_process) == ("guard", GUARD, 8, False)
    assert report.done == f"armed watchpoint on guard, 8 bytes at {GUARD:#x}, this process only"


def test_watch_remembers_the_good_guard() -> None:
    session = session_of()
    run("watch guard", session)
    assert run("canary", session).expected == GOOD


@pytest.mark.parametrize(
    ("what", "start", "size"), [("0x5000", 0x5000, 8), ("0x5000,4", 0x5000, 4), ("0x5000,0x10", 0x5000, 16)]
)
def test_watch_takes_an_expression_and_a_size(what: str, start: int, size: int) -> None:
    session = session_of()
    run(f"watch {what} --any-process", session)
    ((_, range, any_process),) = session.watched
    assert (range.start, range.size, any_process) == (start, size, True)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("0x5000,many", "not a size: 'many'"),
        ("0x5000,0", "size must be 1 to 4096 bytes, not 0"),
        ("0x5000,4097", "not 4097"),
        ("0x5000,-8", "not -8"),
        ("nowhere", "no symbol 'nowhere'"),
    ],
)
def test_watch_refuses_what_cannot_be_watched(what: str, message: str) -> None:
    session = session_of()
    with pytest.raises(KdbgError, match=message):
        run(f"watch {what}", session)
    assert session.watched == []


def test_watch_refuses_a_guard_that_is_not_there_yet() -> None:
    kernel = Kernel()
    kernel.registers["fs_base"] = 0
    with pytest.raises(KdbgError, match="fs_base is 0"):
        run("watch guard", session_of(kernel))


@pytest.mark.parametrize("line", ["canary", "canary --syscalls", "watch guard", "watch 0x1000", "why"])
def test_the_guard_of_another_architecture_is_refused(line: str) -> None:
    kernel = Kernel()
    kernel.architecture = "aarch64"
    with pytest.raises(NotSupported, match="aarch64"):
        run(line, session_of(kernel))


def test_why_explains_the_stop() -> None:
    kernel = Kernel()
    kernel.put(GUARD, b"\xd1\xd2\xd3")
    session = session_of(kernel, expected_guard=hex(GOOD))
    assert [finding.rule for finding in run("why", session).findings] == ["guard-changed"]
    assert run("why", session_of()).findings == ()


def test_status_says_what_was_recognised() -> None:
    kernel = Kernel()
    kernel.process()
    report = run("status", session_of(kernel))
    assert (report.target, report.architecture, report.process) == ("system emulator", "i386:x86-64", "tty (pid 7)")
    assert report.ring is not None and "32 records of 32 bytes (capacity from symbol size)" in report.ring
    assert (report.guard_address, report.problems) == (GUARD, ())
    assert "kdbg why" in [line.command for line in report.commands]


def test_status_of_a_plain_program_has_neither_ring_nor_process() -> None:
    report = run("status", session_of(FakeTarget(kind="native", cr3=None)))
    assert (report.ring, report.process, report.guard_address, report.problems) == (None, None, None, ())


def test_status_without_a_target_still_lists_the_commands() -> None:
    report = run("status", FakeSession(None))
    assert (report.target, report.problems) == (None, ("no target: run a program first",))
    assert len(report.commands) == len(commands())


def test_status_tells_a_wrong_setting_as_a_problem() -> None:
    report = run("status", session_of(ring_layout="nonsense"))
    assert report.ring is None
    assert "'nonsense' is not NAME=VALUE" in report.problems[0]


@pytest.mark.parametrize("line", ["ring", "canary", "watch guard", "why"])
def test_without_a_target_a_command_says_so(line: str) -> None:
    with pytest.raises(TargetUnavailable, match="no target"):
        run(line, FakeSession(None))
