"""What overlap probes have to tell: the calls, one by one with their backtraces, and summed up by call site."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Optional, Sequence

from .errors import KdbgError
from .probe_area import Counts, Tally
from .scope import base_name
from .target import Frame, Target
from .uml_kernel import find_kernel
from .units import Address, Count, Size, safe_text

FRAMES = 32
PROBE_RING = "the overlap probe's ring"


@dataclass(frozen=True)
class OverlapHit:
    """An overlapping call; `distance` is destination minus source. In a kernel the task stands for the thread."""

    summary: str = field(metadata={"label": ""})
    routine: str = field(metadata={"text": False})
    destination: Address = field(metadata={"text": False})
    source: Address = field(metadata={"text": False})
    size: Size = field(metadata={"text": False})
    distance: int = field(metadata={"text": False})
    caller: str = field(metadata={"text": False})
    file: Optional[str] = field(metadata={"text": False})
    line: Optional[int] = field(metadata={"text": False})
    task: Optional[str]
    thread: Optional[str]
    backtrace: tuple[str, ...]


@dataclass(frozen=True)
class OverlapHits:
    """The overlapping call that stopped the program, or that was logged."""

    hits: tuple[OverlapHit, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class OverlapSite:
    """What one call site did; the same size at the same distance again is counted, and is no new kind."""

    count: Count
    kinds: Count
    sizes: str
    distances: str
    caller: str
    file: Optional[str]
    line: Optional[int]
    return_address: Address = field(metadata={"text": False})


@dataclass(frozen=True)
class OverlapReport:
    """The sums since the probe was put in. `calls` are counted without a lock, so threads may lose a few."""

    routines: str
    calls: Count
    overlaps: Count
    equal_addresses: Count = field(metadata={"label": "calls with destination = source"})
    unlisted: Count = field(metadata={"label": "overlaps beyond the table, by further kinds of calls"})
    sites: tuple[OverlapSite, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """A call with its arguments, at the routine's entry."""

    routine: str
    destination: Address
    source: Address
    size: Size
    return_address: Address

    @property
    def distance(self) -> int:
        return self.destination - self.source

    @property
    def is_overlap(self) -> bool:
        return 0 < abs(self.distance) < self.size


def describe_hit(target: Target, call: Call, thread: str, frames: Sequence[Frame]) -> OverlapHit:
    """Tell an overlapping call with its backtrace; `frames` begin with the routine's own."""
    place = target.location(Address(call.return_address - 1))
    callers = [frame for frame in frames[1:] if frame.pc]  # a kernel's first frame returns to 0
    lines = [f"#0 {safe_text(call.routine, 200)}"]
    for number, (frame, older) in enumerate(zip(callers, [*callers[1:], None]), 1):
        # The frame that interrupted its caller is the system's, which called a handler.
        is_signal = older is not None and older.interrupted
        lines.append(f"#{number} <signal handler called>" if is_signal else _line(target, number, frame))
    task = _task(target)
    return OverlapHit(
        _summary(call), call.routine, call.destination, call.source, call.size, call.distance,
        place.function if place else f"{call.return_address:#x}",
        place.file if place else None, place.line if place else None, task, None if task else thread, tuple(lines),
    )  # fmt: skip


def _task(target: Target) -> Optional[str]:
    with contextlib.suppress(KdbgError):
        kernel = find_kernel(target)
        return str(kernel.current()) if kernel else None
    return None


def _summary(call: Call) -> str:
    where = "above" if call.distance > 0 else "below"
    shared = call.size - abs(call.distance)
    return (
        f"{safe_text(call.routine)} overlap: {call.size} bytes to {call.destination:#x}, {abs(call.distance)} {where} "
        f"the source {call.source:#x}; {shared} bytes belong to both"
    )


def _line(target: Target, number: int, frame: Frame) -> str:
    place = target.location(frame.code_address)
    if place is None:
        return f"#{number} {frame.pc:#x}"
    line = f" ({safe_text(place.file, 300)}:{place.line})" if place.file else ""
    return f"#{number} {safe_text(place.function, 200)}{line or f'+{place.offset:#x}{_objfile(target, frame.pc)}'}"


def _objfile(target: Target, pc: int) -> str:
    label = target.label(Address(pc))
    objfile = next((o for o in target.objfiles() if label is not None and o.path == label.objfile), None)
    return f" ({base_name(objfile)})" if objfile is not None else ""


def summed_up(target: Target, routines: str, counts: Sequence[Counts], problems: Sequence[str]) -> OverlapReport:
    """Sum up what probes have counted, by call site, the busiest first."""
    sites: dict[int, list[Tally]] = {}
    for kind in (kind for count in counts for kind in count.kinds):
        sites.setdefault(kind.return_address, []).append(kind)
    rows = [_site(target, address, kinds) for address, kinds in sites.items()]
    return OverlapReport(
        routines,
        Count(sum(count.calls for count in counts)),
        Count(sum(row.count for row in rows) + sum(count.unlisted for count in counts)),
        Count(sum(count.same for count in counts)),
        Count(sum(count.unlisted for count in counts)),
        tuple(sorted(rows, key=lambda row: -row.count)),
        tuple(problems),
    )


def _site(target: Target, address: int, kinds: Sequence[Tally]) -> OverlapSite:
    place = target.location(Address(address - 1))
    return OverlapSite(
        Count(sum(kind.times for kind in kinds)), Count(len(kinds)),
        _span({kind.size for kind in kinds}), _span({kind.distance for kind in kinds}),
        place.function if place else f"{address:#x}", place.file if place else None, place.line if place else None,
        Address(address),
    )  # fmt: skip


def _span(values: set[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
