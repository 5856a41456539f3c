"""A copy routine was entered with areas that overlap, and kdbg's own probe has recorded it."""

from __future__ import annotations

from typing import Optional

from ..blocks import read_words
from ..copies import CALLER, CERTAIN
from ..errors import MemoryFault
from ..finding import Facts, Finding
from ..overlap_report import PROBE_RING
from ..ring import RingRecord
from ..scene import Scene
from ..units import Address

RULE = "overlap"


def overlapping_copy(scene: Scene) -> Optional[Finding]:
    """Tell the call that the thread is at the entry of, if its arguments are those of a recorded overlap."""
    record = _record(scene)
    if record is None:
        return None
    place = scene.target.location(scene.pc)
    routine = place.function if place else f"{scene.pc:#x}"
    distance = record.destination - record.source
    where = "above" if distance > 0 else "below"
    line = f" ({record.file}:{record.line})" if record.file else ""
    caller = record.caller or f"the caller at {record.return_address:#x}"
    evidence = (
        f"{record.size} bytes from {record.source:#x} to {record.destination:#x}, {abs(distance)} {where} the source",
        f"the probe recorded the call as number {record.sequence}, by {caller}{line}",
    )
    facts = Facts(
        verdict=CALLER, asked=record.size, destination=record.destination, source=record.source,
        sequence=record.sequence, caller=record.caller or None, file=record.file, line=record.line, routine=routine,
    )  # fmt: skip
    summary = f"{caller}{line} copies {record.size} bytes onto themselves, {abs(distance)} bytes apart"
    return Finding(summary, RULE, CERTAIN, evidence, ("backtrace", "kdbg overlap report"), facts)


def _record(scene: Scene) -> Optional[RingRecord]:
    if scene.ring is None or scene.ring.symbol != PROBE_RING:
        return None
    try:
        back = read_words(scene.target, Address(scene.registers.get("rsp", 0)), 1)[0]
    except MemoryFault:
        return None
    asked = tuple(scene.registers.get(name) for name in ("rdi", "rsi", "rdx"))
    found = (record for record in reversed(scene.records) if record.return_address == back)
    return next((r for r in found if (r.destination, r.source, r.size) == asked), None)
