"""Events as lines for a person, which of them are wanted, and how a stream of them is rendered."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any, Iterator, Optional, Sequence

import event_log
import pytest
from fakes import FakeSession

from gdb_kdbg.errors import KdbgError, NotSupported
from gdb_kdbg.errors_and_signals import error_name, signal_name
from gdb_kdbg.event_filter import CATEGORIES, Since, Wanted, types_named
from gdb_kdbg.event_forms import FORMS, text_of
from gdb_kdbg.event_names import AddressNames
from gdb_kdbg.event_text import EventLines, no_names
from gdb_kdbg.events import TYPES, Event, number
from gdb_kdbg.events_command import EventStream, show_events
from gdb_kdbg.registry import named
from gdb_kdbg.render.stream import Stream, stream_to_json, stream_to_text


def event(kind: str, time: Optional[float] = None, reading: str = "", **fields: Any) -> Event:
    return Event(kind, {"type": kind, **fields}, 1, 0, time, reading)


def entry(
    pid: int, name: str = "ioctl", time: Optional[float] = None, args: Sequence[Any] = (1, 21519, 0x410024)
) -> Event:
    return event("syscall_entry", time, pid=pid, name=name, nr=16, args=list(args))


def exit(pid: int, result: Any, name: str = "ioctl", time: Optional[float] = None, **fields: Any) -> Event:
    return event("syscall_exit", time, pid=pid, name=name, nr=16, result=result, **fields)


def lines(*events: Event, names: Any = no_names) -> list[str]:
    made = EventLines(names)
    found = [line for item in events for line in made.lines(item)]
    return [text_of(line) for line in [*found, *made.flush()]]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([entry(3), exit(3, 0)], ["[   3] ioctl(1, 0x540f, 0x410024) = 0"]),
        ([entry(3), exit(3, -25)], ["[   3] ioctl(1, 0x540f, 0x410024) = -1 ENOTTY"]),
        ([entry(3), exit(3, -2, errno="ENOENT")], ["[   3] ioctl(1, 0x540f, 0x410024) = -1 ENOENT"]),
        ([entry(3), exit(3, -1, errno=14)], ["[   3] ioctl(1, 0x540f, 0x410024) = -1 EFAULT"]),
        ([entry(3), exit(3, -4000)], ["[   3] ioctl(1, 0x540f, 0x410024) = -1 error 4000"]),
        ([entry(3), exit(3, -4096)], ["[   3] ioctl(1, 0x540f, 0x410024) = 0xfffffffffffff000"]),
        ([entry(3), exit(3, None)], ["[   3] ioctl(1, 0x540f, 0x410024) = ?"]),
        ([entry(3, "getpid", args=[1, 2, 3, 4, 5, 6]), exit(3, 3, "getpid")], ["[   3] getpid() = 3"]),
        ([entry(3, "mmap", args=["0x0", 4096, 3, 34, -1, 0]), exit(3, "0x7fff0000", "mmap")],
         ["[   3] mmap(0, 0x1000, 3, 34, -1, 0) = 0x7fff0000"]),
        ([entry(3)], ["[   3] ioctl(1, 0x540f, 0x410024 <unfinished ...>"]),
        ([exit(3, 0)], ["[   3] <... ioctl resumed> = 0"]),
        ([entry(3), entry(4), exit(3, 0), exit(4, 1)],
         ["[   3] ioctl(1, 0x540f, 0x410024 <unfinished ...>", "[   4] ioctl(1, 0x540f, 0x410024 <unfinished ...>",
          "[   3] <... ioctl resumed> = 0", "[   4] <... ioctl resumed> = 1"]),
        ([entry(3, time=1.0), exit(3, 0, time=1.25)],
         ["    1.000000 [   3] ioctl(1, 0x540f, 0x410024) = 0 <0.250000>"]),
        ([entry(3, time=1.0), entry(4), exit(3, 0, time=1.5)],
         ["    1.000000 [   3] ioctl(1, 0x540f, 0x410024 <unfinished ...>",
          "[   4] ioctl(1, 0x540f, 0x410024 <unfinished ...>",
          "    1.500000 [   3] <... ioctl resumed> = 0 <0.500000>"]),
        ([entry(3), exit(3, 0)._replace(reading="repaired: x")],
         ["[   3] ioctl(1, 0x540f, 0x410024) = 0   # repaired: x"]),
    ],
)  # fmt: skip
def test_a_call_is_shown_as_strace_does(events: Sequence[Event], expected: Sequence[str]) -> None:
    assert lines(*events) == expected


def test_an_exit_of_another_call_does_not_end_this_one() -> None:
    assert lines(entry(3, "read"), exit(3, 0, "write"))[1] == "[   3] <... write resumed> = 0"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (event("process_exit", pid=3, status=0, by_signal=False), "[   3] +++ exited with 0 +++"),
        (event("process_exit", pid=3, status=11, by_signal=True), "[   3] +++ killed by SIGSEGV +++"),
        (event("process_exit", pid=3, status=139, by_signal=True), "[   3] +++ killed by SIGSEGV +++"),
        (event("process_fork", parent_pid=3, child_pid=4), "[   3] +++ forked 4 +++"),
        (event("signal", pid=3, signal=11, signal_name="", action="terminate", ip="0x1"),
         "[   3] --- SIGSEGV --- terminate, ip 0x1"),
        (event("canary_check", pid=3, fsbase="0x410000", expected="0xab00", found="0x1", corrupted=True,
               when="post_syscall", syscall=16),
         "[   3] guard CORRUPTED after ioctl: 0x1 where 0xab00 should be, fs_base 0x410000"),
        (event("usercopy_fault", pid=3, fault_addr="0x10", ip="0x20", label="bulk_qwords", dst="0x10", src="0x30",
               remaining=8, orig_len=16, ctx="read"),
         "[   3] copy fault in bulk_qwords at 0x10: 0x10 <- 0x30, 8 of 16 bytes left (read), ip 0x20"),
        (event("panic", message="no\nway", backtrace=[{"addr": "0x1", "sym": "f", "off": "0x2"}, {"addr": "0x9"}]),
         "panic: no\\x0away, at f+0x2 < 0x9"),
        (event("tlb_flush", cpu=1, what="a\x1bb"), "tlb_flush {cpu=1, what=a\\x1bb}"),
    ],
)  # fmt: skip
def test_an_event_is_shown_in_a_line(shown: Event, expected: str) -> None:
    assert lines(shown) == [expected]


def test_code_is_named_and_data_is_not() -> None:
    fault = event("page_fault", pid=3, vaddr="0x20", ip="0x10", reason="r", resolved=True)
    assert lines(fault, names=lambda address, pid: f"<f+{address:#x}>") == [
        "[   3] page fault at 0x20 (r), ip 0x10 <f+0x10>"
    ]


def test_every_type_has_a_form_of_its_own() -> None:
    assert set(FORMS) == TYPES - {"syscall_entry", "syscall_exit"}


@pytest.mark.parametrize("kind", event_log.TYPES)
def test_every_type_is_one_line_even_if_members_are_missing_or_strange(kind: str) -> None:
    for item in event_log.log(5, 20, noise=0, types=[kind]):
        whole = dict(item.events[0])
        for left_out in [*whole, None]:
            for strange in (None, [], {}, "\x1b[2J\n\u202e" * 50, -1, 1 << 70, 1.5, True):
                fields = {name: strange if name == left_out else value for name, value in whole.items()}
                fields["type"] = kind
                (line,) = lines(Event(kind, fields, 1, 0))
                assert line.isprintable() and len(line) < 5000


@pytest.mark.parametrize(
    ("code", "name"), [(2, "ENOENT"), (38, "ENOSYS"), (133, "EHWPOISON"), (41, "error 41"), (512, "error 512")]
)
def test_error_codes_are_named(code: int, name: str) -> None:
    assert error_name(code) == name


@pytest.mark.parametrize(
    ("code", "name"), [(11, "SIGSEGV"), (31, "SIGSYS"), (0, "signal 0"), (64, "signal 64"), (-1, "signal -1")]
)
def test_signals_are_named(code: int, name: str) -> None:
    assert signal_name(code) == name


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        ("0x1f", 31),
        ("0X1F", 31),
        ("31", None),
        ("0x", None),
        (True, None),
        (1.5, None),
        (None, None),
        ([], None),
    ],
)
def test_a_number_may_be_written_in_hex(value: Any, expected: Optional[int]) -> None:
    assert number(value) == expected
    assert event("t", value=value).number("value") == expected


@pytest.mark.parametrize(
    ("text", "time", "back"),
    [("12.5", 12.5, None), ("12", 12.0, None), ("5s", None, 5.0), ("200ms", None, 0.2), ("2m", None, 120.0),
     ("1.5h", None, 5400.0), ("00:01:00", 60.0, None), ("1970-01-01T00:00:07Z", 7.0, None)],
)  # fmt: skip
def test_since_is_a_time_or_a_duration(text: str, time: Optional[float], back: Optional[float]) -> None:
    since = Since(text)
    assert (since.time, since.back) == (time, pytest.approx(back) if back else back)


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs", "-5s", "12.5 and more"])
def test_since_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(KdbgError, match="no time"):
        Since(text)


def test_categories_stand_for_their_types() -> None:
    assert types_named("process, tlb") == {"process", "process_exit", "process_exec", "process_fork", "tlb"}


def test_a_type_that_nobody_knows_is_told_unless_it_comes() -> None:
    for events, told in (([event("signal")], True), ([event("tlb")], False)):
        wanted = Wanted("process, tlb", None, None, None)
        wanted.take(events)
        assert bool(wanted.problems()) is told
        assert all(text.startswith("no event has the type tlb; known are syscall, ") for text in wanted.problems())
    known = Wanted("panic", None, None, None)
    assert known.take([event("signal")]) == [] and known.problems() == []


def test_what_came_before_a_pause_is_held_back_and_what_comes_later_is_not() -> None:
    wanted = Wanted(None, None, None, 2)
    events = [event("t", number=n) for n in range(5)]
    assert wanted.take(events) == []
    assert wanted.pause() == events[3:]
    assert wanted.take(events[:1]) == events[:1]
    assert wanted.pause() == []


def stream(log: Sequence[bytes], **options: Any) -> EventStream:
    words = {"types": None, "pid": None, "since": None, "last": None, **options}
    return EventStream(log, Wanted(**words), AddressNames(None))


FORK = b'DBG {"type":"process_fork","parent_pid":1,"child_pid":2}\n'


def test_only_a_log_that_goes_on_shows_its_last_ones_at_a_pause() -> None:
    pieces = [FORK, b"", FORK, b"", FORK]
    assert [len(rows) for rows in stream(pieces, last=2).rows if rows] == [2]
    goes_on = EventStream(pieces, Wanted(None, None, None, 2), AddressNames(None), True)
    assert [len(rows) for rows in goes_on.rows if rows] == [1, 1, 1]


def test_a_stream_is_rendered_as_it_comes() -> None:
    taken: list[int] = []

    def pieces() -> Iterator[bytes]:
        for index, piece in enumerate([FORK, b"", FORK]):
            taken.append(index)
            yield piece

    made = stream(pieces())  # type: ignore[arg-type]
    assert isinstance(made, Stream)
    chunks = stream_to_text(made)
    assert (next(chunks), taken) == ("[   1] +++ forked 2 +++\n", [0])
    assert (next(chunks), taken) == ("", [0, 1])
    assert "".join(chunks) == "[   1] +++ forked 2 +++\n"


def test_a_stream_as_json_has_a_line_for_each_row_and_the_end() -> None:
    found = [
        json.loads(line) for line in "".join(stream_to_json("events", stream([FORK * 3, b"DBG {\n"]))).splitlines()
    ]
    assert [line["data"].get("line") for line in found] == [1, 2, 3, None]
    assert found[-1]["data"]["events"] == 3
    assert found[-1]["problems"][0] == "1 line with remains of an event that could not be read"


def test_parts_are_styled_by_their_roles() -> None:
    text = "".join(stream_to_text(stream([FORK]), lambda text, role: f"<{role}>{text}"))
    assert text == "<pid>[   1] <process>+++ forked 2 +++\n"


def test_ctrl_c_ends_a_stream_with_its_account() -> None:
    def pieces() -> Iterator[bytes]:
        yield FORK + b'DBG {"type":"t","seq":1}\nDBG {"type":"t","seq":3}\n'
        raise KeyboardInterrupt

    made = stream(pieces())  # type: ignore[arg-type]
    assert len([row for rows in made.rows for row in rows]) == 3
    assert made.end().problems == ("1 event missing by the sequence numbers",)


def test_standard_input_is_for_commands_only_where_it_is_theirs() -> None:
    options = Namespace(log="-", type=None, pid=None, since=None, last=None, follow=False)
    with pytest.raises(NotSupported, match="standard input is GDB's own"):
        show_events(FakeSession(None), options)


def test_completion_offers_the_families_of_types() -> None:
    declared = named("events")
    assert declared is not None
    kinds = next(argument for argument in declared.arguments if argument.name == "--type")
    assert kinds.suggested == tuple(CATEGORIES)
    assert all(family in kinds.help for family in CATEGORIES)
