"""What the reader makes of every shape a line with an event may have: a table of lines and what must come out."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence

import pytest

from gdb_kdbg.event_parser import EventParser
from gdb_kdbg.events import PARTIAL, REPAIRED, Account, Event
from gdb_kdbg.units import Count

COPY = b'{"type":"usercopy","pid":3,"dir":"to_user","addr":0x410024,"len":4,"ctx":"ioctl"}'
FORK = b'{"type":"process_fork","parent_pid":1,"child_pid":2}'
EXIT = b'{"type":"process_exit","pid":7,"status":0,"by_signal":false}'
IS_COPY = {"type": "usercopy", "pid": 3, "dir": "to_user", "addr": "0x410024", "len": 4, "ctx": "ioctl"}
IS_FORK = {"type": "process_fork", "parent_pid": 1, "child_pid": 2}
IS_EXIT = {"type": "process_exit", "pid": 7, "status": 0, "by_signal": False}
CLEAN = ""


class Shape(NamedTuple):
    """Lines as they stand in a log, the fields of the events in them, and how each was read (the start of it)."""

    name: str
    lines: bytes
    fields: Sequence[dict[str, Any]]
    readings: Sequence[str]
    unreadable: int = 0


def one(name: str, lines: bytes, fields: dict[str, Any], reading: str = CLEAN) -> Shape:
    return Shape(name, lines, [fields], [reading])


def copy_with(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**IS_COPY, **changes}.items() if value is not None}


def named(name: bytes) -> bytes:
    """A program's start, its name not escaped by the kernel."""
    return b'DBG {"type":"process_exec","pid":4,"argv0":"' + name + b'","entry":0x400243}'


def is_named(name: str) -> dict[str, Any]:
    return {"type": "process_exec", "pid": 4, "argv0": name, "entry": "0x400243"}


UNDAMAGED = [
    one("bare hex", b"DBG " + COPY, IS_COPY),
    one("hex as text", b"DBG " + COPY.replace(b"0x410024", b'"0x410024"'), IS_COPY),
    one("hex in capitals", b"DBG " + COPY.replace(b"0x410024", b"0X41002F"), copy_with(addr="0X41002F")),
    one("hex in a list", b'DBG {"type":"t","args":[0x1,0x2,3]}', {"type": "t", "args": ["0x1", "0x2", 3]}),
    one(
        "hex behind blanks",
        b'DBG {"type":"t","a": 0x1, "b": [ 0x2 , 0x3 ] }',
        {"type": "t", "a": "0x1", "b": ["0x2", "0x3"]},
    ),
    one("hex of 64 bits", b'DBG {"type":"t","a":0xffffffffffffffff}', {"type": "t", "a": "0xffffffffffffffff"}),
    one("text like hex", b'DBG {"type":"t","m":"bad addr:0x41"}', {"type": "t", "m": "bad addr:0x41"}),
    one("text like a list of hex", b'DBG {"type":"t","m":"[0x41,0x42]"}', {"type": "t", "m": "[0x41,0x42]"}),
    one("text like a member", b'DBG {"type":"t","m":"x\\":0x41,\\"y"}', {"type": "t", "m": 'x":0x41,"y'}),
    one("text with a mark", b'DBG {"type":"t","m":"see DBG {1}","n":1}', {"type": "t", "m": "see DBG {1}", "n": 1}),
    one("text with braces", b'DBG {"type":"t","m":"a}b{c]["}', {"type": "t", "m": "a}b{c]["}),
    one("escapes", b'DBG {"type":"t","m":"a\\"b\\\\c\\nd\\u00e9"}', {"type": "t", "m": 'a"b\\c\nd\u00e9'}),
    one("UTF-8", 'DBG {"type":"t","m":"caf\u00e9 \u2713"}'.encode(), {"type": "t", "m": "caf\u00e9 \u2713"}),
    one(
        "objects within",
        b'DBG {"type":"panic","message":"x","backtrace":[{"addr":0x1,"sym":"f","off":0x2}]}',
        {"type": "panic", "message": "x", "backtrace": [{"addr": "0x1", "sym": "f", "off": "0x2"}]},
    ),
    one(
        "objects within and text like hex",
        b'DBG {"type":"panic","message":"bad:0x41, x","backtrace":[{"addr":0x1}]}',
        {"type": "panic", "message": "bad:0x41, x", "backtrace": [{"addr": "0x1"}]},
    ),
    one(
        "an empty list",
        b'DBG {"type":"panic","message":"x","backtrace":[]}',
        {"type": "panic", "message": "x", "backtrace": []},
    ),
    one(
        "negative, true, null",
        b'DBG {"type":"t","a":-14,"b":true,"c":null}',
        {"type": "t", "a": -14, "b": True, "c": None},
    ),
    one("an unknown type", b'DBG {"type":"tlb_flush","cpu":1}', {"type": "tlb_flush", "cpu": 1}),
    one("only the type", b'DBG {"type":"t"}', {"type": "t"}),
    one("type in the middle", b'DBG {"pid":1,"type":"t"}', {"pid": 1, "type": "t"}),
    one("carriage return", b"DBG " + COPY + b"\r", IS_COPY),
    one("carriage return first", b"\rDBG " + COPY, IS_COPY),
    one("blanks behind", b"DBG " + COPY + b"  \t", IS_COPY),
    one("blanks before", b"   DBG " + COPY, IS_COPY),
    one("two blanks behind the mark", b"DBG  " + COPY, IS_COPY),
    one("no blank behind the mark", b"DBG" + COPY, IS_COPY),
    one("printk stamp", b"[   12.345678] DBG " + COPY, IS_COPY),
    one("printk stamp and caller", b"[   12.345678][    T1] DBG " + COPY, IS_COPY),
    one("level and stamp", b"<6>[   12.345678] DBG " + COPY, IS_COPY),
    one("ISO time", b"2026-11-21T16:05:42.5Z DBG " + COPY, IS_COPY),
    one("ISO time with zone", b"2026-11-21 16:05:42,5+01:00 DBG " + COPY, IS_COPY),
    one("clock", b"[16:05:42.123] DBG " + COPY, IS_COPY),
    one("syslog time", b"Nov 21 16:05:42 DBG " + COPY, IS_COPY),
    one("seconds", b"12.345678: DBG " + COPY, IS_COPY),
    one("colour", b"\x1b[33mDBG " + COPY + b"\x1b[0m", IS_COPY),
    one("colour before stamp", b"\x1b[1;33m[   12.3]\x1b[m DBG " + COPY, IS_COPY),
    one("the object alone", COPY, IS_COPY),
    one("the object alone, stamped", b"[    1.5] " + COPY, IS_COPY),
]

REPAIRABLE = [
    one("a prompt before it", b"/ # DBG " + COPY, IS_COPY, REPAIRED),
    one("text before it", b"init: startedDBG " + COPY, IS_COPY, REPAIRED),
    one("text behind it", b"DBG " + COPY + b"init: started", IS_COPY, REPAIRED),
    one("half the mark lost", b"G " + COPY, IS_COPY, REPAIRED),
    one("a quote in a name", named(b'say "hi'), is_named('say "hi'), REPAIRED),
    one("two quotes in a name", named(b'a "b" c'), is_named('a "b" c'), REPAIRED),
    one("quote and comma", named(b'say "hi", he said'), is_named('say "hi", he said'), REPAIRED),
    one("quote and brace", named(b'f("}")'), is_named('f("}")'), REPAIRED),
    one("quote at the end", named(b'ends with "'), is_named('ends with "'), REPAIRED),
    one("a backslash in a name", named(b"c:\\dir"), is_named("c:\\dir"), REPAIRED),
    one("an escape sequence in a name", named(b"\x1b[31mred"), is_named("\x1b[31mred"), REPAIRED),
    one("a tab in a name", named(b"a\tb"), is_named("a\tb"), REPAIRED),
    one("NUL in a name", named(b"a\0b"), is_named("a\0b"), REPAIRED),
    one("control characters between members", b"DBG " + COPY.replace(b'"pid"', b'\x07\x08"pid"'), IS_COPY, REPAIRED),
    one("a control character in a key", b"DBG " + COPY.replace(b'"pid"', b'"p\x01id"'), IS_COPY, REPAIRED),
    one("a colour between members", b"DBG " + COPY.replace(b'"pid"', b'\x1b[31m"pid"'), IS_COPY, REPAIRED),
    one("wrong UTF-8", named(b"caf\xe9"), is_named("caf\\xe9"), REPAIRED),
    one("half a UTF-8 character", named(b"\xe2\x9c"), is_named("\\xe2\\x9c"), REPAIRED),
    Shape("two in one line", b"DBG " + COPY + b"DBG " + FORK, [IS_COPY, IS_FORK], [REPAIRED] * 2),
    Shape("two with a blank between", b"DBG " + COPY + b" DBG " + FORK, [IS_COPY, IS_FORK], [REPAIRED] * 2),
    Shape("two, the second without its mark", b"DBG " + COPY + FORK, [IS_COPY, IS_FORK], [REPAIRED] * 2),
    Shape(
        "three in one line",
        b"DBG " + COPY + b"DBG " + FORK + b"DBG " + EXIT,
        [IS_COPY, IS_FORK, IS_EXIT],
        [REPAIRED] * 3,
    ),
    Shape(
        "broken into within a text",
        b"DBG " + COPY[:35] + b"DBG " + FORK + b"\n" + COPY[35:],
        [IS_COPY, IS_FORK],
        [REPAIRED] * 2,
    ),
    Shape(
        "broken into behind a member",
        b"DBG " + COPY[:27] + b"DBG " + FORK + b"\n" + COPY[27:],
        [IS_COPY, IS_FORK],
        [REPAIRED] * 2,
    ),
    Shape(
        "broken into within one line",
        b"DBG " + COPY[:27] + b"DBG " + FORK + COPY[27:],
        [IS_COPY, IS_FORK],
        [REPAIRED] * 2,
    ),
    Shape(
        "broken into by a line of its own",
        b"DBG " + COPY[:35] + b"\nDBG " + FORK + b"\n" + COPY[35:],
        [IS_COPY, IS_FORK],
        [REPAIRED, CLEAN],
    ),
    Shape(
        "broken into twice",
        b"DBG " + COPY[:20] + b"DBG " + FORK + b"\n" + COPY[20:40] + b"DBG " + EXIT + b"\n" + COPY[40:],
        [IS_COPY, IS_FORK, IS_EXIT],
        [REPAIRED] * 3,
    ),
    Shape(
        "two broken into by each other",
        b"DBG " + COPY[:30] + b"DBG " + FORK[:30] + b"\n" + FORK[30:] + b"\n" + COPY[30:],
        [IS_COPY, IS_FORK],
        [REPAIRED] * 2,
    ),
    one(
        "broken into by a kernel line",
        b"DBG " + COPY[:27] + b"[    1.234567] usb: reset\n" + COPY[27:],
        IS_COPY,
        REPAIRED,
    ),
    one("broken into by a line between", b"DBG " + COPY[:35] + b"\ninit: started\n" + COPY[35:], IS_COPY, REPAIRED),
    one("wrapped by a terminal", b"DBG " + COPY[:30] + b"\n" + COPY[30:60] + b"\n" + COPY[60:], IS_COPY, REPAIRED),
    one("wrapped, a blank first", b'DBG {"type":"t","m":"a\n b"}', {"type": "t", "m": "a b"}, REPAIRED),
    one("broken in a stamped log", b"[    1.1] DBG " + COPY[:35] + b"\n[    1.2] " + COPY[35:], IS_COPY, REPAIRED),
    one(
        "the type a second time, from a name",
        b'DBG {"type":"process_exec","argv0":"x","type":"panic","entry":0x1}',
        {"type": "process_exec", "argv0": "x", "entry": "0x1"},
    ),
]

PARTLY = [
    one(
        "cut behind a member",
        b'DBG {"type":"usercopy","pid":3,',
        copy_with(dir=None, addr=None, len=None, ctx=None),
        PARTIAL,
    ),
    one(
        "cut within a text",
        b'DBG {"type":"usercopy","pid":3,"dir":"to_',
        copy_with(dir=None, addr=None, len=None, ctx=None),
        PARTIAL,
    ),
    one("cut within a number", b'DBG {"type":"usercopy","pid":3', {"type": "usercopy"}, PARTIAL),
    one("cut within a key", b'DBG {"type":"usercopy","pid":3,"di', {"type": "usercopy", "pid": 3}, PARTIAL),
    one(
        "cut within a list",
        b'DBG {"type":"ucopy_trace_dump","pid":3,"entries":[{"dst":0x1,"len":4},{"dst":0x',
        {"type": "ucopy_trace_dump", "pid": 3, "entries": [{"dst": "0x1", "len": 4}]},
        PARTIAL,
    ),
    one(
        "only the closing brace lost",
        b'DBG {"type":"usercopy","pid":3,"dir":"to_user"',
        {"type": "usercopy", "pid": 3},
        PARTIAL,
    ),
    one("a number damaged", b"DBG " + COPY.replace(b'"pid":3', b'"pid":?'), copy_with(pid=None), PARTIAL),
    one("a hex number damaged", b"DBG " + COPY.replace(b"0x410024", b"0x41#024"), copy_with(addr=None), PARTIAL),
    one("a colon lost", b"DBG " + COPY.replace(b'"pid":3', b'"pid"3'), copy_with(pid=None), PARTIAL),
    one("a key's quote lost", b"DBG " + COPY.replace(b'"pid":3', b'pid":3'), copy_with(pid=None), PARTIAL),
    one(
        "a last member damaged",
        b"DBG " + EXIT.replace(b"false", b"fals"),
        {"type": "process_exit", "pid": 7, "status": 0},
        PARTIAL,
    ),
    one(
        "an entry of a list damaged",
        b'DBG {"type":"t","entries":[{"a":1},{"a":?},{"a":3}],"n":1}',
        {"type": "t", "entries": [{"a": 1}, {"a": 3}], "n": 1},
        PARTIAL,
    ),
]

UNREADABLE = [
    Shape("the mark alone", b"DBG ", [], [], 1),
    Shape("the mark and a brace", b"DBG {", [], [], 1),
    Shape("cut within the type", b'DBG {"type":"usercop', [], [], 1),
    Shape("without a type", b'DBG {"pid":1}', [], [], 1),
    Shape("a type that is no text", b'DBG {"type":3}', [], [], 1),
    Shape("a list", b"DBG [1,2]", [], [], 1),
    Shape("the rest of an event whose start is lost", COPY[35:], [], [], 1),
    Shape("brackets without end", b"DBG " + b"[" * 5000, [], [], 1),
    Shape("braces without end", b"DBG " + b'{"a":' * 5000, [], [], 1),
]

OTHERS = [
    Shape("an empty line", b"", [], []),
    Shape("text with the mark's letters", b"DBGRID: 3 rows", [], []),
    Shape("a debug message of another kind", b"DBG: link is up", [], []),
    Shape("someone else's JSON", b'{"level":"info","type":"start"}', [], []),
    Shape("someone else's JSON with a type first", b'{"type":"request","id":1}', [], []),
    Shape("code", b'    printf("%d", x); }', [], []),
]

TABLE = [*UNDAMAGED, *REPAIRABLE, *PARTLY, *UNREADABLE, *OTHERS]
BEFORE, BEHIND = b'DBG {"type":"signal","pid":90}\n', b'DBG {"type":"signal","pid":91}\n'


def read(log: bytes, piece: Optional[int] = None) -> tuple[list[Event], Account]:
    """Read a log, in pieces of some bytes if asked for."""
    parser = EventParser()
    step = piece or max(1, len(log))
    events = [event for at in range(0, len(log), step) for event in parser.feed(log[at : at + step])]
    events += parser.finish()
    return events, parser.account()


def assert_reads(shape: Shape, events: Sequence[Event], account: Account) -> None:
    # An event that waits for its end comes behind the one that broke into it.
    wanted = sorted(zip(map(str, shape.fields), shape.readings))
    found = sorted(events, key=lambda event: str(event.fields))
    assert [str(event.fields) for event in found] == [fields for fields, _ in wanted], (events, account)
    for event, (_, reading) in zip(found, wanted):
        assert event.reading.startswith(reading) and bool(reading) == bool(event.reading), event
        assert event.type == event.fields["type"]
    assert account.unreadable == shape.unreadable, account
    assert account.events == len(shape.fields)


def test_the_table_is_long_enough() -> None:
    assert len(REPAIRABLE) + len(PARTLY) + len(UNREADABLE) >= 50
    assert len(TABLE) >= 60
    assert len({shape.name for shape in TABLE}) == len(TABLE)


@pytest.mark.parametrize("shape", TABLE, ids=lambda shape: shape.name)
def test_a_line_is_read_as_the_table_says(shape: Shape) -> None:
    assert_reads(shape, *read(shape.lines + b"\n"))


@pytest.mark.parametrize("shape", TABLE, ids=lambda shape: shape.name)
def test_a_last_line_without_an_end_is_read_the_same(shape: Shape) -> None:
    assert_reads(shape, *read(shape.lines))


@pytest.mark.parametrize("shape", TABLE, ids=lambda shape: shape.name)
def test_the_events_around_are_kept(shape: Shape) -> None:
    events, account = read(BEFORE * 3 + shape.lines + b"\n" + BEHIND * 20)
    assert [event.line for event in events if event.fields.get("pid") == 90] == [1, 2, 3]
    lines = shape.lines.count(b"\n") + 1
    behind = [event for event in events if event.fields.get("pid") == 91]
    assert [event.line for event in behind] == list(range(lines + 4, lines + 24))
    middle = [event for event in events if event.fields.get("pid") not in (90, 91)]
    assert_reads(shape, middle, account._replace(events=Count(len(middle))))


@pytest.mark.parametrize("piece", [1, 7, 50])
@pytest.mark.parametrize("shape", TABLE, ids=lambda shape: shape.name)
def test_it_does_not_matter_how_the_bytes_come(shape: Shape, piece: int) -> None:
    log = BEFORE + shape.lines + b"\n" + BEHIND
    assert sorted(map(repr, read(log, piece)[0])) == sorted(map(repr, read(log)[0]))


@pytest.mark.parametrize(
    ("head", "time"),
    [
        (b"[   12.345678] ", 12.345678),
        (b"[   12.345678][    T1] ", 12.345678),
        (b"<6>[    0.5] ", 0.5),
        (b"12.25: ", 12.25),
        (b"1732204800.5 ", 1732204800.5),
        (b"[16:05:42.5] ", 57942.5),
        (b"1970-01-02T00:00:01Z ", 86401.0),
        (b"1970-01-01 01:00:00,5+01:00 ", 0.5),
        (b"Jan  2 00:00:01 ", 86401.0),
        (b"\x1b[2m[    3.5]\x1b[0m ", 3.5),
        (b"<6>", None),
        (b"/ # ", None),
        (b"99-99-99 ", None),
        (b"2026-99-99T16:05:42Z ", None),
        (b"", None),
    ],
)
def test_the_time_of_a_line_is_kept(head: bytes, time: Optional[float]) -> None:
    (event,), _ = read(head + b"DBG " + COPY + b"\n")
    assert event.time == time


def test_line_and_offset_are_those_of_the_line() -> None:
    log = b"boot\n\n[ 1.0] DBG " + FORK + b"\nDBG " + COPY + b"\r\nnoise\n/ # DBG " + EXIT + b"\n"
    events, account = read(log)
    assert [(event.line, event.offset) for event in events] == [
        (3, 6),
        (4, log.index(b"DBG " + COPY)),
        (6, log.index(b"/ #")),
    ]
    assert (account.lines, account.size) == (6, len(log))


def test_unreadable_lines_are_shown_escaped_and_only_the_first_few() -> None:
    _, account = read(b'DBG {"ty\x1b[31m\xff\0pe\n' * 100)
    assert account.unreadable == 100
    assert 0 < len(account.first_unreadable) < 20
    first = account.first_unreadable[0]
    assert (first.line, first.offset) == (1, 0)
    assert first.text.isprintable() and "\\x1b" in first.text and "pe" in first.text


@pytest.mark.parametrize(
    ("numbers", "missing", "restarts"),
    [
        ([0, 1, 2, 3], 0, 0),
        ([5, 6, 7], 0, 0),
        ([0, 1, 4, 5], 2, 0),
        ([0, 2, 1, 3], 0, 0),
        ([0, 3, 1, 4], 1, 0),
        ([7, 8, 0, 1, 2], 0, 1),
        ([100000, 100001, 3, 4], 0, 1),
        ([0, 1, 10**18, 10**18 + 1], 10**18 - 2, 0),
        ([0, 0, 1], 0, 1),
        ([None, None], 0, 0),
        ([1, None, 2, "x", 4], 1, 0),
    ],
)
def test_missing_numbers_are_counted(numbers: Sequence[Any], missing: int, restarts: int) -> None:
    def member(number: Any) -> str:
        return "" if number is None else f',"seq":"{number}"' if isinstance(number, str) else f',"seq":{number}'

    log = "".join(f'DBG {{"type":"t"{member(number)}}}\n' for number in numbers).encode()
    for piece in (None, 30):
        _, account = read(log, piece)
        assert (account.missing, account.restarts) == (missing, restarts)


def test_numbers_of_damaged_lines_are_not_missing() -> None:
    log = b'DBG {"type":"t","seq":1}\nDBG {"type":"t","seq":2,"m":"\n'
    log += b'DBG {"type":"t","seq":3}\n/ # DBG {"type":"t","seq":4}\n'
    _, account = read(log)
    assert (account.events, account.missing, account.partial) == (4, 0, 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"DBG " + COPY[:40], COPY),
        (b"DBG " + COPY[:40], b"G " + COPY),
        (b"DBG " + FORK + b"  ", COPY),
        (b"DBG " + FORK + b"  ", b"G " + COPY),
        (b"DBG " + FORK + b"\x1b[0m", b"[ 1.0] " + COPY),
    ],
)
def test_a_line_that_lacks_an_end_does_not_hide_one_that_lacks_its_mark(first: bytes, second: bytes) -> None:
    events, _ = read(BEFORE + first + b"\n" + BEHIND + second + b"\n" + BEHIND)
    assert len(events) == 5
    assert IS_COPY in [event.fields for event in events]


def test_a_line_without_end_takes_no_memory_and_hides_nothing_behind_it() -> None:
    parser = EventParser()
    for _ in range(300):
        assert parser.feed(b"x" * 65536) == []
    events = parser.feed(b'\nDBG {"type":"t"}\n')
    assert [event.fields for event in events] == [{"type": "t"}]
    assert (events[0].line, events[0].offset) == (2, 300 * 65536 + 1)
    assert len(parser._tail) < 20
