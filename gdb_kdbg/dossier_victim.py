"""What the picture of memory is of, and what surrounds it in a stopped target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from .blocks import read_available
from .dossier import NamedRange, Stretch
from .errors import KdbgError
from .finding import Facts, Finding
from .process import GUARD_OFFSET, fs_base
from .ranges import Range
from .scene import Scene
from .units import Address, Size, is_kernel_half

_WORD = 8
_PAGE = 4096
# The words of the thread control block before the guard, as far as every ABI has them (psABI x86-64, TLS).
_BLOCK = Size(GUARD_OFFSET + _WORD)


@dataclass(frozen=True)
class Subject:
    """The range that the picture is of, and the bytes that should be there, if anybody knows."""

    victim: NamedRange
    expected: Optional[bytes] = None


def subject_of(scene: Scene, findings: Sequence[Finding]) -> Optional[Subject]:
    """Return what the best finding is about; without one that is in memory, the guard if the target has one."""
    for finding in findings:
        found = _victim(scene, finding.facts) or _slot(finding.facts) or _fault(finding.facts)
        if found is not None:
            return found
    return _guard(scene)


def _victim(scene: Scene, facts: Facts) -> Optional[Subject]:
    if facts.victim is None or facts.victim_address is None:
        return None
    watched = scene.note.watched if scene.note else None
    if watched is not None and watched.range.start == facts.victim_address:
        return Subject(NamedRange(watched.range, facts.victim), watched.before)
    before = None if facts.expected is None else facts.expected.to_bytes(_WORD, "little")
    return Subject(_word(facts.victim_address, facts.victim), before)


def _slot(facts: Facts) -> Optional[Subject]:
    if facts.slot_address is None:
        return None
    before = None if facts.expected is None else facts.expected.to_bytes(_WORD, "little")
    return Subject(_word(facts.slot_address, f"slot of {facts.slot_name or facts.symbol or 'the call'}"), before)


# Memory that is not there makes no picture but of the copies that were to go there.
def _fault(facts: Facts) -> Optional[Subject]:
    if facts.fault_address is None or facts.asked is None:
        return None
    return Subject(NamedRange(Range(facts.fault_address, Size(1)), "fault address"))


def _guard(scene: Scene) -> Optional[Subject]:
    try:
        canary = scene.canary
    except KdbgError:
        return None
    if canary.guard_address is None or canary.guard is None:
        return None
    before = None if canary.expected is None else canary.expected.to_bytes(_WORD, "little")
    return Subject(_word(canary.guard_address, "guard"), before)


def _word(start: int, name: str) -> NamedRange:
    return NamedRange(Range(Address(start), Size(_WORD)), name)


def contents_of(scene: Scene, window: Range) -> tuple[Stretch, ...]:
    """Read what can be read of a window, page by page."""
    edges = sorted({window.start, window.end, *range(-(-window.start // _PAGE) * _PAGE, window.end, _PAGE)})
    pairs = [(Address(a), Size(b - a)) for a, b in zip(edges, edges[1:]) if a >= window.start]
    pieces = (Stretch(start, read_available(scene.target, start, size)) for start, size in pairs)
    return tuple(piece for piece in pieces if piece.data)


def surroundings_of(
    scene: Scene, window: Range, subject: Subject, contents: Sequence[Stretch]
) -> tuple[NamedRange, ...]:
    """Name what lies around the victim: words of the thread block, saved canaries, return addresses."""
    named = [*_thread_block(scene, window), *_canaries(scene, window), *_returns(scene, contents)]
    taken: list[NamedRange] = []
    for candidate in named:
        others = (subject.victim, *taken)
        if not any(candidate.range.overlaps(other.range) for other in others):
            taken.append(candidate)
    return tuple(sorted(taken, key=lambda named: named.range.start))


def _thread_block(scene: Scene, window: Range) -> list[NamedRange]:
    base = fs_base(scene.target)
    if not base or is_kernel_half(base):
        return []
    places = (_word(base + offset, f"fs:{offset:#x}") for offset in range(0, _BLOCK, _WORD))
    return [place for place in places if window.covers(place.range)]


def _canaries(scene: Scene, window: Range) -> list[NamedRange]:
    try:
        frames = scene.canary.frames
    except KdbgError:
        return []
    places = (_word(frame.slot_address, f"canary of {frame.function}") for frame in frames)
    return [place for place in places if window.covers(place.range)]


def _returns(scene: Scene, contents: Sequence[Stretch]) -> list[NamedRange]:
    known = {int(frame.pc): frame for frame in scene.frames[1:]}
    found: list[NamedRange] = []
    for stretch in contents:
        for at in range(-stretch.start % _WORD, len(stretch.data) - _WORD + 1, _WORD):
            frame = known.get(int.from_bytes(stretch.data[at : at + _WORD], "little"))
            place = scene.target.location(frame.code_address) if frame else None
            found += [_word(stretch.start + at, f"return to {place.function}")] if place else []
    return found
