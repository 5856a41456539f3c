"""Watches the events of a log go by and remembers what will be told of them at its end."""

from __future__ import annotations

from functools import cached_property
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from .event_parser import EventParser
from .events import Account, Event
from .log_calls import Calls
from .log_copies import Copies
from .log_events import EventCounts, Told
from .log_faults import Faults
from .log_guards import Guards
from .log_leaks import Leaks
from .log_panics import Panics
from .log_story import Programs, Story
from .log_symbols import Symbolic
from .units import Count, safe_text

# A kernel has some twenty types of events; a file that has more than these is not one's.
_TYPES, _OTHERS = 64, "others"
Handler = Callable[[Event], None]


class LogWatch:
    """Takes events in the order of the log; `finish` tells what they add up to, the gravest first."""

    def __init__(self, symbols: Symbolic, copies: int = 0) -> None:
        self._symbols = symbols
        self._programs = Programs()
        self.copies = Copies(symbols, self._programs, copies)
        self._guards = Guards(symbols, self._programs, self.copies)
        self._leaks = Leaks(symbols, self._programs)
        self._calls = Calls(self._programs)
        self._panics = Panics(symbols)
        self._faults = Faults(symbols, self._programs, self._guards, self.copies)
        self._next: Optional[int] = None

    def take(self, events: Sequence[Event]) -> None:
        """Take the next events."""
        self._symbols.note(events)
        handlers, following = self._handlers, self._next
        for event in events:
            number = event.fields.get("seq")
            if number is not None:
                if number != following and following is not None:
                    self._jump(number, event)
                following = number + 1 if type(number) is int else None
            for handler in handlers.get(event.type, ()):
                handler(event)
        self._next = following

    def finish(self) -> tuple[Sequence[Story], Sequence[str]]:
        """Return the stories and what could not be told."""
        parts = (self._guards, self._panics, self._leaks, self.copies, self._faults, self._calls)
        stories = [story for part in parts for story in part.stories()]
        problems = [problem for part in parts for problem in part.problems]
        return sorted(stories, key=_order), list(dict.fromkeys([*self._symbols.problems, *problems]))

    @cached_property
    def _handlers(self) -> Mapping[str, Sequence[Handler]]:
        found: Dict[str, List[Handler]] = {}
        # Programs come first, so that the others know what a process runs.
        ours: Dict[str, Handler] = {"process_exec": self._programs.exec, "process_fork": self._programs.fork}
        tables: Sequence[Mapping[str, Handler]] = (
            ours, self.copies.handlers, self._guards.handlers, self._leaks.handlers, self._calls.handlers,
            self._panics.handlers, self._faults.handlers,
        )  # fmt: skip
        for handlers in tables:
            for kind, handler in handlers.items():
                found.setdefault(kind, []).append(handler)
        return found

    # Events are missing, or the machine has started again: then nothing known of its processes holds any more.
    def _jump(self, number: object, event: Event) -> None:
        self._guards.lost(event.line)
        if number == 0:
            self._programs.clear()
            for part in (self.copies, self._guards, self._faults, self._calls):
                part.restart()


def _order(story: Story) -> tuple[int, int]:
    return story.gravity, story.lines[0] if story.lines else 0


class WatchedEvents:
    """The events of a log from some line on: parsed, counted and watched."""

    def __init__(self, symbols: Symbolic, copies: int, lines: int, size: int) -> None:
        self._parser = EventParser(lines, size)
        self._watch = LogWatch(symbols, copies)
        self._types: Dict[str, int] = {}

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._take(self._parser.feed(piece))

    def finish(self) -> Told:
        """Return what all of them add up to."""
        self._take(self._parser.finish())
        account = self._parser.account()
        stories, problems = self._watch.finish()
        copies = self._watch.copies
        return Told(
            account.lines, account.size, self._counts(account), stories, (*problems, *account.problems),
            copies.history, copies.total,
        )  # fmt: skip

    def _take(self, events: List[Event]) -> None:
        types = self._types
        for event in events:
            kind = event.type
            if kind in types or len(types) < _TYPES:
                types[kind] = types.get(kind, 0) + 1
            else:
                types[_OTHERS] = types.get(_OTHERS, 0) + 1
        if events:
            self._watch.take(events)

    def _counts(self, account: Account) -> EventCounts:
        ranked = sorted(self._types.items(), key=lambda item: -item[1])
        by_type = {safe_text(name): Count(count) for name, count in ranked}
        return EventCounts(
            account.events, by_type, account.repaired, account.partial, account.unreadable, account.missing,
            account.restarts,
        )  # fmt: skip
