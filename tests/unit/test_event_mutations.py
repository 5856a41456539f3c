"""Events damaged at random: nothing is raised, nothing takes long, and the events around are all there.

KDBG_MUTATIONS is the number of damaged lines, 30,000 if not given.
"""

from __future__ import annotations

import os
import random
import time
from typing import Callable, Sequence

import event_log
import pytest

from gdb_kdbg.event_parser import EventParser
from gdb_kdbg.events import Event

COUNT = int(os.environ.get("KDBG_MUTATIONS", "30000"))
BLOCK = 1000
TOKENS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b'"}', b'":', b"DBG ", b"DBG {", b'DBG {"type":"', b"0x", b"\n",
    b"\r",
    b"\0", b"\x1b[31m", b"\xff", b"\xe2\x9c", b"null", b"1e999", b"-", b'{"type":"signal",', b"[    1.000001] ",
    b"\x1b", b"}\n",
)  # fmt: skip


class Mutator:
    """Damages a line, its newline included, in one of a dozen ways, a few times over."""

    def __init__(self, seed: int, lines: Sequence[bytes]) -> None:
        self.random = random.Random(seed)
        self.lines = lines
        self.ways: Sequence[Callable[[bytes], bytes]] = (
            self.flip, self.flip, self.byte, self.delete, self.insert, self.insert, self.double, self.swap, self.cut,
            self.splice, self.noise, self.without_end,
        )  # fmt: skip

    def damaged(self, line: bytes) -> bytes:
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 8))):
            line = self.random.choice(self.ways)(line)
        return line

    def place(self, line: bytes) -> int:
        return self.random.randrange(len(line) + 1)

    def span(self, line: bytes) -> tuple[int, int]:
        start = self.place(line)
        return start, min(len(line), start + self.random.choice((1, 1, 2, 5, 20)))

    def flip(self, line: bytes) -> bytes:
        at = min(self.place(line), len(line) - 1)
        return line[:at] + bytes([line[at] ^ 1 << self.random.randrange(8)]) + line[at + 1 :] if line else line

    def byte(self, line: bytes) -> bytes:
        at = self.place(line)
        return line[:at] + bytes([self.random.randrange(256)]) + line[at + 1 :]

    def delete(self, line: bytes) -> bytes:
        start, end = self.span(line)
        return line[:start] + line[end:]

    def insert(self, line: bytes) -> bytes:
        at = self.place(line)
        return line[:at] + self.random.choice(TOKENS) + line[at:]

    def double(self, line: bytes) -> bytes:
        start, end = self.span(line)
        return line[:end] + line[start:]

    def swap(self, line: bytes) -> bytes:
        first, second = sorted((self.place(line), self.place(line)))
        return line[second:] + line[first:second] + line[:first]

    def cut(self, line: bytes) -> bytes:
        return line[: self.place(line)] + b"\n"

    def splice(self, line: bytes) -> bytes:
        other = self.random.choice(self.lines)
        return line[: self.place(line)] + other[self.place(other) :]

    def noise(self, line: bytes) -> bytes:
        at = self.place(line)
        return line[:at] + self.random.randbytes(self.random.randrange(1, 30)) + line[at:]

    def without_end(self, line: bytes) -> bytes:
        return line.rstrip(b"\n")


def block(seed: int, types: Sequence[str]) -> tuple[bytes, list[str]]:
    """Make a log in which every other line is damaged; return it and the fields of the others."""
    lines = list(event_log.log(seed, 2 * BLOCK, noise=0, types=types, sequence=True, bare=seed % 3 > 0))
    mutator = Mutator(seed, [line.raw for line in lines[:200]])
    raw = [line.raw if index % 2 else mutator.damaged(line.raw) for index, line in enumerate(lines)]
    return b"".join(raw), [str(line.events[0]) for line in lines[1::2]]


def read(log: bytes, piece: int) -> list[Event]:
    parser = EventParser()
    events = [event for at in range(0, len(log), piece) for event in parser.feed(log[at : at + piece])]
    return events + parser.finish()


def test_no_damage_hides_the_events_around_it() -> None:
    slowest = 0.0
    for seed in range(max(1, COUNT // BLOCK)):
        log, kept = block(seed, event_log.TYPES)
        start = time.process_time()
        events = read(log, (1 << 16, 1 << 20, 777)[seed % 3])
        slowest = max(slowest, time.process_time() - start)
        found = {str(event.fields) for event in events}
        missing = [fields for fields in kept if fields not in found]
        assert not missing, (seed, missing[:3])
        for event in events:
            assert type(event.type) is str and type(event.fields) is dict and event.fields["type"] == event.type
            assert event.line >= 1 and 0 <= event.offset < len(log)
    # A thousand damaged lines take a tenth of a second; a hang would take minutes.
    assert slowest < 60


@pytest.mark.parametrize("damage", [0.01, 0.3, 1.0])
def test_every_event_whose_bytes_are_all_there_is_read(damage: float) -> None:
    lines = list(event_log.log(7, 3000, damage=damage))
    events = read(b"".join(line.raw for line in lines), 1 << 18)
    found = [str(event.fields) for event in events]
    wanted = [str(fields) for line in lines for fields in line.events]
    assert len(wanted) > 1500
    counts = {fields: found.count(fields) for fields in set(wanted)}
    assert [fields for fields in set(wanted) if counts[fields] < wanted.count(fields)] == []


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("kind", event_log.TYPES)
def test_every_type_is_read_as_it_was_written(kind: str, bare: bool) -> None:
    lines = list(event_log.log(3, 50, types=[kind], bare=bare))
    events = read(b"".join(line.raw for line in lines), 1 << 18)
    assert [event.fields for event in events] == [fields for line in lines for fields in line.events]
    assert {event.type for event in events} == {kind}
    assert {event.reading for event in events} == {""}


def test_the_generator_makes_all_types_and_the_same_log_from_the_same_seed() -> None:
    assert len(event_log.TYPES) == 21
    first, second = ([line.raw for line in event_log.log(5, 500, damage=0.2)] for _ in range(2))
    assert first == second != [line.raw for line in event_log.log(6, 500, damage=0.2)]


HOSTILE = {
    "marks": b"DBG {" * 20000,
    "members": b"DBG {" + b'"a":"x,' * 100000,
    "quotes": b'DBG {"type":"' + b'"' * 500000,
    "brackets": b'DBG {"type":' + b"[" * 500000,
    "objects": b"DBG " + b'{"a":' * 100000,
    "digits": b'DBG {"type":"a","n":' + b"1" * 500000 + b"}",
    "escapes": b'DBG {"type":"a","n":"' + b"\x1b[" * 250000 + b"}",
    "backslashes": b'DBG {"type":"a","n":"' + b"\\" * 500000 + b'"}',
    "tails": b'DBG {"type":"a",\n' + b'x":1}\n' * 50000,
    "torn": b'DBG {"type":"a","b":"c\n' * 20000,
    "long torn": (b'DBG {"type":"a","b":"' + b"c" * 60000 + b"\n" + b'":}\n' * 3) * 10,
    "wrong UTF-8": b'DBG {"type":"a","n":"' + b"\xff" * 500000 + b'"}',
    "blanks": b'DBG {"type":"a","b":"x"' + b" " * 500000 + b"z",
    "texts": b'DBG {"type":"a","b":"' + b'"} ' * 150000,
    "commands": b"\x1b]" * 250000 + b"DBG {",
    "lists": b'DBG {"type":"a",' + b'"e":{"e":[{?},' * 30000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_line_takes_long(name: str) -> None:
    start = time.process_time()
    events = read(HOSTILE[name] + b'\nDBG {"type":"last"}\n', 1 << 18)
    assert time.process_time() - start < 60
    assert "last" in {event.type for event in events}
