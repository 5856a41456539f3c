"""Who is writing right now: the store that just happened, the routine it stands in, and the copy it belongs to."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Iterator, Mapping, Optional, Sequence

from .blocks import read_available, read_words
from .disassembly import Instruction, Store, decode, decode_to, store_after
from .errors import MemoryFault
from .process import in_kernel
from .ranges import Range
from .ring import RingRecord
from .target import Location, Target
from .units import Address, Size
from .units import address as to_address

PHASES = ("leading", "bulk", "trailing", "small")
# Registers a store's address and length are made of.
_REGISTERS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip", "eflags", "fs_base", "gs_base",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
_CALLERS = 4
# Further than this behind a label nothing is decoded; an x86 instruction has at most 15 bytes.
_FUNCTION = 4096
_LONGEST = 15
# Legacy and REX prefixes (Intel SDM vol. 2, 2.1.1 and 2.2.1).
_PREFIXES = tuple(bytes([code]) for code in (*b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", *range(0x40, 0x50)))


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
        done, rest = self.store.done, self.store.rest or self.store.done
        start, end = min(done.start, rest.start), max(done.end, rest.end)
        if self.record is not None and start < self.record.destination:
            end = max(end, self.record.asked.end)  # it came from above
        elif self.record is not None:
            start = self.record.destination
        return Range(start, Size(end - start))

    def touches(self, victim: Range) -> bool:
        """Tell whether this very instruction writes to `victim`, now or in iterations to come."""
        rest = self.store.rest
        return self.store.done.overlaps(victim) or (rest is not None and rest.overlaps(victim))


def writer_to(target: Target, records: Sequence[RingRecord], victim: Range) -> Optional[Writer]:
    """Return the store to `victim` that just happened at the pc, None if the instruction there did not write to it."""
    registers = {name: value for name in _REGISTERS if (value := target.register(name)) is not None}
    for store in _stores(target, Address(registers.get("rip", 0)), registers):
        at = store.instruction.address
        routine, phase = routine_and_phase(target, at)
        writer = Writer(store, target.location(at), routine, phase, in_kernel(target), None)
        if writer.touches(victim):
            return replace(writer, record=_record(target, records))
    return None


def _stores(target: Target, pc: Address, registers: Mapping[str, int]) -> Iterator[Store]:
    """Yield what may just have been stored, the likeliest first."""
    decoded = decode(read_available(target, pc, Size(_LONGEST)), pc, 1)
    current = decoded[0] if decoded else None
    for before in _before(target, pc):
        # A repeated store at the pc may run already, or be yet to begin: then it was the instruction before it.
        yield from filter(None, (store_after(before, now, registers) for now in (current, None)))
    # QEMU leaves the pc at a repeated store even when the last iteration is through.
    if current is not None and current.is_repeated and current.string_width and registers.get("rcx") == 0:
        yield from filter(None, [store_after(current, None, registers)])


def _before(target: Target, pc: Address) -> Iterator[Optional[Instruction]]:
    """Yield the instruction before the pc: decoded from the nearest label, else every one that may end there."""
    label = target.label(Address(pc - 1))
    if label is not None and pc - label.address <= _FUNCTION:
        decoded = decode_to(read_available(target, label.address, Size(pc - label.address)), label.address, pc)
        if decoded and decoded[-1].end == pc:
            yield decoded[-1]
            return
    yield None
    code = read_available(target, Address(pc - _LONGEST), Size(_LONGEST))
    # An instruction with a prefix before it is likely cut.
    for length in sorted(range(1, len(code) + 1), key=lambda n: code[-n - 1 : -n] in _PREFIXES):
        guess = decode(code[-length:], Address(pc - length), 1)
        if guess and guess[0].size == length:
            yield guess[0]


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
        return to_address(call.immediate)
    pointer = call.memory[0].address if call.memory else None
    if pointer is None:
        return None
    try:
        return Address(read_words(target, pointer, 1)[0])
    except MemoryFault:
        return None
