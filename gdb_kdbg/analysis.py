"""What one log tells: its events and its oops texts, read together in one pass and in bounded memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Callable, Iterable, Iterator, NamedTuple, Optional, Sequence

from .errors import KdbgError
from .finding import Finding
from .kernel_log import crashes_in_blocks
from .kernel_log_records import Access, Crash, Frame, Kernel, Register, Task
from .log_events import EventCounts, LogEvents
from .log_files import Opened
from .log_symbols import Symbolic
from .units import Count, Size

if TYPE_CHECKING:
    from .events import Event
    from .log_story import Story

# Crashes of one log that are told in full; a kernel that warns all day writes the same a thousand times.
CRASHES = 200
# The text of an event is no oops text, whatever its members say.
_EVENT = re.compile(rb"^DBG \{[^\n]*", re.MULTILINE)
_LONGEST = 1 << 20


class LogCrash(NamedTuple):
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


class Analysis(NamedTuple):
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
    finding_lines: Annotated[tuple[tuple[Count, ...], ...], {"text": False}] = ()
    problems: tuple[str, ...] = ()

    @property
    def tells(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings or self.crashes)


class LogReading(NamedTuple):
    """An analysis with what it was made of: the stories of its findings in their order, and the newest copies that its
    events tell of, each with its process; `copies_total` is how many there were."""

    analysis: Analysis
    stories: Sequence[Story]
    copies: Sequence[tuple[Event, str]]
    copies_total: int


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
    return made._replace(analysis=made.analysis._replace(problems=(*problems, *made.analysis.problems)))


class _Reading:
    """One pass over a log: the oops reader pulls blocks, and each goes to the events on its way."""

    def __init__(self, symbols: Symbolic, tick: Callable[[int], object], copies: int) -> None:
        self._tick = tick
        self._names = symbols
        self._events = LogEvents(symbols, copies)
        self._crashes: list[Crash] = []
        self._left_out = 0
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
        told = self._events.finish()
        made = Analysis(
            source, kind, Size(told.size), Count(told.lines), told.counts,
            tuple(_typed(story.finding, source) for story in told.stories),
            tuple(map(log_crash, self._crashes)), Count(self._left_out),
            tuple(tuple(map(Count, story.lines)) for story in told.stories), tuple(told.problems),
        )  # fmt: skip
        return LogReading(made, told.stories, told.copies, told.copies_total)

    # The oops reader is told of no failure: what it has read so far is a log as well.
    def _blocks(self, pieces: Iterable[bytes]) -> Iterator[str]:
        rest = b""
        try:
            for piece in pieces:
                self._tick(len(piece))
                self._events.feed(piece)
                end = piece.rfind(b"\n") + 1
                if end:
                    yield _text(rest + piece[:end])
                    rest = piece[end:]
                else:
                    rest = (rest + piece)[:_LONGEST]
        except KdbgError as error:
            self._failure = error
        if rest:
            yield _text(rest)


def _text(block: bytes) -> str:
    if b"DBG {" in block:
        block = _EVENT.sub(b"", block)
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    return block.decode("utf-8", "backslashreplace")


# What to type names the log.
def _typed(finding: Finding, source: str) -> Finding:
    import shlex

    name = shlex.quote(source) if source.isprintable() else "LOG"
    return finding._replace(next=tuple(line.replace(" LOG ", f" {name} ") for line in finding.next))


def log_crash(crash: Crash) -> LogCrash:
    """Return a crash as a row of an analysis."""
    return LogCrash(
        crash.title, crash.type, crash.guilty, crash.guilty_file, next(zip(*crash.stack), ()),
        crash.corrupted, crash.first_line, crash.last_line, crash.headline, crash.task, crash.kernel, crash.access,
        crash.stack, crash.registers, crash.allocated, crash.freed,
    )  # fmt: skip
