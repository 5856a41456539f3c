"""The slots of loaded files with what the target holds in them: rows for people and scripts."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Annotated, Iterable, Mapping, NamedTuple, Optional, Sequence

from .blocks import read_words_at
from .demangle import demangle
from .elf import ElfFile
from .errors import BadFile
from .linkmap import LoadedObject, mismatch
from .relocation_counts import is_relocated, relative_counts, resolver_counts, symbol_counts
from .relocations import ELSEWHERE, LAZY, RESOLVED, UNRELOCATED, Judge, Verdict, counts_of
from .scope import Scope, base_name
from .slots import COPY, RELATIVE, PlannedSlot, link_target, planned_slots, slot_at
from .target import Memory, Objfile
from .units import ADDRESS_MASK, Address, Count, LinkAddress, Word, address, shown


class Slot(NamedTuple):
    """One slot; `expected` and `value` are None where they cannot be known, `status` where there is no memory."""

    slot_address: Annotated[Address, {"label": "slot"}]
    link_address: Annotated[LinkAddress, {"text": False}]
    section: str
    relocation: str
    addend: Annotated[Word, {"text": False}]
    symbol: Annotated[str, {"text": False}]
    demangled: Annotated[str, {"label": "symbol"}]
    expected: Annotated[Optional[Word], {"unless": ("status", RESOLVED)}]
    value: Optional[Word]
    points_to: str
    status: Optional[str]
    note: str


class ObjfileSlots(NamedTuple):
    """The slots of one file, and the verdict on it as a whole."""

    name: Annotated[str, {"label": "objfile"}]
    load_bias: Word
    state: str
    counts: Annotated[Mapping[str, int], {"text": False}]
    relative_done: Annotated[Count, {"text": False}]
    relative_total: Annotated[Count, {"text": False}]
    slots: tuple[Slot, ...] = ()


class LoadedSlots:
    """The slots of one loaded file with their values and verdicts, read in one go.

    With no `memory` (a bare file) there are neither values nor verdicts.
    """

    def __init__(self, scope: Scope, objfile: Objfile, elf: ElfFile, memory: Optional[Memory]) -> None:
        """Read the values; raise BadFile."""
        self.objfile, self.elf = objfile, elf
        self.planned = planned_slots(elf)
        self._scope = scope
        self._bias = objfile.load_bias
        self._memory = memory
        self.values = _values(memory, objfile, self.planned) if memory else [None] * len(self.planned)
        self.has_memory = memory is not None
        self.is_relocated = self._told() if memory else None
        self.judge = Judge(scope, objfile, elf, self.is_relocated)

    # The best witness that has anything to say.
    def _told(self) -> Optional[bool]:
        counts = (symbol_counts, resolver_counts)
        others = (count(self.planned, self.values) for count in counts)
        return is_relocated(*next((told for told in (self.relative_counts, *others) if any(told)), (0, 0)))

    @cached_property
    def relative_counts(self) -> tuple[int, int]:
        """How many RELATIVE slots that tell are relocated, and how many are not; (0, 0) without memory."""
        return relative_counts(self.objfile, self.planned, self.values) if self.has_memory else (0, 0)

    @property
    def relocated_of(self) -> tuple[int, int]:
        """How many of the RELATIVE slots hold what they should, and how many there are; 0 of 0 if no bias tells."""
        if not self.has_memory or not self._bias:
            return 0, 0
        told = [j.status == RESOLVED for s, j in zip(self.planned, self.verdicts) if s.effect == RELATIVE]
        return sum(told), len(told)

    @cached_property
    def verdicts(self) -> Sequence[Verdict]:
        """The verdict on every slot, in the order of `planned`; only where there is memory. Raises BadFile."""
        found = [self.judge.verdict(slot, value) for slot, value in zip(self.planned, self.values)]
        self._require_own_file(verdict.status for verdict in found)
        return found

    def verdict(self, slot: PlannedSlot, value: Optional[int]) -> Verdict:
        """Judge a word for one slot; only where there is memory. Raises BadFile."""
        found = self.judge.verdict(slot, value)
        self._require_own_file((found.status,))
        return found

    # Before a slot is accused: the file may have been built or installed anew since it was loaded.
    def _require_own_file(self, statuses: Iterable[str]) -> None:
        if any(status in (UNRELOCATED, ELSEWHERE) for status in statuses) and self._mismatch:
            raise BadFile(self._mismatch)

    @cached_property
    def _mismatch(self) -> Optional[str]:
        return mismatch(self._memory, self.elf, LoadedObject("", self._bias)) if self._memory else None

    def rows(self, with_copies: bool = False) -> Sequence[Slot]:
        """Return a row for every slot; those of COPY relocations are data and only come if asked for."""
        verdicts: Sequence[Optional[Verdict]] = self.verdicts if self.has_memory else [None] * len(self.planned)
        return [
            self.row(*parts)
            for parts in zip(self.planned, _targets(self.elf), self.values, verdicts)
            if with_copies or parts[0].effect != COPY
        ]

    def row(self, slot: PlannedSlot, target: str, value: Optional[int], verdict: Optional[Verdict]) -> Slot:
        symbol, demangled = self._names[slot.symbol.name or target]
        status, expected, note = verdict or (None, self.judge.expected(slot), "")
        return Slot(
            address(slot.address + self._bias),
            slot.address,
            self._names[slot.section][0],
            slot.relocation,
            Word(slot.addend & ADDRESS_MASK),
            symbol,
            demangled,
            None if expected is None else Word(expected),
            None if value is None else Word(value),
            self._points_to(slot, target, value, status) if value else "",
            status,
            note,
        )

    def row_of(self, slot: PlannedSlot) -> Slot:
        """Return the row of one of the planned slots."""
        index = self._positions[slot]
        return self.row(slot, _targets(self.elf)[index], self.values[index], self._verdict(index))

    @cached_property
    def _positions(self) -> Mapping[PlannedSlot, int]:
        return {slot: index for index, slot in enumerate(self.planned)}

    def _verdict(self, index: int) -> Optional[Verdict]:
        return self.verdict(self.planned[index], self.values[index]) if self.has_memory else None

    def state(self) -> str:
        """Say in words how far the file is relocated."""
        if not self.planned:
            return "no dynamic relocations"
        if not self.has_memory:
            return f"{len(self.planned)} dynamic relocations"
        judged = [(s, v, j) for s, v, j in zip(self.planned, self.values, self.verdicts) if s.effect != COPY]
        # What is right by being left alone says nothing of what has been done.
        filled = any(j.status == RESOLVED and v not in (0, s.initial) for s, v, j in judged)
        return _state(counts_of(j.status for _, _, j in judged), filled, *self.relocated_of)

    def _points_to(self, slot: PlannedSlot, target: str, value: int, status: Optional[str]) -> str:
        if status == RESOLVED and slot.effect == RELATIVE and target:
            return self._names[target][1]
        if status == LAZY:  # Entries of the PLT have no symbols.
            return f"{base_name(self.objfile)}+{(value - self._bias) & ADDRESS_MASK:#x}"
        # Of several names for one place the symbol's own says most.
        for definition in self._scope.definitions(slot.symbol.name) if slot.symbol.name else ():
            if definition.address == value:
                name, own = self._names[slot.symbol.name][1], definition.objfile == self.objfile
                return name if own else f"{name} ({base_name(definition.objfile)})"
        return shown(self._scope.place(value, self.objfile))

    @cached_property
    def _names(self) -> Mapping[str, tuple[str, str]]:
        return _Names()


class _Names(dict[str, tuple[str, str]]):
    """Names as they are shown, mangled and demangled: thousands of slots may lead to one symbol."""

    def __missing__(self, name: str) -> tuple[str, str]:
        mangled = shown(name)
        demangled = demangle(name)
        self[name] = mangled, mangled if demangled is name else shown(demangled)
        return self[name]


def slot_row(scope: Scope, objfile: Objfile, elf: ElfFile, memory: Optional[Memory], slot: PlannedSlot) -> Slot:
    """Return the row of one slot, judged with the whole file in view; raise BadFile."""
    return LoadedSlots(scope, objfile, elf, memory).row_of(slot)


class FoundSlot(NamedTuple):
    """A slot of a loaded file, found by its runtime address."""

    objfile: Objfile
    elf: ElfFile
    slot: PlannedSlot


def find_slot(scope: Scope, runtime_address: int) -> Optional[FoundSlot]:
    """Return the slot whose word holds a runtime address; raise BadFile."""
    for objfile, elf in scope.symbols.holders(runtime_address):
        slot = slot_at(elf, (runtime_address - objfile.load_bias) & ADDRESS_MASK)
        if slot is not None:
            return FoundSlot(objfile, elf, slot)
    return None


def _values(memory: Memory, objfile: Objfile, slots: Sequence[PlannedSlot]) -> Sequence[Optional[int]]:
    bias = objfile.load_bias
    addresses = [(slot.address + bias) & ADDRESS_MASK for slot in slots]
    ordered = sorted(set(addresses))
    known = dict(zip(ordered, read_words_at(memory, ordered)))
    return [known[a] for a in addresses]


@lru_cache(maxsize=64)
def _targets(elf: ElfFile) -> Sequence[str]:
    """Name what each slot of a file is to point at in the file itself."""
    table = elf.symbol_table()
    # In a large library four slots lead to one place.
    names: dict[Optional[int], str] = {None: ""}
    targets = [link_target(slot) for slot in planned_slots(elf)]
    for target in targets:
        if target is not None and target not in names:
            found = table.name_at(target)
            names[target] = "" if found is None else f"{found[0]}+{found[1]:#x}" if found[1] else found[0]
    return [names[target] for target in targets]


def _state(counts: Mapping[str, int], is_filled: bool, done: int, total: int) -> str:
    relative = f"{done} of {total} RELATIVE slots relocated" if total else ""
    others = ", ".join(f"{number} {status}" for status, number in counts.items())
    if UNRELOCATED not in counts:
        verdict = "relocated"
    else:
        verdict = "partly relocated" if done or is_filled else "relocations not applied yet"
    return ": ".join(part for part in (verdict, "; ".join(filter(None, (relative, others)))) if part)
