"""The dossier of a stopped target, live or dumped: from its scene and the findings about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Sequence

from .dossier import AxisMark, CopyAxis, CopyNote, Dossier, FrameNote, MemoryPicture, Origin, Register
from .dossier_memory import bounded_axis, memory_picture, near_copies, window_around
from .dossier_slots import slot_tables
from .dossier_victim import Subject, contents_of, subject_of, surroundings_of
from .errors import KdbgError
from .finding import Facts, Finding, WhyReport
from .process import NO_SYSTEM_CALL
from .ranges import Range
from .ring import RingRecord
from .scene import Scene
from .syscall_names import ARGUMENT_REGISTERS, system_call_name
from .target import Frame
from .units import Address, Count, Size, Word, is_kernel_half, safe_text

_ROUTINE, _CALLER = "routine at fault", "caller at fault"


def dossier_of(scene: Scene, report: WhyReport, title: str = "") -> Dossier:
    """Collect what the page shows of a stop; what cannot be read becomes a problem."""
    copies = _copies(scene, report.findings)
    subject = subject_of(scene, report.findings)
    memory = _picture(scene, subject, copies) if subject else None
    slots = slot_tables(scene, report.findings)
    dossier = Dossier(
        title or _title(report.findings), report.stop, _origin(scene), report.findings, _process(scene),
        _system_call(scene), memory, _axis(scene, copies, subject), slots, _frames(scene), _registers(scene),
    )  # fmt: skip
    return replace(dossier, problems=tuple(dict.fromkeys([*report.problems, *scene.problems])))


def _title(findings: Sequence[Finding]) -> str:
    if not findings:
        return "nothing found at this stop"
    facts = findings[0].facts
    what = facts.victim or facts.slot_name or facts.symbol or facts.routine or facts.function or ""
    whose = f"{what} in {facts.process}" if what and facts.process else what
    return ": ".join(filter(None, (facts.verdict or findings[0].rule.replace("-", " "), whose)))


def _origin(scene: Scene) -> Origin:
    target = scene.target
    names = [safe_text(objfile.path, 200) for objfile in target.objfiles() if not objfile.path.endswith(".debug")]
    shown = names[:6] + ([f"and {len(names) - 6} more"] if len(names) > 6 else [])
    ring = scene.ring
    facts = [
        ("Architecture", safe_text(target.architecture)),
        ("Machine", "a whole machine, with its kernel" if target.is_system else "one process"),
        ("Files", ", ".join(shown)),
        ("Trace ring", f"{ring.symbol}, {ring.capacity} records ({ring.capacity_from})" if ring else ""),
    ]
    return Origin(target.kind, tuple((label, text) for label, text in facts if text))


def _process(scene: Scene) -> str:
    process = scene.process
    return _process_name(process.name, process.pid) if process else ""


def _process_name(name: str, pid: int) -> str:
    return f"{name} (pid {pid})" if name else f"pid {pid}"


def _system_call(scene: Scene) -> str:
    process = scene.process
    if process is None or process.system_call == NO_SYSTEM_CALL:
        return ""
    name = system_call_name(process.system_call)
    if is_kernel_half(scene.pc):
        return name
    # At the entry, still in user mode, the registers are the arguments.
    return f"{name}({', '.join(f'{scene.target.register(r) or 0:#x}' for r in ARGUMENT_REGISTERS[:3])})"


def _copies(scene: Scene, findings: Sequence[Finding]) -> tuple[CopyNote, ...]:
    blamed = {f.facts.sequence: f.facts for f in reversed(findings) if _role(f.facts)}
    own = scene.process
    names = {own.pid & 0xFFFF: _process_name(own.name, own.pid)} if own else {}
    return tuple(_note(record, blamed.get(record.sequence), names) for record in scene.records)


# A copy that met a page that is not there need not be anybody's fault.
def _role(facts: Facts) -> str:
    if facts.sequence is None:
        return ""
    return "culprit" if facts.verdict in (_ROUTINE, _CALLER) else "faulted" if facts.fault_address is not None else ""


def _note(record: RingRecord, facts: Optional[Facts], names: dict[int, str]) -> CopyNote:
    process = "" if record.process is None else names.get(record.process, f"pid {record.process}")
    written = None
    if facts is not None and facts.wrote is not None:
        written = Range(record.destination, facts.wrote)
    role = _role(facts) if facts else ""
    return CopyNote(
        record.sequence, record.sequence, record.caller or f"{record.return_address:#x}", record.file, record.line,
        process, record.context or "", record.destination, record.source, record.size, written, role,
        record.torn,
    )  # fmt: skip


def _picture(scene: Scene, subject: Subject, copies: Sequence[CopyNote]) -> MemoryPicture:
    victim = subject.victim.range
    # The kernel's half is the same memory in every process.
    near = near_copies(copies, victim, "" if is_kernel_half(victim.start) else _process(scene))
    window = window_around(victim, near)
    contents = contents_of(scene, window)
    around = surroundings_of(scene, window, subject, contents)
    return memory_picture(subject.victim, near, subject.expected, contents, around)


def _axis(scene: Scene, copies: Sequence[CopyNote], subject: Optional[Subject]) -> Optional[CopyAxis]:
    ring = scene.ring
    if ring is None or not copies:
        return None
    axis = bounded_axis("copy number", copies, min(ring.total, 1 << 48), ring.lost)
    since = scene.guard_coverage.since if subject is not None and subject.victim.name == "guard" else 0
    first, last = axis.copies[0].at, axis.copies[-1].at
    marks = (AxisMark(since - 0.5, "guard still intact"),) if first < since <= last else ()
    return replace(axis, marks=marks)


def _frames(scene: Scene) -> tuple[FrameNote, ...]:
    try:
        return tuple(_frame(scene, frame) for frame in scene.frames)
    except KdbgError as error:
        scene.problems.append(str(error))
        return ()


def _frame(scene: Scene, frame: Frame) -> FrameNote:
    place = scene.target.location(frame.code_address)
    note = "interrupted here" if frame.interrupted and frame.level else ""
    if place is None:
        return FrameNote(Count(frame.level), frame.pc, "??", note=note)
    offset = frame.pc - (frame.code_address - place.offset)
    name = f"{place.function}+{offset:#x}" if offset else place.function
    return FrameNote(Count(frame.level), frame.pc, name, place.file, place.line, note)


def _registers(scene: Scene) -> tuple[Register, ...]:
    extra = {name: scene.target.register(name) for name in ("eflags", "cr2", "cr3")}
    values = {**scene.registers, **{name: value for name, value in extra.items() if value is not None}}
    return tuple(Register(name, Word(value), _points_to(scene, value)) for name, value in values.items())


def _points_to(scene: Scene, value: int) -> str:
    # Below the first page nothing is loaded, and a small number is a number.
    place = scene.target.location(Address(value)) if value > 0x1000 else None
    return str(place) if place is not None and place.offset < Size(1 << 16) else ""
