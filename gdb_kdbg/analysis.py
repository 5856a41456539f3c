"""What one log tells: its events and its oops texts, read together in one pass and in bounded memory."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .errors import KdbgError
from .event_parser import EventParser
from .events import Account
from .finding import Finding
from .kernel_log import crashes_in_blocks
from .kernel_log_records import Access, Crash, Frame, Kernel, Register, Task
from .log_files import Opened
from .log_story import Story
from .log_symbols import Symbolic
from .log_watch import LogWatch
from .units import Count, Size, safe_text

# Crashes of one log that are told in full; a kernel that warns all day writes the same a thousand times.
CRASHES = 200
_IN_JSON: Dict[str, Any] = {"text": False}
# The text of an event is no oops text, whatever its members say.
_EVENT = re.compile(rb"^DBG \{[^\n]*", re.MULTILINE)
_LONGEST = 1 << 20
# A kernel has some twenty types of events; a file that has more than these is not one's.
_TYPES, _OTHERS = 64, "others"


@dataclass(frozen=True)
class EventCounts:
    """How many events a log has by their types, and what became of damaged ones."""

    total: Count
    by_type: Mapping[str, Count]
    repaired: Count
    partial: Count
    unreadable: Count
    missing: Count
    restarts: Count


@dataclass(frozen=True)
class LogCrash:
    """A crash by its oops text; `stack` has the names of `frames`, innermost first. Lines count from 1."""

    title: str
    type: str
    guilty: str
    guilty_file: str
    stack: tuple[str, ...]
    corrupted: str
    first_line: Count
    last_line: Count
    headline: str
    task: Task
    kernel: Kernel
    access: Optional[Access]
    frames: tuple[Frame, ...]
    registers: tuple[Register, ...]
    allocated: tuple[Frame, ...]
    freed: tuple[Frame, ...]


@dataclass(frozen=True)
class Analysis:
    """All that is told of one log; `finding_lines` are the lines that each finding rests on.

    `kind` is `serial log`, `event file` or `boot2dump`, and empty if the log could not be read; `problems` say why.
    `crashes_left_out` more crashes came behind the ones that are listed.
    """

    source: str
    kind: str
    bytes: Size
    lines: Count
    events: EventCounts
    findings: tuple[Finding, ...]
    crashes: tuple[LogCrash, ...]
    crashes_left_out: Count
    finding_lines: tuple[tuple[Count, ...], ...] = field(default=(), metadata=_IN_JSON)
    problems: tuple[str, ...] = ()

    @property
    def tells(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings or self.crashes)


class LogReading(NamedTuple):
    """An analysis with what it was made of: the stories of its findings in their order, and all that was watched."""

    analysis: Analysis
    stories: Sequence[Story]
    watch: LogWatch


def read_log(
    source: str,
    opening: Callable[[], Opened],
    symbols: Symbolic,
    tick: Callable[[int], object] = lambda size: None,
    copies: int = 0,
) -> LogReading:
    """Read a log; what cannot be read becomes a problem, and what stands before it is told all the same.

    `tick` is called now and then with the number of bytes that were read since. The newest `copies` that events tell of
    are kept.
    """
    reading = _Reading(symbols, tick, copies)
    problems: list[str] = []
    kind = ""
    try:
        opened = opening()
        kind = opened.kind
        reading.read(opened.pieces)
    except KdbgError as error:
        problems.append(str(error))
    made = reading.made(source, kind)
    if not problems:
        return made
    return made._replace(analysis=replace(made.analysis, problems=(*problems, *made.analysis.problems)))


class _Reading:
    """One pass over a log: the oops reader pulls blocks, and each goes to the events on its way."""

    def __init__(self, symbols: Symbolic, tick: Callable[[int], object], copies: int) -> None:
        self._tick = tick
        self._names = symbols
        self._parser = EventParser()
        self._watch = LogWatch(symbols, copies)
        self._crashes: list[Crash] = []
        self._left_out = 0
        self._types: Dict[str, int] = {}
        self._failure: Optional[KdbgError] = None

    def read(self, pieces: Iterable[bytes]) -> None:
        for crash in crashes_in_blocks(self._blocks(pieces), self._names.name_of):
            if len(self._crashes) < CRASHES:
                self._crashes.append(crash)
            else:
                self._left_out += 1
        if self._failure is not None:
            raise self._failure

    def made(self, source: str, kind: str) -> LogReading:
        account = self._parser.account()
        stories, problems = self._watch.finish()
        made = Analysis(
            source, kind, account.size, account.lines, self._counts(account),
            tuple(_typed(story.finding, source) for story in stories),
            tuple(map(log_crash, self._crashes)), Count(self._left_out),
            tuple(tuple(map(Count, story.lines)) for story in stories), (*problems, *account.problems),
        )  # fmt: skip
        return LogReading(made, stories, self._watch)

    # The oops reader is told of no failure: what it has read so far is a log as well.
    def _blocks(self, pieces: Iterable[bytes]) -> Iterator[str]:
        rest = b""
        try:
            for piece in pieces:
                self._take(piece)
                end = piece.rfind(b"\n") + 1
                if end:
                    yield _text(rest + piece[:end])
                    rest = piece[end:]
                else:
                    rest = (rest + piece)[:_LONGEST]
        except KdbgError as error:
            self._failure = error
        self._watched(self._parser.finish())
        if rest:
            yield _text(rest)

    def _take(self, piece: bytes) -> None:
        self._tick(len(piece))
        self._watched(self._parser.feed(piece))

    def _watched(self, events: list[Any]) -> None:
        if events:
            types = self._types
            for event in events:
                kind = event.type
                if kind in types or len(types) < _TYPES:
                    types[kind] = types.get(kind, 0) + 1
                else:
                    types[_OTHERS] = types.get(_OTHERS, 0) + 1
            self._watch.take(events)

    def _counts(self, account: Account) -> EventCounts:
        ranked = sorted(self._types.items(), key=lambda item: -item[1])
        by_type = {safe_text(name): Count(count) for name, count in ranked}
        return EventCounts(
            account.events, by_type, account.repaired, account.partial, account.unreadable, account.missing,
            account.restarts,
        )  # fmt: skip


def _text(block: bytes) -> str:
    if b"DBG {" in block:
        block = _EVENT.sub(b"", block)
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    return block.decode("utf-8", "backslashreplace")


# What to type names the log.
def _typed(finding: Finding, source: str) -> Finding:
    name = shlex.quote(source) if source.isprintable() else "LOG"
    return replace(finding, next=tuple(line.replace(" LOG ", f" {name} ") for line in finding.next))


def log_crash(crash: Crash) -> LogCrash:
    """Return a crash as a row of an analysis."""
    return LogCrash(
        crash.title, crash.type, crash.guilty, crash.guilty_file, tuple(frame.function for frame in crash.stack),
        crash.corrupted, crash.first_line, crash.last_line, crash.headline, crash.task, crash.kernel, crash.access,
        crash.stack, crash.registers, crash.allocated, crash.freed,
    )  # fmt: skip
