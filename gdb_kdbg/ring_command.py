"""What `kdbg ring` does with its options."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from .errors import KdbgError
from .ranges import Range
from .ring import RingReport, clear_ring, read_ring, switch_ring
from .session import Session
from .units import Address, Size

NEAR = 64


def change_ring(session: Session, on: bool, off: bool, clear: bool) -> None:
    """Switch the probe or forget the records; these two write to the target."""
    if on and off:
        raise KdbgError("--on and --off exclude each other")
    layout = session.settings.get("ring-layout", "")
    if clear:
        clear_ring(session.live_target(), layout)
    if on or off:
        switch_ring(session.live_target(), layout, on)


def show_ring(session: Session, last: Optional[int], around: Optional[str]) -> RingReport:
    """Read the ring and keep the wanted records."""
    report = read_ring(session.target, session.settings.get("ring-layout", ""))
    records = report.records
    if around is not None:
        address = session.evaluate(around)
        near = Range(Address(max(0, address - NEAR)), Size(2 * NEAR))
        records = tuple(record for record in records if record.asked.overlaps(near))
    if last is not None:
        records = records[-last:] if last else ()
    return replace(report, records=records)
