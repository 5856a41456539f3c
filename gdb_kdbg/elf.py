"""ELF files: headers, segments, sections, notes, symbols, and the way to their DWARF.

The only door to pyelftools, which reads the debugging information and is imported when that is asked for. The
headers and tables (segments, sections, symbols, notes) are read with `struct`, in one piece each: that is some 20 times
faster, and their sizes are bounded by the file's before anything is allocated. Whatever goes wrong on the way, hostile
content included, becomes BadFile.
"""

from __future__ import annotations

import io
import os
from functools import cached_property, lru_cache
from importlib import import_module
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Optional

from . import elf_tables
from .dynamic_symbols import DynamicSymbols
from .elf_dynamic import dynamic_symbols
from .elf_header import read_file_header, with_sections, with_segments
from .elf_relocations import CORRECTIONS, DYNAMIC_NAMES, TYPE_NAMES, Relocations, read_relocations
from .elf_tables import Content, Note, Section, Segment, guarded
from .errors import BadFile, KdbgError, MemoryFault
from .intervals import Intervals
from .symbol_table import Area, RawSymbols, SymbolTable
from .symbol_versions import version_names
from .units import LinkAddress, Size, is_kernel_half, safe_text

if TYPE_CHECKING:
    from elftools.dwarf.callframe import CallFrameInfo
    from elftools.dwarf.dwarfinfo import DWARFInfo

__all__ = ["ElfFile", "Note", "Section", "Segment", "guarded", "open_elf"]

_MACHINES = {3: "i386", 62: "x86-64", 183: "aarch64"}
_PYELFTOOLS_MACHINES = {"i386": "x86", "x86-64": "x64", "aarch64": "AArch64"}
_NT_GNU_BUILD_ID = 3
# A read of more zeros than this, which take no room in the file, is a wrong size and not a wish.
_READ_LIMIT = 16 << 20
# Debugging information of a Linux kernel takes half a gigabyte; such sections stay in the file.
_KEPT_WHOLE = 4 << 20
# Where distributions put what they strip; GDB's `debug-file-directory` begins with it.
_DEBUG_FILES = "/usr/lib/debug/.build-id"


def open_elf(path: str) -> ElfFile:
    """Open an ELF file, or return the opened one if it has not changed since; raise BadFile."""
    status = elf_tables.status_of(path)
    return _open(os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _open(path: str, size: int, modified: int, inode: int) -> ElfFile:
    return ElfFile(path)


class ElfFile:
    """One ELF file; all addresses are link-time addresses.

    `machine` is `x86-64`, `i386` or pyelftools' name in lower case; `type` is EXEC, DYN, REL or CORE.
    """

    def __init__(self, path: str) -> None:
        """Read the headers; raise BadFile."""
        self.path = path
        self._content = Content(path)
        self._check_magic()
        with guarded(path):
            number, self.type, entry, self._header = read_file_header(self._content)
            self.bits, self.byte_order = self._header.bits, self._header.byte_order
            self.machine = _MACHINES.get(number) or _machine_names().get(number, str(number))
            self.entry = LinkAddress(entry)
            header = with_segments(self._content, self._header)
            self.segments: tuple[Segment, ...] = tuple(elf_tables.read_segments(self._content, header))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; a file cut at its end has lost them, and raises BadFile only here."""
        with guarded(self.path):
            return tuple(elf_tables.read_sections(self._content, with_sections(self._content, self._header)))

    @cached_property
    def loaded(self) -> tuple[Segment, ...]:
        """The LOAD segments that stand for addresses of the running program, by address.

        Without the per-cpu segment of a Linux kernel, which is linked at 0 but never lives there.
        """
        loads = sorted((s for s in self.segments if s.type == "LOAD" and s.memory_size), key=lambda s: s.address)
        kernel = self.type == "EXEC" and any(is_kernel_half(s.address) for s in loads)
        return tuple(s for s in loads if s.address or not kernel)

    def section(self, name: str) -> Optional[Section]:
        """Return the first section of that name."""
        return self._sections_by_name.get(name)

    def section_bytes(self, name: str) -> Optional[bytes]:
        """Return the bytes of a section, unfolded if compressed; None if there is none, or none in the file."""
        section = self.section(name)
        if section is None or section.type == "NOBITS":
            return None
        with guarded(self.path):
            raw = self._content.read(section.offset, section.size)
            return elf_tables.decompress(raw, self._header) if section.flags & elf_tables.SHF_COMPRESSED else raw

    def read(self, link_address: int, size: int) -> bytes:
        """Return what the loader would put there, zeros included; raise MemoryFault outside the LOAD segments."""
        if not 0 <= size <= max(_READ_LIMIT, self.size):
            raise MemoryFault(link_address, size, "implausible size")
        data = bytearray()
        while len(data) < size:
            position = link_address + len(data)
            index = self._load_intervals.innermost(position)
            if index < 0:
                raise MemoryFault(link_address, size, f"not in the segments of {safe_text(self.path, 200)}")
            left = min(link_address + size, self._load_intervals.next_start(position)) - position
            data += self._read_load(self.loaded[index], position, left)
        return bytes(data)

    def read_table(self, link_address: int, size: int) -> bytes:
        """Return what the loader would put there; raise BadFile for more than a file of this size can have."""
        try:
            if size <= self.size:
                return self.read(link_address, size)
        except MemoryFault:
            pass
        raise BadFile(
            f"{safe_text(self.path, 200)} has {self.size:#x} bytes, and no table of {size:#x} at {link_address:#x}"
        )

    @property
    def size(self) -> int:
        return self._content.size

    def read_file(self, offset: int, size: int) -> bytes:
        """Return bytes by their offset in the file; raise BadFile if the file ends before."""
        return self._content.read(offset, size)

    def notes(self) -> tuple[Note, ...]:
        """Return all notes of the NOTE segments, or of the NOTE sections where there are no segments."""
        with guarded(self.path):
            places = [(s.offset, s.file_size, s.alignment) for s in self.segments if s.type == "NOTE"]
            if not self.segments:
                places = [(s.offset, s.size, 4) for s in self.sections if s.type == "NOTE"]
            blocks = [(self._content.read(offset, size), alignment) for offset, size, alignment in places]
            return tuple(note for data, step in blocks for note in elf_tables.read_notes(data, self.byte_order, step))

    def build_id(self) -> Optional[str]:
        """Return the build id in hexadecimal digits."""
        ids = (note.data.hex() for note in self.notes() if (note.owner, note.type) == ("GNU", _NT_GNU_BUILD_ID))
        return next(ids, None)

    def dynamic(self) -> tuple[tuple[int, int], ...]:
        """Return the (tag, value) pairs of the DYNAMIC segment before its DT_NULL; empty without one."""
        segment = next((s for s in self.segments if s.type == "DYNAMIC"), None)
        if segment is None:
            return ()
        with guarded(self.path):
            data = self._content.read(segment.offset, segment.file_size)
            pairs = elf_tables.unpack_all(self._header.layout("II", "QQ"), data)
            return tuple((tag, value) for tag, value in takewhile(lambda pair: pair[0], pairs))

    def relocations(self) -> Relocations:
        """Return the dynamic relocations; empty columns for a file without any; raise BadFile."""
        return self._relocations

    def dynamic_symbols(self) -> DynamicSymbols:
        """Return the symbols that the relocations name by index; raise BadFile."""
        return self._dynamic_symbols

    def relocation_name(self, number: int) -> str:
        """Return the ABI's name of a relocation type without `R_X86_64_` or the like, hexadecimal if unknown."""
        known = DYNAMIC_NAMES.get(self.machine, {}).get(number)
        return known or self._relocation_names.get(number, f"{number:#x}")

    def symbol_table(self) -> SymbolTable:
        """Return the symbols of `.symtab`, else `.dynsym`, else those the DYNAMIC segment leads to.

        A separate file with debugging information counts as this one's; raise BadFile.
        """
        return self._symbol_table

    def dwarf(self) -> Optional[DWARFInfo]:
        """Return pyelftools' view of the debugging information, None without; raise BadFile."""
        return self.debug_file._dwarf

    def call_frames(self, data: bytes, address: int, for_eh_frame: bool) -> CallFrameInfo:
        """Return pyelftools' view of call frame information that lies at a link-time address."""
        structs = _elftools("dwarf.structs").DWARFStructs(
            little_endian=self.byte_order == "<", dwarf_format=32, address_size=self.bits // 8
        )
        info = _elftools("dwarf.callframe").CallFrameInfo
        frames: CallFrameInfo = info(io.BytesIO(data), len(data), address, structs, for_eh_frame)
        return frames

    @cached_property
    def debug_file(self) -> ElfFile:
        """The file with the symbols and the DWARF of this one: itself, or the separate one that its build id names."""
        build_id = self.build_id()
        if not build_id or self.type == "CORE" or self.section(".debug_info"):
            return self
        try:
            separate = open_elf(f"{_DEBUG_FILES}/{build_id[:2]}/{build_id[2:]}.debug")
            return separate if separate.build_id() == build_id else self
        except BadFile:
            return self

    def _check_magic(self) -> None:
        magic = self._content.read(0, min(4, self._content.size))
        if magic != b"\x7fELF":
            archive = "an archive: take the member out that is meant (ar x)" if magic == b"!<ar" else "not an ELF file"
            raise BadFile(f"{safe_text(self.path, 200)} is {archive if magic else 'empty'}")

    @cached_property
    def _sections_by_name(self) -> dict[str, Section]:
        return {section.name: section for section in reversed(self.sections)}

    @cached_property
    def _load_intervals(self) -> Intervals:
        return Intervals([s.address for s in self.loaded], [s.end for s in self.loaded])

    def _read_load(self, segment: Segment, address: int, size: int) -> bytes:
        offset = address - segment.address
        in_file = min(size, segment.file_size - offset)
        if in_file <= 0:
            return bytes(min(size, segment.end - address))
        try:
            return self._content.read(segment.offset + offset, in_file)
        except BadFile as error:
            raise MemoryFault(address, size, str(error)) from error

    @cached_property
    def _relocations(self) -> Relocations:
        with guarded(self.path):
            return read_relocations(self)

    @cached_property
    def _dynamic_symbols(self) -> DynamicSymbols:
        with guarded(self.path):
            return DynamicSymbols(dynamic_symbols(self), version_names(self))

    @cached_property
    def _relocation_names(self) -> dict[int, str]:
        table, prefix = TYPE_NAMES.get(self.machine, ("", ""))
        types = getattr(_elftools("elf.enums"), table) if table else {}
        names = {number: name.replace(prefix, "", 1) for name, number in types.items() if isinstance(number, int)}
        return {**names, **CORRECTIONS.get(self.machine, {})}

    @cached_property
    def _symbol_table(self) -> SymbolTable:
        with guarded(self.path):
            if self.debug_file is not self and self.debug_file.section(".symtab"):
                return self.debug_file.symbol_table()
            found = {section.type: section for section in reversed(self.sections)}
            table = found.get("SYMTAB") or found.get("DYNSYM")
            if table is None:
                return SymbolTable(dynamic_symbols(self), self._areas(), "DYNAMIC")
            if table.link >= len(self.sections):
                raise BadFile(f"{table.name} has its names in section {table.link:#x} of {len(self.sections):#x}")
            parts = [table, self.sections[table.link]]
            if table.type == "DYNSYM" and "GNU_versym" in found:
                parts.append(found["GNU_versym"])
            entries, strings, *versions = (self._content.read(part.offset, part.size) for part in parts)
            raw = RawSymbols(entries, strings, b"".join(versions), self.bits, self.byte_order)
            return SymbolTable(raw, self._areas(), f".{table.type.lower()}")

    def _areas(self) -> list[Area]:
        if self.type == "REL":
            return []  # Nothing has an address before it is linked.
        if not self.sections:
            return [Area(s.address, s.end, -1) for s in self.loaded]
        return [Area(s.address, s.end, s.number) for s in self.sections if s.placed and s.size]

    @cached_property
    def _dwarf(self) -> Optional[DWARFInfo]:
        with guarded(self.path):
            if self.section(".debug_info") is None:
                return None
            module = _elftools("dwarf.dwarfinfo")
            config = module.DwarfConfig(
                little_endian=self.byte_order == "<",
                default_address_size=self.bits // 8,
                machine_arch=_PYELFTOOLS_MACHINES.get(self.machine, "<unknown>"),
            )
            # Every parameter `debug_x_sec` takes the section `.debug_x`; which there are depends on the version.
            code = module.DWARFInfo.__init__.__code__
            names = [name for name in code.co_varnames[: code.co_argcount] if name.endswith("_sec")]
            sections = {name: self._debug_section(module, f".{name[:-4]}") for name in names}
            info: DWARFInfo = module.DWARFInfo(config, **sections)
            return info

    def _debug_section(self, module: Any, name: str) -> Any:
        section = self.section(name)
        if section is None or section.type == "NOBITS":
            return None
        stream: io.IOBase
        if section.size > _KEPT_WHOLE and not section.flags & elf_tables.SHF_COMPRESSED:
            stream, size = elf_tables.window(self._content, section.offset, section.size), section.size
        else:
            data = self.section_bytes(name) or b""
            stream, size = io.BytesIO(data), Size(len(data))
        return module.DebugSectionDescriptor(stream, name, section.offset, size, section.address)


@lru_cache(maxsize=1)
def _machine_names() -> dict[int, str]:
    numbers = _elftools("elf.enums").ENUM_E_MACHINE
    return {n: name.replace("EM_", "").lower() for name, n in numbers.items() if isinstance(n, int)}


def _elftools(module: str) -> Any:
    try:
        return import_module(f"elftools.{module}")
    except ImportError as error:
        raise KdbgError(
            "pyelftools is missing for this python: install it for the python that GDB embeds (python3-pyelftools), "
            "or put the directory that holds elftools on sys.path before kdbg is loaded"
        ) from error
