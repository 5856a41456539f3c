"""What `kdbg reloc` does: one address, looked at as a slot, as a target and as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator, Optional, Sequence

from .elf import ElfFile
from .errors import KdbgError
from .scope import base_name
from .selection import Selection, select
from .session import Session
from .slot_report import LoadedSlots, Slot
from .slots import PlannedSlot, slot_at, slots_towards
from .target import Objfile
from .units import ADDRESS_MASK, Address, Count, LinkAddress, Word

SLOT, LINK_SLOT = "the slot at this address", "the slot at this link-time address"
TARGET, LINK_TARGET = "to point here", "to point to this link-time address"
INITIAL, HOLDS = "holds this value before relocation", "holds this value now"
_ORDER = (SLOT, LINK_SLOT, TARGET, LINK_TARGET, INITIAL, HOLDS)
# A table of pointers to one function may have thousands.
_LIMIT = 50


@dataclass(frozen=True)
class RelocationMatch:
    """One slot with everything known of it, and what it has to do with the address asked for."""

    matches: str
    objfile: str
    slot_address: Address
    link_address: LinkAddress
    section: str
    relocation: str
    addend: Word
    symbol: str = field(metadata={"text": False})
    demangled: str = field(metadata={"label": "symbol"})
    expected: Optional[Word]
    value: Optional[Word]
    points_to: str
    status: Optional[str]
    note: str


@dataclass(frozen=True)
class RelocReport:
    """What relocations have to do with one address; `place` names it as a runtime address."""

    address: Address
    place: str
    slots: tuple[RelocationMatch, ...]
    more: Optional[Count] = None
    problems: tuple[str, ...] = ()


def explain_address(session: Session, expression: str, bias: Optional[str], objfile: Optional[str]) -> RelocReport:
    """Find the slots an address has to do with, in both directions; raise KdbgError if there are none."""
    address = session.evaluate(expression)
    chosen = select(session, objfile, bias)
    problems = list(chosen.scope.problems)
    found: list[RelocationMatch] = []
    for file, elf in chosen.files:
        try:
            found += _matches_in(chosen, file, elf, address)
        except KdbgError as error:
            problems.append(str(error))
    if not found:
        raise KdbgError(_nothing(chosen, address))
    found.sort(key=lambda match: _ORDER.index(match.matches))
    more = Count(len(found) - _LIMIT) if len(found) > _LIMIT else None
    return RelocReport(address, chosen.scope.place(address), tuple(found[:_LIMIT]), more, tuple(problems))


def _matches_in(chosen: Selection, objfile: Objfile, elf: ElfFile, address: int) -> Sequence[RelocationMatch]:
    wanted = dict[PlannedSlot, str]()
    for how, slot in _planned_matches(elf, objfile.load_bias, address):
        wanted.setdefault(slot, how)
    loaded = LoadedSlots(chosen.scope, objfile, elf, chosen.memory)
    for slot, value in zip(loaded.planned, loaded.values):
        if loaded.judge.expected(slot) == address:
            wanted.setdefault(slot, TARGET)
        elif slot.initial == address and address:
            wanted.setdefault(slot, INITIAL)
        elif value == address and value:
            wanted.setdefault(slot, HOLDS)
    return [_match(how, objfile, loaded.row_of(slot)) for slot, how in wanted.items()]


# A loaded file's link-time addresses are no addresses of the program, unless the two are the same.
def _planned_matches(elf: ElfFile, bias: int, address: int) -> Iterator[tuple[str, PlannedSlot]]:
    link = (address - bias) & ADDRESS_MASK
    for place, slot_here, points_here in ((link, SLOT, TARGET), (address, LINK_SLOT, LINK_TARGET)):
        slot = slot_at(elf, place)
        if slot is not None:
            yield slot_here, slot
        yield from ((points_here, other) for other in slots_towards(elf, place))


def _match(how: str, objfile: Objfile, slot: Slot) -> RelocationMatch:
    return RelocationMatch(how, base_name(objfile), *slot)


def _nothing(chosen: Selection, address: int) -> str:
    place = chosen.scope.place(address)
    where = f" ({place})" if place else ""
    count = sum(1 for _, elf in chosen.files if elf.relocations().addresses)
    return f"no slot at {address:#x}{where}, and none that points there, in {count} files with relocations (kdbg got)"
