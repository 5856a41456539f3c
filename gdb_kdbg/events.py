"""Events of a kernel: lines `DBG {...}` of a serial log, read whatever happened to them on their way.

The format: `DBG `, one JSON object whose first member is `type`, a newline. Kernels write numbers in hex bare (`0x...`,
which no JSON parser takes) or as strings; here both become the text `0x...`, and `Event.number` takes either. Text that
only looks like hex stays what it is.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, Iterator, NamedTuple, Optional

from .units import Count, Size, counted, safe_text

TYPES = frozenset(
    """syscall_entry syscall_exit canary_check page_fault signal user_fault process_exit process_exec process_fork panic
    unimplemented_syscall usercopy usercopy_fault signal_stack_write ucopy_trace_dump crash_report
    syscall_profile page_faults span_profile htrace htrace_summary""".split()
)
REPAIRED, PARTIAL = "repaired: ", "partial: "
_SHOWN, _LENGTH = 8, 160
_HEX = re.compile(r"-?0[xX][0-9a-fA-F]{1,32}")


class Event(NamedTuple):
    """One event and where it stands.

    `fields` holds all members of the object, the type too. `line` counts from 1, `offset` is that of the line's first
    byte in the (uncompressed) log, `time` the console's time of the line in seconds if it has one. `reading` is empty
    for a line that was as it should be, `repaired: ...` if every field could be read all the same, and `partial: ...`
    if some are missing.
    """

    type: str
    fields: Dict[str, Any]
    line: int
    offset: int
    time: Optional[float] = None
    reading: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether no field is missing."""
        return not self.reading.startswith(PARTIAL)

    @property
    def pid(self) -> Optional[int]:
        """The process it is about; a fork is about the parent."""
        return number(self.fields.get("pid", self.fields.get("parent_pid")))

    def number(self, name: str) -> Optional[int]:
        """Return a field as a number, whether it was written in decimal or hex; None if it is neither."""
        return number(self.fields.get(name))


def number(value: Any) -> Optional[int]:
    """Return an int, or the number a text `0x...` stands for, else None."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    return int(value, 16) if isinstance(value, str) and _HEX.fullmatch(value) else None


class Unreadable(NamedTuple):
    """A line in which an event is, or its remains, and which could not be read."""

    line: int
    offset: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}: {self.text}"


class Account(NamedTuple):
    """What became of the lines of a log.

    `missing` counts the numbers that the events' `seq` leaves out, where they have one; `restarts` how often it began
    anew. `first_unreadable` are the first few unreadable lines, escaped and cut.
    """

    lines: Count
    size: Size
    events: Count
    repaired: Count
    partial: Count
    unreadable: Count
    missing: Count
    restarts: Count
    first_unreadable: tuple[Unreadable, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """The account as sentences for a person; empty if every line was as it should be."""
        told = [
            (self.missing, "event", "missing by the sequence numbers"),
            (self.restarts, "time", "the sequence numbers began anew"),
            (self.repaired, "event", "read all the same from damaged lines"),
            (self.partial, "event", "read in part only"),
            (self.unreadable, "line", "with remains of an event that could not be read"),
        ]
        told_counts = (f"{counted(count, noun)} {what}" for count, noun, what in told if count)
        return *told_counts, *map(str, self.first_unreadable)


class Tally:
    """Counts while a log is read."""

    def __init__(self, lines: int = 0, size: int = 0) -> None:
        self.lines, self.size = lines, size
        self.events = self.repaired = self.partial = self.unreadable = 0
        self._first: list[Unreadable] = []

    def unread(self, line: int, offset: int, reason: str, raw: str) -> None:
        """Count an unreadable line; the first few are kept."""
        self.unreadable += 1
        if len(self._first) < _SHOWN:
            self._first.append(Unreadable(line, offset, reason, safe_text(raw.replace("\0", "\1"), _LENGTH)))

    def note(self, event: Event) -> None:
        """Count an event that was not as it should be."""
        if event.reading.startswith(REPAIRED):
            self.repaired += 1
        elif event.reading:
            self.partial += 1

    def account(self, missing: int, restarts: int) -> Account:
        """Return the account so far."""
        return Account(
            Count(self.lines), Size(self.size), Count(self.events), Count(self.repaired), Count(self.partial),
            Count(self.unreadable), Count(missing), Count(restarts), tuple(self._first),
        )  # fmt: skip


class EventReader:
    """Reads the events of a log that comes in pieces, in bounded memory.

    Iterate over it for the events one by one, or over `batches()` for lists of them, which is quicker; then ask for
    the `account()`.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        from .event_parser import EventParser

        self._pieces = pieces
        self._parser = EventParser()

    def __iter__(self) -> Iterator[Event]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[Event]]:
        """Yield the events in lists; an empty one for each empty piece, with which a source says: nothing right now."""
        for piece in self._pieces:
            batch = self._parser.feed(piece)
            if batch or not piece:
                yield batch
            del batch  # what is freed before the next batch is made is still in the processor's cache
        yield self._parser.finish()

    def account(self) -> Account:
        """Return what became of the lines read so far."""
        return self._parser.account()


def read_events(path: str) -> EventReader:
    """Read a log: a file, also compressed by gzip, xz or zstd. Raises BadFile or KdbgError when it is opened."""
    from .log_source import open_log

    return EventReader(open_log(path))
