"""What DWARF 4 and 5 say about a code address: its source file and line.

Nothing is parsed that the question does not need: the address ranges lead to one compilation unit, and its line
table is kept once it is read. The answers are GDB's (`find_pc_line`), file names included.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Optional

from .dwarf_types import variable_type
from .elf import ElfFile, guarded
from .elf_tables import unpack_all
from .inlining import entry_ranges, inlined_calls
from .intervals import Intervals

if TYPE_CHECKING:
    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.dwarfinfo import DWARFInfo
    from elftools.dwarf.lineprogram import LineProgram

__all__ = ["inline_depth", "line_at", "own_line_at", "variable_type"]


class _Row(NamedTuple):
    address: int
    file: int
    line: int  # 0 ends a sequence: behind it is no code of this unit
    is_statement: bool


class _Span(NamedTuple):
    start: int
    end: int
    unit: int  # offset of the unit in .debug_info


def line_at(elf: ElfFile, link_address: int) -> Optional[tuple[str, int]]:
    """Return source file and line of a code address; None without debugging information; raise BadFile.

    The file is named as GDB's `Symtab.filename` names it: for a unit's own file that is what the compiler was given.
    """
    with guarded(elf.path):
        lines = _lines(elf)
        found = (lines.table(unit).line_at(link_address) for unit in lines.units_at(link_address))
        return next((line for line in found if line), None)


def own_line_at(elf: ElfFile, link_address: int) -> Optional[tuple[str, int]]:
    """Return file and line of a code address in the source of the function it stands in; raise BadFile.

    Where code of another function was inlined that is the line of the call, which GDB shows for the outer frame.
    """
    with guarded(elf.path):
        lines = _lines(elf)
        found = (lines.call_lines(unit, link_address) for unit in lines.units_at(link_address))
        calls = next((calls for calls in found if calls), [])
    return calls[0] if calls and calls[0][1] else line_at(elf, link_address)


def inline_depth(elf: ElfFile, link_address: int) -> int:
    """Return how many calls are inlined around a code address, each a frame to GDB; raise BadFile."""
    with guarded(elf.path):
        lines = _lines(elf)
        return max((len(lines.call_lines(unit, link_address)) for unit in lines.units_at(link_address)), default=0)


@lru_cache(maxsize=16)
def _lines(elf: ElfFile) -> _Lines:
    return _Lines(elf)


class _Lines:
    """The line tables of one file, as far as they were asked for."""

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf
        self._dwarf = elf.dwarf()
        self._tables: dict[int, _LineTable] = {}

    def units_at(self, address: int) -> Iterator[int]:
        """Yield the offsets of the units that cover an address, from `.debug_aranges` if it tells."""
        if self._dwarf is not None:
            known = list(_covering(self._ranges, address))
            yield from known or _covering(self._other_ranges, address)

    def call_lines(self, unit: int, address: int) -> list[tuple[str, int]]:
        assert self._dwarf is not None
        calls = inlined_calls(self._dwarf, self._dwarf.get_CU_at(unit), address)
        return [(self.table(unit).file_name(file), line) for file, line in calls]

    def table(self, unit: int) -> _LineTable:
        assert self._dwarf is not None
        if unit not in self._tables:
            self._tables[unit] = _LineTable(self._dwarf, self._dwarf.get_CU_at(unit))
        return self._tables[unit]

    @cached_property
    def _ranges(self) -> tuple[Intervals, list[_Span]]:
        data = self._elf.debug_file.section_bytes(".debug_aranges") or b""
        return _indexed(_address_ranges(data, self._elf.byte_order))

    # clang writes no .debug_aranges; then each unit has to be asked for its ranges.
    @cached_property
    def _other_ranges(self) -> tuple[Intervals, list[_Span]]:
        assert self._dwarf is not None
        known = {span.unit for span in self._ranges[1]}
        units = (unit for unit in self._dwarf.iter_CUs() if unit.cu_offset not in known)
        return _indexed(span for unit in units for span in _unit_ranges(self._dwarf, unit))


def _indexed(spans: Iterator[_Span]) -> tuple[Intervals, list[_Span]]:
    ordered = sorted(spans)
    return Intervals([span.start for span in ordered], [span.end for span in ordered]), ordered


def _covering(indexed: tuple[Intervals, list[_Span]], address: int) -> Iterator[int]:
    return (indexed[1][position].unit for position in indexed[0].covering(address))


# DWARF 5, 6.1.2: a header per unit, padded to twice the address size, then pairs of address and length.
def _address_ranges(data: bytes, byte_order: str) -> Iterator[_Span]:
    position = 0
    while position + 16 <= len(data):
        length, _, unit, address_size, _ = struct.unpack_from(byte_order + "IHIBB", data, position)
        if address_size != 8 or length < 12:
            return
        for start, size in unpack_all(byte_order + "QQ", data[position + 16 : position + 4 + length]):
            if size:
                yield _Span(start, start + size, unit)
        position += 4 + length


def _unit_ranges(dwarf: DWARFInfo, unit: CompileUnit) -> Iterator[_Span]:
    for start, end in entry_ranges(dwarf, unit, unit.get_top_DIE().attributes):
        yield _Span(start, end, unit.cu_offset)


class _LineTable:
    """The line table of one unit, in the order and with the omissions of GDB's."""

    def __init__(self, dwarf: DWARFInfo, unit: CompileUnit) -> None:
        self._unit = unit
        self._program = dwarf.line_program_for_CU(unit)
        rows = list(_gdb_rows(self._program)) if self._program else []
        # Sequences may come in any order; where one ends and the next begins, the end comes first.
        self._rows = sorted(rows, key=lambda row: (row.address, row.line != 0))
        self._addresses = [row.address for row in self._rows]

    def line_at(self, address: int) -> Optional[tuple[str, int]]:
        """Return file and line of the last row at or below an address."""
        position = bisect_right(self._addresses, address) - 1
        if position < 0 or not self._rows[position].line:
            return None
        row = self._statement(position)
        return self.file_name(row.file), row.line

    # Of the rows at one address GDB takes the last, but goes back to one that begins a statement.
    def _statement(self, position: int) -> _Row:
        best = self._rows[position]
        for index in range(position, -1, -1):
            row = self._rows[index]
            if (row.address, row.file) != (best.address, best.file) or not row.line:
                break
            if row.is_statement:
                return row
        return best

    def file_name(self, number: int) -> str:
        """Name a file of the table as GDB does."""
        path = _path(self._program, number) if self._program else ""
        attributes = self._unit.get_top_DIE().attributes
        own, directory = (_text(attributes, name) for name in ("DW_AT_name", "DW_AT_comp_dir"))
        # The compiler's own file keeps the name it was given, however the line table spells it.
        return own if path.startswith("/") and path == f"{directory}/{own}" else path


# Records as GDB's lnp_state_machine::record_line does (gdb/dwarf2/read.c).
def _gdb_rows(program: LineProgram) -> list[_Row]:
    rows: list[_Row] = []
    file, line, address = 0, 0, -1
    statement_here = discriminated = False
    for state in (entry.state for entry in program.get_entries() if entry.state):
        here = address == state.address
        changed = state.file != file
        ignored = not state.line or (changed and here and not state.is_stmt and statement_here)
        # One line in several blocks is recorded once, at its start.
        discriminated = bool(state.discriminator) or (discriminated and state.line == line)
        if state.end_sequence or (changed and not ignored):
            # What the file that ends here had at this very address is void.
            while rows and rows[-1].address == state.address and rows[-1].line:
                rows.pop()
        if state.end_sequence:
            rows.append(_Row(state.address, 0, 0, False))
            file = line = 0
        elif not ignored:
            if changed or state.line != line or not discriminated:
                rows.append(_Row(state.address, state.file, state.line, bool(state.is_stmt)))
            file, line = state.file, state.line
        statement_here = bool(state.is_stmt) or (statement_here and here)
        address = state.address
    return rows


def _path(program: LineProgram, number: int) -> str:
    header = program.header
    # Since version 5 both tables start at 0, and directory 0, the compiler's, is in the table.
    first = 0 if header["version"] >= 5 else 1
    entry = header["file_entry"][number - first] if number >= first else None
    if entry is None:
        return ""
    name = entry["name"].decode("utf-8", "backslashreplace")
    index = entry["dir_index"] - first
    if name.startswith("/") or index < 0:
        return str(name)
    return f"{header['include_directory'][index].decode('utf-8', 'backslashreplace')}/{name}"


def _text(attributes: Any, name: str) -> str:
    value = attributes[name].value if name in attributes else b""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else ""
