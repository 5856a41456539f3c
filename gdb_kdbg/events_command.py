"""What `kdbg events` does: a stream of events, as they come."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Union

from .event_filter import Wanted
from .event_names import AddressNames
from .event_text import EventLines
from .events import Event, EventReader, Unreadable
from .log_follow import GrowingLog, follow, is_stream, of_descriptor
from .log_source import open_log
from .units import Count, Size

if TYPE_CHECKING:
    from argparse import Namespace

    from .session import Session

_IN_JSON: Dict[str, Any] = {"text": False}


class Notice(NamedTuple):
    """What happened to the log while it was followed."""

    notice: str


Row = Union[Event, Notice]


@dataclass(frozen=True)
class EventsReport:
    """The end of a stream of events: how many were shown, and what became of the lines of the log."""

    shown: Count = field(metadata=_IN_JSON)
    lines: Count = field(metadata=_IN_JSON)
    size: Size = field(metadata=_IN_JSON)
    events: Count = field(metadata=_IN_JSON)
    repaired: Count = field(metadata=_IN_JSON)
    partial: Count = field(metadata=_IN_JSON)
    unreadable: Count = field(metadata=_IN_JSON)
    missing: Count = field(metadata=_IN_JSON)
    restarts: Count = field(metadata=_IN_JSON)
    first_unreadable: tuple[Unreadable, ...] = field(metadata=_IN_JSON)
    problems: tuple[str, ...]


class EventStream:
    """The events that are wanted, in lists as they come; an empty list says that there is nothing right now."""

    def __init__(self, pieces: Iterable[bytes], wanted: Wanted, names: AddressNames, goes_on: bool = False) -> None:
        self._reader = EventReader(pieces)
        self._notices = pieces.notices if isinstance(pieces, GrowingLog) else []
        self._wanted = wanted
        self._names = names
        self._lines = EventLines(names)
        self._goes_on = goes_on
        self._shown = 0
        self.rows = self._rows()

    def texts(self, rows: Sequence[Row]) -> Iterator[list[tuple[str, str]]]:
        """Return lines for a person, each of parts: text and role. For no rows: what was held back until now."""
        for row in rows:
            if isinstance(row, Event):
                yield from self._lines.lines(row)
            else:
                yield [(f"kdbg: {row.notice}", "problem")]
        if not rows:
            yield from self._lines.flush()

    def end(self) -> EventsReport:
        """Return what there is to say when the stream has ended."""
        account = self._reader.account()
        values = {name: getattr(account, name) for name in EventsReport.__dataclass_fields__ if hasattr(account, name)}
        return EventsReport(**{**values, "shown": Count(self._shown),
                               "problems": (*self._wanted.problems(), *account.problems)})  # fmt: skip

    # Ctrl-C is how following a log ends; what is wrong with the log is still told.
    def _rows(self) -> Iterator[List[Row]]:
        with contextlib.suppress(KeyboardInterrupt):
            for batch in self._reader.batches():
                self._names.note(batch)
                # For a log that goes on, its first pause is the end that `--last` and `--since` look for.
                wanted = self._wanted.take(batch) if batch or not self._goes_on else self._wanted.pause()
                found = [*self._news(), *self._counted(wanted)]
                if found or not batch:
                    yield found
                if found and not batch:
                    yield []
        yield [*self._counted(self._wanted.pause()), *self._news()]
        yield []

    def _counted(self, events: List[Event]) -> List[Row]:
        self._shown += len(events)
        return [*events]

    def _news(self) -> List[Row]:
        news: List[Row] = [Notice(text) for text in self._notices]
        self._notices.clear()
        return news


def show_events(session: Session, options: Namespace) -> EventStream:
    """Open the log and return its events as a stream; raise KdbgError if it cannot be opened."""
    wanted = Wanted(options.type, options.pid, options.since, options.last)
    pieces = _opened(session, options.log, options.follow)
    return EventStream(pieces, wanted, AddressNames(session.loaded_symbols()), options.follow)


def _opened(session: Session, name: str, goes_on: bool) -> Iterable[bytes]:
    if name == "-":
        return of_descriptor(session.standard_input(), "standard input")
    return follow(name) if goes_on or is_stream(name) else open_log(name)
