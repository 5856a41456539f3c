"""Copies between kernel and user memory in a log: what was asked for, dumps of the ring, copies that faulted."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Deque, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from .copies import CERTAIN
from .events import Event, number
from .finding import Finding
from .log_scene import LogScene, kernel_process
from .log_story import COPY, STORIES, Programs, Story, event_line, forget_oldest, numbered
from .log_symbols import Symbolic
from .ring import RingRecord, direction
from .rules.copy_fault import CopyFault, CopyPlace, fault_finding
from .target import Location
from .units import ADDRESS_MASK, Address, Count, Size, is_kernel_half, safe_text
from .writers import routine_and_phase

# Copies of a process that are remembered: a check of the guard comes after each system call.
_COPIES = 64
_ENTRIES = 4096
_TAG = 63
# How the labels of a copy routine call the phases that kdbg names.
_PHASES = {"leading_bytes": "leading", "bulk_qwords": "bulk", "trailing_bytes": "trailing"}


class Asked(NamedTuple):
    """A copy as the event says that was emitted when it was asked for: only its user side is told."""

    line: int
    address: int
    size: int
    context: str
    is_write: bool


class _Faulted(NamedTuple):
    """Copies that faulted in one place: the first, how many, and the ring as it was dumped for it."""

    first: Event
    lines: List[int]
    records: List[RingRecord]


class Copies:
    """Remembers what each process had copied, and the newest dump of the ring."""

    def __init__(self, symbols: Symbolic, programs: Programs) -> None:
        self._symbols = symbols
        self._programs = programs
        self._asked: Dict[Optional[int], Deque[Asked]] = {}
        self._faulted: Dict[tuple[Any, ...], _Faulted] = {}
        self._untold = 0
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
        for faulted in self._faulted.values():
            yield self._story(faulted)

    def _usercopy(self, event: Event) -> None:
        fields = event.fields
        address, size = number(fields.get("addr")), number(fields.get("len"))
        if address is None or size is None:
            return
        pid = event.pid
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
        faulted = self._faulted.setdefault(key, _Faulted(event, [], []))
        if len(faulted.lines) < _COPIES:
            faulted.lines.append(event.line)

    def _dump(self, event: Event) -> None:
        if "fault" not in str(event.fields.get("trigger")):
            return
        for faulted in self._faulted.values():
            if faulted.first is self._last_fault.get(event.pid):
                faulted.records.extend(ring_records(event, self._symbols))

    def _story(self, faulted: _Faulted) -> Story:
        event = faulted.first
        fault, place = _fault_of(event), self._place(event)
        process = kernel_process(event.pid, self._programs.name(event.pid))
        scene = LogScene(self._symbols.target(), f"line {event.line}", process, faulted.records)
        finding = fault_finding(scene, fault, place, CERTAIN)
        lines = [event_line(event, self._symbols.name), *finding.evidence[1:]]
        if len(faulted.lines) > 1:
            lines.append(f"{len(faulted.lines)} times in all, last in line {faulted.lines[-1]}")
        finding = replace(finding, evidence=tuple(lines), next=(f"kdbg events LOG --type usercopy --pid {event.pid}",))
        return Story(_whose(finding, self._programs.whose(event.pid)), tuple(faulted.lines), COPY)

    def _place(self, event: Event) -> CopyPlace:
        label = safe_text(str(event.fields.get("label", "")), _TAG)
        tag = safe_text(str(event.fields.get("ctx", "")), _TAG)
        target, at = self._symbols.target(), event.number("ip") or 0
        routine = routine_and_phase(target, Address(at & ADDRESS_MASK))[0] if target.objfiles() else ""
        known = routine if routine and not routine.startswith("0x") else None
        return CopyPlace(known, _PHASES.get(label, label) or None, tag or None)


def _whose(finding: Finding, whose: str) -> Finding:
    return replace(finding, summary=f"{finding.summary}, for {whose}") if whose else finding


def _fault_of(event: Event) -> CopyFault:
    def value(name: str) -> int:
        return (event.number(name) or 0) & ADDRESS_MASK

    return CopyFault(
        1, Address(value("fault_addr")), Address(value("ip")), Address(value("dst")), Address(value("src")),
        Size(value("orig_len")), Size(min(value("remaining"), value("orig_len"))), 0, value("pid") & 0xFFFF,
    )  # fmt: skip


def ring_records(event: Event, symbols: Symbolic) -> Sequence[RingRecord]:
    """Return the records of a dump of the ring, oldest first; numbers are those of the dump, or count back from its
    total."""
    entries = event.fields.get("entries")
    items = [item for item in entries[-_ENTRIES:] if isinstance(item, dict)] if isinstance(entries, list) else []
    total = event.number("total_calls")
    first = max(0, (len(items) if total is None else total) - len(items))
    return [_record(item, first + index, symbols) for index, item in enumerate(items)]


def ring_total(event: Event, records: Sequence[RingRecord]) -> int:
    """Return how many copies there had been in all."""
    return max(event.number("total_calls") or 0, len(records))


def _record(item: Mapping[str, Any], index: int, symbols: Symbolic) -> RingRecord:
    def value(name: str) -> int:
        return (number(item.get(name)) or 0) & ADDRESS_MASK

    destination, source, back = value("dst"), value("src"), value("ret")
    # The byte before the return address belongs to the call.
    place = symbols.location(back - 1) if back else None
    exact = Location(place.function, Size(place.offset + 1), place.file, place.line) if place else None
    context, process, sequence = safe_text(str(item.get("ctx", "")), _TAG), number(item.get("pid")), item.get("n")
    return RingRecord(
        Count(sequence if type(sequence) is int else index), Address(destination), Address(source), Size(value("len")),
        Address(back), str(exact) if exact else "", exact.file if exact else None, exact.line if exact else None,
        direction(destination, source), context or None, None if process is None else Count(process & 0xFFFF), False,
        None, {},
    )  # fmt: skip


def asked_record(asked: Asked, sequence: int, pid: int) -> RingRecord:
    """Return a copy to user memory that only an event tells of as a record: nobody knows its source or caller."""
    return RingRecord(
        Count(sequence), Address(asked.address), Address(0), Size(asked.size), Address(0), "", None, None, "to_user",
        asked.context or None, Count(pid & 0xFFFF), False, None, {},
    )  # fmt: skip


def user_side(record: RingRecord) -> int:
    """Return the address of a record that is the program's."""
    return record.source if is_kernel_half(record.destination) else record.destination
