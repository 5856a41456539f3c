"""What `kdbg check-copy` does with its options: finds the routine, and takes its code from where it is."""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import replace
from functools import lru_cache
from typing import Callable, Iterable, Mapping, Optional, Union

from .blocks import read_available
from .copy_cases import DEFAULT, QUICK, THOROUGH
from .copy_contracts import contract_of
from .copy_exercise import Routine, exercise
from .copy_report import CopyReport
from .disassembly import decode
from .elf import ElfFile, open_elf
from .elf_tables import PF_W, PF_X, SHF_EXECINSTR
from .emulation import RETURNED, Emulator
from .errors import KdbgError, MemoryFault, NotSupported, SymbolNotFound
from .exception_table import Entry, fixups
from .file_target import KIND
from .intervals import Intervals
from .object_image import ObjectImage
from .plt_entries import plt_entry
from .process import X86_64
from .ranges import Range
from .scope import Scope
from .session import Session
from .symbol_table import SymbolTable
from .target import Location, Symbol, Target
from .units import Address, Size, address, safe_text
from .unsupported import needs_alignment

# A routine larger than this is no copy routine.
LARGEST_ROUTINE = 0x10000
_LONGEST_INSTRUCTION = 15
_SUGGESTIONS = 5
_RESOLVER_INSTRUCTIONS = 100_000
_GUESSED = "the contract was guessed from the name; --contract and --args say what it really promises"
_LINUX_TABLE, _KIT_TABLE = "__ex_table", ".ucopy_faults"
_Place = Union[Target, ObjectImage]


def check_copy(
    session: Session, routine: str, contract: Optional[str], arguments: Optional[str], mode: str
) -> CopyReport:
    """Exercise a copy routine of the target, of a file or of an object file; raise KdbgError."""
    found = find_routine(session, routine)
    promise = contract_of(routine, contract, arguments)
    report = exercise(found, promise, mode, session.progress)
    notes = [f"{found.chooser} is an indirect function, which chose this one here"] if found.chooser else []
    notes += [_GUESSED] if report.breaches and not contract else []
    return replace(report, notes=(*report.notes, *notes))


def mode_of(is_quick: bool, is_thorough: bool) -> str:
    """Return the mode of two flags; raise KdbgError for both."""
    if is_quick and is_thorough:
        raise KdbgError("--quick and --thorough exclude each other")
    return QUICK if is_quick else THOROUGH if is_thorough else DEFAULT


def find_routine(session: Session, text: str) -> Routine:
    """Find a routine by its name, or by an expression for its address; raise KdbgError."""
    target = session.files_target()
    image = _image(target)
    if image is not None:
        _refuse_resolver(text, [image.symbol_table])
        found = routine_in(image, _symbol_of(image, text), {}, _image_fixups(image), image.is_code)
        is_missing = image.undefined.contains
        return found._replace(is_settled=lambda place: not is_missing(place), is_missing=is_missing)
    if target.architecture != X86_64:
        raise NotSupported(f"the target is {safe_text(target.architecture)}; kdbg exercises routines of {X86_64} only")
    scope = Scope.of(target)
    symbol = _named(scope, text) or _at(scope, session, text)
    _check_machine(scope, symbol.address)
    bases = {name: target.register(name) or 0 for name in ("fs_base", "gs_base")}
    is_code = code_test(target, scope)
    tables = [elf.symbol_table() for _, elf in scope.symbols.holders(symbol.address)]
    chooser = symbol.name if any(_is_resolver(symbol.name, table) for table in tables) else ""
    if chooser and target.kind != KIND:
        symbol = _chosen(target, scope, symbol.address, bases, is_code) or symbol
    _refuse_resolver(symbol.name, tables)
    found = routine_in(target, symbol, bases, _fixups(target, scope, symbol.address), is_code)
    found = found._replace(chooser=safe_text(chooser, 200))
    return found._replace(is_settled=_settled_test(scope)) if target.kind == KIND else found


# A single object file stands for itself; among other files it has no addresses.
def _image(target: Target) -> Optional[ObjectImage]:
    elves = [open_elf(objfile.path) for objfile in target.objfiles()] if target.kind == KIND else []
    objects = [elf for elf in elves if elf.type == "REL"]
    if objects and len(elves) > 1:
        name = safe_text(objects[0].path, 200)
        raise KdbgError(f"{name} is an object file: name it alone, or link it with the others first (ld -r)")
    return ObjectImage(objects[0]) if objects else None


def _check_machine(scope: Scope, place: int) -> None:
    for _, elf in scope.symbols.holders(place):
        if elf.machine != "x86-64":
            name, machine = safe_text(elf.path, 200), safe_text(elf.machine)
            raise NotSupported(f"{name} is for {machine}; kdbg exercises routines of x86-64 only")


def _symbol_of(image: ObjectImage, text: str) -> Symbol:
    found = image.symbol(text)
    if found is None:
        names = difflib.get_close_matches(text, {symbol.name for symbol in image.symbols}, _SUGGESTIONS)
        raise SymbolNotFound(f"no symbol {safe_text(text)!r}{_near(names)}")
    return found


def _at(scope: Scope, session: Session, text: str) -> Symbol:
    try:
        place = session.evaluate(text)
    except KdbgError as error:
        names = scope.symbols.suggest(text)
        raise SymbolNotFound(f"{error}{_near(names)}") from None
    _refuse_plt_entry(scope, text, place)
    found = scope.symbols.at(place)
    if found is None:
        return Symbol(f"{place:#x}", place, Size(0), "")
    symbol, offset = found
    return symbol if not offset else Symbol(f"{symbol.name}+{offset:#x}", place, Size(0), symbol.objfile)


# What a debugger finds under the name of a function while its library is not loaded.
def _refuse_plt_entry(scope: Scope, text: str, place: int) -> None:
    for objfile, elf in scope.symbols.holders(place):
        entry = plt_entry(elf, place - objfile.load_bias)
        if entry is not None:
            name = safe_text(entry.slot.symbol.name)
            raise SymbolNotFound(
                f"{safe_text(text)} at {place:#x} is only the PLT entry of {name} in {safe_text(elf.path, 200)}, which "
                f"jumps where its slot leads: let the program run to its main function, and name {name} itself"
            )


# The program's own, or what calls of that name lead to: the dynamic linker has copies for itself.
def _named(scope: Scope, name: str) -> Optional[Symbol]:
    symbol = scope.symbols.symbol(name)
    if symbol is None or symbol.objfile == scope.files[0][0].path:
        return symbol
    found = next((d for d in scope.definitions(name) if d.symbol.is_defined and d.symbol.is_default), None)
    return Symbol(name, found.address, found.symbol.size, found.objfile.path) if found else symbol


# An indirect function copies nothing: it returns the routine to use.
def _refuse_resolver(name: str, tables: Iterable[SymbolTable]) -> None:
    for table in tables:
        if _is_resolver(name, table):
            kinds = ((other, table.by_name(other)) for other in sorted(table.names()) if name.strip("_") in other)
            variants = [other for other, symbol in kinds if symbol and symbol.kind == "FUNC"]
            text = f"{safe_text(name)} is an indirect function, which only chooses one of its variants: name one"
            raise KdbgError(text + _near(variants[:_SUGGESTIONS]))


def _is_resolver(name: str, table: SymbolTable) -> bool:
    found = table.by_name(name)
    return found is not None and found.kind == "IFUNC"


# It asks what the program has found out of its processor when it started, so its answer here is the program's.
def _chosen(
    target: Target, scope: Scope, resolver: int, bases: Mapping[str, int], is_code: Callable[[int], bool]
) -> Optional[Symbol]:
    emulator = Emulator(target, bases, is_code)
    try:
        returned = emulator.call(resolver, {}, _RESOLVER_INSTRUCTIONS).kind == RETURNED
        found = scope.symbols.at(emulator.register("rax")) if returned else None
    finally:
        emulator.close()
    return found[0] if found and not found[1] else None


def _near(names: list[str]) -> str:
    return f"; there are {', '.join(map(safe_text, names))}" if names else ""


def routine_in(
    place: _Place,
    symbol: Symbol,
    bases: Mapping[str, int],
    table: Mapping[int, Entry],
    is_code: Callable[[int], bool],
) -> Routine:
    """Return a routine to exercise, `table` being its fixups; raise KdbgError for what is no readable code."""
    start = symbol.address
    name = safe_text(symbol.name, 200)
    if not is_code(start):
        raise KdbgError(f"{name} at {start:#x} is data, not a function")
    if symbol.size > LARGEST_ROUTINE:
        raise KdbgError(f"{name} has {symbol.size:#x} bytes of code: too large for a copy routine")
    if not read_available(place, start, Size(1)):
        raise KdbgError(f"the code of {name} at {start:#x} cannot be read")
    memory = _ObjectMemory(place) if isinstance(place, ObjectImage) else place
    return Routine(
        name, start, memory, bases, table, is_code,
        lambda pc: _name(place, pc), lambda pc: _label(place, pc), lambda pc: _is_aligned(place, pc),
    )  # fmt: skip


class _ObjectMemory:
    """An object file with what it uses of others: their data reads as zeros, their code is not there."""

    def __init__(self, image: ObjectImage) -> None:
        self._image = image

    def read_memory(self, address: Address, size: Size) -> bytes:
        try:
            return self._image.read_memory(address, size)
        except MemoryFault:
            if not self._image.undefined.overlaps(Range(address, size)):
                raise
            return bytes(size)


def _name(place: _Place, pc: int) -> str:
    found: Optional[Location] = place.location(Address(pc))
    return safe_text(str(found), 200) if found else ""


def _label(place: _Place, pc: int) -> str:
    found, label = place.location(Address(pc)), place.label(Address(pc))
    text = _name(place, pc)
    if label is not None and found is not None and label.name != found.function and label.address <= pc:
        text += f" (in {safe_text(label.name, 100)})"
    code = read_available(place, Address(pc), Size(_LONGEST_INSTRUCTION))
    decoded = decode(code, Address(pc), 1)
    return f"{text}: {decoded[0]}" if decoded and text else text


def _is_aligned(place: _Place, pc: int) -> bool:
    decoded = decode(read_available(place, Address(pc), Size(_LONGEST_INSTRUCTION)), Address(pc), 1)
    return bool(decoded) and needs_alignment(decoded[0])


def code_test(target: Target, scope: Scope) -> Callable[[int], bool]:
    """Return a test for addresses that may hold instructions."""

    def is_code(place: int) -> bool:
        # Code made at run time is in no file.
        held = [(elf, place - objfile.load_bias) for objfile, elf in scope.symbols.holders(place)]
        return not held or any(_is_executable(elf, link) for elf, link in held)

    return is_code


# The segment with a kernel's code has its constants, too, the exception table among them.
def _is_executable(elf: ElfFile, link: int) -> bool:
    segment = any(s.flags & PF_X and s.address <= link < s.end for s in elf.loaded)
    return segment and _data_sections(elf).innermost(link) < 0


@lru_cache(maxsize=64)
def _data_sections(elf: ElfFile) -> Intervals:
    with contextlib.suppress(KdbgError):
        data = sorted((s.address, s.end) for s in elf.sections if s.placed and not s.flags & SHF_EXECINSTR)
        return Intervals([start for start, _ in data], [end for _, end in data])
    return Intervals([], [])


# Of what a file holds, a program changes what it may write.
def _settled_test(scope: Scope) -> Callable[[int], bool]:
    def is_settled(place: int) -> bool:
        for objfile, elf in scope.symbols.holders(place):
            link = place - objfile.load_bias
            return not any(s.flags & PF_W and s.address <= link < s.end for s in elf.loaded)
        return True

    return is_settled


def _fixups(target: Target, scope: Scope, routine: int) -> Mapping[int, Entry]:
    for objfile, elf in scope.symbols.holders(routine):
        linux, kit = (_loaded(elf, name, objfile.load_bias) for name in (_LINUX_TABLE, _KIT_TABLE))
        return fixups(target, linux, kit, code_test(target, scope))
    return {}


def _loaded(elf: ElfFile, name: str, bias: int) -> Optional[Range]:
    with contextlib.suppress(KdbgError):
        section = elf.section(name)
        if section is not None and section.size:
            return Range(address(section.address + bias), section.size)
    return None


def _image_fixups(image: ObjectImage) -> Mapping[int, Entry]:
    return fixups(image, image.section_address(_LINUX_TABLE), image.section_address(_KIT_TABLE), image.is_code)
