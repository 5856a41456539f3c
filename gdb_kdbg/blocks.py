"""Reading many small things in few block reads.

Over a stub the packet is the unit of cost: words that lie near each other are read together, and only where
such a block cannot be read as a whole is it tried piece by piece.
"""

from __future__ import annotations

from typing import Iterable, Mapping, Optional, Sequence

from .errors import MemoryFault
from .target import Memory
from .units import Address, Size

# QEMU's stub answers at most 2 KiB a packet, so a wider merge would gain nothing.
MERGE_SPAN = 2048
_WORD_GAP = 1024


def read_pieces(memory: Memory, wanted: Iterable[tuple[Address, Size]]) -> Mapping[Address, Optional[bytes]]:
    """Read several (address, size) pieces; None stands for a piece that cannot be read."""
    result: dict[Address, Optional[bytes]] = {}
    for group in _groups(sorted(set(wanted))):
        result.update(_read_group(memory, group))
    return result


def read_available(memory: Memory, address: Address, size: Size) -> bytes:
    """Read up to `size` bytes, cut at the first page that cannot be read; empty if nothing can."""
    try:
        return memory.read_memory(address, size)
    except MemoryFault:
        pass
    data = b""
    while len(data) < size:
        start = Address(address + len(data))
        step = min(size - len(data), 4096 - start % 4096)
        try:
            data += memory.read_memory(start, Size(step))
        except MemoryFault:
            break
    return data


def read_words(memory: Memory, address: Address, count: int) -> tuple[int, ...]:
    """Read `count` little-endian 64-bit words in one block, or raise MemoryFault."""
    data = memory.read_memory(address, Size(8 * count))
    return tuple(int.from_bytes(data[i : i + 8], "little") for i in range(0, 8 * count, 8))


def read_words_at(memory: Memory, addresses: Sequence[int]) -> list[Optional[int]]:
    """Read the little-endian 64-bit word at each address, given sorted; None stands for one that cannot be read.

    Words less than 1 KiB apart are read in one piece, however long: over a stub a packet costs more.
    """
    values: list[Optional[int]] = []
    start = 0
    for index in range(1, len(addresses) + 1):
        if index == len(addresses) or addresses[index] - addresses[index - 1] > _WORD_GAP:
            values += _words_of(memory, addresses[start:index])
            start = index
    return values


def _words_of(memory: Memory, addresses: Sequence[int]) -> Iterable[Optional[int]]:
    first = addresses[0]
    try:
        data = memory.read_memory(Address(first), Size(addresses[-1] + 8 - first))
    except MemoryFault:
        if len(addresses) == 1:
            return [None]
        # One page of them may be gone; halves find it in few reads.
        middle = len(addresses) // 2
        return [*_words_of(memory, addresses[:middle]), *_words_of(memory, addresses[middle:])]
    return [int.from_bytes(data[a - first : a - first + 8], "little") for a in addresses]


def _groups(pieces: list[tuple[Address, Size]]) -> Iterable[list[tuple[Address, Size]]]:
    group: list[tuple[Address, Size]] = []
    for piece in pieces:
        if group and piece[0] + piece[1] - group[0][0] > MERGE_SPAN:
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _read_group(memory: Memory, group: list[tuple[Address, Size]]) -> Mapping[Address, Optional[bytes]]:
    start = group[0][0]
    end = max(address + size for address, size in group)
    try:
        data = memory.read_memory(start, Size(end - start))
    except MemoryFault:
        return {address: _read_one(memory, address, size) for address, size in group}
    return {address: data[address - start : address - start + size] for address, size in group}


def _read_one(memory: Memory, address: Address, size: Size) -> Optional[bytes]:
    try:
        return memory.read_memory(address, size)
    except MemoryFault:
        return None
