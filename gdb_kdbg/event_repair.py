"""Damaged lines: events in the middle of other text, two in one line, broken into by another line, or cut.

An event whose end is not in its line waits for it: some lines later a line may start with it. What is still waiting
when it is too late is given as far as it goes.
"""

from __future__ import annotations

import re
from typing import Iterator, List, NamedTuple, Optional, Sequence

from .console_time import console_time
from .event_lenient import Found, exact, lenient
from .events import PARTIAL, REPAIRED, TYPES, Event, Tally

_START = re.compile(r'DBG[ \t]*(?=\{)|(?=\{"type":"(?:' + "|".join(sorted(TYPES)) + r"))")
# Where other text begins that a kernel printed into the middle of an event.
_INTRUDER = re.compile(r"\x1b\[|<\d>\[|\[ {0,6}\d{1,8}\.\d{3,9}\]", re.ASCII)
_WAITING, _PATIENCE, _ATTEMPTS, _PIECES = 4, 16, 24, 1 << 16
_LONGEST = 1 << 18
_EXTENSIONS = 3
_OTHER_TEXT, _OTHER_EVENT = "other text in its line", "more than one event in its line"
_EMPTY = re.compile(r'DBG[ \t]*(?:[\["{]|$)')


class _Torn:
    """The start of an event without its end, and what came after it."""

    def __init__(self, text: str, line: int, offset: int, time: Optional[float]) -> None:
        self.text = text[:_LONGEST]
        self.line = line
        self.offset = offset
        self.time = time
        self.pieces: List[str] = []
        self.attempts = 0


class _Start(NamedTuple):
    """Where in a line an event starts (`at` is its `{`), and where its mark does."""

    mark: int
    at: int


class Repairer:
    """Reads damaged lines one after the other."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._torn: List[_Torn] = []

    @property
    def is_waiting(self) -> bool:
        """Whether an event waits for its end."""
        return bool(self._torn)

    def block(self, block: bytes, line: int, offset: int, damaged: Sequence[int]) -> List[Event]:
        """Read the lines at the given offsets in a block, and those between them while an event waits for its end."""
        events: List[Event] = []
        waiting = sorted(damaged)
        place, number, index = 0, line, 0
        while index < len(waiting) or self._torn:
            if not self._torn:
                target = waiting[index] - offset
                number += block.count(b"\n", place, target)
                place = target
            end = block.find(b"\n", place)
            if end < 0:
                break
            is_damaged = index < len(waiting) and waiting[index] == place + offset
            index += is_damaged
            text = block[place : min(end, place + 4 * _LONGEST)].decode("utf-8", "surrogateescape")
            if is_damaged:
                events += self._line(text, number, place + offset)
            elif not text.startswith("DBG {"):
                events += self._continued(text, number)
            events += self._expired(number)
            place, number = end + 1, number + 1
        return events

    def flush(self) -> List[Event]:
        """Give up waiting; return what can be read of the events that wait."""
        events = [event for torn in self._torn for event in self._salvaged(torn)]
        self._torn = []
        return events

    def _line(self, text: str, line: int, offset: int) -> List[Event]:
        time, _ = console_time(text)
        starts = [_Start(found.start(), found.end()) for found in _START.finditer(text)]
        starts = [s for index, s in enumerate(starts) if index == 0 or s.at != starts[index - 1].at]
        if not starts:
            return self._remains(text, line, offset)
        events, is_shared = self._head(text[: starts[0].mark], line)
        index = 0
        while index < len(starts):
            found, index = self._at(text, starts, index)
            if found is None:
                start = starts[index - 1]
                self._wait(_Torn(text[start.at : _end(text, starts, index)], line, offset, time))
                continue
            trailing = console_time(found.rest)[1]
            ended = self._completed(trailing, line) if trailing.strip() else []
            is_shared = is_shared or (bool(trailing.strip()) and not ended)
            circumstance = _OTHER_EVENT if len(starts) > 1 or events or ended else _OTHER_TEXT if is_shared else ""
            events += [self._made(found, line, offset, time, circumstance), *ended]
        return events

    # Other text before an event may be the rest of one that waits.
    def _head(self, text: str, line: int) -> tuple[List[Event], bool]:
        return (self._continued(text, line), True) if console_time(text)[1] else ([], False)

    # A text in an event may look like the start of another one, so the event may go beyond that.
    def _at(self, text: str, starts: Sequence[_Start], index: int) -> tuple[Optional[Found], int]:
        at = starts[index].at
        for following in range(index + 1, min(index + 2 + _EXTENSIONS, len(starts) + 1)):
            found = exact(text[at : min(_end(text, starts, following), at + _LONGEST)])
            if found is not None:
                # A quote in a name may have ended the object too early; then its members go on behind it.
                other = _loosely(text[at : _end(text, starts, following)]) if '":' in found.rest else None
                return other if other and not other.lost and not other.rest.strip() else found, following
        return _loosely(text[at : min(_end(text, starts, index + 1), at + _LONGEST)]), index + 1

    def _made(self, found: Found, line: int, offset: int, time: Optional[float], circumstance: str) -> Event:
        repair = "; ".join(filter(None, (found.repair, circumstance)))
        reading = f"{REPAIRED}{repair}" if repair else ""
        if found.lost:
            names = [name for name in found.lost if name]
            reading = f"{PARTIAL}unreadable: {', '.join(names) or 'some member'}"
        event = Event(found.fields["type"], found.fields, line, offset, time, reading)
        self._tally.note(event)
        return event

    def _wait(self, torn: _Torn) -> None:
        self._torn.append(torn)

    # The rest of an event may begin with a blank of its own, or stand behind a stamp of its line.
    def _continued(self, text: str, line: int) -> List[Event]:
        time, rest = console_time(text)
        return self._completed(text if time is None else rest, line) if rest else []

    def _completed(self, text: str, line: int) -> List[Event]:
        """Try a text as the end of an event that waits, the newest first."""
        for torn in reversed(self._torn):
            found = _joined(torn, text) if "}" in text and torn.attempts < _ATTEMPTS else None
            if found is not None:
                self._torn.remove(torn)
                where = f"joined from lines {torn.line} and {line}" if line != torn.line else "joined within its line"
                return [self._made(found, torn.line, torn.offset, torn.time, where)]
        for torn in self._torn:
            if sum(map(len, torn.pieces)) < _PIECES:
                torn.pieces.append(text[:_PIECES])
        return []

    def _expired(self, line: int) -> Iterator[Event]:
        while self._torn and (len(self._torn) > _WAITING or line - self._torn[0].line >= _PATIENCE):
            yield from self._salvaged(self._torn.pop(0))

    def _salvaged(self, torn: _Torn) -> Iterator[Event]:
        found = lenient(torn.text)
        if isinstance(found.fields.get("type"), str):
            reading = f"{PARTIAL}cut behind {list(found.fields)[-1]}"
            event = Event(found.fields["type"], found.fields, torn.line, torn.offset, torn.time, reading)
            self._tally.note(event)
            yield event
        else:
            self._tally.unread(torn.line, torn.offset, "no type can be read", torn.text)

    # A line without the start of an event: the rest of one that waits, or of one whose start is lost.
    def _remains(self, text: str, line: int, offset: int) -> List[Event]:
        ended = self._continued(text, line)
        if not ended and (text.rstrip().endswith("}") or _EMPTY.match(text)):
            self._tally.unread(line, offset, "the start of an event is missing", text)
        return ended


def _end(text: str, starts: Sequence[_Start], index: int) -> int:
    return starts[index].mark if index < len(starts) else len(text)


def _joined(torn: _Torn, text: str) -> Optional[Found]:
    torn.attempts += 1
    intruder = _INTRUDER.search(torn.text)
    starts = [torn.text, torn.text + "".join(torn.pieces)] if torn.pieces else [torn.text]
    if intruder is not None:
        starts.append(torn.text[: intruder.start()])
    joined = [found for start in starts if (found := exact(start + text)) is not None]
    # What came between belongs to the event if it has members of it.
    return max(joined, key=lambda found: len(found.fields), default=None)


def _loosely(text: str) -> Optional[Found]:
    found = lenient(text)
    return found if found.closed and isinstance(found.fields.get("type"), str) else None
