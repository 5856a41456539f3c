"""Whether each slot of a loaded file holds what its relocation should have put there.

The verdicts are careful to one side: `unrelocated` and `elsewhere` are only said of a word that the loader alone
writes, or whose value cannot be anything else. Sources: System V ABI for x86-64, 4.4 "Relocation"; gABI "Dynamic
Linking"; the GNU IFUNC extension.
"""

from __future__ import annotations

from collections import Counter
from typing import Iterable, NamedTuple, Optional, Sequence

from .elf import ElfFile
from .elf_relocations import binds_now, is_symbolic
from .elf_tables import PF_X
from .scope import Definition, Scope
from .slots import (
    COPY,
    IRELATIVE,
    JUMP_SLOT,
    RELATIVE,
    SYMBOL,
    TLS_DESCRIPTOR,
    TLS_MODULE,
    TLS_OFFSET,
    TLS_STATIC,
    PlannedSlot,
)  # fmt: skip
from .target import Objfile
from .units import ADDRESS_MASK

RESOLVED, UNRELOCATED, LAZY, ELSEWHERE, UNDECIDABLE = "resolved", "unrelocated", "lazy", "elsewhere", "undecidable"
STATUSES = (RESOLVED, UNRELOCATED, LAZY, ELSEWHERE, UNDECIDABLE)
# A program has thousands of modules with thread-local storage at most.
_MODULES = 1 << 16
_DT_NEEDED = 1
_NEGATIVE = 1 << 63

WEAK_NOTE = "weak and undefined: 0 is right"
WRITABLE_NOTE = "in writable data: the program may have changed it"
OTHER_NOTE = "another definition of the symbol than a lookup finds first"
UNKNOWN_NOTE = "may be in a file that the process has loaded and that is not here"
ORDER_NOTE = "one of several definitions; memory does not tell which of them a lookup finds first"
RESOLVER_NOTE = "an IFUNC's resolver chooses the address"


class Verdict(NamedTuple):
    """What a slot's value means; `expected` is None where only running a resolver could tell."""

    status: str
    expected: Optional[int]
    note: str = ""


class Judge:
    """Judges the slots of one loaded file by their values."""

    def __init__(self, scope: Scope, objfile: Objfile, elf: ElfFile, is_relocated: Optional[bool]) -> None:
        """Take the file and whether its RELATIVE slots are relocated; None if only some are, or there are none."""
        self._scope, self._objfile, self._elf = scope, objfile, elf
        self._bias = objfile.load_bias
        self._is_relocated = is_relocated
        self._binds_now = binds_now(elf.dynamic())
        self._first = objfile if is_symbolic(elf.dynamic()) else None
        self._rules = {
            RELATIVE: self._relative, SYMBOL: self._symbol, JUMP_SLOT: self._jump_slot, IRELATIVE: self._irelative,
            TLS_MODULE: self._module, TLS_OFFSET: self._offset, TLS_STATIC: self._static_offset,
            TLS_DESCRIPTOR: self._descriptor,
        }  # fmt: skip

    def expected(self, slot: PlannedSlot) -> Optional[int]:
        """Return what the slot should hold, None where that cannot be known without running code."""
        if slot.effect == RELATIVE:
            return self._moved(slot.addend)
        if slot.effect in (SYMBOL, JUMP_SLOT):
            return self._bound(slot)
        if slot.effect == TLS_OFFSET:
            return self._offset_expected(slot)
        return self._static_expected(slot) if slot.effect == TLS_STATIC else None

    def verdict(self, slot: PlannedSlot, value: Optional[int]) -> Verdict:
        """Judge one slot; a value of None could not be read."""
        rule = self._rules.get(slot.effect)
        if rule is None:
            note = "data copied from a library" if slot.effect == COPY else "not a word with an address"
            return Verdict(UNDECIDABLE, None, note)
        if value is None:
            return Verdict(UNDECIDABLE, self.expected(slot), "cannot be read")
        return rule(slot, value)

    def _relative(self, slot: PlannedSlot, value: int) -> Verdict:
        expected = (slot.addend + self._bias) & ADDRESS_MASK
        if value == expected:
            return Verdict(RESOLVED, expected, "" if self._bias else "the load bias is 0")
        left = value in (slot.initial, slot.addend & ADDRESS_MASK) or (value == 0 and not self._is_relocated)
        if left and self._may_be_unrelocated(slot, value):
            return Verdict(UNRELOCATED, expected)
        return self._changed(slot, expected)

    # What the linker leaves, a zero before all, a program may write as well; then only the rest of the file tells.
    def _may_be_unrelocated(self, slot: PlannedSlot, value: int = 0) -> bool:
        return slot.is_constant or self._is_relocated is False or bool(value and not self._is_relocated)

    def _changed(self, slot: PlannedSlot, expected: Optional[int]) -> Verdict:
        if slot.is_constant:
            return Verdict(ELSEWHERE, expected)
        return Verdict(UNDECIDABLE, expected, WRITABLE_NOTE)

    def _jump_slot(self, slot: PlannedSlot, value: int) -> Verdict:
        if slot.initial and value == self._moved(slot.initial):
            # The slot leads back into its own PLT entry, which asks the dynamic linker to bind it.
            status = UNRELOCATED if self._binds_now and not self._bias and not self._is_relocated else LAZY
            return Verdict(status, self._bound(slot))
        if slot.initial and value == slot.initial:
            return Verdict(UNRELOCATED, self._bound(slot))
        return self._symbol(slot, value)

    def _symbol(self, slot: PlannedSlot, value: int) -> Verdict:
        definitions = self._scope.definitions(slot.symbol.name) if not slot.symbol.is_local else ()
        if slot.symbol.is_local or not slot.symbol.name:
            return self._local(slot, value)
        wanted = (value - slot.addend) & ADDRESS_MASK
        resolvers = [d for d in definitions if d.symbol.kind == "IFUNC"]
        offered = [d for d in definitions if d.address == wanted and d.symbol.kind not in ("IFUNC", "TLS")]
        if offered:
            return Verdict(RESOLVED, value, self._rank_note(slot, value, offered) if len(definitions) > 1 else "")
        if value == slot.addend & ADDRESS_MASK or value == 0:
            return self._zero(slot)
        if not definitions or any(wanted == d.address for d in resolvers):
            note = "holds its own resolver" if definitions else "no loaded file defines the symbol"
            return Verdict(UNDECIDABLE, self._bound(slot), note)
        if any(self._is_implementation(wanted, d.objfile, slot.symbol.name) for d in resolvers):
            return Verdict(RESOLVED, None, RESOLVER_NOTE)
        if self._scope.may_be_unknown(value):
            return Verdict(UNDECIDABLE, self._bound(slot), UNKNOWN_NOTE)
        return self._changed(slot, self._bound(slot))

    # A file's own definition may be protected; which one of several unique ones is taken is a matter of time.
    def _rank_note(self, slot: PlannedSlot, value: int, offered: Sequence[Definition]) -> str:
        if any(d.objfile == self._objfile or d.symbol.is_unique for d in offered):
            return ""
        if self._bound(slot) in (value, None):
            return ""
        return ORDER_NOTE if self._scope.order_of(self._objfile) is None else OTHER_NOTE

    # A section symbol of a hand-made or prelinked file: nothing to look up.
    def _local(self, slot: PlannedSlot, value: int) -> Verdict:
        expected = self._moved(slot.symbol.address + slot.addend)
        if value == expected:
            return Verdict(RESOLVED, expected)
        if value in (0, slot.initial) and self._may_be_unrelocated(slot):
            return Verdict(UNRELOCATED, expected)
        return self._changed(slot, expected)

    def _zero(self, slot: PlannedSlot) -> Verdict:
        expected = self._bound(slot)
        if slot.symbol.is_weak:
            found = self._scope.definitions(slot.symbol.name)
            if not found or (self._is_relocated and not self._scope.visible_to(self._objfile, slot.symbol.name)):
                return self._weak_zero()
            if self._is_relocated is not False:
                return Verdict(UNDECIDABLE, expected, "weak: its definition may have been loaded later")
        if self._may_be_unrelocated(slot):
            return Verdict(UNRELOCATED, expected)
        return Verdict(UNDECIDABLE, expected, WRITABLE_NOTE)

    # Before relocation a definition may be yet to come, but not to a program that loads no other files.
    def _weak_zero(self) -> Verdict:
        if self._is_relocated or self._is_alone:
            return Verdict(RESOLVED, 0, WEAK_NOTE)
        return Verdict(UNDECIDABLE, None, "weak: 0 is right if nothing defines it")

    @property
    def _is_alone(self) -> bool:
        needs = any(tag == _DT_NEEDED for tag, _ in self._elf.dynamic())
        return len(self._scope.files) == 1 and not needs and not any(s.type == "INTERP" for s in self._elf.segments)

    # Resolvers are free in what they return; what no library exports under another name is taken for theirs.
    def _is_implementation(self, value: int, owner: Objfile, name: str) -> bool:
        if self._scope.in_vdso(value):
            return True
        if self._scope.executable_in(value) != owner:
            return False
        elf, link = self._scope.elf_of(owner), (value - owner.load_bias) & ADDRESS_MASK
        exported = elf.dynamic_symbols().names_at(link) if elf else ()
        if exported:
            return any(_alike(other, name) for other in exported)
        inside = elf.symbol_table().at(link) if elf else None
        return inside is None or not inside.size or inside.address == link

    def _bound(self, slot: PlannedSlot) -> Optional[int]:
        if slot.symbol.is_local:
            return self._moved(slot.symbol.address + slot.addend)
        found = self._scope.bound_to(slot.symbol, slot.effect == JUMP_SLOT, self._objfile, self._first)
        if found is None or found.symbol.kind == "IFUNC":
            return None
        return (found.address + slot.addend) & ADDRESS_MASK

    def _irelative(self, slot: PlannedSlot, value: int) -> Verdict:
        if value == 0:
            # A resolver may return 0 (glibc has one that does), and then 0 it stays.
            return Verdict(UNRELOCATED if self._is_relocated is False else UNDECIDABLE, None, RESOLVER_NOTE)
        if value == slot.initial or value == slot.addend & ADDRESS_MASK:
            return Verdict(UNRELOCATED, None)
        if value == self._moved(slot.addend):
            return Verdict(UNDECIDABLE, None, "holds its own resolver")
        if slot.initial and value == self._moved(slot.initial):
            return Verdict(UNRELOCATED, None)
        if self._scope.executable_in(value) == self._objfile or self._scope.in_vdso(value):
            return Verdict(RESOLVED, None, RESOLVER_NOTE)
        return self._changed(slot, None)

    def _module(self, slot: PlannedSlot, value: int) -> Verdict:
        if value == 0:
            return Verdict(UNDECIDABLE if self._is_relocated else UNRELOCATED, None, "number of a module with TLS")
        return Verdict(RESOLVED if value < _MODULES else UNDECIDABLE, None, "number of a module with TLS")

    def _offset(self, slot: PlannedSlot, value: int) -> Verdict:
        expected, note = self._offset_expected(slot), "offset in a module's TLS"
        known = [(d.symbol.address + slot.addend) & ADDRESS_MASK for d in self._scope.definitions(slot.symbol.name)]
        if value == expected or value in known:
            return Verdict(RESOLVED, expected, note)
        if value in (0, slot.initial) and (self._is_relocated is False or expected is not None):
            return Verdict(UNRELOCATED, expected, note)
        return self._changed(slot, expected) if known else Verdict(UNDECIDABLE, expected, note)

    def _offset_expected(self, slot: PlannedSlot) -> Optional[int]:
        own = slot.symbol.is_local or not slot.symbol.name
        found = None if own else self._scope.bound_to(slot.symbol, True, self._objfile, self._first)
        symbol = slot.symbol if own else found.symbol if found else None
        return (symbol.address + slot.addend) & ADDRESS_MASK if symbol else None

    def _static_offset(self, slot: PlannedSlot, value: int) -> Verdict:
        expected, note = self._static_expected(slot), "offset from the thread pointer"
        if value == expected or (expected is None and value >= _NEGATIVE):
            return Verdict(RESOLVED, expected, note)
        if value == 0:
            return Verdict(UNDECIDABLE if self._is_relocated else UNRELOCATED, expected, note)
        return Verdict(UNDECIDABLE, expected, note)

    # Variant II of ELF TLS: the program's own block ends at the thread pointer. Others lie where the loader put them.
    def _static_expected(self, slot: PlannedSlot) -> Optional[int]:
        block = next((s for s in self._elf.segments if s.type == "TLS"), None)
        is_program = self._scope.files and self._scope.files[0][0] == self._objfile
        if block is None or not is_program or not self._own(slot):
            return None
        alignment = max(block.alignment, 1)
        size = -(-block.memory_size // alignment) * alignment
        return (slot.symbol.address + slot.addend - size) & ADDRESS_MASK

    def _descriptor(self, slot: PlannedSlot, value: int) -> Verdict:
        note = "function of a TLS descriptor"
        if value == 0:
            return Verdict(UNDECIDABLE if self._is_relocated else UNRELOCATED, None, note)
        known = self._scope.executable_in(value) is not None
        return Verdict(RESOLVED if known else UNDECIDABLE, None, note)

    def _own(self, slot: PlannedSlot) -> bool:
        return slot.symbol.is_defined or not slot.symbol.name

    def _moved(self, link_address: int) -> int:
        return (link_address + self._bias) & ADDRESS_MASK


def counts_of(statuses: Iterable[str]) -> dict[str, int]:
    """Count statuses in the order of STATUSES; those that do not occur are left out."""
    counted = Counter(statuses)
    return {status: counted[status] for status in STATUSES if counted[status]}


def executable(elf: ElfFile, link_address: int) -> bool:
    """Tell whether a link-time address is in an executable segment."""
    return any(s.flags & PF_X and s.address <= link_address < s.end for s in elf.loaded)


def _alike(one: str, other: str) -> bool:
    """`__memmove_avx_unaligned` and `memcpy` go together; `system` and `strlen` do not."""
    stem = other.strip("_")[:3]
    return stem in one
