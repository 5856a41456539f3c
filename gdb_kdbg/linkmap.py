"""What a process itself knows of its loaded files: the auxiliary vector and the dynamic linker's list.

Sources: gABI "Program Loading" and "Dynamic Section"; the vector's entries of the x86-64 psABI; `struct r_debug` and
`struct link_map` of <link.h>, whose beginnings glibc and musl share. All of it is the process's own memory, so nothing
of it is trusted further than it can be checked.
"""

from __future__ import annotations

import struct
from typing import Iterator, Mapping, NamedTuple, Optional, Sequence

from .blocks import read_available
from .elf import ElfFile
from .errors import BadFile, KdbgError, MemoryFault
from .target import Memory, Target
from .units import ADDRESS_MASK, KERNEL_HALF, Address, Size, safe_text

AT_PHDR, AT_PHENT, AT_PHNUM, AT_BASE, AT_ENTRY, AT_EXECFN, AT_SYSINFO_EHDR = 3, 4, 5, 7, 9, 31, 33
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_PHDR = 1, 2, 3, 6
_DT_STRTAB, _DT_SYMTAB, _DT_DEBUG = 5, 6, 21
_TAGS, _OTHER_TAGS = 64, range(0x60000000, 0x80000000)  # of the gABI, and of systems and processors
_EXEC = 2
_FILE_HEADER, _PROGRAM_HEADER = 64, 56
_SEGMENTS, _OBJECTS, _NAMESPACES = 512, 4096, 16
_DYNAMIC_SIZE, _NAME_SIZE = 1 << 16, 4096
_PAGE = 4096


class LoadedObject(NamedTuple):
    """A file as the process says it is loaded: the name it was opened by, and runtime minus link-time address.

    `dynamic_address` is where its dynamic section is, `entry` its entry point; 0 where that is not known.
    """

    name: str
    load_bias: int
    dynamic_address: int = 0
    entry: int = 0


class _Program(NamedTuple):
    bias: int
    dynamic: tuple[int, int]
    interpreter: tuple[int, int]


def loaded_objects(target: Target, program_file: Optional[ElfFile] = None) -> Sequence[LoadedObject]:
    """List the main program first, then what the dynamic linker has loaded, in the order of its lookups.

    Before it has made its list there are only the program and the dynamic linker itself. Empty for a kernel, and where
    the memory says nothing. `program_file` is of use where the dynamic linker itself was run, `ld.so PROGRAM`.
    """
    auxiliary = target.auxiliary_vector()
    pages = Pages(target)
    program = _program(pages, auxiliary)
    if program is None:
        return ()
    name = pages.text(auxiliary.get(AT_EXECFN, 0))
    dynamic = program.dynamic[0] + program.bias if program.dynamic[0] else 0
    main = LoadedObject(name, program.bias, dynamic & ADDRESS_MASK, auxiliary.get(AT_ENTRY, 0))
    debug = _debug_address(pages, program) or _own_debug_address(program_file, program.bias)
    listed = [loaded for _, loaded in _listed(pages, debug)]
    # The head of the list is the program; ld.so may have it under a name of its own.
    others = [other for other in listed if other.dynamic_address != main.dynamic_address]
    others = [other for other in others if other.load_bias != auxiliary.get(AT_SYSINFO_EHDR)]
    return main, *(others or _interpreter(pages, program, auxiliary))


def link_maps(target: Target, pages: Pages, program_file: Optional[ElfFile] = None) -> Mapping[int, LoadedObject]:
    """Return the dynamic linker's lists, one behind the other, by the addresses of their nodes; empty before them."""
    program = _program(pages, target.auxiliary_vector())
    if program is None:
        return {}
    return dict(_listed(pages, _debug_address(pages, program) or _own_debug_address(program_file, program.bias)))


def runs_programs(elf: ElfFile) -> bool:
    """Tell whether a file is a dynamic linker, whose program stands in the list like a library."""
    return bool(_own_debug_address(elf, 0))


def mismatch(memory: Memory, elf: ElfFile, loaded: LoadedObject) -> Optional[str]:
    """Say why an ELF file cannot be what was loaded, None if it can.

    Its entry point or its dynamic section must lie where the process has it; where neither is known, its file header
    must be there (one read).
    """
    name = safe_text(elf.path, 200)
    dynamic = next((s.address for s in elf.segments if s.type == "DYNAMIC"), 0)
    for what, here, there in (
        ("entry point", elf.entry, loaded.entry),
        ("dynamic section", dynamic, loaded.dynamic_address),
    ):
        if there and (here + loaded.load_bias) & ADDRESS_MASK != there:
            return f"{name} is not the file that was loaded: memory has its {what} at {there:#x}"
    if loaded.entry or loaded.dynamic_address or header_agrees(memory, elf, loaded.load_bias) is not False:
        return None
    return _another(elf, f"memory has another header at {loaded.load_bias:#x}")


def _another(elf: ElfFile, reason: str) -> str:
    """Say that a file is not the one that was loaded, and what to do."""
    advice = "built or installed anew since? give the one that ran"
    return f"{safe_text(elf.path, 200)} is not the file that was loaded: {reason} ({advice})"


def header_agrees(memory: Memory, elf: ElfFile, load_bias: int) -> Optional[bool]:
    """Tell whether memory shows an ELF file at a load bias: its file header, which is mapped with its first segment,
    and where they are mapped too, the addresses in its program headers and its notes (the build id is one).

    None where memory cannot be read, and for files whose header is not mapped. One read.
    """
    first = next((s for s in elf.loaded if s.offset == 0 and s.file_size >= _FILE_HEADER), None)
    if first is None:
        return None
    place = Address(first.address + load_bias & ADDRESS_MASK)
    try:
        header = elf.read_file(0, min(first.file_size, _PAGE))
    except (MemoryFault, BadFile):
        return None
    mapped = read_available(memory, place, Size(len(header)))
    if len(mapped) < _FILE_HEADER:
        return None
    return all(mapped[part] == header[part] for part in _identity(elf, header) if part.stop <= len(mapped))


def other_dynamic(memory: Memory, elf: ElfFile, load_bias: int) -> Optional[str]:
    """Say that memory has the dynamic section of another file, None if it has not: for dumps, most of which leave out
    what programs do not write to, and the file header with it. One read.

    The dynamic linker may have added the load bias to addresses, and writes the place of its list. What is no dynamic
    section at all was overwritten, and says nothing.
    """
    pairs = elf.dynamic()
    # A file of symbols alone has no content there.
    if elf.bits != 64 or not _is_dynamic(pairs):
        return None
    place = Address(next(s.address for s in elf.segments if s.type == "DYNAMIC") + load_bias & ADDRESS_MASK)
    mapped = read_available(memory, place, Size(len(pairs) * 16))
    there = tuple(struct.iter_unpack("<QQ", mapped[: len(mapped) & ~15]))
    is_other = _is_dynamic(there) and any(
        tag != found or (tag != _DT_DEBUG and at not in (value, value + load_bias & ADDRESS_MASK))
        for (tag, value), (found, at) in zip(pairs, there)
    )
    return _another(elf, f"memory has another dynamic section at {place:#x}") if is_other else None


def _is_dynamic(pairs: Sequence[tuple[int, int]]) -> bool:
    tags = {tag for tag, _ in pairs}
    return {_DT_STRTAB, _DT_SYMTAB} <= tags and all(tag < _TAGS or tag in _OTHER_TAGS for tag in tags)


# What stripping leaves alone: it moves the section headers, of which e_shoff tells at 40 and the counts from 58 on.
def _identity(elf: ElfFile, header: bytes) -> Iterator[slice]:
    yield from (slice(0, 40), slice(48, 58))
    (start,), (count,) = struct.unpack_from("<Q", header, 32), struct.unpack_from("<H", header, 56)
    for entry in range(start, min(start + count * _PROGRAM_HEADER, len(header)), _PROGRAM_HEADER):
        if header[entry] in (_PT_LOAD, _PT_DYNAMIC):
            yield from (slice(entry + 16, entry + 24), slice(entry + 40, entry + 48))
    yield from (slice(s.offset, s.offset + s.file_size) for s in elf.segments if s.type == "NOTE")


def _program(pages: Pages, auxiliary: Mapping[int, int]) -> Optional[_Program]:
    start, count = auxiliary.get(AT_PHDR, 0), auxiliary.get(AT_PHNUM, 0)
    if not start or not 0 < count <= _SEGMENTS or auxiliary.get(AT_PHENT) != _PROGRAM_HEADER:
        return None
    table = pages.read(start, count * _PROGRAM_HEADER)
    if table is None:
        return None
    found: dict[int, tuple[int, int]] = {}
    for kind, _, offset, address, _, file_size, _, _ in struct.iter_unpack("<IIQQQQQQ", table):
        if kind != _PT_LOAD or offset == 0:
            found.setdefault(kind, (address, file_size))
    bias = _program_bias(pages, auxiliary, found)
    if bias is None:
        return None
    return _Program(bias, found.get(_PT_DYNAMIC, (0, 0)), found.get(_PT_INTERP, (0, 0)))


# By PT_PHDR; a static program of GNU ld has none, but its file header in front of the program headers.
def _program_bias(pages: Pages, auxiliary: Mapping[int, int], segments: Mapping[int, tuple[int, int]]) -> Optional[int]:
    start = auxiliary[AT_PHDR]
    if _PT_PHDR in segments:
        return start - segments[_PT_PHDR][0]
    header = pages.read(start - _FILE_HEADER, _FILE_HEADER)
    if header is None or header[:4] != b"\x7fELF" or _PT_LOAD not in segments:
        return None
    kind, entry, offset = struct.unpack_from("<H6xQQ", header, 16)
    bias = 0 if kind == _EXEC else start - _FILE_HEADER - segments[_PT_LOAD][0]
    is_consistent = offset == _FILE_HEADER and entry + bias == auxiliary.get(AT_ENTRY, entry + bias)
    return bias if is_consistent else None


def _debug_address(pages: Pages, program: _Program) -> int:
    address, size = program.dynamic
    data = pages.read(address + program.bias, min(size, _DYNAMIC_SIZE) & ~15) if size else None
    for tag, value in struct.iter_unpack("<QQ", data or b""):
        if not tag:
            break
        if tag == _DT_DEBUG:
            return int(value)
    return 0


# The list of glibc's dynamic linker lies in its own data, under the name that debuggers expect.
def _own_debug_address(elf: Optional[ElfFile], bias: int) -> int:
    try:
        found = elf.dynamic_symbols().definitions(b"_r_debug") if elf else ()
    except KdbgError:
        return 0
    return found[0].address + bias if found else 0


def _listed(pages: Pages, debug_address: int) -> Iterator[tuple[int, LoadedObject]]:
    seen: set[int] = set()
    for _ in range(_NAMESPACES):  # Each namespace of dlmopen has a list of its own, from version 2 on.
        data = pages.read(debug_address, 40) if debug_address else None
        if data is None:
            return
        version, head = struct.unpack_from("<I4xQ", data)
        if version == 0:
            return
        yield from _list_of(pages, head, seen)
        following = pages.read(debug_address + 40, 8) if version >= 2 else None
        debug_address = int.from_bytes(following or b"", "little")


def _list_of(pages: Pages, node: int, seen: set[int]) -> Iterator[tuple[int, LoadedObject]]:
    while node and node not in seen and len(seen) < _OBJECTS:
        seen.add(node)
        data = pages.read(node, 32)
        if data is None:
            return
        place, (bias, name, dynamic, node) = node, struct.unpack("<QQQQ", data)
        # A bias in the upper half is a file that lies below where it was linked to.
        signed = bias - (1 << 64) if bias >= KERNEL_HALF else bias
        yield place, LoadedObject(pages.text(name), signed, dynamic)


def _interpreter(pages: Pages, program: _Program, auxiliary: Mapping[int, int]) -> Sequence[LoadedObject]:
    address, size = program.interpreter
    base = auxiliary.get(AT_BASE, 0)
    name = pages.text(address + program.bias) if size and base else ""
    # Every dynamic linker is linked at 0, so its base is its load bias.
    return (LoadedObject(name, base),) if name else ()


class Pages:
    """Memory by the page: nodes of the list and their names lie side by side, and over a stub a packet is dear."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known: dict[int, Optional[bytes]] = {}

    def read(self, address: int, size: int) -> Optional[bytes]:
        """Return exactly `size` bytes, None if they cannot be read."""
        address &= ADDRESS_MASK
        if size <= 0 or address + size > ADDRESS_MASK:
            return None
        first = address // _PAGE
        pages = [self._page(number) for number in range(first, (address + size - 1) // _PAGE + 1)]
        if None in pages:
            return self._exactly(address, size)
        data = b"".join(page for page in pages if page is not None)
        return data[address - first * _PAGE :][:size]

    def text(self, address: int) -> str:
        """Return the text that ends with a NUL, as a file name; empty if it cannot be read or does not end."""
        raw = b""
        while address and len(raw) < _NAME_SIZE:
            place = address + len(raw)
            piece = self.read(place, _PAGE - place % _PAGE)
            if piece is None:
                break
            end = piece.find(b"\0")
            if end >= 0:
                return (raw + piece[:end]).decode("utf-8", "surrogateescape")
            raw += piece
        return ""

    def _page(self, number: int) -> Optional[bytes]:
        if number not in self._known:
            self._known[number] = self._exactly(number * _PAGE, _PAGE)
        return self._known[number]

    def _exactly(self, address: int, size: int) -> Optional[bytes]:
        try:
            return self._memory.read_memory(Address(address), Size(size))
        except MemoryFault:
            return None
