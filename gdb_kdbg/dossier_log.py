"""The dossier of a log: what its analysis found, the copies that it tells of, and its lines."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Callable, Iterator, Mapping, Optional, Sequence

from .analysis import Analysis, LogCrash, LogReading, read_log
from .dossier import (
    AxisMark,
    CopyAxis,
    CopyNote,
    Dossier,
    FrameNote,
    MemoryPicture,
    NamedRange,
    Origin,
    Register,
    Stretch,
)
from .dossier_excerpts import excerpts_of
from .dossier_memory import COPIES_LIMIT, bounded_axis, memory_picture, near_copies, window_around
from .errors import BadFile
from .events import Event, number
from .finding import CERTAIN, LIKELY, Facts, Finding
from .log_files import open_named
from .log_panics import panic_frames
from .log_ring import ring_records
from .log_story import Story
from .log_symbols import Symbolic
from .process import GUARD_OFFSET
from .ranges import Range
from .ring import RingRecord
from .units import ADDRESS_MASK, Address, Count, Size, Word, counted, safe_text, shown

_WORD = Size(8)
_FINDINGS, _FRAMES = 32, 64


def dossier_of_log(path: str, symbols: Symbolic, tick: Callable[[int], object]) -> Dossier:
    """Read a log and collect what the page shows of it; raise BadFile if it cannot be read at all."""
    reading = read_log(path, lambda: open_named(path), symbols, tick, COPIES_LIMIT)
    analysis = reading.analysis
    if not analysis.kind:
        raise BadFile(analysis.problems[0] if analysis.problems else f"{shown(path)} cannot be read")
    return dossier_of_reading(reading, symbols, lambda: open_named(path).pieces)


def dossier_of_reading(reading: LogReading, symbols: Symbolic, again: Callable[[], Iterator[bytes]]) -> Dossier:
    """Make the dossier of a log that was read; `again` opens it once more, for its lines."""
    analysis, best = reading.analysis, reading.stories[0] if reading.stories else None
    findings = (*analysis.findings, *map(crash_finding, analysis.crashes))[:_FINDINGS]
    copies = _copies(reading, best, symbols)
    memory = _picture(best, copies) if best else None
    crash = analysis.crashes[0] if analysis.crashes else None
    return Dossier(
        _title(findings), _read(analysis), _origin(analysis), findings, memory=memory,
        axis=_axis(reading, best, copies), frames=_frames(best, crash, symbols), registers=_registers(best, crash),
        excerpts=excerpts_of(analysis, again), problems=analysis.problems,
    )  # fmt: skip


def crash_finding(crash: LogCrash) -> Finding:
    """Return a crash by its oops text as a finding, so that a page has one to begin with."""
    where = f" (guilty: {crash.guilty})" if crash.guilty and crash.guilty not in crash.title else ""
    lines = [f"from line {crash.first_line} on: {crash.headline}"]
    lines += [f"stack: {' < '.join(crash.stack[:12])}"] if crash.stack else []
    lines += [f"not to be trusted: {crash.corrupted}"] if crash.corrupted else []
    facts = Facts(
        function=crash.guilty or None, process=crash.task.comm or None, pid=crash.task.pid,
        fault_address=crash.access.address if crash.access else None, file=crash.guilty_file or None,
    )  # fmt: skip
    return Finding(f"{crash.title}{where}", "oops", LIKELY if crash.corrupted else CERTAIN, tuple(lines), (), facts)


def _title(findings: Sequence[Finding]) -> str:
    if not findings:
        return "nothing found in this log"
    first, facts = findings[0], findings[0].facts
    whose = f" in {facts.process}" if facts.process else ""
    if facts.verdict:
        return f"{facts.verdict}: {facts.victim or 'memory'}{whose}"
    return first.summary if first.rule == "oops" else f"{first.rule.replace('-', ' ')}{whose}"


def _read(analysis: Analysis) -> str:
    crashes = len(analysis.crashes) + analysis.crashes_left_out
    lines, events = counted(analysis.lines, "line", ","), counted(analysis.events.total, "event", ",")
    return f"{lines} with {events} of the kernel and {counted(crashes, 'crash')} in plain text"


def _origin(analysis: Analysis) -> Origin:
    kernel = next((crash.kernel for crash in analysis.crashes if crash.kernel.version), None)
    types = ", ".join(f"{count:,} {safe_text(name, 64)}" for name, count in analysis.events.by_type.items())
    facts = [
        ("Log", shown(analysis.source)),
        ("Size", f"{analysis.bytes:,} bytes"),
        ("Kernel", f"{kernel.version} {kernel.architecture}".strip() if kernel else ""),
        ("Events", types),
    ]
    return Origin(analysis.kind, tuple((label, text) for label, text in facts if text), is_log=True)


def _copies(reading: LogReading, best: Optional[Story], symbols: Symbolic) -> Sequence[CopyNote]:
    if best is not None and best.dump is not None:
        facts = best.finding.facts
        names = {facts.pid & 0xFFFF: _whose(facts)} if facts.pid is not None else {}
        return [_noted(record, facts, names) for record in ring_records(best.dump, symbols)]
    history = reading.copies
    has_times = all(event.time is not None for event, _ in history)
    return [_told(index, event, whose, has_times) for index, (event, whose) in enumerate(history)]


def _whose(facts: Facts) -> str:
    return f"{facts.process} (pid {facts.pid})" if facts.process else f"pid {facts.pid}"


def _noted(record: RingRecord, facts: Facts, names: Mapping[int, str]) -> CopyNote:
    is_meant = facts.sequence is not None and record.sequence == facts.sequence
    written = Range(record.destination, facts.wrote) if is_meant and facts.wrote is not None else None
    role = ("culprit" if facts.verdict else "faulted") if is_meant else ""
    process = "" if record.process is None else names.get(record.process, f"pid {record.process}")
    return CopyNote(
        record.sequence, record.sequence, record.caller or f"{record.return_address:#x}", record.file, record.line,
        process, record.context or "", record.destination, record.source, record.size, written, role,
    )  # fmt: skip


# An event tells who wanted the copy, not which function called: the context stands for it.
def _told(index: int, event: Event, whose: str, has_times: bool) -> CopyNote:
    fields = event.fields
    address = Address((number(fields.get("addr")) or 0) & ADDRESS_MASK)
    context = safe_text(str(fields.get("ctx", "")), 63)
    at = event.time if has_times and event.time is not None else float(event.line)
    is_write = fields.get("dir") in ("to_user", "fill")
    destination, source = (address, Address(0)) if is_write else (Address(0), address)
    size = Size(min(number(fields.get("len")) or 0, ADDRESS_MASK))
    return CopyNote(index, at, context or "unknown", None, None, whose, context, destination, source, size)


def _picture(best: Story, copies: Sequence[CopyNote]) -> Optional[MemoryPicture]:
    facts = best.finding.facts
    if facts.victim_address is None or facts.found is None:
        return None
    victim = NamedRange(Range(facts.victim_address, _WORD), facts.victim or "guard")
    near = near_copies(copies, victim.range, _whose(facts) if facts.pid is not None else "")
    contents = (Stretch(victim.range.start, facts.found.to_bytes(8, "little")),)
    expected = None if facts.expected is None else facts.expected.to_bytes(8, "little")
    window = window_around(victim.range, near)
    return memory_picture(victim, near, expected, contents, tuple(_thread_block(victim, window)))


def _thread_block(victim: NamedRange, window: Range) -> Iterator[NamedRange]:
    base = victim.range.start - GUARD_OFFSET
    for offset in range(0, GUARD_OFFSET, _WORD):
        place = Range(Address(base + offset), _WORD)
        if base > 0 and window.covers(place):
            yield NamedRange(place, f"fs:{offset:#x}")


def _axis(reading: LogReading, best: Optional[Story], copies: Sequence[CopyNote]) -> Optional[CopyAxis]:
    if not copies:
        return None
    if best is not None and best.dump is not None:
        total = max(best.dump.number("total_calls") or 0, len(copies))
        return bounded_axis("copy number", copies, total, total - len(copies))
    times = copies[0].at != int(copies[0].at) or copies[-1].at != int(copies[-1].at)
    unit = "seconds of the console" if times else "line of the log"
    total = reading.copies_total
    axis = bounded_axis(unit, copies, total, 0)
    axis = replace(axis, left_out=Count(max(0, total - len(axis.copies))))
    at = best.subject.time if times and best and best.subject else None
    marks = (AxisMark(at, "what was found"),) if at is not None and copies[0].at < at <= copies[-1].at else ()
    return replace(axis, marks=marks)


def _frames(best: Optional[Story], crash: Optional[LogCrash], symbols: Symbolic) -> tuple[FrameNote, ...]:
    event = best.subject if best is not None else None
    if event is not None and event.type == "panic":
        shown_frames = panic_frames(event, symbols)
        return tuple(_panic_frame(level, text) for level, (_, text) in enumerate(shown_frames))
    if crash is None or (best is not None and event is not None):
        return ()
    return tuple(
        FrameNote(
            Count(level), Address(frame.address or 0),
            f"{frame.function}+{frame.offset:#x}" if frame.offset is not None else frame.function,
            frame.file or None, None, " ".join(filter(None, (
                f"[{frame.module}]" if frame.module else "", "" if frame.reliable else "a leftover perhaps",
            ))),
        ) for level, frame in enumerate(itertools.islice(crash.frames, _FRAMES))
    )  # fmt: skip


# `0xffffffff801001db in kernel_main+0x10b (kernel/main.c:66)`, or the address alone.
def _panic_frame(level: int, text: str) -> FrameNote:
    address, _, place = text.partition(" in ")
    return FrameNote(Count(level), Address(int(address, 16)), place or "??")


def _registers(best: Optional[Story], crash: Optional[LogCrash]) -> tuple[Register, ...]:
    event = best.subject if best is not None else None
    if event is not None and isinstance(event.fields.get("regs"), dict):
        pairs = ((safe_text(str(name), 16), number(value)) for name, value in event.fields["regs"].items())
        return tuple(Register(name, Word(value & ADDRESS_MASK)) for name, value in pairs if value is not None)
    if crash is None or event is not None:
        return ()
    return tuple(Register(register.name, register.value) for register in crash.registers)
