"""The dynamic symbols of a file without section headers, found as the loader finds them."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Mapping, Protocol

from .elf_relocations import Relocations
from .errors import BadFile
from .symbol_table import RawSymbols

# gABI "Dynamic Section"; DT_GNU_HASH and DT_VERSYM are GNU additions.
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ = 4, 5, 6, 10
DT_GNU_HASH, DT_VERSYM = 0x6FFFFEF5, 0x6FFFFFF0
# Chains are read in blocks of so many words: most are short.
_BLOCK = 256


class _File(Protocol):
    @property
    def bits(self) -> int: ...
    @property
    def byte_order(self) -> str: ...
    @property
    def size(self) -> int: ...
    def read_table(self, link_address: int, size: int) -> bytes: ...
    def dynamic(self) -> tuple[tuple[int, int], ...]: ...
    def relocations(self) -> Relocations: ...


def dynamic_symbols(file: _File) -> RawSymbols:
    """Read the symbols that the DYNAMIC segment leads to; none if it leads to none."""
    tags = dict(file.dynamic())
    count = _symbol_count(file, tags) if {DT_SYMTAB, DT_STRTAB, DT_STRSZ} <= tags.keys() else 0
    if not count:
        return RawSymbols(b"", b"", b"", file.bits, file.byte_order)
    entries = file.read_table(tags[DT_SYMTAB], count * (24 if file.bits == 64 else 16))
    strings = file.read_table(tags[DT_STRTAB], tags[DT_STRSZ])
    versions = file.read_table(tags[DT_VERSYM], 2 * count) if DT_VERSYM in tags else b""
    return RawSymbols(entries, strings, versions, file.bits, file.byte_order)


# The DYNAMIC segment does not say how many symbols there are; only the hash tables do.
def _symbol_count(file: _File, tags: Mapping[int, int]) -> int:
    if DT_HASH in tags:
        _, chains = struct.unpack(file.byte_order + "II", file.read_table(tags[DT_HASH], 8))
        return int(chains)
    return _gnu_hash_count(file, tags[DT_GNU_HASH]) if DT_GNU_HASH in tags else 0


def _gnu_hash_count(file: _File, address: int) -> int:
    order = file.byte_order
    buckets, first, words, _ = struct.unpack(order + "4I", file.read_table(address, 16))
    table = address + 16 + words * (file.bits // 8)
    heads = _words(file, table, buckets)
    last = max(heads, default=0)
    if last < first:
        # Nothing is exported, and GNU ld then writes 1 for `first`, however many symbols are imported.
        return max(int(first), max(file.relocations().symbols, default=0) + 1)
    # The chain of the last bucket ends at the hash value whose lowest bit is set.
    return int(last) + _chain_length(file, table + 4 * buckets + 4 * (last - first))


def _chain_length(file: _File, start: int) -> int:
    length, block = 0, _BLOCK
    while block:
        try:
            words = _words(file, start + 4 * length, block)
        except BadFile:
            block //= 2  # the chains may be the last of what is there
            continue
        for word in words:
            length += 1
            if word & 1:
                return length
        if 4 * length > file.size:
            break
    raise BadFile(f"the hash chain at {start:#x} has no end")


def _words(file: _File, address: int, count: int) -> array[int]:
    words = array("I", file.read_table(address, 4 * count))
    if file.byte_order != ("<" if sys.byteorder == "little" else ">"):
        words.byteswap()
    return words
