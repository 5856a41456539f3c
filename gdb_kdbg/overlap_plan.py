"""Where the calls of a copy routine can be caught: at its entry, or in the slots that lead to it.

glibc chooses a variant of memcpy when a program starts, and memmove's is the same code. There the entry would show
memmove's calls too, for which overlaps are right, so the slots are redirected that calls of memcpy go through.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Sequence

from .assembly import CannotPlace
from .blocks import read_available, read_words_at
from .elf import ElfFile
from .errors import KdbgError, NotSupported, SymbolNotFound
from .function_starts import function_at
from .plt_entries import plt_entry
from .relocations import LAZY, UNRELOCATED, Judge
from .scope import Scope, base_name
from .slots import IRELATIVE, JUMP_SLOT, SYMBOL, PlannedSlot, planned_slots
from .symbol_table import ElfSymbol
from .target import Objfile, Target
from .uml_processes import is_kernel_file
from .units import ADDRESS_MASK, Address, Size, safe_text

# What checks its arguments and then is the same routine.
_FAMILIES = {
    "memcpy": ("memcpy", "__memcpy_chk"),
    "mempcpy": ("mempcpy", "__mempcpy", "__mempcpy_chk"),
}
# Overlaps are right for a routine with this in its name.
_MOVES = "move"
# A function that every Linux kernel has.
_IN_KERNELS = "start_kernel"
LARGEST = 1 << 20
_BEHIND = 16
# Runs the resolver of an IFUNC in the program, and returns what it chooses.
Resolve = Callable[[int], int]


class EntryPlan(NamedTuple):
    """A routine whose entry is patched: `code` holds its `size` bytes and what may be padding behind it.

    `is_whole` tells that no part of it is known to lie elsewhere, as compilers place what is rarely executed.
    """

    name: str
    address: int
    size: int
    code: bytes
    is_whole: bool = True


class SlotPlan(NamedTuple):
    """A slot that is redirected: where it is, what it holds, and where calls go on; `of` names file and symbol."""

    address: int
    value: int
    routine: int
    of: str


class Plan(NamedTuple):
    """How the calls of one routine are caught."""

    routine: str
    entries: tuple[EntryPlan, ...]
    slots: tuple[SlotPlan, ...]
    problems: tuple[str, ...] = ()

    @property
    def routines(self) -> Sequence[int]:
        """The addresses of the routine's code."""
        return sorted({entry.address for entry in self.entries} | {slot.routine for slot in self.slots})


class Planner:
    """Plans for the routines of one target."""

    def __init__(
        self,
        target: Target,
        evaluate: Callable[[str], Address],
        resolve: Resolve,
        is_probe: Callable[[int], bool] = lambda address: False,
    ) -> None:
        """Take what evaluates addresses and runs resolvers; slots that lead into a probe already are left out."""
        self._target, self._evaluate, self._resolve, self._is_probe = target, evaluate, resolve, is_probe
        self.scope = Scope.of(target)

    def plan(self, text: str, exact: bool = False) -> Plan:
        """Plan for a routine by its name or by an expression for its address; raise KdbgError.

        A definition in the main program goes before those of libraries: a kernel has its own memcpy. With `exact` the
        addresses are all that counts, whether or not they could be patched.
        """
        found = self._in_main(text)
        if found is None:
            self._refuse_namesake(text)
        if found is None and self.scope.definitions(text):
            found = self._in_libraries(text)
        if found is None:
            found = self._own(text)
        if isinstance(found, int):
            return self._entry(text, found, exact)
        return self._slots(text)

    def _in_main(self, name: str) -> Optional[int]:
        for objfile, elf in self.scope.files[:1]:
            symbol = elf.symbol_table().by_name(name)
            if symbol is not None and symbol.kind in ("FUNC", "NOTYPE"):
                return (symbol.address + objfile.load_bias) & ADDRESS_MASK
        return None

    # A kernel that is a process is linked with libc, whose memcpy is of no interest there.
    def _refuse_namesake(self, name: str) -> None:
        for objfile, elf in self.scope.files[:1]:
            is_stripped = elf.symbol_table().by_name(_IN_KERNELS) is None
            if is_stripped and self.scope.definitions(name) and is_kernel_file(elf):
                raise NotSupported(
                    f"{base_name(objfile)} has no symbols: its {safe_text(name)} cannot be found, and libc's is not "
                    "it. Name an address (kdbg overlap 0xADDRESS), or load a file with its symbols (file VMLINUX)"
                )

    # A function of a library is patched where it is; one with several variants is not in one place. Versions that are
    # not the default are only for programs that were linked long ago.
    def _in_libraries(self, name: str) -> Optional[int]:
        defined = [d for d in self.scope.definitions(name) if d.symbol.is_defined]
        first = next((d for d in defined if d.symbol.is_default), defined[0] if defined else None)
        return first.address if first is not None and first.symbol.kind == "FUNC" else None

    def _own(self, text: str) -> Optional[int]:
        if any(elf.symbol_table().by_name(text) for _, elf in self.scope.files):
            symbol = self.scope.symbols.symbol(text)
            kinds = [found.kind for _, elf in self.scope.files if (found := elf.symbol_table().by_name(text))]
            kinds += [definition.symbol.kind for definition in self.scope.definitions(text)]
            return None if "IFUNC" in kinds or symbol is None else symbol.address
        try:
            address = self._evaluate(text)
            return None if self._is_plt_entry_of(text, address) else address
        except KdbgError as error:
            names = ", ".join(map(safe_text, self.scope.symbols.suggest(text)))
            raise SymbolNotFound(f"{error}{f'; there are {names}' if names else ''}") from None

    # What a debugger finds under the name while the library is not loaded.
    def _is_plt_entry_of(self, name: str, address: int) -> bool:
        holders = self.scope.symbols.holders(address)
        entries = (plt_entry(elf, address - objfile.load_bias) for objfile, elf in holders)
        return any(entry is not None and entry.slot.symbol.name == name for entry in entries)

    def _entry(self, text: str, address: int, exact: bool) -> Plan:
        for objfile, elf in self.scope.symbols.holders(address):
            link = address - objfile.load_bias
            others = [symbol.name for symbol in elf.symbol_table().starting_at(link) if _MOVES in symbol.name]
            if others and _MOVES not in text:
                return self._slots(text, f"{text} shares its code with {safe_text(others[0])}: ")
            if exact:
                return Plan(text, (EntryPlan(text, address, 0, b""),), ())
            return Plan(text, (self._code_at(text, address, objfile, elf),), ())
        raise CannotPlace(f"{text} at {address:#x} is in no loaded file")

    def _code_at(self, text: str, address: int, objfile: Objfile, elf: ElfFile) -> EntryPlan:
        if self.scope.executable_in(address) is None:
            raise CannotPlace(f"{text} at {address:#x} is data, not a function")
        link = address - objfile.load_bias
        table = elf.symbol_table()
        symbol = next((s for s in table.starting_at(link) if s.size), None)
        bounds = function_at(elf, link)
        following = table.next_after(link) or 0
        size = symbol.size if symbol else bounds.end - link if bounds else max(0, following - link)
        if not 0 < size <= LARGEST:
            raise CannotPlace(f"the end of {text} at {address:#x} is not known: it has neither size nor frame entry")
        room = min(size + _BEHIND, max(size, following - link)) if following else size + _BEHIND
        code = read_available(self._target, Address(address), Size(room))
        if any(link < s.address < link + 5 for s in self._labels(elf, link)):
            raise CannotPlace(f"there is a symbol in the first bytes of {text} at {address:#x}")
        is_whole = symbol is not None and not any(table.by_name(f"{s.name}.cold") for s in table.starting_at(link))
        return EntryPlan(text, address, size, code, is_whole)

    @staticmethod
    def _labels(elf: ElfFile, link: int) -> Sequence[ElfSymbol]:
        found = [elf.symbol_table().nearest(link + offset) for offset in range(1, 5)]
        return [symbol for symbol in found if symbol is not None]

    def _slots(self, text: str, why: str = "") -> Plan:
        names = _FAMILIES.get(text, (text,))
        slots: list[SlotPlan] = []
        problems: list[str] = []
        for objfile, elf in self.scope.files:
            slots += self._slots_of(objfile, elf, names, problems)
        if not slots and problems:
            raise CannotPlace(f"{problems[0]}: let the program run to its main function first")
        if not slots:
            raise CannotPlace(f"{why}no slot leads to {text}, so no call of it can be told from others")
        return Plan(text, (), tuple(slots), tuple(problems))

    def _slots_of(
        self, objfile: Objfile, elf: ElfFile, names: Sequence[str], problems: list[str]
    ) -> Sequence[SlotPlan]:
        resolvers = self._resolvers(elf, names)
        planned = [slot for slot in planned_slots(elf) if _leads_to(slot, names, resolvers)]
        addresses = [(slot.address + objfile.load_bias) & ADDRESS_MASK for slot in planned]
        judge = Judge(self.scope, objfile, elf, None)
        found: list[SlotPlan] = []
        for slot, address in sorted(zip(planned, addresses), key=lambda pair: pair[1]):
            value = read_words_at(self._target, [address])[0]
            if value is not None and self._is_probe(value):
                continue
            status = judge.verdict(slot, value).status
            name = slot.symbol.name or resolvers.get(slot.addend & ADDRESS_MASK, "")
            of = f"{name} in {base_name(objfile)}"
            if value is None or status == UNRELOCATED or not value:
                problems.append(f"{of}: its slot at {address:#x} is not filled yet")
                continue
            try:
                routine = self._bound(slot) if status == LAZY else value
            except NotSupported as error:
                problems.append(f"{of}: {error}: what it will lead to is only seen if another slot leads there")
                continue
            if self.scope.executable_in(routine) is None:
                problems.append(f"{of}: its slot at {address:#x} leads to no code that is known, {routine:#x}")
                continue
            found.append(SlotPlan(address, value, routine, of))
        return found

    # The resolvers of the routine in one file, by link-time address.
    @staticmethod
    def _resolvers(elf: ElfFile, names: Sequence[str]) -> dict[int, str]:
        table = elf.symbol_table()
        symbols = ((name, table.by_name(name)) for name in names)
        return {symbol.address: name for name, symbol in symbols if symbol is not None and symbol.kind == "IFUNC"}

    # Where the dynamic linker will bind a lazy slot when it is first called through.
    def _bound(self, slot: PlannedSlot) -> int:
        definition = self.scope.bound_to(slot.symbol, is_call=True)
        if definition is None:
            raise CannotPlace(f"no loaded file defines {safe_text(slot.symbol.name)}")
        return self._resolve(definition.address) if definition.symbol.kind == "IFUNC" else definition.address


def _leads_to(slot: PlannedSlot, names: Sequence[str], resolvers: dict[int, str]) -> bool:
    if slot.effect in (JUMP_SLOT, SYMBOL):
        return slot.symbol.name in names and not slot.addend
    return slot.effect == IRELATIVE and slot.addend & ADDRESS_MASK in resolvers
