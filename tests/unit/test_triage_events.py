"""What triage counts of logs without oops texts: every kind of finding on events, each with its twin that is none."""

from __future__ import annotations

import json
import pathlib
from typing import Any, List, Mapping, Sequence

import pytest
from event_log import Hex
from log_lines import (
    GUARD,
    KERNEL,
    Part,
    analyse,
    check,
    damaged,
    dump,
    entry,
    exec_of,
    killed,
    page_fault,
    raw_log,
    returned,
    signal,
    usercopy,
)

from gdb_kdbg.triage_command import Triage
from gdb_kdbg.triage_groups import Tally
from gdb_kdbg.triage_logs import logs_of
from gdb_kdbg.triage_pool import read_in_pool, read_serially
from gdb_kdbg.triage_report import Group, TriageReport, report_of
from gdb_kdbg.triage_state import VERSION, State
from gdb_kdbg.triage_summary import Log, Summary, summary_of
from gdb_kdbg.triage_work import batches_of

COPY_FAULT: Mapping[str, Any] = {
    "type": "usercopy_fault", "pid": 3, "fault_addr": Hex(0x10001000), "ip": Hex(KERNEL), "label": "bulk_qwords",
    "dst": Hex(0x10000FFE), "src": Hex(KERNEL + 64), "remaining": 2, "orig_len": 4, "ctx": "ioctl:TIOCGPGRP",
}  # fmt: skip
PANIC: Mapping[str, Any] = {
    "type": "panic", "message": "index 7 out of bounds",
    "backtrace": [{"addr": Hex(KERNEL), "sym": name, "off": Hex(4)} for name in ("rust_begin_unwind", "tty_resize",
                                                                                "tty_ioctl")],
}  # fmt: skip
MISSING: Mapping[str, Any] = {"type": "unimplemented_syscall", "pid": 3, "name": "io_uring_setup", "nr": 425}
HANDLED = signal(11, "handler")
DEATH = (signal(11), killed(11))
# Type, guilty, stack; the log, and its twin in which the same is no finding.
KINDS: List[tuple[str, str, tuple[str, ...], Sequence[Part], Sequence[Part]]] = [
    ("guard-changed", "", (), [check(), check(0x77)], [check(), check()]),
    ("copy-fault", "ioctl:TIOCGPGRP", (f"{KERNEL:#x}",), [exec_of("/bin/sh"), COPY_FAULT],
     [exec_of("/bin/sh"), usercopy(0x10000FFE, 4)]),
    ("panic", "tty_resize", ("tty_resize", "tty_ioctl"), [PANIC], [exec_of("panic")]),
    ("null-call", "sh", ("0x0",), [exec_of("/bin/sh"), page_fault(0, ip=0), *DEATH],
     [exec_of("/bin/sh"), page_fault(0, ip=0), HANDLED]),
    ("null-dereference", "sh", ("0x401000",), [exec_of("/bin/sh"), page_fault(8), *DEATH],
     [exec_of("/bin/sh"), page_fault(8), HANDLED]),
    ("no-mapping", "sh", ("0x401000",), [exec_of("/bin/sh"), page_fault(0x7000_0000), *DEATH],
     [exec_of("/bin/sh"), page_fault(0x7000_0000), HANDLED]),
    ("fatal-signal", "sh", ("0x401000",), [exec_of("/bin/sh"), signal(6), killed(6)],
     [exec_of("/bin/sh"), signal(15), killed(15)]),
    ("missing-system-calls", "io_uring_setup", (), [MISSING], [returned("io_uring_setup", 3)]),
    ("error-storm", "ioctl", (), [returned("ioctl", -25, "ENOTTY")] * 100, [returned("ioctl", -25, "ENOTTY")] * 10),
    ("kernel-pointer-leak", "read", (), [returned("read", 0xFFFF_8880_0010_0040)], [returned("read", 40)]),
]  # fmt: skip


def log_of(directory: pathlib.Path, parts: Sequence[Part], name: str = "serial.log") -> Log:
    path = directory / name
    path.write_bytes(raw_log(["boot", *parts]))
    return Log(str(path), path.stat().st_size, 1_700_000_000 * 10**9)


def groups(*summaries: Summary) -> Sequence[Group]:
    return report_of(Tally(summaries)).groups


@pytest.mark.parametrize(("kind", "guilty", "stack", "parts", "twin"), KINDS, ids=[row[0] for row in KINDS])
def test_each_kind_of_finding_is_counted_under_the_title_that_analyze_gives(
    kind: str, guilty: str, stack: tuple[str, ...], parts: Sequence[Part], twin: Sequence[Part], tmp_path: pathlib.Path
) -> None:
    (group,) = groups(summary_of(log_of(tmp_path, parts)))
    assert (group.crashes, group.type, group.guilty) == (1, kind, guilty)
    first = analyse("boot", *parts).findings[0]
    assert (group.type, group.title) == (first.rule, first.summary)
    assert group.stacks[0].frames == stack
    assert "0x" not in "".join(group.titles) and summary_of(log_of(tmp_path, twin)).crash is None


WHOLE, DOUBLED = check(0x0190028000500019, "post_syscall"), check(damaged(b"\x17\x10\x55\x5e"), "post_syscall")


@pytest.mark.parametrize(
    ("parts", "guilty"),
    [
        ([check(), DOUBLED, dump(entry(GUARD - 4, 4))], "copy routine"),
        ([check(), WHOLE, dump(entry(GUARD, 8))], "ioctl"),
        ([check(), WHOLE, dump({**entry(GUARD, 8), "pid": 3, "ctx": "ioctl:TIOCGPGRP"})], "ioctl:TIOCGPGRP"),
        ([exec_of("/bin/vi"), check(when="post_syscall"), check(damaged(b"edg\0"), "pre_syscall", "write"),
          dump(entry(GUARD - 0x18, 8))], "vi"),
        ([check(), WHOLE, dump(entry(GUARD + 16, 8))], ""),
    ],
)  # fmt: skip
def test_a_changed_guard_is_laid_to_whom_the_finding_names(
    parts: Sequence[Part], guilty: str, tmp_path: pathlib.Path
) -> None:
    (group,) = groups(summary_of(log_of(tmp_path, parts)))
    first = analyse("boot", *parts).findings[0]
    assert (group.type, group.guilty, group.title) == ("guard-changed", guilty, first.summary)
    assert (first.facts.verdict == "undecidable") is (guilty == "")


def test_one_mistake_in_many_processes_is_one_group_and_others_are_others(tmp_path: pathlib.Path) -> None:
    summaries = []
    for number, (program, rule) in enumerate([("sh", 8), ("sh", 16), ("vi", 8), ("sh", 0x7000_0000)]):
        pid = 10 + number
        events = [exec_of(f"/bin/{program}", pid), page_fault(rule, pid=pid), signal(11, pid=pid), killed(11, pid)]
        summaries.append(summary_of(log_of(tmp_path, events, f"{number}.log")))
    found = groups(*summaries)
    assert [(group.crashes, group.type, group.guilty) for group in found] == [
        (2, "null-dereference", "sh"),
        (1, "no-mapping", "sh"),
        (1, "null-dereference", "vi"),
    ]
    # That of the first log; both differ only in numbers.
    assert "accessed 0x8 " in found[0].title and "(pid 10)" in found[0].title and len(found[0].titles) == 1


def test_the_gravest_finding_of_a_log_counts(tmp_path: pathlib.Path) -> None:
    summary = summary_of(log_of(tmp_path, [MISSING, exec_of("/bin/sh"), page_fault(8), *DEATH, PANIC]))
    assert summary.crash and summary.crash.type == "panic"


@pytest.fixture
def logs(tmp_path: pathlib.Path) -> Sequence[Log]:
    directory = tmp_path / "logs"
    directory.mkdir()
    for copy in range(8):
        for number, (_, _, _, parts, twin) in enumerate(KINDS):
            log_of(directory, twin if copy == 7 else parts, f"{copy}-{number}.log")
    return logs_of([str(directory)])


def test_a_pool_counts_the_same_events_as_one_process(logs: Sequence[Log]) -> None:
    def told(parts: Any) -> TriageReport:
        tally = Tally()
        for part in parts:
            if part is not None:
                tally.merge(part.tally)
        return report_of(tally)

    one = told(read_serially(batches_of(logs), False))
    assert one == told(read_in_pool([[log] for log in logs], 2, False))
    assert sorted(group.type for group in one.groups) == sorted(row[0] for row in KINDS)
    assert {group.crashes for group in one.groups} == {7} and one.quiet == len(KINDS)


def test_a_state_that_knew_of_fewer_findings_is_not_believed(logs: Sequence[Log], tmp_path: pathlib.Path) -> None:
    old = {log.name: [log.size, log.modified, 1.0, "file"] for log in logs}
    path = tmp_path / "state"
    whole = Triage(logs, None, lambda text: None).run(lambda some, keep: read_serially(batches_of(some), keep))
    for _ in range(2):
        path.write_text(json.dumps({"kdbg-triage": VERSION - 1, "logs": old}))
        for _ in range(2):
            state = State(str(path))
            found = Triage(logs, state, lambda text: None).run(lambda some, keep: read_serially(batches_of(some), keep))
            assert found == whole
    assert json.loads(path.read_text())["kdbg-triage"] == VERSION
