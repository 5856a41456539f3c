"""Events as lines for a person, in the manner of strace: a system call's entry and exit in one line where they meet.

A line is parts, each a text and its role; the roles are for colours: `time`, `pid`, `name`, `failure`, `signal`,
`fault`, `process`, `damage` and empty.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional

from .errors_and_signals import LARGEST_ERROR, error_name
from .event_forms import ARGUMENT_COUNTS, FORMS, Parts, View
from .events import Event, number
from .units import safe_text

# Whether an address has a name, and which, for a process.
Names = Callable[[int, Optional[int]], str]
_NAME = 64
_CALLS = ("syscall_entry", "syscall_exit")


def no_names(address: int, pid: Optional[int]) -> str:
    """Name nothing."""
    return ""


class EventLines:
    """Makes lines of events that come one after the other."""

    def __init__(self, names: Names = no_names) -> None:
        self._names = names
        self._held: Optional[Event] = None
        self._started: Dict[Optional[int], Event] = {}

    def lines(self, event: Event) -> List[Parts]:
        """Return the lines to show when an event has come; that of an entry is held back until the next one."""
        held, self._held = self._held, None
        if event.type == "syscall_entry":
            self._started[event.pid] = event
            self._held = event
            return self._unfinished(held)
        if event.type == "syscall_exit":
            if held is not None and _is_exit_of(event, held):
                self._started.pop(event.pid, None)
                return [self._line(event, self._whole_call(held, event), held)]
            return [*self._unfinished(held), self._line(event, self._resumed(event))]
        return [*self._unfinished(held), self._line(event, self._form(event))]

    def flush(self) -> List[Parts]:
        """Return the line held back; its call's exit may take its time."""
        held, self._held = self._held, None
        return self._unfinished(held)

    def _unfinished(self, entry: Optional[Event]) -> List[Parts]:
        return [] if entry is None else [self._line(entry, [*_call(entry), (" <unfinished ...>", "")])]

    def _line(self, event: Event, parts: Parts, start: Optional[Event] = None) -> Parts:
        time = (start or event).time
        stamp: Parts = [] if time is None else [(f"{time:>12.6f} ", "time")]
        process: Parts = [] if event.pid is None else [(f"[{event.pid:>4}] ", "pid")]
        readings = dict.fromkeys(item.reading for item in (start, event) if item is not None and item.reading)
        return [*stamp, *process, *parts, *((f"   # {safe_text(reading, 160)}", "damage") for reading in readings)]

    def _whole_call(self, entry: Event, exit: Event) -> Parts:
        return [*_call(entry), (")", ""), *_result(exit), *_duration(entry, exit)]

    def _resumed(self, event: Event) -> Parts:
        entry = self._started.pop(event.pid, None)
        duration = _duration(entry, event) if entry is not None and _is_exit_of(event, entry) else []
        name = safe_text(str(event.fields.get("name", "?")), _NAME)
        return [("<... ", ""), (name, "name"), (" resumed>", ""), *_result(event), *duration]

    def _form(self, event: Event) -> Parts:
        view = View(event, lambda address: self._names(address, event.pid))
        form = FORMS.get(event.type)
        return form(view) if form is not None else view.plainly()


def _is_exit_of(exit: Event, entry: Event) -> bool:
    same = ("name", "nr")
    return exit.pid == entry.pid and all(exit.fields.get(name) == entry.fields.get(name) for name in same)


def _call(event: Event) -> Parts:
    name = safe_text(str(event.fields.get("name", "?")), _NAME)
    arguments = event.fields.get("args")
    numbers = arguments if isinstance(arguments, list) else []
    shown = ", ".join(map(_argument, numbers[: ARGUMENT_COUNTS.get(name, len(numbers))]))
    return [(name, "name"), (f"({shown}", "")]


def _argument(value: Any) -> str:
    found = number(value)
    if found is None:
        return safe_text(str(value), _NAME)
    return str(found) if -LARGEST_ERROR <= found <= LARGEST_ERROR else f"{found & (1 << 64) - 1:#x}"


def _result(event: Event) -> Parts:
    fields: Mapping[str, Any] = event.fields
    result, code = number(fields.get("result")), fields.get("errno")
    if result is None and code is None:
        return [(" = ?", "")]
    if code is None and result is not None and -LARGEST_ERROR <= result < 0:
        code = -result
    if code is None:
        return [(f" = {_argument(result)}", "")]
    found = number(code)
    return [(f" = -1 {safe_text(str(code), _NAME) if found is None else error_name(found)}", "failure")]


def _duration(entry: Event, exit: Event) -> Parts:
    if entry.time is None or exit.time is None or exit.time < entry.time:
        return []
    return [(f" <{exit.time - entry.time:.6f}>", "time")]
