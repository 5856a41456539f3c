"""The probe's own machine code, read from the ELF files: the mask of its index, and where a record is half written."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Optional, Sequence

from .disassembly import Instruction, decode
from .elf import ElfFile, Section, open_elf
from .errors import KdbgError
from .ranges import Range
from .target import Objfile, Target
from .units import ADDRESS_MASK, Address, Size

# The probe stands in assembly of a few KiB; a text section larger than this is not searched for it.
SEARCHED_TEXT = 2 << 20
# Bytes of code looked at around the reference to the index: any probe is shorter.
_WINDOW = 160
_EXECUTABLE = 0x4


@dataclass(frozen=True)
class ProbeCode:
    """What one probe's code tells: the index mask (capacity - 1), and the range in which a record is half written."""

    mask: Optional[int]
    writing: Range


def probe_code(target: Target, index: Address) -> Optional[ProbeCode]:
    """Return the first probe that counts in `index`, None if none is found."""
    probes = probes_of(target, index)
    return probes[0] if probes else None


def probes_of(target: Target, index: Address) -> Sequence[ProbeCode]:
    """Find every place in the loaded files that counts up the word at `index`."""
    found: list[ProbeCode] = []
    for objfile in target.objfiles():
        try:
            found += _probes_in(objfile, index)
        except KdbgError:
            continue
    return found


@functools.lru_cache(maxsize=16)
def _probes_in(objfile: Objfile, index: Address) -> Sequence[ProbeCode]:
    elf = open_elf(objfile.path)
    link = (index - objfile.load_bias) & ADDRESS_MASK
    if not any(segment.address <= link < segment.address + segment.memory_size for segment in elf.segments):
        return ()
    probes: list[ProbeCode] = []
    for section in elf.sections:
        if section.flags & _EXECUTABLE and section.size <= SEARCHED_TEXT:
            probes += _probes_in_section(elf, section, link, objfile.load_bias)
    return tuple(probes)


def _probes_in_section(elf: ElfFile, section: Section, index: int, bias: int) -> Sequence[ProbeCode]:
    code = elf.section_bytes(section.name) or b""
    probes: list[ProbeCode] = []
    for place in sorted(_references(code, section.address, index)):
        writer = _writer(code, section.address, place, index)
        if writer is not None:
            probe = _probe_at(code, section.address, writer, bias)
            if not any(probe.writing.overlaps(other.writing) for other in probes):
                probes.append(probe)
    return probes


def _references(code: bytes, address: int, index: int) -> set[int]:
    """Offsets of 4-byte fields that name `index`, rip-relative (no immediate behind) or absolute."""
    found: set[int] = set()
    for start in range(4):
        usable = (len(code) - start) // 4 * 4
        wanted = index - address - 4
        fields = struct.iter_unpack("<i", memoryview(code)[start : start + usable])
        found.update(
            offset
            for offset, (value,) in zip(range(start, start + usable, 4), fields)
            if value + offset in (wanted, wanted - 1, wanted - 4)
        )
    absolute = struct.pack("<I", index & 0xFFFFFFFF)
    place = code.find(absolute)
    while place >= 0:
        found.add(place)
        place = code.find(absolute, place + 1)
    return found


def _writer(code: bytes, address: int, place: int, index: int) -> Optional[Instruction]:
    """The instruction around a reference, if it writes the index (reading it is no probe)."""
    # The longest first: without its prefixes it would be an instruction too.
    for start in range(max(0, place - 8), place):
        decoded = decode(code[start : start + 16], Address(address + start), 1)
        if decoded and decoded[0].end > address + place + 3 and _writes(decoded[0], index):
            return decoded[0]
    return None


def _writes(instruction: Instruction, index: int) -> bool:
    return any(operand.written and operand.address == index for operand in instruction.memory)


def _probe_at(code: bytes, address: int, writer: Instruction, bias: int) -> ProbeCode:
    """Follow the straight line of code that counts the record and writes it."""
    start = writer.address - address
    line: list[Instruction] = []
    for instruction in decode(code[start : start + _WINDOW], writer.address):
        if instruction.is_jump or instruction.is_return or instruction.is_call:
            break
        line.append(instruction)
    before = decode_before(code, address, writer)
    # The record is whole behind its last store; the rest of the line is the copy's own.
    stores = [i.end for i in line if any(operand.written for operand in i.memory)]
    writing = Range(Address((writer.end + bias) & ADDRESS_MASK), Size(max(stores, default=writer.end) - writer.end))
    return ProbeCode(_mask([*before, *line]), writing)


def decode_before(code: bytes, address: int, writer: Instruction) -> Sequence[Instruction]:
    """Decode a few instructions that end exactly where `writer` starts."""
    end = writer.address - address
    for back in range(min(32, end), 0, -1):
        decoded = decode(code[end - back : end], Address(address + end - back))
        if decoded and decoded[-1].end == writer.address and sum(i.size for i in decoded) == back:
            return _straight(decoded)
    return ()


def _straight(decoded: Sequence[Instruction]) -> Sequence[Instruction]:
    """The instructions behind the last one that leaves the line: those before it are not of this probe."""
    leaving = [n for n, i in enumerate(decoded) if i.is_jump or i.is_return or i.is_call]
    return decoded[leaving[-1] + 1 :] if leaving else decoded


def _mask(line: Sequence[Instruction]) -> Optional[int]:
    masks = [i.immediate for i in line if i.mnemonic == "and" and i.immediate is not None]
    return next((mask for mask in masks if mask > 0 and mask & (mask + 1) == 0), None)
