"""A jump to where no code is: its call site, the slot it went through, and whether it was a return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Mapping, Optional, Sequence

from .blocks import read_words
from .call_paths import Load
from .call_sites import CallSite, CallSites
from .errors import KdbgError, MemoryFault
from .faults import Fault, is_canonical
from .relocations import UNRELOCATED, executable
from .scope import Scope
from .slot_report import FoundSlot, LoadedSlots, Slot, find_slot
from .slots import JUMP_SLOT, link_target, slots_towards
from .target import Target
from .units import ADDRESS_MASK, Address

# gABI "Dynamic Section"; psABI x86-64, 5.2: the third word of the table is for the dynamic linker.
_DT_PLTGOT, _RESOLVER = 3, 16


@dataclass(frozen=True)
class SlotState:
    """A slot with what it holds, and the file it is in."""

    found: FoundSlot
    file: LoadedSlots
    row: Slot

    @property
    def is_unrelocated(self) -> bool:
        return self.row.status == UNRELOCATED

    @property
    def before(self) -> Sequence[int]:
        """What a slot may hold before it is relocated; GNU ld leaves the addend in it, lld 0."""
        return 0, self.found.slot.initial, self.found.slot.addend & ADDRESS_MASK


@dataclass(frozen=True)
class BadJump:
    """How the pc came to `destination`; `site` is None where no call leads there, `via` is a slot it passed on the way.

    `is_return` tells that the word the stack pointer has just left is the destination, as after a `ret`; `stack` are
    the words from there on. `is_aligned` tells that rsp is a multiple of 16, as it is after a return, not after a call.
    """

    destination: Address
    site: Optional[CallSite]
    slot: Optional[SlotState]
    via: Optional[SlotState]
    is_return: bool
    has_return_address: bool
    is_aligned: bool
    stack: Sequence[int]

    @property
    def is_ambiguous(self) -> bool:
        """Whether it may have been a return as well as the call that was found."""
        return self.is_return and self.is_aligned

    @property
    def is_unbound(self) -> bool:
        """Whether it was a lazily bound call, and the PLT's own slot for the dynamic linker's resolver led there."""
        via = self.via
        if via is None or self.site is None or not self.is_call or via.found.slot.effect != JUMP_SLOT:
            return False
        table = dict(via.found.elf.dynamic()).get(_DT_PLTGOT)
        return table is not None and self.site.place == table + _RESOLVER + via.found.objfile.load_bias

    @property
    def is_call(self) -> bool:
        """Whether a call or jump is found that really went there."""
        return self.site is not None and self.site.agrees


@dataclass(frozen=True)
class BadPointer:
    """An operand that cannot be reached because its base was read from a slot."""

    base: str
    address: Address
    load: Load
    slot: SlotState
    is_only: bool


def slot_state(target: Target, scope: Scope, place: Optional[int]) -> Optional[SlotState]:
    """Return the slot at a runtime address with all of its file, None if there is none."""
    found = find_slot(scope, place) if place is not None else None
    if found is None or found.objfile.load_bias + found.slot.address & ADDRESS_MASK != place:
        return None
    loaded = LoadedSlots(scope, found.objfile, found.elf, target)
    return SlotState(found, loaded, loaded.row_of(found.slot))


def read_bad_jump(target: Target, scope: Scope, registers: Mapping[str, int], fault: Fault) -> Optional[BadJump]:
    """Explain a pc that is not executable, or a call, jump or return that the CPU refused to make."""
    if fault.instruction is None:
        return _jumped(target, scope, registers, fault.pc)
    if fault.instruction.is_return:
        return _refused_return(target, registers)
    return _refused_call(target, scope, registers, fault)


def _jumped(target: Target, scope: Scope, registers: Mapping[str, int], pc: Address) -> BadJump:
    stack = _stack(target, registers.get("rsp", 0))
    sites = CallSites(target, scope, registers)
    return_address = stack[1] if len(stack) > 1 else 0
    site = sites.to(pc, return_address) or _unbound(sites, pc, stack)
    slot = slot_state(target, scope, site.place) if site else None
    via = slot_state(target, scope, site.via) if site and site.via is not None else None
    is_return = bool(stack) and stack[0] == pc
    is_aligned = registers.get("rsp", 0) % 16 == 0
    return BadJump(pc, site, slot, via, is_return, sites.is_return_address(return_address), is_aligned, stack)


# The first entry of the PLT has pushed two words for the dynamic linker (psABI x86-64, figure 5.2).
def _unbound(sites: CallSites, pc: Address, stack: Sequence[int]) -> Optional[CallSite]:
    site = sites.to(pc, stack[3]) if len(stack) > 3 else None
    return site if site and site.agrees and site.via is not None else None


# To an address that does not exist the CPU does not even go.
def _refused_return(target: Target, registers: Mapping[str, int]) -> Optional[BadJump]:
    stack = _stack(target, registers.get("rsp", 0) + 8)
    if not stack or is_canonical(stack[0]):
        return None
    return BadJump(Address(stack[0]), None, None, None, True, False, True, stack)


def _refused_call(target: Target, scope: Scope, registers: Mapping[str, int], fault: Fault) -> Optional[BadJump]:
    instruction = fault.instruction
    if instruction is None or not fault.is_protection or not (instruction.is_call or instruction.is_jump):
        return None
    destination = _operand_value(target, registers, fault)
    if destination is None or is_canonical(destination):
        return None
    site = CallSites(target, scope, registers).at(fault.pc, destination)
    slot = slot_state(target, scope, site.place) if site else None
    return BadJump(Address(destination), site, slot, None, False, False, False, ())


def _operand_value(target: Target, registers: Mapping[str, int], fault: Fault) -> Optional[int]:
    assert fault.instruction is not None
    if not fault.instruction.memory:
        return registers.get(fault.instruction.registers[0]) if fault.instruction.registers else None
    place = fault.instruction.memory[0].resolve({**registers, "rip": fault.instruction.end})
    try:
        return read_words(target, place, 1)[0] if place is not None else None
    except MemoryFault:
        return None


# The word below the stack pointer and those above it, in one read if they are all there.
def _stack(target: Target, pointer: int) -> Sequence[int]:
    for count in (18, 4, 2):
        try:
            return read_words(target, Address(pointer - 8 & ADDRESS_MASK), count)
        except MemoryFault:
            continue
    return ()


def read_bad_pointer(target: Target, scope: Scope, registers: Mapping[str, int], fault: Fault) -> Optional[BadPointer]:
    """Find the slot that the base of the operand was read from that could not be reached."""
    operand = fault.reached_for(registers)
    if operand is None or fault.instruction is None:
        return None
    path = CallSites(target, scope, registers).path_at(fault.pc)
    address = operand.resolve({**registers, "rip": fault.instruction.end})
    for register in filter(None, (operand.base, operand.index)):
        found: list[tuple[Load, SlotState]] = []
        for load in path.loads_of(register) if path else ():
            slot = slot_state(target, scope, load.place)
            if slot and slot.row.value == registers.get(register):
                found.append((load, slot))
        if found and address is not None:
            return BadPointer(register, address, *found[0], len(found) == 1)
    return None


def slots_holding(target: Target, scope: Scope, link_address: int) -> Iterator[SlotState]:
    """Yield the slots that are to point at a link-time address of their file, and hold just that: unrelocated ones."""
    for objfile, elf in scope.files:
        # Code only: to look through all slots of a large file takes a second.
        if not objfile.load_bias or not executable(elf, link_address):
            continue
        try:
            slots = slots_towards(elf, link_address)
        except KdbgError:
            continue
        if not slots:
            continue
        loaded = LoadedSlots(scope, objfile, elf, target)
        for slot in slots:
            row = loaded.row_of(slot)
            if row.status == UNRELOCATED and row.value == link_address and link_target(slot) == link_address:
                yield SlotState(FoundSlot(objfile, elf, slot), loaded, row)
