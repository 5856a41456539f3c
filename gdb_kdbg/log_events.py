"""The events of a log on their way: counted, and watched for what they tell.

Most logs have none: what reads events is imported with the first line that looks as if it held one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, NamedTuple, Optional, Sequence

from .units import Count

if TYPE_CHECKING:
    from .events import Event
    from .log_story import Story
    from .log_symbols import Symbolic
    from .log_watch import WatchedEvents


class EventCounts(NamedTuple):
    """How many events a log has by their types, and what became of damaged ones."""

    total: Count
    by_type: Mapping[str, Count]
    repaired: Count
    partial: Count
    unreadable: Count
    missing: Count
    restarts: Count


class Told(NamedTuple):
    """What the events of a log add up to: `copies` are the newest that they tell of, each with its process, of
    `copies_total`; the stories are in the order in which they are to be told."""

    lines: int
    size: int
    counts: EventCounts
    stories: Sequence[Story] = ()
    problems: Sequence[str] = ()
    copies: Sequence[tuple[Event, str]] = ()
    copies_total: int = 0


_NO_EVENTS = EventCounts(Count(0), {}, Count(0), Count(0), Count(0), Count(0), Count(0))


class LogEvents:
    """Takes the bytes of a log as they come; `finish` tells what its events add up to.

    The newest `copies` that events tell of are kept.
    """

    def __init__(self, symbols: Symbolic, copies: int = 0) -> None:
        self._symbols = symbols
        self._copies = copies
        self._rest = b""
        self._lines = self._size = 0
        self._watched: Optional[WatchedEvents] = None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        if self._watched is not None:
            self._watched.feed(piece)
            return
        end = piece.rfind(b"\n") + 1
        block = self._rest + piece[:end]
        if not end or may_have_events(block):
            self._begin().feed(piece)
        else:
            self._lines += block.count(b"\n")
            self._size += len(block)
            self._rest = piece[end:]

    def finish(self) -> Told:
        """Tell the stories of the whole log."""
        if self._watched is not None or may_have_events(self._rest):
            return (self._watched or self._begin()).finish()
        lines, size = self._lines + bool(self._rest), self._size + len(self._rest)
        return Told(lines, size, _NO_EVENTS, problems=self._symbols.problems)

    # From here on, with the start of its line.
    def _begin(self) -> WatchedEvents:
        from .log_watch import WatchedEvents

        self._watched = WatchedEvents(self._symbols, self._copies, self._lines, self._size)
        self._watched.feed(self._rest)
        return self._watched


def may_have_events(block: bytes) -> bool:
    """Tell whether anything in a text looks like an event or the rest of one."""
    return b"DBG" in block or b'":' in block
