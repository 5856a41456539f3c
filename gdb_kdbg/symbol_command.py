"""What `kdbg symbol` does: names to addresses and addresses to names, from what the files themselves hold."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, NamedTuple, Optional, Sequence, Union

from .demangle import demangle
from .dwarf import own_line_at
from .elf import ElfFile
from .elf_tables import PF_X
from .errors import KdbgError, SymbolNotFound
from .function_starts import FunctionBounds, eh_frame, function_at
from .kernel_image import shifted_objfiles
from .plt_entries import PLT_ENTRY, plt_entry
from .session import Session
from .symbol_search import Match, find, find_inner, suggest
from .symbol_table import SHN_ABS, ElfSymbol
from .symbols import Symbols
from .target import Objfile
from .units import ADDRESS_MASK, Address, LinkAddress, Size, address, safe_text

SHOWN, MAXIMUM = 10, 1000
# Up to so many symbols are shown with all there is to say, and only those cost a look into DWARF.
_IN_FULL = 3
_NAME_LIMIT = 4096
_ALIASES = 20
_MADE_UP = "no symbol covers this address: the name is kdbg's, the bounds are those of the call frame information"
_STUB = "a stub that jumps where its slot points; the name is kdbg's"


class Alias(NamedTuple):
    """Another name of the same place."""

    name: str
    demangled: Annotated[str, {"text": False}]
    kind: str


@dataclass(frozen=True)
class ListedSymbol:
    """A symbol; `address` is where it starts now, None for a thread-local one, whose link-time address is an offset.

    `demangled` is the name itself where that is no mangled one. `offset` is that of the address asked for.
    """

    name: str = field(metadata={"text": False})
    demangled: str = field(metadata={"label": "symbol"})
    objfile: str
    address: Optional[Address]
    link_address: LinkAddress
    offset: Size
    size: Size
    kind: str
    section: str
    source: str
    file: Optional[str]
    line: Optional[int]
    note: str


@dataclass(frozen=True)
class FoundSymbol(ListedSymbol):
    """A symbol with the other names of its place; `debug_file` is the separate file that has the symbol, `mangled` the
    name where it is a mangled one.
    """

    mangled: Optional[str] = None
    debug_file: Optional[str] = None
    aliases: tuple[Alias, ...] = ()


@dataclass(frozen=True)
class SymbolReport:
    """One symbol or a few, with all there is to say."""

    query: str = field(metadata={"text": False})
    symbols: tuple[FoundSymbol, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class SymbolList:
    """Many symbols, a line each."""

    query: str = field(metadata={"text": False})
    symbols: tuple[ListedSymbol, ...]
    shown: str
    problems: tuple[str, ...] = ()


class _Place(NamedTuple):
    objfile: Objfile
    elf: ElfFile
    symbol: ElfSymbol
    offset: int
    source: str
    note: str


def look_up(session: Session, query: str, everything: bool) -> Union[SymbolReport, SymbolList]:
    """Find a symbol by name, demangled name or pattern, or what an address belongs to; raise KdbgError.

    What is the name of a symbol counts as one, else it is evaluated.
    """
    symbols = Symbols(shifted_objfiles(session.files_target()).objfiles)
    if symbols.problems and not symbols.files:
        raise KdbgError(symbols.problems[0])
    number = _number(query)
    limit = MAXIMUM if everything else MAXIMUM + 1
    matches = () if number is not None else find(symbols, query, limit)
    if number is None and not matches:
        number, matches = _evaluated(session, symbols, query, limit)
    if number is not None:
        return SymbolReport(query, tuple(map(_found, _at(symbols, number))), symbols.problems)
    return _named(symbols, query, [_of_match(match) for match in matches], everything)


def _number(query: str) -> Optional[int]:
    try:
        return int(query, 0) & ADDRESS_MASK
    except ValueError:
        return None


def _evaluated(session: Session, symbols: Symbols, query: str, limit: int) -> tuple[Optional[int], Sequence[Match]]:
    try:
        return session.evaluate(query), ()
    except KdbgError as error:
        inner = find_inner(symbols, query, limit)
        if inner:
            return None, inner
        alike = [safe_text(name, 200) for name in suggest(symbols, query)]
        reason = _import(symbols, query) or (f"did you mean {', '.join(alike)}?" if alike else str(error))
        raise SymbolNotFound(f"no symbol {safe_text(query, 200)!r} in {len(symbols.files)} files: {reason}") from None


# A program that calls printf has a symbol of that name, which says nothing of where printf is.
def _import(symbols: Symbols, name: str) -> str:
    for objfile, elf in symbols.files:
        table = elf.dynamic_symbols()
        if any(table[index].name == name for index in range(1, len(table))):
            return f"{_base_name(objfile.path)} imports it, but no loaded file defines it"
    return ""


def _of_match(match: Match) -> _Place:
    return _Place(match.objfile, match.elf, match.symbol, 0, _source(match.elf), "")


# More than one only where files are not loaded and overlap.
def _at(symbols: Symbols, runtime: int) -> Sequence[_Place]:
    holders = symbols.holders(runtime)
    found = [_place(o, elf, (runtime - o.load_bias) & ADDRESS_MASK) for o, elf in islice(holders, SHOWN)]
    if not found:
        raise KdbgError(f"{runtime:#x} is in none of {len(symbols.files)} loaded files")
    return found


def _place(objfile: Objfile, elf: ElfFile, link: int) -> _Place:
    found = elf.symbol_table().at(link)
    bounds = _bounds(elf, link)
    # A label without a size reaches to the next label, but not across the start of a function.
    if found is not None and (found.size or bounds is None or bounds.start <= found.address):
        return _Place(objfile, elf, found, link - found.address, _source(elf), "")
    made_up = _stub_at(elf, link)
    if made_up is None and bounds is not None:
        size = Size(bounds.end - bounds.start)
        made_up = ElfSymbol(f"sub_{bounds.start:x}", bounds.start, size, "FUNC", -1), _frame_source(elf), _MADE_UP
    if made_up is not None:
        symbol, source, note = made_up
        return _Place(objfile, elf, symbol, link - symbol.address, source, note)
    return _Place(objfile, elf, ElfSymbol("", LinkAddress(link), Size(0), "", -1), 0, "", _nearby(elf, link))


# Symbols answer without call frame information, and so where that is malformed.
def _bounds(elf: ElfFile, link: int) -> Optional[FunctionBounds]:
    try:
        return function_at(elf, link)
    except KdbgError:
        return None


def _stub_at(elf: ElfFile, link: int) -> Optional[tuple[ElfSymbol, str, str]]:
    entry = plt_entry(elf, link)
    if entry is None:
        return None
    name = f"{entry.slot.symbol.name}@plt"
    return ElfSymbol(name, entry.address, Size(PLT_ENTRY), "FUNC", -1), entry.slot.relocation, _STUB


def _nearby(elf: ElfFile, link: int) -> str:
    nearest = elf.symbol_table().nearest(link)
    if nearest is None:
        return "no symbol covers this address, and there is none before it in its section"
    return f"no symbol covers this address; it is {link - nearest.address:#x} behind {safe_text(nearest.name, 200)}"


def _source(elf: ElfFile) -> str:
    return elf.symbol_table().source


# The separate file with debugging information, if that is where the symbols are from.
def _debug_file(elf: ElfFile) -> Optional[str]:
    separate = elf.debug_file is not elf and elf.debug_file.section(".symtab")
    return safe_text(elf.debug_file.path, 200) if separate else None


def _frame_source(elf: ElfFile) -> str:
    entries = eh_frame(elf)
    return ".eh_frame_hdr" if entries and entries.has_table else ".eh_frame"


def _named(symbols: Symbols, query: str, places: Sequence[_Place], everything: bool) -> Union[SymbolReport, SymbolList]:
    if len(places) <= _IN_FULL:
        return SymbolReport(query, tuple(map(_found, places)), symbols.problems)
    shown = places[: MAXIMUM if everything else SHOWN]
    return SymbolList(query, tuple(map(_listed, shown)), _shown(len(shown), len(places)), symbols.problems)


def _shown(shown: int, total: int) -> str:
    if shown == MAXIMUM:
        return f"the first {MAXIMUM}; a longer name or pattern finds others"
    of = f"more than {MAXIMUM}" if total > MAXIMUM else str(total)
    return f"{shown} of {of}" + (" (--all lists them)" if shown < total else "")


def _found(place: _Place) -> FoundSymbol:
    file, line = _line(place) or (None, None)
    listed = _listed(place)
    values = {**vars(listed), "file": file, "line": line}
    mangled = listed.name if listed.name != listed.demangled else None
    debug_file = _debug_file(place.elf) if place.source == ".symtab" else None
    return FoundSymbol(**values, mangled=mangled, debug_file=debug_file, aliases=_aliases(place))


def _listed(place: _Place) -> ListedSymbol:
    symbol = place.symbol
    demangled = demangle(symbol.name)
    is_thread_local = symbol.kind == "TLS"
    bias = 0 if symbol.section_index == SHN_ABS else place.objfile.load_bias
    return ListedSymbol(
        safe_text(symbol.name, _NAME_LIMIT),
        safe_text(demangled, _NAME_LIMIT),
        safe_text(place.objfile.path, 200),
        None if is_thread_local else address(symbol.address + bias),
        symbol.address,
        Size(place.offset),
        symbol.size,
        symbol.kind,
        _section(place.elf, symbol, symbol.address + place.offset),
        place.source,
        None,
        None,
        "thread-local: the address is an offset in each thread's block" if is_thread_local else place.note,
    )


def _section(elf: ElfFile, symbol: ElfSymbol, link: int) -> str:
    if symbol.section_index == SHN_ABS:
        return "*ABS*"
    if symbol.kind == "TLS":
        return next((s.name for s in elf.sections if s.number == symbol.section_index), "")
    names = (s.name for s in elf.sections if s.placed and (s.address <= link < s.end or link == s.address))
    return safe_text(next(names, ""))


def _line(place: _Place) -> Optional[tuple[str, int]]:
    link = place.symbol.address + place.offset
    if place.symbol.kind == "TLS" or not any(s.flags & PF_X and s.address <= link < s.end for s in place.elf.loaded):
        return None
    try:
        found = own_line_at(place.elf, link)
    except KdbgError:
        return None
    return (safe_text(found[0], 200), found[1]) if found else None


def _aliases(place: _Place) -> tuple[Alias, ...]:
    if place.note or place.symbol.kind == "TLS":
        return ()
    others = [s for s in place.elf.symbol_table().starting_at(place.symbol.address) if s != place.symbol]
    names = {s.name: s for s in reversed(others)}
    return tuple(
        Alias(safe_text(name, _NAME_LIMIT), safe_text(demangle(name), _NAME_LIMIT), s.kind)
        for name, s in list(names.items())[:_ALIASES]
    )


def _base_name(path: str) -> str:
    return safe_text(os.path.basename(path), 80)
