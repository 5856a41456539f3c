"""From the bytes of a log to its events: undamaged lines by the thousand here, all others in `event_repair`.

Lines that start with `DBG {` are parsed together. The others are looked at only if the block has more or fewer marks
and ends of events than there are such lines.
"""

from __future__ import annotations

import contextlib
import gc
import re
from functools import partial
from itertools import accumulate, repeat
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from .console_time import console_time
from .event_json import fast_loads, parse_all
from .event_repair import Repairer
from .event_sequence import SequenceNumbers
from .events import TYPES, Account, Event, Tally
from .log_events import may_have_events

_MARK = b"DBG {"
_BARE = b'{"type":"'
_KNOWN = re.compile(_BARE + b"(?:" + "|".join(sorted(TYPES)).encode() + b")")
# The longest events, of 32 records or 512 system calls, have 64 KiB; a longer line is cut here.
_LONGEST = 1 << 20
# What is made of a part this size still fits into a processor's cache; parts of 4 MiB take half as long again.
_PART = 1 << 17
_event: Callable[[tuple[Any, ...]], Event] = partial(tuple.__new__, Event)


class _Rows(NamedTuple):
    """Lines that seem to be events, a column each: from `DBG {` on, line number, offset, time."""

    texts: List[bytes]
    lines: Sequence[int]
    offsets: Sequence[int]
    times: Iterable[Optional[float]]


class EventParser:
    """Takes the bytes of a log as they come and gives back events as soon as their lines are complete.

    `lines` and `size` are those of what stands before, if that was looked at already.
    """

    def __init__(self, lines: int = 0, size: int = 0) -> None:
        self._tally = Tally(lines, size)
        self._sequence = SequenceNumbers()
        self._repairer = Repairer(self._tally)
        self._tail: List[bytes] = []
        self._tail_size = 0
        self._is_cut = False
        self._loads = fast_loads()

    def feed(self, piece: bytes) -> List[Event]:
        """Take the next bytes; return the events that are complete with them, in their order."""
        end = piece.rfind(b"\n") + 1
        if not end:
            return self._keep(piece)
        block = b"".join([*self._tail, piece[:end]])
        self._tail, self._tail_size = [], 0
        if self._is_cut:
            block = self._behind_cut(block)
        if len(block) <= 2 * _PART:
            events = self._block(block) if block else []
        else:
            events = [event for part in _parts(block) for event in self._block(part)]
        last = self._keep(piece[end:])
        return events + last if last else events

    def finish(self) -> List[Event]:
        """Return what is left when the log has ended, a last line without its end for instance."""
        rest = b"".join(self._tail)
        self._tail, self._tail_size = [], 0
        events = self._block(rest + b"\n") if rest and not self._is_cut else []
        self._tally.size -= 1 if rest and not self._is_cut else 0
        last = self._repairer.flush()
        self._count(last, True)
        return [*events, *last]

    def account(self) -> Account:
        """Return what became of the lines so far."""
        return self._tally.account(self._sequence.missing, self._sequence.restarts)

    def _keep(self, rest: bytes) -> List[Event]:
        if not rest:
            return []
        if self._is_cut:
            self._tally.size += len(rest)
            return []
        self._tail.append(rest)
        self._tail_size += len(rest)
        if self._tail_size <= _LONGEST:
            return []
        block = b"".join(self._tail)
        self._tail, self._tail_size, self._is_cut = [], 0, True
        events = self._block(block + b"\n")
        self._tally.size -= 1
        self._tally.lines -= 1
        return events

    # The rest of a line that was too long belongs to no event.
    def _behind_cut(self, block: bytes) -> bytes:
        self._is_cut = False
        end = block.index(b"\n") + 1
        self._tally.size += end
        self._tally.lines += 1
        return block[end:]

    def _block(self, block: bytes) -> List[Event]:
        if not may_have_events(block) and not self._repairer.is_waiting:
            self._tally.lines += block.count(b"\n")
            self._tally.size += len(block)
            return []
        line, offset = self._tally.lines + 1, self._tally.size
        lines = block.split(b"\n")
        rows, events, damaged = self._undamaged(lines, line, offset)
        is_plain = not damaged and _has_only(len(rows), block)
        if not is_plain:
            some, more = self._odd(lines, line, offset)
            events += some
            damaged += more
        if damaged or self._repairer.is_waiting:
            events += self._repairer.block(block, line, offset, damaged)
        if not is_plain:
            events.sort(key=_place)
        self._tally.lines += len(lines) - 1
        self._tally.size += len(block)
        self._count(events, b'"seq":' in block)
        return events

    def _undamaged(self, lines: List[bytes], line: int, offset: int) -> tuple[Sequence[int], List[Event], List[int]]:
        found = [index for index, text in enumerate(lines) if text[:5] == _MARK]
        ends = list(accumulate(map(len, lines), initial=offset))
        offsets = [ends[index] + index for index in found]
        rows = _Rows([lines[index] for index in found], [index + line for index in found], offsets, repeat(None))
        return found, *self._events(rows)

    def _events(self, rows: _Rows) -> tuple[List[Event], List[int]]:
        with _no_collection():
            parsed = parse_all(rows.texts, self._loads)
            columns = (parsed.kinds, parsed.objects, rows.lines, rows.offsets, rows.times, repeat(""))
            events = list(map(_event, zip(*columns)))
        if parsed.complete:
            return events, []
        damaged = [event.offset for event in events if event.fields is None]
        return [event for event in events if event.fields is not None], damaged

    def _odd(self, lines: Sequence[bytes], line: int, offset: int) -> tuple[List[Event], List[int]]:
        texts, numbers, offsets, times, damaged = _odd_rows(lines, line, offset)
        events, more = self._events(_Rows(texts, numbers, offsets, times))
        return events, [*damaged, *more]

    def _count(self, events: List[Event], has_numbers: bool) -> None:
        self._tally.events += len(events)
        if has_numbers:
            self._sequence.note([event.fields.get("seq") for event in events])


def _place(event: Event) -> int:
    return event.offset


# Thousands of new objects, none of them garbage: searching them would take a tenth of the time.
@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# If every event has its mark, its start and its end, and nothing else has, no other line is of interest.
def _has_only(events: int, block: bytes) -> bool:
    ends = block.count(b"}\n") + block.count(b"}\r\n")
    return ends == events == block.count(b"DBG") == block.count(b'{"type":')


def _parts(block: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(block):
        end = block.rfind(b"\n", start, start + _PART) + 1 or block.index(b"\n", start) + 1
        yield block[start:end]
        start = end


def _odd_rows(
    lines: Sequence[bytes], line: int, offset: int
) -> tuple[List[bytes], List[int], List[int], List[Optional[float]], List[int]]:
    texts: List[bytes] = []
    numbers: List[int] = []
    offsets: List[int] = []
    times: List[Optional[float]] = []
    damaged: List[int] = []
    for number, text in enumerate(lines, line):
        if text[:5] != _MARK and (b'":' in text or b"DBG" in text):
            row = _stamped(text)
            if row is not None:
                texts.append(row[0])
                times.append(row[1])
                numbers.append(number)
                offsets.append(offset)
            elif b"DBG" in text or not _is_foreign(text):
                damaged.append(offset)
        offset += len(text) + 1
    return texts, numbers, offsets, times, damaged


# An event alone in its line behind nothing but times and colours; or a line of a file that has only the objects.
def _stamped(text: bytes) -> Optional[tuple[bytes, Optional[float]]]:
    at = text.find(_MARK)
    if at < 0:
        return (b"DBG " + text, None) if _KNOWN.match(text) else None
    time, other = console_time(text[:at].decode("latin-1"))
    return None if other else (text[at:], time)


# Braces in pairs: an object of someone else's, not the rest of an event.
def _is_foreign(text: bytes) -> bool:
    return text.count(b"{") >= text.count(b"}") and _KNOWN.search(text) is None
