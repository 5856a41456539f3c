"""Attribution of a damaged range to a copy: what was asked, what was written, and who is at fault.

A copy that was *asked* to write over the victim is its caller's fault; one that wrote beyond what was asked is the
routine's fault; damage that no copy can have done is the program's own. Where the evidence does not decide between them
the answer is "undecidable", with what would decide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from .ranges import Range
from .ring import RingRecord
from .units import Address, Size
from .writers import Writer

CALLER, ROUTINE, PROGRAM, UNDECIDABLE = "caller at fault", "routine at fault", "program at fault", "undecidable"
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"


# The number of a first copy that means: no copy at all.
NO_COPY = 1 << 64


@dataclass(frozen=True)
class Victim:
    """A damaged range: its name, the bytes found there and, where known, the bytes that should be there."""

    name: str
    range: Range
    found: bytes
    expected: Optional[bytes] = None
    is_guard: bool = False

    def changed(self) -> Optional[Sequence[int]]:
        """Offsets of the bytes that differ from the expected ones; None if nobody knows what to expect."""
        if self.expected is None:
            return None
        return [i for i, (now, before) in enumerate(zip(self.found, self.expected)) if now != before]


@dataclass(frozen=True)
class Suspect:
    """A copy that memory no longer clears, or that it clears only if what follows the source is unchanged.

    `is_supported` where the damage cannot be older than the copy, or its first bytes are those that follow the source:
    what is missing then is only whether the routine writes beyond what it is asked for.
    """

    record: RingRecord
    is_supported: bool


@dataclass(frozen=True)
class Attribution:
    """Who damaged a victim, by which copy, and why kdbg says so; the suspects where it was none for certain."""

    verdict: str
    confidence: str
    record: Optional[RingRecord]
    written: Optional[Range]
    evidence: tuple[str, ...]
    suspects: tuple[Suspect, ...] = ()

    @property
    def asked(self) -> Optional[Range]:
        return self.record.asked if self.record else None


@dataclass(frozen=True)
class Coverage:
    """Whether the ring holds every copy since the victim was last known good, and how that is known.

    `since` is the number of the first copy made after that moment: earlier ones cannot have done it.
    """

    complete: bool
    reason: str
    since: int = 0


def attribute_writer(writer: Writer, victim: Victim) -> Attribution:
    """Attribute a write seen in the act."""
    seen = (_write_line(writer),)
    if writer.record is None:
        return _without_record(writer, seen)
    asked, written = writer.record.asked, writer.written
    touched = Range(max(victim.range.start, writer.store.done.start), Size(0))
    evidence = (*seen, record_line(writer.record), place_line(asked, victim))
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


def place_line(asked: Range, victim: Victim) -> str:
    """Say in one line of evidence where an asked range lies as seen from the victim."""
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
