"""Copies in a log as records of a ring: those of its dumps, and those that events tell of."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .events import Event, number
from .log_copies import Asked
from .log_symbols import Symbolic
from .ring import RingRecord, direction
from .target import Location
from .units import ADDRESS_MASK, Address, Count, Size, is_kernel_half, safe_text

_ENTRIES = 4096
_TAG = 63


def ring_records(event: Event, symbols: Symbolic) -> Sequence[RingRecord]:
    """Return the records of a dump of the ring, oldest first; numbers are those of the dump, or count back from its
    total."""
    entries = event.fields.get("entries")
    items = [item for item in entries[-_ENTRIES:] if isinstance(item, dict)] if isinstance(entries, list) else []
    total = event.number("total_calls")
    first = max(0, (len(items) if total is None else total) - len(items))
    return [_record(item, first + index, symbols) for index, item in enumerate(items)]


def ring_total(event: Event, records: Sequence[RingRecord]) -> int:
    """Return how many copies there had been in all."""
    return max(event.number("total_calls") or 0, len(records))


def _record(item: Mapping[str, Any], index: int, symbols: Symbolic) -> RingRecord:
    def value(name: str) -> int:
        return (number(item.get(name)) or 0) & ADDRESS_MASK

    destination, source, back = value("dst"), value("src"), value("ret")
    # The byte before the return address belongs to the call.
    place = symbols.location(back - 1) if back else None
    exact = Location(place.function, Size(place.offset + 1), place.file, place.line) if place else None
    context, process, sequence = safe_text(str(item.get("ctx", "")), _TAG), number(item.get("pid")), item.get("n")
    return RingRecord(
        Count(sequence if type(sequence) is int else index), Address(destination), Address(source), Size(value("len")),
        Address(back), str(exact) if exact else "", exact.file if exact else None, exact.line if exact else None,
        direction(destination, source), context or None, None if process is None else Count(process & 0xFFFF), False,
        None, {},
    )  # fmt: skip


def asked_record(asked: Asked, sequence: int, pid: int) -> RingRecord:
    """Return a copy to user memory that only an event tells of as a record: nobody knows its source or caller."""
    return RingRecord(
        Count(sequence), Address(asked.address), Address(0), Size(asked.size), Address(0), "", None, None, "to_user",
        asked.context or None, Count(pid & 0xFFFF), False, None, {},
    )  # fmt: skip


def user_side(record: RingRecord) -> int:
    """Return the address of a record that is the program's."""
    return record.source if is_kernel_half(record.destination) else record.destination
