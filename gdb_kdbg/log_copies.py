"""Copies between kernel and user memory in a log: what was asked for, dumps of the ring, copies that faulted."""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence

from .events import Event, number
from .log_story import STORIES, Programs, Story, forget_oldest
from .log_symbols import Symbolic
from .units import ADDRESS_MASK, safe_text

# Copies of a process that are remembered: a check of the guard comes after each system call.
_COPIES = 64
_TAG = 63


class Asked(NamedTuple):
    """A copy as the event says that was emitted when it was asked for: only its user side is told."""

    line: int
    address: int
    size: int
    context: str
    is_write: bool


class Faulted(NamedTuple):
    """Copies that faulted in one place: the first, how many, and the ring as it was dumped for it."""

    first: Event
    lines: List[int]
    dumps: List[Event]


class Copies:
    """Remembers what each process had copied, and the copies that faulted.

    `total` is how many events of copies there were, `history` the newest of them with their processes, if wanted.
    """

    def __init__(self, symbols: Symbolic, programs: Programs, keep: int = 0) -> None:
        self._symbols = symbols
        self._programs = programs
        self._asked: Dict[Optional[int], Deque[Asked]] = {}
        self._faulted: Dict[tuple[Any, ...], Faulted] = {}
        self._untold = 0
        self.total = 0
        self.history: Deque[tuple[Event, str]] = deque(maxlen=keep)
        self._last_fault: Dict[Optional[int], Event] = {}
        self.handlers = {"usercopy": self._usercopy, "usercopy_fault": self._fault, "ucopy_trace_dump": self._dump}

    @property
    def problems(self) -> Sequence[str]:
        return [f"{self._untold} more copies faulted in other places"] if self._untold else ()

    def restart(self) -> None:
        """Forget the processes: the machine has started again."""
        self._asked.clear()
        self._last_fault.clear()

    def asked(self, pid: Optional[int]) -> Sequence[Asked]:
        """Return the last copies that were asked for by a process, oldest first."""
        return tuple(self._asked.get(pid, ()))

    def faulted_at(self, pid: Optional[int], address: Optional[int]) -> bool:
        """Tell whether the last copy of a process that faulted did so at this address."""
        last = self._last_fault.get(pid)
        return last is not None and address is not None and last.number("fault_addr") == address

    def stories(self) -> Iterator[Story]:
        if self._faulted:
            from .log_copy_faults import fault_story

            for faulted in self._faulted.values():
                yield fault_story(faulted, self._symbols, self._programs)

    def _usercopy(self, event: Event) -> None:
        fields = event.fields
        address, size = number(fields.get("addr")), number(fields.get("len"))
        if address is None or size is None:
            return
        pid = event.pid
        self.total += 1
        if self.history.maxlen:
            self.history.append((event, self._programs.whose(pid)))
        if pid not in self._asked:
            self._asked[pid] = deque(maxlen=_COPIES)
            forget_oldest(self._asked)
        context = safe_text(str(fields.get("ctx", "")), _TAG)
        writes = fields.get("dir") in ("to_user", "fill")
        self._asked[pid].append(Asked(event.line, address & ADDRESS_MASK, size, context, writes))

    def _fault(self, event: Event) -> None:
        key = tuple(str(event.fields.get(name)) for name in ("label", "ctx", "ip"))
        self._last_fault[event.pid] = event
        forget_oldest(self._last_fault)
        if key not in self._faulted and len(self._faulted) >= STORIES:
            self._untold += 1
            return
        faulted = self._faulted.setdefault(key, Faulted(event, [], []))
        if len(faulted.lines) < _COPIES:
            faulted.lines.append(event.line)

    def _dump(self, event: Event) -> None:
        if "fault" not in str(event.fields.get("trigger")):
            return
        for faulted in self._faulted.values():
            if faulted.first is self._last_fault.get(event.pid):
                faulted.dumps.append(event)
