"""Attribution afterwards: which copy did it, from the ring and memory alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Sequence

from .blocks import read_available
from .copies import (
    CALLER,
    CERTAIN,
    LIKELY,
    POSSIBLE,
    PROGRAM,
    ROUTINE,
    UNDECIDABLE,
    Attribution,
    Coverage,
    Suspect,
    Victim,
    place_line,
    record_line,
)
from .ranges import Range
from .ring import RingRecord
from .target import Target
from .units import Address, Size, is_kernel_half

# A copy whose end lies further away than this is not taken for one that ran over.
_REACH = 4096
# Bytes that must be explained before a copy is accused: one byte in 256 agrees by chance.
_CERTAIN_BYTES, _LIKELY_BYTES = 3, 2
# The newest copies that memory does not clear: more than these nobody looks into.
_SUSPECTS = 4
# Statically allocated objects up to this size are variables; larger ones may be stacks and heaps, which change.
_VARIABLE = 1024


def attribute_afterwards(
    target: Target, records: Sequence[RingRecord], victim: Victim, process: Optional[int], coverage: Coverage
) -> Attribution:
    """Attribute damage from the ring and memory alone, newest copy first.

    A copy that might have done it, but whose source has changed since, leaves it undecided: that nothing speaks
    against the program does not make it guilty.
    """
    fitting = [r for r in reversed(records) if r.sequence >= coverage.since and _may_concern(r, victim, process)]
    guesses: list[Attribution] = []
    for record in fitting:
        found = _asked_over(target, record, victim) or _ran_over(target, record, victim)
        if found is not None and found.confidence == CERTAIN:
            return found
        guesses += [found] if found else []
    if guesses:
        return min(guesses, key=lambda guess: (LIKELY, POSSIBLE).index(guess.confidence))
    suspects = _some_suspects(target, [r for r in fitting if _is_suspect(target, r, victim)], victim, coverage)
    if suspects:
        return _suspected(suspects, victim)
    near = _some_suspects(target, [r for r in fitting if _is_near(r, victim)], victim, coverage)
    return replace(_no_copy(victim, coverage), suspects=near)


def _some_suspects(
    target: Target, records: Sequence[RingRecord], victim: Victim, coverage: Coverage
) -> tuple[Suspect, ...]:
    return tuple(_suspect(target, record, victim, coverage) for record in records[:_SUSPECTS])


# Memory clears such a copy only as long as nobody has changed what follows its source.
def _is_near(record: RingRecord, victim: Victim) -> bool:
    return 0 <= victim.range.start - record.asked.end < record.size


def _may_concern(record: RingRecord, victim: Victim, process: Optional[int]) -> bool:
    # A record keeps the low 16 bits of the process id.
    other = None not in (process, record.process) and (process or 0) & 0xFFFF != record.process
    halves = is_kernel_half(record.destination) == is_kernel_half(victim.range.start)
    return not other and halves and not record.torn and record.size > 0


def _asked_over(target: Target, record: RingRecord, victim: Victim) -> Optional[Attribution]:
    """A copy that was asked to write over the victim, unless what it wrote there is what belongs there."""
    if not record.asked.overlaps(victim.range):
        return None
    common = record.asked.intersection(victim.range)
    offset = common.start - victim.range.start
    source = read_available(target, Address(record.source + common.start - record.destination), common.size)
    if _initialised(target, record, victim):
        return None
    evidence = (record_line(record), place_line(record.asked, victim))
    if source and source == victim.found[offset : offset + common.size]:
        same = f"the bytes there are the ones at the source ({source.hex(' ')})"
        confidence = CERTAIN if common.size >= _CERTAIN_BYTES else LIKELY
        return Attribution(CALLER, confidence, record, record.asked, (*evidence, same))
    # No copy has any business in a part of a guard. All of it may be a runtime's initialisation, a canary's slot was
    # part of another frame's buffer before, and without a value to compare with nothing may be damaged at all.
    if victim.is_guard and victim.expected is not None and not record.asked.covers(victim.range):
        return Attribution(CALLER, LIKELY, record, record.asked, evidence)
    return None


def _ran_over(target: Target, record: RingRecord, victim: Victim) -> Optional[Attribution]:
    """A copy that ended before the victim, behind whose source lie the very bytes found in the victim."""
    gap = victim.range.start - record.asked.end
    if not 0 <= gap <= _REACH:
        return None
    length = Size(gap + victim.range.size)
    following = read_available(target, Address(record.source + record.size), length)
    behind = read_available(target, record.asked.end, length)
    same = _common_prefix(following, behind)
    explained = _explained(victim, same - gap)
    if same <= gap or explained < _LIKELY_BYTES or (victim.expected is None and explained < _CERTAIN_BYTES):
        return None
    extent = _extent(record, victim, same, gap)
    certain = victim.expected is not None and explained >= _CERTAIN_BYTES
    written = Range(record.destination, Size(record.size + extent))
    evidence = (
        record_line(record),
        place_line(record.asked, victim),
        f"the {extent} bytes behind the asked range equal the {extent} bytes behind the source "
        f"({following[:extent][-16:].hex(' ')}): the routine went on copying",
    )
    return Attribution(ROUTINE, CERTAIN if certain else LIKELY, record, written, evidence)


def _common_prefix(one: bytes, other: bytes) -> int:
    length = min(len(one), len(other))
    return next((i for i in range(length) if one[i] != other[i]), length)


def _explained(victim: Victim, reach: int) -> int:
    """How many bytes of evidence the first `reach` bytes of the victim are; 0 if a changed byte lies behind them."""
    changed = victim.changed()
    if changed is None:
        return sum(byte != 0 for byte in victim.found[: max(reach, 0)])
    # Zeros agree by chance far too often.
    return sum(victim.found[i] != 0 for i in changed) if changed and changed[-1] < reach else 0


def _extent(record: RingRecord, victim: Victim, same: int, gap: int) -> int:
    """Bytes written behind the asked range; a doubled copy writes exactly its size again."""
    changed = victim.changed()
    least = gap + changed[-1] + 1 if changed else same - 1
    return record.size if least <= record.size <= same else same


def _is_suspect(target: Target, record: RingRecord, victim: Victim) -> bool:
    """A copy near enough to have done it that memory no longer clears."""
    if record.asked.overlaps(victim.range):
        return not _initialised(target, record, victim) and not _source_is_unchanged(target, record, victim)
    gap = victim.range.start - record.asked.end
    if not 0 <= gap < record.size:
        return False
    following = read_available(target, Address(record.source + record.size), Size(gap + victim.range.size))
    behind = read_available(target, record.asked.end, Size(gap + victim.range.size))
    return _common_prefix(following, behind) > gap or not _source_is_unchanged(target, record, victim)


def _suspect(target: Target, record: RingRecord, victim: Victim, coverage: Coverage) -> Suspect:
    gap = max(victim.range.start - record.asked.end, 0)
    length = Size(gap + victim.range.size)
    following = read_available(target, Address(record.source + record.size), length)
    same = _common_prefix(following, read_available(target, record.asked.end, length))
    # Before a guard is set, or a canary is in its place, something else may have been overwritten there.
    is_later = 0 < coverage.since <= record.sequence
    return Suspect(record, is_later or _explained(victim, same - gap) > 0)


def _initialised(target: Target, record: RingRecord, victim: Victim) -> bool:
    common = record.asked.intersection(victim.range)
    offset = common.start - victim.range.start
    source = read_available(target, Address(record.source + common.start - record.destination), common.size)
    return victim.expected is not None and source == victim.expected[offset : offset + common.size]


def _source_is_unchanged(target: Target, record: RingRecord, victim: Victim) -> bool:
    """Whether the source still holds what was copied: it is a small variable, or it agrees with the destination."""
    variable = target.label(record.source)
    size = (variable.size or variable.limit - variable.address) if variable else 0
    if variable is not None and record.source < variable.address + size <= variable.address + _VARIABLE:
        return True
    outside = min(record.asked.end, victim.range.start) - record.destination
    copied = read_available(target, record.destination, Size(max(0, outside)))
    return bool(copied) and copied == read_available(target, record.source, Size(len(copied)))


def _suspected(suspects: tuple[Suspect, ...], victim: Victim) -> Attribution:
    evidence = suspect_lines(suspects[0].record, victim)
    return Attribution(UNDECIDABLE, POSSIBLE, None, None, evidence, suspects)


def suspect_lines(record: RingRecord, victim: Victim) -> tuple[str, ...]:
    """Say in lines of evidence what is known of a copy that memory does not clear."""
    line = "what it wrote cannot be checked any more: the bytes at its source have changed, or are too few to tell"
    return record_line(record), place_line(record.asked, victim), line


def _no_copy(victim: Victim, coverage: Coverage) -> Attribution:
    line = f"of the copies kdbg can see none was asked to write to the {victim.name}, and none ran over into it"
    if coverage.complete:
        return Attribution(PROGRAM, LIKELY, None, None, (line, f"the ring misses none: {coverage.reason}"))
    return Attribution(UNDECIDABLE, POSSIBLE, None, None, (line, f"but {coverage.reason}"))
