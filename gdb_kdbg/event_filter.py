"""Which events to show: by type, by process, by time, and only the last of them."""

from __future__ import annotations

import re
from collections import deque
from typing import Deque, FrozenSet, List, Optional, Sequence

from .console_time import console_time
from .errors import KdbgError
from .events import TYPES, Event, number
from .units import shown

CATEGORIES = {
    "syscall": ("syscall_entry", "syscall_exit", "unimplemented_syscall"),
    "signal": ("signal", "signal_stack_write"),
    "fault": ("page_fault", "user_fault", "usercopy_fault", "crash_report"),
    "process": ("process_exit", "process_exec", "process_fork"),
    "canary": ("canary_check",),
    "usercopy": ("usercopy", "usercopy_fault", "ucopy_trace_dump"),
    "panic": ("panic",),
    "profile": ("syscall_profile", "page_faults", "span_profile", "htrace", "htrace_summary"),
}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(us|ms|s|m|min|h|d)", re.ASCII)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
# A window of time is kept in memory until its end is known.
_KEPT = 50_000


class Since:
    """`--since`: a console time, or how far back from the last one."""

    def __init__(self, text: str) -> None:
        """Parse it, or raise KdbgError."""
        self.back: Optional[float] = None
        self.time: Optional[float] = None
        duration = _DURATION.fullmatch(text.strip())
        if duration is not None:
            self.back = float(duration[1]) * _UNITS[duration[2]]
            return
        self.time, rest = console_time(text.strip())
        if re.fullmatch(r"[0-9]{1,12}", rest.strip()):
            self.time, rest = float(rest), ""
        if self.time is None or rest:
            raise KdbgError(
                f"no time: {text!r}: --since takes 12.5, 16:05:42, 2026-11-21T16:05:42, or 5s, 200ms, 2m, 1h"
            )


class Wanted:
    """Passes on the events that are wanted. Some are known only when the log has come to its end, or to a pause."""

    def __init__(self, types: Optional[str], pid: Optional[int], since: Optional[str], last: Optional[int]) -> None:
        self._types = types_named(types) if types is not None else None
        # A type that kdbg does not know may be a newer kernel's, or a slip; if none comes, it is said.
        self._strange = {word for word in self._types or () if word not in TYPES and word not in CATEGORIES}
        self._pid = pid
        self._since = Since(since) if since is not None else None
        self._last = last
        self._is_reached = self._since is None or self._since.time is None
        self._has_time = self._is_full = False
        self._is_held = last is not None or (self._since is not None and self._since.back is not None)
        self._held: Deque[Event] = deque(maxlen=last if last is not None else _KEPT)
        self._window: Deque[Event] = deque(maxlen=_KEPT)

    def take(self, events: Sequence[Event]) -> List[Event]:
        """Return those of the next events that can be shown at once."""
        found = [event for event in events if self._passes(event)]
        if not self._is_held:
            return found
        if self._since is not None and self._since.back is not None:
            self._keep_newest(found, self._since.back)
        else:
            self._held.extend(found)
        return []

    def pause(self) -> List[Event]:
        """The log has no more for now: return what was held back for that, and hold back nothing any more."""
        if not self._is_held:
            return []
        self._is_held = False
        if self._since is not None and self._since.back is not None:
            self._held.extend(self._window)
        held = list(self._held)
        self._held.clear()
        self._window.clear()
        return held

    def problems(self) -> Sequence[str]:
        """What `--since` could not do, and types that neither kdbg nor the log knows."""
        known = ", ".join([*CATEGORIES, *sorted(TYPES)])
        told = [f"no event has the type {word}; known are {known}" for word in sorted(map(shown, self._strange))]
        if self._since is not None and not self._has_time:
            told.append("no event has a console time, which --since needs")
        if self._is_full:
            told.append(f"only the last {_KEPT} events of that time are shown")
        return told

    def _passes(self, event: Event) -> bool:
        if event.time is not None:
            self._has_time = True
            if self._since is not None and self._since.time is not None and event.time >= self._since.time:
                self._is_reached = True
        if self._strange:
            self._strange.discard(event.type)
        if not self._is_reached or (self._types is not None and event.type not in self._types):
            return False
        return self._pid is None or self._pid in (event.pid, number(event.fields.get("child_pid")))

    def _keep_newest(self, events: Sequence[Event], back: float) -> None:
        window = self._window
        for event in events:
            self._is_full = self._is_full or len(window) == _KEPT
            window.append(event)
            while event.time is not None and (window[0].time is None or window[0].time < event.time - back):
                window.popleft()
                self._is_full = False


def types_named(text: str) -> FrozenSet[str]:
    """Return the types that a list of types and categories means; raise KdbgError for an empty one."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise KdbgError(f"no type in {text!r}: one of {', '.join([*CATEGORIES, *sorted(TYPES)])}")
    return frozenset(name for word in words for name in (word, *CATEGORIES.get(word, ())))
