"""Logs summed up, tallies merged in any order, groups made of them; with a store and a state that are made up."""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import pathlib
import random
import time
from typing import Any, Dict, Iterator, List, Optional, Sequence

import oops
import pytest
from fakes import FakeSession
from hypothesis import given
from hypothesis import strategies as st

from gdb_kdbg.errors import KdbgError
from gdb_kdbg.render.json import to_json
from gdb_kdbg.render.table import to_text
from gdb_kdbg.triage_command import Triage, triage_logs
from gdb_kdbg.triage_groups import EXEMPLARS, NAMED, Tally, cause_of, grouped
from gdb_kdbg.triage_logs import logs_of
from gdb_kdbg.triage_pool import read_in_pool, read_serially
from gdb_kdbg.triage_report import TriageReport, report_of
from gdb_kdbg.triage_state import VERSION, State
from gdb_kdbg.triage_store import listed, objects
from gdb_kdbg.triage_summary import BINARY, CrashKey, Log, Summary, summary_of
from gdb_kdbg.triage_work import Part, batches_of

MISTAKE = oops.Mistake("kasan", "quux_open", ("wibble_outer", "vfs_ioctl"))
TIME = 1_700_000_000


def log_of(directory: pathlib.Path, content: bytes, name: str = "console.log") -> Log:
    path = directory / name
    path.write_bytes(content)
    return Log(str(path), len(content), TIME * 10**9)


def crash_text(mistake: oops.Mistake = MISTAKE, date: Optional[str] = None) -> bytes:
    return oops.crash_log(mistake, random.Random(5), date).encode()


# --- one log ---


@pytest.mark.parametrize("kind", oops.KINDS)
def test_a_log_is_summed_up_by_its_crash(kind: str, tmp_path: pathlib.Path) -> None:
    summary = summary_of(log_of(tmp_path, crash_text(MISTAKE._replace(kind=kind))))
    assert summary.crash is not None and summary.problem == ""
    assert summary.crash.guilty == "quux_open"
    # What runs any callback is no part of the stack; neither is who reported it.
    assert summary.crash.stack == ("quux_open", "wibble_outer")


def test_a_log_without_a_crash_has_none(tmp_path: pathlib.Path) -> None:
    text = oops.quiet_log(random.Random(1)).encode()
    for number, content in enumerate((text, b"", b"\n", b"no line end", b"\0" * 600 + text)):
        summary = summary_of(log_of(tmp_path, content, f"{number}.log"))
        assert (summary.crash, summary.problem) == (None, "")


@pytest.mark.parametrize(
    "content",
    [b"\x7fELF" + bytes(100), bytes(4096), random.Random(3).randbytes(9000), b"\x89PNG\r\n\x1a\n" + bytes(range(256))],
)
def test_what_is_no_text_is_binary(content: bytes, tmp_path: pathlib.Path) -> None:
    assert summary_of(log_of(tmp_path, content)).problem == BINARY


def test_letters_of_any_language_and_colours_are_text(tmp_path: pathlib.Path) -> None:
    content = "\x1b[32mпуск ядра: \x1b[0m起動しています\n".encode() * 50
    assert summary_of(log_of(tmp_path, content)).problem == ""


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_line_ends_make_no_difference(ends: bytes, tmp_path: pathlib.Path) -> None:
    summary = summary_of(log_of(tmp_path, crash_text().replace(b"\n", ends)))
    assert summary.crash and summary.crash.guilty == "quux_open"


def test_a_crash_far_behind_the_start_of_a_log_is_found(tmp_path: pathlib.Path) -> None:
    before = oops.quiet_log(random.Random(1), 20_000).encode()
    summary = summary_of(log_of(tmp_path, before + crash_text(date="2026-03-01 12:00:00")))
    assert summary.crash and (summary.seen_by, summary.seen) == ("log", 1772366400.0)


@pytest.mark.parametrize(
    ("date", "seen"),
    [
        ("2026-03-01 12:00:00", datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)),
        ("2026-03-01T12:00:00+02:00", datetime.datetime(2026, 3, 1, 10, tzinfo=datetime.timezone.utc)),
        ("[Sun Mar  1 12:00:00 2026]", datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)),
    ],
)
def test_a_console_that_writes_dates_tells_when_it_was(
    date: str, seen: datetime.datetime, tmp_path: pathlib.Path
) -> None:
    summary = summary_of(log_of(tmp_path, crash_text(date=date)))
    assert summary.crash and (summary.seen, summary.seen_by) == (seen.timestamp(), "log")


def test_without_dates_the_file_tells_when_it_was(tmp_path: pathlib.Path) -> None:
    summary = summary_of(log_of(tmp_path, crash_text()))
    assert (summary.seen, summary.seen_by) == (TIME, "file")


def test_a_damaged_archive_counts_for_what_stands_before_the_damage(tmp_path: pathlib.Path) -> None:
    # The report is not at its end where the damage is.
    text = crash_text().split(b"---[ end")[0] + random.Random(1).randbytes(3000).hex().encode()
    summary = summary_of(log_of(tmp_path, gzip.compress(text)[:-300]))
    assert summary.crash and "damaged" in summary.problem and str(tmp_path) not in summary.problem
    report = report_of(Tally([summary]))
    assert (report.crashes, report.damaged, report.unreadable, len(report.not_read)) == (1, 1, 0, 1)
    assert summary_of(log_of(tmp_path, gzip.compress(text))).problem == ""


def test_a_log_that_kdbg_cannot_take_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    def fails(blocks: object) -> Iterator[None]:
        raise RuntimeError("a mistake of kdbg")

    log = log_of(tmp_path, crash_text())
    monkeypatch.setattr("gdb_kdbg.triage_summary.crashes_in_blocks", fails)
    assert summary_of(log).problem == "kdbg failed on it: RuntimeError: a mistake of kdbg"


def test_names_from_a_log_are_fit_for_a_terminal(tmp_path: pathlib.Path) -> None:
    text = crash_text(MISTAKE._replace(guilty="quux\x1b[31mopen")) + crash_text()
    report = report_of(Tally([summary_of(log_of(tmp_path, text, "a\x1bb.log"))]))
    assert "\x1b" not in to_text(report) and "\\u001b" not in to_json("triage", report)


PANIC = (
    'DBG {"type":"panic","message":"index %d out of bounds","backtrace":['
    '{"addr":0xffff800000101000,"sym":"kernel::tty::resize","off":0x12}]}\n'
)
CHECK = (
    'DBG {"type":"canary_check","pid":3,"fsbase":0xa000,"expected":0x1100,"found":%s,"corrupted":%s,'
    '"when":"post_syscall","syscall":"ioctl"}\n'
)


def test_a_kernel_that_tells_of_its_panic_in_an_event_is_grouped_too(tmp_path: pathlib.Path) -> None:
    logs = [log_of(tmp_path, b"boot\n" + (PANIC % number).encode(), f"{number}.log") for number in range(3)]
    report = report_of(Tally(map(summary_of, logs)))
    assert [(group.crashes, group.type, group.guilty) for group in report.groups] == [
        (3, "panic", "kernel::tty::resize")
    ]


def test_a_changed_guard_is_a_crash_and_an_intact_one_is_none(tmp_path: pathlib.Path) -> None:
    intact = log_of(tmp_path, (CHECK % ("0x1100", "false")).encode(), "intact.log")
    changed = log_of(tmp_path, (CHECK % ("0x1100", "false") + CHECK % ("0x77", "true")).encode(), "changed.log")
    report = report_of(Tally(map(summary_of, (intact, changed))))
    assert (report.crashes, report.quiet, report.groups[0].exemplars) == (1, 1, (changed.name,))
    assert "0x" not in report.groups[0].title


def test_what_an_event_quotes_is_no_crash_of_this_kernel(tmp_path: pathlib.Path) -> None:
    line = 'DBG {"type":"process_exec","pid":3,"argv0":"BUG: KASAN: slab-out-of-bounds in f+0x1/0x2","entry":0x4000}\n'
    assert summary_of(log_of(tmp_path, line.encode())).crash is None


def test_the_crash_dump_of_an_earlier_boot_is_a_log(tmp_path: pathlib.Path) -> None:
    text = crash_text()
    head = (0xDEADBEEE).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    found = summary_of(log_of(tmp_path, head + text)).crash
    assert found and found.guilty == "quux_open"


# --- tallies ---

WORDS = st.sampled_from(["f", "g", ""])
KEYS = st.builds(
    CrashKey, st.sampled_from(["DoS", "KASAN-READ", "WARNING"]), WORDS,
    st.sampled_from(["KASAN: x in f", "WARNING in f", "general protection fault in f"]),
    st.sampled_from([(), ("f",), ("f", "g")]),
)  # fmt: skip
SUMMARIES = st.lists(
    st.builds(
        Summary, st.uuids().map(str), st.integers(0, 99), st.sampled_from([1.0, 2.0, 3.0]),
        st.sampled_from(["log", "file"]), st.none() | KEYS, st.sampled_from(["", "", BINARY, "damaged"]),
    ),
    max_size=40,
)  # fmt: skip


def merged(tallies: Sequence[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        whole.merge(tally)
    return whole


def cut(summaries: List[Summary], places: List[int]) -> List[List[Summary]]:
    ends = sorted({0, len(summaries), *(place % (len(summaries) + 1) for place in places)})
    return [summaries[start:end] for start, end in zip(ends, ends[1:])]


@given(SUMMARIES, st.lists(st.integers(0, 99), max_size=6), st.randoms(use_true_random=False))
def test_it_does_not_matter_who_counts_what_and_in_which_order(
    summaries: List[Summary], places: List[int], chance: random.Random
) -> None:
    whole = Tally(summaries)
    parts = [Tally(part) for part in cut(summaries, places)]
    chance.shuffle(parts)
    assert merged(parts) == whole
    assert report_of(merged(parts)) == report_of(whole)
    # As a tree, too.
    half = len(parts) // 2
    assert merged([merged(parts[half:]), merged(parts[:half])]) == whole


@given(SUMMARIES)
def test_all_logs_are_counted_once(summaries: List[Summary]) -> None:
    tally = Tally(summaries)
    assert tally.crashes + tally.quiet + tally.binary + tally.unreadable == tally.files == len(summaries)
    assert sum(pile.crashes for members in grouped(tally) for _, pile in members) == tally.crashes
    assert sum(group.crashes for group in report_of(tally).groups) == tally.crashes


def summary(number: int, key: Optional[CrashKey], problem: str = "", seen: float = 0.0) -> Summary:
    return Summary(f"{number:04d}.log", 10, seen or float(number), "file", key, problem)


def key(kind: str, guilty: str, title: str, *stack: str) -> CrashKey:
    return CrashKey(kind, guilty, title, stack)


GPF = key("DoS", "f", "general protection fault in f", "f", "g")
KASAN = key("KASAN-READ", "f", "KASAN: slab-out-of-bounds Read in f", "f", "h")
WARNING = key("WARNING", "f", "WARNING in f", "f", "g")


def test_alternates_of_a_bad_access_with_one_guilty_function_are_one_group() -> None:
    report = report_of(Tally([summary(1, GPF), summary(2, KASAN), summary(3, KASAN), summary(4, WARNING)]))
    assert [(group.crashes, group.type, group.guilty) for group in report.groups] == [
        (3, "KASAN-READ", "f"),
        (1, "WARNING", "f"),
    ]
    assert report.groups[0].types == {"KASAN-READ": 2, "DoS": 1}
    assert [(stack.crashes, stack.frames) for stack in report.groups[0].stacks] == [(2, ("f", "h")), (1, ("f", "g"))]


def test_other_guilty_functions_are_other_groups() -> None:
    other = KASAN._replace(guilty="g", title="KASAN: slab-out-of-bounds Read in g")
    assert len(report_of(Tally([summary(1, KASAN), summary(2, other)])).groups) == 2


def test_crashes_without_a_guilty_function_are_told_apart_by_their_titles() -> None:
    first, second = key("HANG", "", "INFO: task hung in corrupted"), key("HANG", "", "stall in corrupted")
    report = report_of(Tally([summary(1, first), summary(2, second), summary(3, second)]))
    assert [(group.crashes, group.title) for group in report.groups] == [(2, second.title), (1, first.title)]
    assert second.title in to_text(report) and KASAN.title not in to_text(report_of(Tally([summary(1, KASAN)])))


@pytest.mark.parametrize(
    ("title", "cause"),
    [
        ("KASAN: use-after-free Write in f", "bad access"),
        ("KASAN: invalid-free in f", "invalid free"),
        ("KASAN: double-free in f", "invalid free"),
        ("KFENCE: invalid free in f", "invalid free"),
        ("KFENCE: memory corruption in f", ""),
        ("BUG: unable to handle kernel NULL pointer dereference in f", "bad access"),
        ("BUG: unable to handle kernel paging request in f", "bad access"),
        ("kernel panic: corrupted stack end in f", "stack overflow"),
        ("INFO: task hung in f", "hang"),
        ("BUG: soft lockup in f", "stall"),
        ("WARNING in f", ""),
        ("possible deadlock in f", ""),
    ],
)
def test_titles_of_one_cause(title: str, cause: str) -> None:
    assert cause_of(title) == cause


def test_exemplars_are_the_first_few_and_times_the_first_and_last() -> None:
    summaries = [summary(number, KASAN, seen=TIME + number) for number in range(50)]
    random.Random(4).shuffle(summaries)
    group = report_of(Tally(summaries)).groups[0]
    assert group.exemplars == tuple(f"{number:04d}.log" for number in range(EXEMPLARS))
    assert (group.first_seen, group.last_seen) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:09Z")
    assert group.times == "file"


def test_both_clocks_are_named_where_both_tell() -> None:
    summaries = [summary(1, KASAN, seen=1.0), summary(2, KASAN, seen=2.0)._replace(seen_by="log")]
    assert report_of(Tally(summaries)).groups[0].times == "file, log"
    assert report_of(Tally(summaries[1:])).groups[0].times == "log"


@pytest.mark.parametrize("seen", [1e30, -1e30])
def test_a_time_that_no_calendar_has_is_left_out(seen: float) -> None:
    assert report_of(Tally([summary(1, KASAN, seen=seen)])).groups[0].first_seen == ""


def test_only_the_first_of_many_bad_files_are_named_and_the_others_counted() -> None:
    tally = merged([Tally([summary(number, None, "a reason")]) for number in range(NAMED + 5)])
    report = report_of(tally)
    assert tally.unreadable == NAMED + 5 and len(report.not_read) == NAMED
    assert report.problems == ("5 more files were not read, or not to the end",)
    assert report_of(Tally([summary(1, None, "a reason")])).problems == ()


# --- where logs are ---


def test_a_directory_is_taken_with_all_below_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a" / "b.log").mkdir(parents=True)
    for name in ("x", "a/y", "a/b.log/z"):
        (tmp_path / name).write_text("text")
    assert [os.path.relpath(log.name, tmp_path) for log in logs_of([str(tmp_path)])] == ["a/b.log/z", "a/y", "x"]
    assert [log.problem for log in logs_of([str(tmp_path / "*")])] == ["no regular file: a directory", ""]


def test_what_is_no_file_is_never_opened(tmp_path: pathlib.Path) -> None:
    oops.write_trouble(tmp_path, 6)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "around").symlink_to(tmp_path)
    found = {os.path.basename(log.name): log.problem for log in logs_of([str(tmp_path)])}
    assert found["trouble-0000.log"] == "cannot be opened: a link to nothing"
    assert found["trouble-0002.log"] == "no regular file: a pipe"
    assert found["around"] == "no regular file: a directory"
    assert found["loop"].startswith("cannot be opened: ") and not found["trouble-0003.log"]


def test_a_place_without_logs_is_an_error(tmp_path: pathlib.Path) -> None:
    none = str(tmp_path / "none.log")
    for place in (str(tmp_path), str(tmp_path / "*.log"), none):
        with pytest.raises(KdbgError, match="no logs at"):
            logs_of([place])
    # Among many it may have gone since a shell listed them.
    assert [log.problem for log in logs_of([none, none])] == ["cannot be opened: No such file or directory"]


def test_a_log_at_two_places_counts_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.log").write_text("text")
    assert len(logs_of([str(tmp_path), str(tmp_path / "*"), str(tmp_path / "x.log")])) == 1


def test_batches_have_all_logs_and_bounds() -> None:
    logs = [Log(f"{n}.log", n * 1000, 0) for n in range(500)] + [Log("large", 1 << 30, 0), Log("next", 1, 0)]
    batches = list(batches_of(logs))
    assert [log for batch in batches for log in batch] == logs
    assert max(map(len, batches)) == 64 and batches[-1] == [logs[-1]]
    assert list(batches_of([])) == [] and len(list(batches_of(logs, 4))) < len(batches)


# --- who reads ---


def groups_of(parts: Iterator[Optional[Part]]) -> Any:
    return report_of(merged([part.tally for part in parts if part is not None]))


def test_a_pool_finds_what_one_process_finds(tmp_path: pathlib.Path) -> None:
    oops.write_logs(tmp_path, 200)
    oops.write_trouble(tmp_path, 50)
    logs = logs_of([str(tmp_path)])
    one = groups_of(read_serially(batches_of(logs), False))
    assert one == groups_of(read_in_pool(batches_of(logs), 2, False))
    assert (one.logs, one.crashes, one.binary, one.unreadable) == (250, 180, 24, 26)


def dies(batch: Sequence[Log], keep: bool) -> Part:
    from gdb_kdbg.triage_work import work

    if any("000017" in log.name for log in batch):
        os.kill(os.getpid(), 9)
    return work(batch, keep)


def test_a_log_that_kills_its_reader_is_named_and_the_rest_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oops.write_logs(tmp_path, 100)
    monkeypatch.setattr("gdb_kdbg.triage_pool.work", dies)
    # Threads that other tests left, with which processes would be started afresh.
    monkeypatch.setattr("threading.active_count", lambda: 1)
    report = groups_of(read_in_pool(batches_of(logs_of([str(tmp_path)])), 2, False))
    assert (report.logs, report.crashes, report.unreadable) == (100, 89, 1)
    assert report.not_read[0].file.endswith("000017.log") and "signal 9" in report.not_read[0].reason


# --- what is kept ---


class Reads:
    """Reads as one process does, and counts."""

    def __init__(self, stop_after: int = 1 << 30) -> None:
        self.logs = 0
        self._stop_after = stop_after

    def __call__(self, logs: Sequence[Log], keep: bool) -> Iterator[Optional[Part]]:
        for part in read_serially(([log] for log in logs), keep):
            self.logs += 1
            yield part
            if self.logs >= self._stop_after:
                raise KeyboardInterrupt


def triage(directory: pathlib.Path, state: pathlib.Path, reads: Reads) -> TriageReport:
    return Triage(logs_of([str(directory)]), State(str(state)), lambda text: None).run(reads)


@pytest.fixture
def logs(tmp_path: pathlib.Path) -> pathlib.Path:
    directory = tmp_path / "logs"
    directory.mkdir()
    oops.write_logs(directory, 30)
    return directory


def test_a_second_time_only_what_is_new_or_changed_is_read(logs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    first = triage(logs, state, Reads())
    again = Reads()
    assert triage(logs, state, again) == first and again.logs == 0
    (logs / "new.log").write_bytes(crash_text())
    (logs / "000009.log").write_bytes(crash_text())
    third = Reads()
    report = triage(logs, state, third)
    assert third.logs == 2 and report.crashes == first.crashes + 2
    assert report == Triage(logs_of([str(logs)]), None, lambda text: None).run(Reads())


def test_after_ctrl_c_what_was_read_is_told_and_kept(logs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    report = triage(logs, state, Reads(stop_after=10))
    assert report.logs == 10 and report.problems == ("interrupted: 10 of 30 logs were read",)
    rest = Reads()
    assert triage(logs, state, rest) == Triage(logs_of([str(logs)]), None, lambda text: None).run(Reads())
    assert rest.logs == 20


def test_what_could_not_be_read_is_tried_again(logs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    oops.write_trouble(logs, 6)
    triage(logs, tmp_path / "state", Reads())
    again = Reads()
    report = triage(logs, tmp_path / "state", again)
    assert again.logs == 6 and (report.binary, report.unreadable) == (3, 3)


@pytest.mark.parametrize("text", ["{", "[]", '{"logs": {}}', "\udcff", "[" * 100_000, '{"kdbg-triage": 1, "logs": 3}'])
def test_a_file_that_is_no_state_is_refused_and_left_alone(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(KdbgError, match="cannot go on from"):
        State(str(path))
    assert path.read_bytes() == text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "row",
    [
        0, [], [4], [4, 5, "x", "file"], [4, 5, 1.0, "clock"], [4, 5, 1.0, "file", "a", "b"],
        [4, 5, 1.0, "file", "a", "b", "c", 7, ""], [4, 5, 1.0, "file", "a", "b", "c\x1b", [], ""],
        [4, 5, 1.0, "file", "a", "b", "c", []], [4, 5, 1.0, "file", "a", "b", "c", [], "c\x1b"],
        [3, 5, 1.0, "file"], [4, 6, 1.0, "file"],
    ],
)  # fmt: skip
def test_a_row_that_is_not_as_written_does_not_count(row: object, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    log = Log("/x.log", 4, 5)
    good = [4, 5, 1.0, "file", "a", "b", "c", ["d"], "c of one log"]
    path.write_text(json.dumps({"kdbg-triage": VERSION, "logs": {"/x.log": row, "/y.log": good}}))
    assert State(str(path)).known(log) is None
    found = State(str(path)).known(log._replace(name="/y.log"))
    assert found == Summary("/y.log", 4, 1.0, "file", CrashKey("a", "b", "c", ("d",)), "", "c of one log")


def test_a_state_of_other_rules_is_begun_anew(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    log = Log("/x.log", 4, 5)
    for version, known in ((0, False), (VERSION - 1, False), (VERSION, True), (VERSION + 1, False)):
        path.write_text(json.dumps({"kdbg-triage": version, "logs": {"/x.log": [4, 5, 1.0, "file"]}}))
        assert (State(str(path)).known(log) is not None) is known


def test_progress_is_told_after_two_seconds_and_not_before(logs: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: Dict[float, List[str]] = {}
    for step in (0.01, 0.5):
        clock = iter(range(1, 1 << 20))
        monkeypatch.setattr(time, "monotonic", lambda clock=clock, step=step: next(clock) * step)
        told[step] = []
        Triage(logs_of([str(logs)]), None, told[step].append).run(Reads())
    assert told[0.01] == [] and len(told[0.5]) > 2
    assert told[0.5][0].endswith("logs read, 5 crashes") or " of 30 logs read" in told[0.5][0]


# --- options ---


def options(logs: pathlib.Path, **values: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"logs": [str(logs)], "jobs": None, "dask": None, "resume": None, **values})


def test_where_nothing_may_be_forked_one_process_reads(logs: pathlib.Path) -> None:
    session = FakeSession(None)
    assert triage_logs(session, options(logs)).logs == triage_logs(session, options(logs, jobs=1)).logs == 30
    for values in ({"jobs": 2}, {"dask": "127.0.0.1:1"}):
        with pytest.raises(KdbgError, match="must not be forked"):
            triage_logs(session, options(logs, **values))
    with pytest.raises(KdbgError, match="--jobs 0"):
        triage_logs(session, options(logs, jobs=0))


def test_the_state_is_no_log(logs: pathlib.Path) -> None:
    state = str(logs / "state")
    assert [triage_logs(FakeSession(None), options(logs, resume=state)).logs for _ in range(2)] == [30, 30]


# --- stores ---


def test_objects_are_logs_and_marks_of_directories_are_none() -> None:
    when = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
    found = {
        "fleet/a.log": {"size": 3, "LastModified": when, "type": "file"},
        "fleet/dir": {"size": 0, "type": "directory"},
        "fleet/dir/": {"size": 0, "type": "file"},
        "fleet/b.gz": {"size": None, "LastModified": None},
    }
    assert objects(found) == [
        Log("s3://fleet/a.log", 3, 1772366400 * 10**9),
        Log("s3://fleet/b.gz", 0, 0),
    ]


class FakeStore:
    """A file system as s3fs has it, of a few objects."""

    def __init__(self, content: Dict[str, bytes]) -> None:
        self._content = content

    def find(self, address: str, detail: bool) -> Dict[str, Dict[str, Any]]:
        if "missing" in address:
            raise FileNotFoundError("The specified bucket does not exist")
        return {name: {"size": len(data), "type": "file"} for name, data in self._content.items()}

    def open(self, address: str, mode: str) -> Any:
        import io

        if "denied" in address:
            raise PermissionError("Access Denied")
        return io.BytesIO(self._content[address.replace("s3://", "")])


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"fleet/a.log": crash_text(), "fleet/b.log.gz": gzip.compress(crash_text()), "fleet/denied": b"x"}
    monkeypatch.setattr("gdb_kdbg.triage_store._store", lambda: FakeStore(content))


def test_objects_are_read_as_files_are(store: None) -> None:
    report = report_of(Tally(map(summary_of, logs_of(["s3://fleet/"]))))
    assert [(group.crashes, group.guilty, group.exemplars) for group in report.groups] == [
        (2, "quux_open", ("s3://fleet/a.log", "s3://fleet/b.log.gz"))
    ]
    assert [(row.file, row.reason) for row in report.not_read] == [("s3://fleet/denied", "cannot read: Access Denied")]


def test_a_store_that_is_not_there_is_an_error(store: None) -> None:
    with pytest.raises(KdbgError, match="cannot list s3://missing/: The specified bucket does not exist"):
        listed("s3://missing/")


def test_libraries_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from gdb_kdbg.triage_dask import read_on_cluster

    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(KdbgError, match="need Python's library s3fs"):
        listed("s3://fleet/")
    with pytest.raises(KdbgError, match="needs Python's library distributed"):
        next(read_on_cluster([], "127.0.0.1:1", False))
