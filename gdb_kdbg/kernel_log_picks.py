"""The guilty function of a report: one rule for each way in which kernels tell of a fault."""

from __future__ import annotations

import re
from typing import Callable, Iterable, Iterator, NamedTuple, Optional, Sequence

from .kernel_log_frames import plain
from .kernel_log_guilty import (
    call_name,
    cross_call,
    dispatches,
    idles,
    interrupts,
    never_guilty,
    shared_wait,
    waits,
)
from .kernel_log_kinds import Kind
from .kernel_log_records import Frame
from .kernel_log_report import Report

_HELD_AT = re.compile(r"\bat: (?:\[<[0-9a-f]{8,16}>\] )?([A-Za-z_$.<][^\s+]{0,511})\+0x")
_RELEASED = re.compile(
    r"^\s{0,8}\[<[0-9a-f]{8,16}>\] ([A-Za-z_$.][^\s+]{0,511})\+0x|is trying to release lock .{0,80} at:$"
)
_HELD = re.compile(r"\s{0,8}#\d{1,4}: ")
_LAST = re.compile(r"last function: ([A-Za-z_]\w{0,500})")
_MAKES = re.compile(r"alloc|^_*(?:skb_(?:clone|copy)|pskb_|sk_clone|sk_prot|build_skb|kmemleak|create_object)")


class Verdict(NamedTuple):
    """Who is guilty, and the stack that says so."""

    name: str
    stack: Sequence[Frame]
    file: str = ""


def verdict(kind: Kind, found: re.Match[str], report: Report, warned: bool = False) -> Verdict:
    """Return the guilty function by the rule of a kind; without a name if the report does not tell.

    `warned`: the function in the head only tells of the mistake of another.
    """
    stack = main_stack(report)
    named = plain((found.groupdict().get("f") or "").split("+")[0])
    if re.fullmatch(r"(?:0x)?[0-9a-f]{8,16}", named):
        named = ""
    if warned and named:
        below = [place for place, frame in enumerate(stack) if frame.reliable and plain(frame.function) == named]
        return _first(_reliable(stack[below[0] + 1 :] if below else stack), stack)
    return RULES[kind.pick](report, stack, named)


def main_stack(report: Report) -> Sequence[Frame]:
    """Return the stack of the fault: where it was stopped and the first trace, or the first frames of all."""
    stops = report.stops
    trace = next(report.traces("trace"), None) or next(report.traces("dump", "head", "access", "task", "end"), ())
    if stops and not any(frame.function == stops[-1].function and frame.offset == stops[-1].offset for frame in trace):
        return (*stops, *trace)
    return trace


def _reliable(stack: Sequence[Frame]) -> Sequence[str]:
    return [plain(frame.function) for frame in stack if frame.reliable] or [plain(frame.function) for frame in stack]


def _first(names: Iterable[str], stack: Sequence[Frame], harmless: Callable[[str], bool] = never_guilty) -> Verdict:
    name = next((name for name in names if not harmless(name)), "")
    file = next((frame.file for frame in stack if frame.file and plain(frame.function) == name), "")
    return Verdict(call_name(name), stack, file)


def _from_trace(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    return _first(_reliable(stack), stack)


def _from_named(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    return _first([named, *_reliable(stack)], stack)


def _from_fault(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """The instruction that faulted comes before the trace, which may begin with the dump."""
    return _first([*_reliable(report.stops), *_reliable(stack)], stack)


def _from_any(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """The page's history, if the kernel keeps it, tells more than who found it."""
    owned = next(report.traces("allocated"), ())
    found = _first(_reliable(owned), owned)
    return found if found.name else _first(_reliable(stack), stack)


def _from_lock(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """Where the lock that completes the circle is taken, which the report names before any stack."""
    end = next((section.number for section in report.of("usage", "chain", "dump", "trace")), len(report.lines))
    lines = [line for line in report.lines[:end] if not _HELD.match(line)]
    places = [found[1] for line in lines if (found := _HELD_AT.search(line) or _RELEASED.search(line)) and found[1]]
    rest = (
        name
        for frames in [*report.traces("dump", "trace"), *report.traces("usage", "chain")]
        for name in _reliable(frames)
    )
    return _first([*map(plain, places[:2]), *rest], next(report.traces("trace"), stack))


def _from_held(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """Where the lock was taken that is still held."""
    held = [plain(found[1]) for line in report.lines if _HELD.match(line) and (found := _HELD_AT.search(line))]
    return _first([*held, *_reliable(stack)], stack)


def _from_race(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    return Verdict(named, stack) if named else _first(_reliable(stack), stack)


def _from_order(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    rest = (name for frames in report.traces("usage", "dump", "trace") for name in _reliable(frames))
    return _first(rest, next(report.traces("trace"), stack))


def _from_leak(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    trace = next(report.traces("dump", "trace", "head"), stack)
    return _first(_reliable(trace), trace, _makes)


# A leak is the mistake of who asked for an object, not of the functions that only make one.
def _makes(name: str) -> bool:
    return never_guilty(name) or _MAKES.search(name) is not None


def _from_last(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """A worker tells what it ran last: that function left something behind."""
    last = next((found[1] for line in report.lines[:5] if (found := _LAST.search(line))), "")
    return Verdict(plain(last), stack) if last else _first(_reliable(stack), stack)


def _from_waits(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    return _first(_reliable(stack), stack, waits)


def _from_hung(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    names = _reliable(stack)
    shared = next(filter(None, map(shared_wait, names)), "")
    return Verdict(shared, stack) if shared else _first(names, stack, waits)


def _from_stall(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """A stall is noticed in the timer interrupt: what it interrupted is what does not get on."""
    return _loop(stack, list(_dumped(report, below=True)))


def _from_lockup(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """A lockup's registers and stack are those of the interrupted code itself."""
    return _loop(stack, list(_dumped(report, below=False)))


# A stalled CPU is caught somewhere in a loop; who owns the loop stands just above what runs anything.
def _loop(stack: Sequence[Frame], dumped: Sequence[Sequence[Frame]]) -> Verdict:
    stacks = [frames for frames in dumped if frames and not any(map(idles, _reliable(frames)))]
    for frames in stacks:
        name = _looping(_reliable(frames))
        if name:
            return Verdict(call_name(name), frames)
    if stacks or not dumped:
        return _first(_reliable(stacks[0]), stacks[0]) if stacks else Verdict("", stack)
    return Verdict(_looping(_reliable(dumped[0])), dumped[0])


def _dumped(report: Report, below: bool) -> Iterator[Sequence[Frame]]:
    """Yield the stacks of the CPUs that a report shows, with the frame of their registers if these come first."""
    ip: Optional[Frame] = None
    for section in report.of("ip", "trace", "nmi"):
        if section.kind == "ip":
            ip = report.stopped(section) or ip
            continue
        frames = report.frames(section)
        # On arm the trace follows at once.
        if section.kind == "nmi" and not frames:
            continue
        interrupted = _below_interrupt(frames)
        yield (ip, *frames) if ip and (interrupted is frames or not below) else interrupted
        ip = None


def _below_interrupt(frames: Sequence[Frame]) -> Sequence[Frame]:
    entries = [i for i, frame in enumerate(frames) if frame.reliable and interrupts(plain(frame.function))]
    if not entries:
        return frames
    below = frames[entries[0] + 1 :]
    while below and (interrupts(name := plain(below[0].function)) or name.startswith("asm_call")):
        below = below[1:]
    return below


def _looping(names: Sequence[str]) -> str:
    before = names[0] if names else ""
    for name in names:
        if cross_call(name):
            return cross_call(name)
        if dispatches(name):
            return before
        before = name
    return _above_trap(names)


# A page fault of user mode: nothing stands below its entry.
def _above_trap(names: Sequence[str]) -> str:
    kept = list(names)
    while kept and never_guilty(kept[-1]):
        kept.pop()
    return kept[-1] if kept and len(kept) < len(names) else ""


def _from_deep(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    """Who used up the stack is seen from its bottom."""
    names = _reliable(stack)
    return Verdict(call_name(_looping(names)), stack) if names else Verdict("", stack)


def _from_rust(report: Report, stack: Sequence[Frame], named: str) -> Verdict:
    from .demangle import demangle

    names = [demangle(name) for name in _reliable(stack)]
    return _first([name for name in names if "panick" not in name and "rust_begin_unwind" not in name], stack)


RULES = {
    "named": _from_named,
    "warning": _from_named,
    "fault": _from_fault,
    "trace": _from_trace,
    "dump": _from_trace,
    "any": _from_any,
    "lock": _from_lock,
    "order": _from_order,
    "leak": _from_leak,
    "last": _from_last,
    "waits": _from_waits,
    "hung": _from_hung,
    "stall": _from_stall,
    "lockup": _from_lockup,
    "deep": _from_deep,
    "rust": _from_rust,
    "held": _from_held,
    "race": _from_race,
    "message": _from_trace,
    "none": _from_trace,
}
