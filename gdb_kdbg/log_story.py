"""One thing that a log tells: its finding, and the lines of the log that it rests on."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, NamedTuple, Optional

from .event_forms import text_of
from .event_text import EventLines, Names, no_names
from .events import Event
from .finding import Finding
from .units import safe_text

# Processes whose past is remembered, and different stories of a kind that are told.
PROCESSES, STORIES = 4096, 32
_TEXT = 300


class Story(NamedTuple):
    """A finding, the numbers of its lines, and how grave it is: what is least comes first.

    `subject` is the event that it is about, and `dump` that of the ring's dump that belongs to it.
    """

    finding: Finding
    lines: tuple[int, ...]
    gravity: int
    subject: Optional[Event] = None
    dump: Optional[Event] = None


# What is told first: who damaged memory, then what brought the kernel down, then programs, then habits.
GUARD, PANIC, LEAK, COPY, CRASH, STORM, MISSING = range(7)


def event_line(event: Event, names: Names = no_names) -> str:
    """Tell an event as a line of evidence, with the number of its line in the log."""
    lines = EventLines(names)
    parts = [*lines.lines(event), *lines.flush()]
    return f"line {event.line}: {text_of(parts[-1])[:_TEXT].strip()}" if parts else f"line {event.line}"


class Programs:
    """Which program a process runs, as far as the log has told it."""

    def __init__(self) -> None:
        self._names: Dict[Optional[int], str] = {}

    def exec(self, event: Event) -> None:
        """Take note of a program that is started."""
        self._names[event.pid] = safe_text(os.path.basename(str(event.fields.get("argv0", ""))), 64)
        forget_oldest(self._names)

    def fork(self, event: Event) -> None:
        """A child runs what its parent runs."""
        self._names[event.number("child_pid")] = self._names.get(event.pid, "")

    def name(self, pid: Optional[int]) -> str:
        return self._names.get(pid, "")

    def clear(self) -> None:
        self._names.clear()

    def whose(self, pid: Optional[int]) -> str:
        """Return `editor (pid 3)`, `pid 3` where the program is unknown, or nothing."""
        if pid is None:
            return ""
        name = self.name(pid)
        return f"{name} (pid {pid})" if name else f"pid {pid}"


def forget_oldest(states: Dict[Optional[int], Any]) -> None:
    """Keep what is known of processes bounded."""
    while len(states) > PROCESSES:
        states.pop(next(iter(states)))


def numbered(events: Iterable[Optional[Event]]) -> tuple[int, ...]:
    """Return the lines of the events that are there, in order."""
    return tuple(sorted({event.line for event in events if event is not None}))
