"""Attribution of a damaged range to a copy: what was asked, what was written, and who is at fault.

A copy that was *asked* to write over the victim is its caller's fault; one that wrote beyond what was asked is the
routine's fault; damage that no copy can have done is the program's own. Where the evidence does not decide between them
the answer is "undecidable", with what would decide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from .blocks import read_available
from .ranges import Range
from .ring import RingRecord
from .target import Target
from .units import Address, Size, is_kernel_half
from .writers import Writer

CALLER, ROUTINE, PROGRAM, UNDECIDABLE = "caller at fault", "routine at fault", "program at fault", "undecidable"
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
# A copy whose end lies further away than this is not taken for one that ran over.
_REACH = 4096
# Bytes that must be explained before a copy is accused: one byte in 256 agrees by chance.
_CERTAIN_BYTES, _LIKELY_BYTES = 3, 2


@dataclass(frozen=True)
class Victim:
    """A damaged range: its name, the bytes found there and, where known, the bytes that should be there."""

    name: str
    range: Range
    found: bytes
    expected: Optional[bytes] = None

    def changed(self) -> Optional[Sequence[int]]:
        """Offsets of the bytes that differ from the expected ones; None if nobody knows what to expect."""
        if self.expected is None:
            return None
        return [i for i, (now, before) in enumerate(zip(self.found, self.expected)) if now != before]


@dataclass(frozen=True)
class Attribution:
    """Who damaged a victim, by which copy, and why kdbg says so."""

    verdict: str
    confidence: str
    record: Optional[RingRecord]
    written: Optional[Range]
    evidence: tuple[str, ...]

    @property
    def asked(self) -> Optional[Range]:
        return self.record.asked if self.record else None


@dataclass(frozen=True)
class Coverage:
    """Whether the ring holds every copy since the victim was last known good, and how that is known."""

    complete: bool
    reason: str


def attribute_writer(writer: Writer, victim: Victim) -> Attribution:
    """Attribute a write seen in the act."""
    seen = (_write_line(writer),)
    if writer.record is None:
        return _without_record(writer, seen)
    asked, written = writer.record.asked, writer.written
    touched = Range(max(victim.range.start, writer.store.done.start), Size(0))
    evidence = (*seen, record_line(writer.record), _place_line(asked, victim))
    beyond = not asked.contains(touched.start)
    verdict = ROUTINE if beyond else CALLER
    return Attribution(verdict, CERTAIN, writer.record, written if beyond else _joined(asked, written), evidence)


def _joined(asked: Range, written: Range) -> Range:
    # A caller at fault is told what the copy will have written in the end, which is what it asked for.
    start, end = min(asked.start, written.start), max(asked.end, written.end)
    return Range(Address(start), Size(end - start))


def _without_record(writer: Writer, seen: tuple[str, ...]) -> Attribution:
    if not writer.kernel:
        line = "the write was made by the program itself, no kernel copy was under way"
        return Attribution(PROGRAM, CERTAIN, None, writer.written, (*seen, line))
    line = "no ring record belongs to this write: the ring is off, missing, or this routine has no probe"
    return Attribution(UNDECIDABLE, POSSIBLE, None, writer.written, (*seen, line))


def _write_line(writer: Writer) -> str:
    store = writer.store
    place = f" in {writer.place}" if writer.place else ""
    line = f" ({writer.place.file}:{writer.place.line})" if writer.place and writer.place.file else ""
    rest = f", {store.rest.size} more to come" if store.rest else ""
    return (
        f"write: `{store.instruction}` at {store.instruction.address:#x}{place}{line} "
        f"wrote {store.done.size} bytes at {store.done.start:#x}{rest}"
    )


def record_line(record: RingRecord) -> str:
    """Describe a ring record in one line of evidence."""
    line = f" ({record.file}:{record.line})" if record.file else ""
    tag = f", {record.context}" if record.context else ""
    process = f", pid {record.process}" if record.process is not None else ""
    return (
        f"ring record {record.sequence}: asked {record.size} bytes to {record.destination:#x} "
        f"from {record.source:#x}, by {record.caller or hex(record.return_address)}{line}{tag}{process}"
    )


def _place_line(asked: Range, victim: Victim) -> str:
    common = asked.intersection(victim.range).size if asked.overlaps(victim.range) else 0
    if common and asked.start < victim.range.start:
        return f"the asked range reaches {common} bytes into the {victim.name} at {victim.range.start:#x}"
    if common:
        return f"the asked destination lies in the {victim.name} at {victim.range.start:#x}"
    if asked.start >= victim.range.end:
        gap = asked.start - victim.range.end
        return f"the asked range begins at {asked.start:#x}, {gap} bytes behind the end of the {victim.name}"
    gap = victim.range.start - asked.end
    where = "exactly where" if gap == 0 else f"{gap} bytes before"
    return f"the asked range ends at {asked.end:#x}, {where} the {victim.name} begins"


def attribute_afterwards(
    target: Target, records: Sequence[RingRecord], victim: Victim, process: Optional[int], coverage: Coverage
) -> Attribution:
    """Attribute damage from the ring and memory alone, newest copy first."""
    fitting = [record for record in reversed(records) if _may_concern(record, victim, process)]
    guesses: list[Attribution] = []
    for record in fitting:
        found = _asked_over(target, record, victim) or _ran_over(target, record, victim)
        if found is not None and found.confidence == CERTAIN:
            return found
        if found is not None:
            guesses.append(found)
    if guesses:
        return min(guesses, key=lambda guess: (LIKELY, POSSIBLE).index(guess.confidence))
    return _no_copy(victim, coverage)


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
    if victim.expected is not None and source == victim.expected[offset : offset + common.size]:
        return None
    evidence = [record_line(record), _place_line(record.asked, victim)]
    # Without a value to compare with, only matching bytes show that the copy is what damaged it.
    confidence = POSSIBLE if victim.expected is None else LIKELY
    if source and source == victim.found[offset : offset + common.size]:
        evidence.append(f"the bytes there are the ones at the source ({source.hex(' ')})")
        confidence = CERTAIN if common.size >= _CERTAIN_BYTES else LIKELY
    return Attribution(CALLER, confidence, record, record.asked, tuple(evidence))


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
        _place_line(record.asked, victim),
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


def _no_copy(victim: Victim, coverage: Coverage) -> Attribution:
    line = f"of the copies kdbg can see none was asked to write to the {victim.name}, and none ran over into it"
    if coverage.complete:
        return Attribution(PROGRAM, LIKELY, None, None, (line, f"the ring misses none: {coverage.reason}"))
    return Attribution(UNDECIDABLE, POSSIBLE, None, None, (line, f"but {coverage.reason}"))
