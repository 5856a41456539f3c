"""The stack guard: where it lives, what it should be, and the canaries copied from it into stack frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Sequence

from .blocks import read_available, read_words
from .disassembly import CanarySlot, canary_slot, decode
from .errors import KdbgError, MemoryFault, NotSupported
from .process import X86_64, fs_base, guard_range, probe_process, process_key
from .session import Guards
from .target import Frame, Target
from .units import Address, Count, Size, Word

AT_RANDOM = 25
INTACT, CORRUPTED, UNKNOWN, UNSET = "intact", "corrupted", "unknown", "unset"
# How the C libraries make the guard from the first word of AT_RANDOM's bytes.
_MASKS = (
    ("AT_RANDOM with its low byte cleared (glibc)", 0xFF),
    ("AT_RANDOM with its second byte cleared (musl)", 0xFF00),
    ("AT_RANDOM", 0),
)
# Symbols of glibc alone: with them the guard can come from nowhere but AT_RANDOM.
_GLIBC = ("gnu_get_libc_version", "__libc_early_init")
# A partly overwritten guard keeps at least this many of its bytes; by chance two words share as many once in 2^24.
_SHARED_BYTES = 3
_PROLOGUE = Size(192)
_FRAMES = 64


@dataclass(frozen=True)
class CanaryFrame:
    """The canary saved in one stack frame."""

    level: Count = field(metadata={"label": "#"})
    function: str
    pc: Address
    slot_address: Address
    value: Optional[Word]
    verdict: str


@dataclass(frozen=True)
class CanaryReport:
    """The guard of the running thread, and the verdict on it."""

    architecture: str
    fs_base: Address
    guard_address: Optional[Address]
    guard: Optional[Word]
    expected: Optional[Word]
    expected_from: Optional[str]
    verdict: str
    frames: tuple[CanaryFrame, ...] = ()
    problems: tuple[str, ...] = ()
    process: Optional[str] = None


@dataclass(frozen=True)
class Expected:
    """What the guard should be and where that came from."""

    value: Word
    source: str


def require_x86_64(target: Target) -> None:
    """Raise NotSupported on an architecture whose guard kdbg does not know."""
    if target.architecture != X86_64:
        raise NotSupported(f"architecture {target.architecture} is not supported: kdbg knows the guard of x86-64 only")


def read_canary(target: Target, guards: Guards, given: str = "", with_frames: bool = False) -> CanaryReport:
    """Read and judge the guard of the running thread."""
    require_x86_64(target)
    place = guard_range(target)
    if place is None:
        problem = "fs_base is 0: no thread-local storage yet, so there is no guard"
        return CanaryReport(target.architecture, Address(0), None, None, None, None, UNSET, (), (problem,))
    try:
        (guard,) = read_words(target, place.start, 1)
    except MemoryFault as fault:
        return CanaryReport(
            target.architecture, fs_base(target), place.start, None, None, None, UNKNOWN, (), (f"guard: {fault}",)
        )
    return _judged(target, guards, Word(guard), place.start, given, with_frames)


def _judged(
    target: Target, guards: Guards, guard: Word, address: Address, given: str, with_frames: bool
) -> CanaryReport:
    frames = frame_canaries(target) if with_frames else ()
    expected = expected_guard(target, guard, given) or _from_frames(guard, frames) or _first_seen(target, guards)
    verdict = judge(guard, expected)
    reference = expected.value if expected else guard
    judged = tuple(_judge_frame(frame, reference, guard) for frame in frames)
    problems: tuple[str, ...] = ()
    if verdict == UNSET:
        problems = ("the guard is 0: not set yet, or overwritten with zeros (kdbg canary --frames may tell)",)
    elif verdict == UNKNOWN:
        problems = ("nothing to compare with: kdbg has not seen this guard before (set kdbg expected-guard)",)
    if verdict == UNKNOWN:
        guards.note(process_key(target), guard)
    return CanaryReport(
        target.architecture, fs_base(target), address, guard, expected.value if expected else None,
        expected.source if expected else None, verdict, judged, problems,
    )  # fmt: skip


def judge(guard: int, expected: Optional[Expected]) -> str:
    """Compare a guard with what it should be."""
    if expected is None:
        return UNKNOWN if guard else UNSET
    if guard == expected.value:
        return INTACT
    return UNSET if guard == 0 and expected.source.startswith("AT_RANDOM") else CORRUPTED


def expected_guard(target: Target, guard: int, given: str = "") -> Optional[Expected]:
    """Find what the guard should be: given, kept by the kernel, or derived from AT_RANDOM."""
    if given:
        return Expected(parse_guard(given), "set kdbg expected-guard")
    process = probe_process(target)
    if process is not None and process.guard_expected:
        return Expected(process.guard_expected, "the kernel's own record (ucopy_process)")
    return _from_random(target, guard)


def _first_seen(target: Target, guards: Guards) -> Optional[Expected]:
    # The last resort: what was seen first may have been damaged by then.
    seen = guards.first_seen(process_key(target))
    return Expected(seen, "first seen in this session") if seen is not None else None


def parse_guard(text: str) -> Word:
    """Parse the value of `set kdbg expected-guard`, or raise KdbgError."""
    try:
        return Word(int(text, 0) & (1 << 64) - 1)
    except ValueError:
        raise KdbgError(f"expected-guard: not a number: {text!r}") from None


def _from_random(target: Target, guard: int) -> Optional[Expected]:
    where = target.auxiliary_vector().get(AT_RANDOM)
    if not where:
        return None
    try:
        (random,) = read_words(target, Address(where), 1)
    except MemoryFault:
        return None
    for source, cleared in _MASKS:
        if guard == random & ~cleared:
            return Expected(Word(guard), source)
    source, cleared = _MASKS[0]
    glibc = Word(random & ~cleared)
    # Another runtime may make its guard from elsewhere: only glibc's, or a guard that is partly the derived one, is
    # judged by it.
    if any(target.symbol(name) for name in _GLIBC) or _shared_bytes(guard, glibc) >= _SHARED_BYTES:
        return Expected(glibc, source)
    return None


def _shared_bytes(one: int, other: int) -> int:
    pairs = zip(one.to_bytes(8, "little"), other.to_bytes(8, "little"))
    return sum(a == b != 0 for a, b in pairs)


def _from_frames(guard: int, frames: Sequence[CanaryFrame]) -> Optional[Expected]:
    """Two frames entered before the damage agree on the guard they copied."""
    values = [frame.value for frame in frames if frame.value]
    for value in values:
        if values.count(value) >= 2 or value == guard:
            return Expected(value, "canaries saved in stack frames")
    return None


def _judge_frame(frame: CanaryFrame, expected: int, guard: int) -> CanaryFrame:
    good = frame.value is not None and frame.value in (expected, guard)
    verdict = INTACT if good else UNKNOWN if frame.value is None else CORRUPTED
    return CanaryFrame(frame.level, frame.function, frame.pc, frame.slot_address, frame.value, verdict)


def frame_canaries(target: Target, limit: int = _FRAMES) -> tuple[CanaryFrame, ...]:
    """Find the canary saved in each stack frame that has one; `verdict` is left `unknown`."""
    found = (frame_canary(target, frame) for frame in target.frames(limit))
    return tuple(canary for canary in found if canary is not None)


def frame_canary(target: Target, frame: Frame) -> Optional[CanaryFrame]:
    """Find the canary saved in one frame, from its function's prologue; None if it keeps none (yet)."""
    place = target.location(frame.code_address)
    if place is None:
        return None
    start = Address(frame.code_address - place.offset)
    slot = _slot_of(target, start)
    if slot is None or frame.pc < slot.stored or slot.base not in frame.registers:
        return None
    address = Address(frame.registers[slot.base] + slot.displacement)
    try:
        value: Optional[Word] = Word(read_words(target, address, 1)[0])
    except MemoryFault:
        value = None
    return CanaryFrame(Count(frame.level), place.function, frame.pc, address, value, UNKNOWN)


def _slot_of(target: Target, start: Address) -> Optional[CanarySlot]:
    # Up to the end of the mapping, where the last function may be shorter.
    return canary_slot(decode(read_available(target, start, _PROLOGUE), start))
