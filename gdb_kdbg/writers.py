"""Who is writing right now: the store that just happened, the routine it stands in, and the copy it belongs to."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

from .blocks import read_available, read_words
from .disassembly import Instruction, Store, decode, decode_to, store_after
from .errors import MemoryFault
from .process import in_kernel
from .ranges import Range
from .ring import RingRecord
from .target import Location, Target
from .units import Address, Size

PHASES = ("leading", "bulk", "trailing", "small")
# Registers a store's address and length are made of.
_REGISTERS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip", "eflags", "fs_base", "gs_base",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
_CALLERS = 4
_FUNCTION = 4096


@dataclass(frozen=True)
class Writer:
    """A store in the act: its instruction, where that stands, and the ring record of the copy it is part of."""

    store: Store
    place: Optional[Location]
    routine: str
    phase: Optional[str]
    kernel: bool
    record: Optional[RingRecord]

    @property
    def written(self) -> Range:
        """What the copy has written and will have written when this instruction is through."""
        end = self.store.rest.end if self.store.rest else self.store.done.end
        end = max(end, self.store.done.end)
        start = self.record.destination if self.record else self.store.done.start
        start = min(start, self.store.done.start)
        return Range(start, Size(end - start))

    def touches(self, victim: Range) -> bool:
        """Tell whether this very instruction writes to `victim`, now or in iterations to come."""
        rest = self.store.rest
        return self.store.done.overlaps(victim) or (rest is not None and rest.overlaps(victim))


def current_writer(target: Target, records: Sequence[RingRecord]) -> Optional[Writer]:
    """Return the store that just happened at the pc; None if the instruction there stored nothing."""
    registers = {name: value for name in _REGISTERS if (value := target.register(name)) is not None}
    pc = Address(registers.get("rip", 0))
    place = target.location(pc)
    store = _store(target, pc, place, registers)
    if store is None:
        return None
    at = store.instruction.address
    routine, phase = routine_and_phase(target, at)
    return Writer(store, target.location(at), routine, phase, in_kernel(target), _record(target, records))


def _store(target: Target, pc: Address, place: Optional[Location], registers: Mapping[str, int]) -> Optional[Store]:
    start = Address(pc - place.offset) if place and place.offset < _FUNCTION else pc
    label = target.label(pc)
    # Decoding must start at an instruction; the nearest label is one, and near.
    if label is not None and start < label.address < pc:
        start = label.address
    before = _before(target, start, pc)
    if before is None and start == pc:
        previous = target.label(Address(pc - 1))
        before = _before(target, previous.address, pc) if previous and pc - previous.address < _FUNCTION else None
    current = decode(read_available(target, pc, Size(16)), pc, 1)
    return store_after(before, current[0] if current else None, registers)


def _before(target: Target, start: Address, pc: Address) -> Optional[Instruction]:
    decoded = decode_to(read_available(target, start, Size(pc - start)), start, pc) if pc > start else ()
    return decoded[-1] if decoded and decoded[-1].end == pc else None


def _record(target: Target, records: Sequence[RingRecord]) -> Optional[RingRecord]:
    """The newest record whose caller is on the stack: the copy that is under way."""
    if not records:
        return None
    callers = {int(frame.pc) for frame in target.frames(_CALLERS)[1:]}
    with contextlib.suppress(MemoryFault):
        callers.update(read_words(target, Address(target.register("rsp") or 0), 1))
    newest = records[-1]
    return newest if newest.return_address in callers and not newest.torn else None


def routine_and_phase(target: Target, address: Address) -> tuple[str, Optional[str]]:
    """Name the routine around an address and, where its labels tell, the phase: `ucopy_small` is `ucopy`, small."""
    label, place = target.label(address), target.location(address)
    name = label.name if label else place.function if place else f"{address:#x}"
    stem, _, last = name.rpartition("_")
    if last in PHASES and stem:
        return stem, last
    return (place.function if place else name), None


def called_routine(target: Target, return_address: Address) -> Optional[str]:
    """Name what the call before `return_address` calls, directly or through a pointer in memory."""
    for length in (5, 6, 7):
        start = Address(return_address - length)
        decoded = decode(read_available(target, start, Size(length)), start, 1)
        if decoded and decoded[0].is_call and decoded[0].end == return_address:
            destination = _destination(target, decoded[0])
            place = target.location(destination) if destination else None
            if place is not None and place.offset == 0:
                return place.function
    return None


def _destination(target: Target, call: Instruction) -> Optional[Address]:
    if call.immediate is not None:
        return Address(call.immediate)
    pointer = call.memory[0].address if call.memory else None
    if pointer is None:
        return None
    try:
        return Address(read_words(target, pointer, 1)[0])
    except MemoryFault:
        return None
