"""Where a kernel runs, against where it is linked: with KASLR, or a PIE that its loader puts anywhere.

Behind QEMU's stub and in a guest's memory nobody lists what is loaded. A shift is guessed from the interrupt table of
Linux, or from the page of code around the pc, an interrupt handler or a return address, looked for in the file. It
only counts if constant bytes of the file are found in memory where it would put them.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Iterator, NamedTuple, Optional, Sequence

from .elf import ElfFile, open_elf
from .elf_tables import PF_W, PF_X, Segment
from .errors import BadFile, KdbgError, MemoryFault
from .target import Memory, Objfile, Target
from .units import ADDRESS_MASK, Address, Size, is_kernel_half, safe_text

# Linux, arch/x86/include/asm/pgtable_areas.h: the first page of the CPU entry area, in every page table, KASLR or not.
_LINUX_IDT = 0xFFFF_FE00_0000_0000
_DIVIDE_ERROR = ("asm_exc_divide_error", "divide_error")
_PAGE = 4096
_SAMPLE, _STACK, _SEARCHED = 512, 512, 1 << 20
_WINDOW, _WINDOW_STEP, _VOTES = 24, 48, 4
_TEXT_LIMIT = 256 << 20
# How much of a sample must agree. Linux patches its own code, and some tables hold addresses.
_SHARE, _LEAST, _SMALL = 0.75, 16, 0x10000
_CODE_PAGES = 3
# Above it the addresses of 57 bits are canonical.
_KERNEL_CODE = 0xFF00_0000_0000_0000


class Shift(NamedTuple):
    """Runtime minus link-time address, and what confirmed it."""

    amount: int
    evidence: str


class Placed(NamedTuple):
    """Files with confirmed load biases as far as they could be found, and a line for each that could not."""

    objfiles: tuple[Objfile, ...]
    problems: tuple[str, ...] = ()


def is_kernel_image(elf: ElfFile) -> bool:
    """Tell whether a file is a kernel linked into the kernel half without a dynamic section, and so without slots."""
    return _is_high(elf) and not any(segment.type == "DYNAMIC" for segment in elf.segments)


def shifted_objfiles(target: Target) -> Placed:
    """Return the files of a target with their load biases; in a whole machine, kernels where memory shows them.

    A file that is not where it should be, and nowhere else to be found, is left out if it has slots: to judge them by
    a wrong bias would accuse the innocent. Elsewhere than in a machine nothing is read.
    """
    if not target.is_system:
        return Placed(tuple(target.objfiles()))
    return place_all(target, target.objfiles())


def place_all(target: Target, objfiles: Sequence[Objfile]) -> Placed:
    """Do the same for files whose biases come from elsewhere."""
    placed: list[Objfile] = []
    problems: list[str] = []
    for objfile in objfiles:
        elf = _movable(objfile)
        try:
            shift = kernel_shift(target, elf, objfile.load_bias) if elf else Shift(objfile.load_bias, "")
        except (BadFile, MemoryFault) as error:
            problems.append(str(error))
            continue
        if shift is not None:
            placed.append(Objfile(objfile.path, shift.amount))
            continue
        problems.append(f"where {safe_text(objfile.path, 200)} runs is not to be seen in memory: name it with --bias")
        if elf and not any(segment.type == "DYNAMIC" for segment in elf.segments):
            placed.append(objfile)
    return Placed(tuple(placed), tuple(problems))


def is_astray(target: Target, objfiles: Sequence[Objfile]) -> bool:
    """Tell whether a kernel among the files may have been moved: the pc is in the kernel half, but in none of them.

    Linux moves itself by less than its own size too, so it always may have been. No memory is read.
    """
    pc = target.register("rip") or 0
    elfs = [(objfile.load_bias, elf) for objfile in objfiles for elf in [_movable(objfile)] if elf]
    inside = any(s.address <= pc - bias < s.end for bias, elf in elfs for s in elf.loaded)
    return bool(elfs) and is_kernel_half(pc) and (not inside or any(_is_linux(elf) for _, elf in elfs))


def _is_linux(elf: ElfFile) -> bool:
    try:
        return any(elf.symbol_table().by_name(name) for name in _DIVIDE_ERROR)
    except KdbgError:
        return False


def kernel_shift(target: Target, elf: ElfFile, guess: int = 0) -> Optional[Shift]:
    """Return by how much a kernel was moved, 0 included; None if memory does not confirm any shift.

    `guess` is tried first. About eight reads where nothing is found; raises BadFile.
    """
    tried: set[int] = set()
    for candidate in _candidates(target, elf, guess):
        if candidate.shift not in tried:
            tried.add(candidate.shift)
            evidence = _confirm(target, elf, candidate)
            if evidence:
                return Shift(candidate.shift, f"{candidate.how}: {evidence}")
    return None


class _Candidate(NamedTuple):
    how: str
    shift: int
    code: int = 0  # runtime address of code that would be the kernel's


def _movable(objfile: Objfile) -> Optional[ElfFile]:
    try:
        elf = open_elf(objfile.path)
        is_movable = elf.type in ("EXEC", "DYN") and elf.machine == "x86-64" and (_is_high(elf) or elf.type == "DYN")
        return elf if is_movable and not _is_debug_only(elf) else None
    except KdbgError:
        return None


def _is_high(elf: ElfFile) -> bool:
    return any(is_kernel_half(segment.address) for segment in elf.loaded)


def _is_debug_only(elf: ElfFile) -> bool:
    return any(s.type == "NOBITS" and s.name in (".text", ".dynamic") for s in elf.sections)


def _candidates(target: Target, elf: ElfFile, guess: int) -> Iterator[_Candidate]:
    yield _Candidate("where it is said to be", guess)
    yield _Candidate("where it is linked", 0)
    handler = _gate(target, _LINUX_IDT)
    for name in _DIVIDE_ERROR if handler else ():
        symbol = elf.symbol_table().by_name(name)
        if symbol is not None and handler is not None and (handler - symbol.address) % _PAGE == 0:
            yield _Candidate(f"the interrupt table's {name}", handler - symbol.address, handler)
    for how, address in _code_addresses(target, handler):
        shift = _shift_by_code(target, elf, address)
        if shift is not None:
            yield _Candidate(how, shift, address)


# Intel SDM vol. 3, 6.14.1: the handler's address in a gate of 16 bytes.
def _gate(memory: Memory, address: int) -> Optional[int]:
    data = _read(memory, address, 16)
    if data is None:
        return None
    low, middle, high = struct.unpack("<H4xHI4x", data)
    return int(low | middle << 16 | high << 32) or None


def _code_addresses(target: Target, handler: Optional[int]) -> Iterator[tuple[str, int]]:
    """Yield addresses in a few different pages that hold code of the kernel, the surest first."""
    pages: set[int] = set()
    for how, address in _possible_code(target, handler):
        if address // _PAGE not in pages and address >= _PAGE:
            pages.add(address // _PAGE)
            yield how, address
        if len(pages) >= _CODE_PAGES:
            return


def _possible_code(target: Target, handler: Optional[int]) -> Iterator[tuple[str, int]]:
    yield "the code around the pc", target.register("rip") or 0
    base = target.register("idt_base")
    handler = handler or (_gate(target, base) if base else None)
    if handler:
        yield "the code of an interrupt handler", handler
    sp = target.register("rsp") or 0
    stack = (_read(target, sp, _STACK) or _read(target, sp, -sp % _PAGE)) if sp else None
    for (word,) in struct.iter_unpack("<Q", (stack or b"")[: len(stack or b"") & ~7]):
        if _KERNEL_CODE <= word < ADDRESS_MASK - _PAGE and abs(word - sp) > 2 * _PAGE:
            yield "the code around a word on the stack", word


def _shift_by_code(memory: Memory, elf: ElfFile, address: int) -> Optional[int]:
    """Look for the page around an address in the executable segments; shifts are whole pages."""
    start = address // _PAGE * _PAGE
    page = _read(memory, start, _PAGE)
    if page is None:
        return None
    votes: Counter[int] = Counter()
    for segment in elf.loaded:
        if segment.flags & PF_X and segment.file_size <= _TEXT_LIMIT:
            votes.update(_votes(elf, segment, start, page))
    best = votes.most_common(2)
    if not best or best[0][1] < _VOTES or len(best) > 1 and best[1][1] * 3 > best[0][1]:
        return None
    return best[0][0]


def _votes(elf: ElfFile, segment: Segment, start: int, page: bytes) -> Iterator[int]:
    text = elf.read_file(segment.offset, segment.file_size)
    for offset in range(0, _PAGE - _WINDOW, _WINDOW_STEP):
        window = page[offset : offset + _WINDOW]
        if len(set(window)) < _WINDOW // 2:
            continue  # Padding and the like is everywhere.
        first = (start + offset - segment.address) % _PAGE
        places = [at for at in range(first, len(text), _PAGE) if text.startswith(window, at)]
        if len(places) == 1:
            yield start + offset - segment.address - places[0]


def _confirm(memory: Memory, elf: ElfFile, candidate: _Candidate) -> str:
    """Say which constant bytes of the file memory shows with this shift; empty if there are none."""
    build_id = _build_id_place(elf)
    if build_id is not None:
        link, expected = build_id
        there = _read(memory, link + candidate.shift, len(expected))
        if there is not None:
            return "its build id is in memory" if there == expected else ""
    for what, link, expected in _samples(elf, candidate, build_id is not None):
        there = _read(memory, link + candidate.shift, len(expected))
        if there is not None:
            return f"{what} is in memory" if _agree(expected, there, candidate.shift) else ""
    return ""


def _build_id_place(elf: ElfFile) -> Optional[tuple[int, bytes]]:
    build_id = bytes.fromhex(elf.build_id() or "")
    for segment in elf.segments if build_id else ():
        if segment.type != "NOTE" or not any(s.address <= segment.address < s.end for s in elf.loaded):
            continue
        position = elf.read_file(segment.offset, segment.file_size).find(build_id)
        if position >= 0:
            return segment.address + position, build_id
    return None


# Page tables that hide the kernel from programs (PTI) show its entry code only, and neither build id nor data.
def _samples(elf: ElfFile, candidate: _Candidate, is_hidden: bool) -> Iterator[tuple[str, int, bytes]]:
    for what, flags in (("read-only data", 0), ("code", PF_X), ("code", PF_X | PF_W)) if not is_hidden else ():
        for segment in elf.loaded:
            if segment.flags & (PF_X | PF_W) == flags and segment.file_size:
                yield from ((f"its {what}", link, data) for link, data in _sample_of(elf, segment))
    link = candidate.code - candidate.shift
    for segment in elf.loaded:
        if candidate.code and segment.flags & PF_X and segment.address <= link < segment.end:
            yield "its code there", link, elf.read(link, min(segment.end - link, _SAMPLE))


def _sample_of(elf: ElfFile, segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Yield the first piece of a segment, seen from its middle, that says enough to be known again."""
    middle = segment.file_size // 2 // _SAMPLE * _SAMPLE
    for start in (middle, 0):
        data = elf.read_file(segment.offset + start, min(segment.file_size - start, _SEARCHED))
        for offset in range(0, len(data), _SAMPLE):
            piece = data[offset : offset + _SAMPLE]
            if len(_telling(piece)) >= 2 * _LEAST:
                yield segment.address + start + offset, piece
                return
    if len(_telling(data[:_PAGE])) >= _LEAST:
        yield segment.address, data[:_PAGE]


def _units(data: bytes) -> Sequence[int]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) & ~3])


def _telling(data: bytes) -> set[int]:
    return {unit for unit in _units(data) if _SMALL <= unit < (1 << 32) - _SMALL}


def _agree(expected: bytes, there: bytes, shift: int) -> bool:
    """Compare in units of four bytes; an address in the file is its shifted self in memory."""
    pairs = [(a, b) for a, b in zip(_units(expected), _units(there)) if _SMALL <= a < (1 << 32) - _SMALL]
    equal = [a for a, b in pairs if a == b or (a + shift) & 0xFFFFFFFF == b]
    return len(set(equal)) >= _LEAST and len(equal) >= _SHARE * len(pairs)


def _read(memory: Memory, address: int, size: int) -> Optional[bytes]:
    try:
        return memory.read_memory(Address(address & ADDRESS_MASK), Size(size)) if size > 0 else None
    except MemoryFault:
        return None
