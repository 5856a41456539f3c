"""The loaded files of a target together: what a name may be bound to, and what an address belongs to."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Mapping, NamedTuple, Optional, Sequence

from .demangle import demangle
from .dynamic_symbols import DynamicSymbol, DynamicSymbols
from .elf import ElfFile
from .elf_tables import PF_X
from .errors import KdbgError
from .kernel_image import shifted_objfiles
from .lookup_orders import LookupOrders
from .ranges import Range
from .symbols import Symbols
from .target import Objfile, Target
from .units import ADDRESS_MASK, Address, Size, address, safe_text, shown

_AT_SYSINFO_EHDR = 33
# The vDSO is two pages on every x86-64 kernel so far; it has no file.
_VDSO_SIZE = 0x4000
_PATH_LIMIT = 4096


class Definition(NamedTuple):
    """What one file offers under a name; for an IFUNC `address` is that of its resolver."""

    address: Address
    symbol: DynamicSymbol
    objfile: Objfile


class Scope:
    """The files of a target in the order of loading. `problems` are files that cannot be read.

    With a `target` its memory is asked for the order of the dynamic linker's lookups, once that matters.
    """

    def __init__(
        self,
        objfiles: Sequence[Objfile],
        vdso: Optional[Range] = None,
        problems: Sequence[str] = (),
        target: Optional[Target] = None,
    ) -> None:
        self.symbols = Symbols(objfiles)
        self.vdso = vdso
        self._target = target
        self._problems = tuple(problems)
        self._known: dict[str, tuple[Definition, ...]] = {}
        self._ranks: dict[Objfile, Optional[Mapping[Objfile, int]]] = {}

    @classmethod
    def of(cls, target: Target) -> Scope:
        """Make the scope of a target; memory is only read in a machine, to see where its kernel runs."""
        placed = shifted_objfiles(target)
        start = target.auxiliary_vector().get(_AT_SYSINFO_EHDR)
        vdso = Range(Address(start), Size(_VDSO_SIZE)) if start else None
        return cls(placed.objfiles, vdso, (*target.problems, *placed.problems), target)

    @cached_property
    def files(self) -> Sequence[tuple[Objfile, ElfFile]]:
        """The files that could be read, without those that hold another's debugging information only."""
        return tuple((objfile, elf) for objfile, elf in self.symbols.files if not _is_debug_file(elf))

    @property
    def problems(self) -> Sequence[str]:
        return tuple(dict.fromkeys((*self._problems, *self.symbols.problems)))

    def definitions(self, name: str) -> Sequence[Definition]:
        """Return every definition of a dynamic symbol, the one a lookup would find first."""
        found = self._known.get(name)
        if found is None:
            key = name.encode("utf-8", "surrogateescape")
            # Most files do not have most names.
            tables = [(objfile, table) for objfile, table in self._tables if key in table.offered]
            found = self._known[name] = tuple(
                [Definition(_address(o, symbol), symbol, o) for o, table in tables for symbol in table.definitions(key)]
            )
        return found

    def visible_to(self, objfile: Objfile, name: str) -> Sequence[Definition]:
        """Return the definitions that a lookup from a file finds, the first first; all where nobody knows the order."""
        order, found = self.order_of(objfile), self.definitions(name)
        return (
            found if order is None else sorted((d for d in found if d.objfile in order), key=lambda d: order[d.objfile])
        )

    def bound_to(
        self, symbol: DynamicSymbol, is_call: bool, objfile: Optional[Objfile] = None, first: Optional[Objfile] = None
    ) -> Optional[Definition]:
        """Return the definition that the dynamic linker binds a reference of a file to, as far as can be told.

        The slot of a call never leads to a PLT entry; `first` is a file that is searched before all others. Sources:
        gABI "Shared Object Dependencies"; LSB Core, "Symbol Versioning".
        """
        found = self.definitions(symbol.name)
        if len(found) == 1:
            only = found[0]
            is_offered = (only.symbol.is_defined or not is_call) and _has_version(only.symbol, symbol)
            return only if is_offered else None
        # To know the order costs reads of memory.
        if objfile is not None and found:
            found = self.visible_to(objfile, symbol.name)
        offered = [d for d in found if (d.symbol.is_defined or not is_call) and _has_version(d.symbol, symbol)]
        return next((d for d in offered if d.objfile == first), offered[0] if offered else None)

    def order_of(self, objfile: Objfile) -> Optional[Mapping[Objfile, int]]:
        """Return the files that a lookup from a file searches, with their ranks; None where memory does not tell."""
        if objfile not in self._ranks:
            listed = self._orders.of(self._sections.get(objfile, 0)) if self._orders else None
            files = {section: file for file, section in self._sections.items()}
            ranked = reversed([(files[section], rank) for rank, section in enumerate(listed or ()) if section in files])
            self._ranks[objfile] = None if listed is None else dict(ranked)
        return self._ranks[objfile]

    def may_be_unknown(self, runtime_address: int) -> bool:
        """Tell whether an address may be in a file that the process has loaded and that is not here."""
        if self._orders is None or any(True for _ in self.symbols.holders(runtime_address)):
            return False
        known = set(self._sections.values())
        return any(section not in known and not self.in_vdso(section) for section in self._orders.files)

    def executable_in(self, runtime_address: int) -> Optional[Objfile]:
        """Return the file in whose executable segment an address lies."""
        for objfile, elf in self.symbols.holders(runtime_address):
            link = runtime_address - objfile.load_bias
            if any(s.flags & PF_X and s.address <= link < s.end for s in elf.loaded):
                return objfile
        return None

    def in_vdso(self, runtime_address: int) -> bool:
        return self.vdso is not None and self.vdso.contains(runtime_address)

    def elf_of(self, objfile: Objfile) -> Optional[ElfFile]:
        return self._elfs.get(objfile)

    def place(self, runtime_address: int, of: Optional[Objfile] = None) -> str:
        """Name what an address belongs to: `printf+0x4`, demangled, with the file in brackets if it is
        another than `of`.

        Where no symbol covers it, `FILE+0x...` with its link-time address; empty outside of all files.
        """
        found = self.symbols.name_at(runtime_address)
        if found is not None:
            name, offset, objfile = found
            name = shown(demangle(self._plain_name(objfile, runtime_address - offset, name)))
            text = f"{name}+{offset:#x}" if offset else name
            return text if objfile == of else f"{text} ({base_name(objfile)})"
        for objfile, _ in self.symbols.holders(runtime_address):
            return f"{base_name(objfile)}+{address(runtime_address - objfile.load_bias):#x}"
        return "vdso" if self.in_vdso(runtime_address) else ""

    def link_place(self, objfile: Objfile, link_address: int) -> str:
        """Name a link-time address of one file; empty if it has no symbol there."""
        elf = self.elf_of(objfile)
        found = elf.symbol_table().name_at(link_address) if elf else None
        if found is None:
            return ""
        return f"{shown(found[0])}+{found[1]:#x}" if found[1] else shown(found[0])

    # A library has its functions under several names; the one without underscores is what programs call.
    def _plain_name(self, objfile: Objfile, runtime_address: int, name: str) -> str:
        elf = self.elf_of(objfile) if name.startswith("_") else None
        if elf is None:
            return name
        try:
            names = elf.dynamic_symbols().names_at((runtime_address - objfile.load_bias) & ADDRESS_MASK)
        except KdbgError:
            return name
        return next((other for other in names if not other.startswith("_")), name)

    # The dynamic linker is loaded first, but what it offers is found last: the program does not depend on it directly.
    @cached_property
    def _tables(self) -> Sequence[tuple[Objfile, DynamicSymbols]]:
        linker = _interpreter(self.files[0][1]) if self.files else ""
        found = []
        for objfile, elf in sorted(self.files, key=lambda file: bool(linker) and _is_at(file[0], linker)):
            with suppress(KdbgError):
                found.append((objfile, elf.dynamic_symbols()))
        return found

    @cached_property
    def _orders(self) -> Optional[LookupOrders]:
        return LookupOrders(self._target, self.files[0][1]) if self._target and self.files else None

    # Where the dynamic section of each file is, by which the dynamic linker's list tells them apart.
    @cached_property
    def _sections(self) -> Mapping[Objfile, int]:
        return {
            objfile: address(segment.address + objfile.load_bias)
            for objfile, elf in self.files
            for segment in elf.segments
            if segment.type == "DYNAMIC"
        }

    @cached_property
    def _elfs(self) -> dict[Objfile, ElfFile]:
        return dict(self.files)


# What is stripped into a file of its own keeps the section headers of all, but the contents of its own sections only.
def _is_debug_file(elf: ElfFile) -> bool:
    try:
        return any(s.name in (".text", ".dynamic") and s.type == "NOBITS" for s in elf.sections)
    except KdbgError:
        return False


def _address(objfile: Objfile, symbol: DynamicSymbol) -> Address:
    return address(symbol.address + (0 if symbol.is_absolute else objfile.load_bias))


def _interpreter(elf: ElfFile) -> str:
    segment = next((s for s in elf.segments if s.type == "INTERP" and s.file_size < _PATH_LIMIT), None)
    try:
        return os.fsdecode(elf.read_file(segment.offset, segment.file_size).split(b"\0", 1)[0]) if segment else ""
    except KdbgError:
        return ""


def _is_at(objfile: Objfile, path: str) -> bool:
    return os.path.basename(objfile.path) in (os.path.basename(path), os.path.basename(os.path.realpath(path)))


def _has_version(offered: DynamicSymbol, wanted: DynamicSymbol) -> bool:
    if not wanted.version or not offered.version:
        return offered.is_default
    return offered.version == wanted.version


def base_name(objfile: Objfile) -> str:
    """Return the file's name without its directories, fit to be shown."""
    return _base_name(objfile.path)


@lru_cache(maxsize=256)
def _base_name(path: str) -> str:
    return safe_text(os.path.basename(path), 80)
