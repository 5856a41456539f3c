"""The dynamic symbols of one ELF file by index, as relocations name them, and its definitions by name."""

from __future__ import annotations

import sys
from array import array
from functools import cached_property
from types import MappingProxyType
from typing import Collection, Mapping, NamedTuple, Sequence

from .errors import BadFile
from .symbol_columns import KINDS, SHN_ABS, RawSymbols, entries_of, entry_count, entry_reader
from .symbol_versions import HIDDEN, INDEX
from .units import LinkAddress, Size, decoded

_SHN_UNDEF = 0
_LOCAL, _WEAK, _UNIQUE = 0, 2, 10
# Names may share the tails of strings, so that a small hostile table could unfold to gigabytes.
_NAME_LIMIT = 1 << 14
_NAMES_LIMIT = 4 << 20
# Versions of one name; the most there are in a C library is five.
_SAME_NAME = 64


class DynamicSymbol(NamedTuple):
    """An entry of the dynamic symbol table; `kind` is NOTYPE, OBJECT, FUNC, IFUNC, TLS, or empty for others.

    `version` is empty without one; a definition that is not `is_default` is only for who asks for its version. The
    address of an absolute symbol is a number that no load bias moves. A process has one definition of a name that
    `is_unique`, whoever came first.
    """

    name: str
    address: LinkAddress
    size: Size
    kind: str
    is_defined: bool
    is_weak: bool
    is_local: bool
    is_absolute: bool = False
    version: str = ""
    is_default: bool = True
    is_unique: bool = False


NO_SYMBOL = DynamicSymbol("", LinkAddress(0), Size(0), "", False, False, False)


class DynamicSymbols:
    """The table that the DYNAMIC segment leads to."""

    def __init__(self, raw: RawSymbols, versions: Mapping[int, str] = MappingProxyType({})) -> None:
        """Take the table and the names of the versions by index; raise BadFile."""
        self._strings, self._versions = raw.strings, versions
        self._raw = raw
        self._entry = entry_reader(raw)
        self._count = entry_count(raw)
        self._marks = _version_marks(raw, self._count)
        self._made: dict[int, DynamicSymbol] = {}
        self._first: dict[bytes, int] = {}
        self._others: dict[bytes, list[int]] = {}
        self._index()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> DynamicSymbol:
        """Return the symbol of an index; one that is not in the table, or 0, has no name."""
        if index not in self._made:
            self._made[index] = self._symbol(index) if 0 < index < self._count else NO_SYMBOL
        return self._made[index]

    @property
    def offered(self) -> Collection[bytes]:
        """The names that the file offers anything under."""
        return self._first

    def definitions(self, key: bytes) -> Sequence[DynamicSymbol]:
        """Return what the file offers under a name: each version, and the PLT entry that stands for a function.

        The name is as in the file, so that one that many files are asked for is encoded once.
        """
        first = self._first.get(key)
        if first is None:
            return ()
        return [self[index] for index in self._indices(key)] if key in self._others else (self[first],)

    def names_at(self, link_address: int) -> Sequence[str]:
        """Return the names that the file offers for one address."""
        return [self[index].name for index in self._by_address.get(link_address, ())]

    @cached_property
    def _by_address(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for name in self._first:
            for index in self._indices(name):
                _, info, section, value, _ = self._entry(index)
                if section != _SHN_UNDEF and KINDS.get(info & 15) != "TLS":
                    found.setdefault(value, []).append(index)
        return found

    # A non-PIE program that takes a function's address gives its own PLT entry as the undefined symbol's value.
    def _index(self) -> None:
        strings, first = self._strings, self._first
        limit = _NAMES_LIMIT + 4 * len(strings)
        for index, (offset, info, section, value, _) in enumerate(entries_of(self._raw)):
            if info >> 4 == _LOCAL or not (section or value):
                continue
            name = strings[offset : max(offset, strings.find(b"\0", offset, offset + _NAME_LIMIT))]
            limit -= len(name)
            if limit < 0:
                raise BadFile("its dynamic symbols' names unfold to more than they may")
            # Few names are there twice, and a list for each takes longer than all the rest.
            if name and first.setdefault(name, index) != index:
                same = self._others.setdefault(name, [])
                if len(same) < _SAME_NAME - 1:
                    same.append(index)

    def _indices(self, name: bytes) -> Sequence[int]:
        return self._first[name], *self._others.get(name, ())

    def _symbol(self, index: int) -> DynamicSymbol:
        name, info, section, value, size = self._entry(index)
        binding, strings, mark = info >> 4, self._strings, self._marks[index]
        end = strings.find(b"\0", name, name + _NAME_LIMIT)
        return DynamicSymbol(
            decoded(strings[name:end]) if end >= 0 else "",
            LinkAddress(value),
            Size(size),
            KINDS.get(info & 15, ""),
            section != _SHN_UNDEF,
            binding == _WEAK,
            binding == _LOCAL,
            section == SHN_ABS,
            self._versions.get(mark & INDEX, ""),
            not mark & HIDDEN,
            binding == _UNIQUE,
        )


def _version_marks(raw: RawSymbols, count: int) -> array[int]:
    marks = array("H", raw.versions[: 2 * count].ljust(2 * count, b"\0"))
    if (raw.byte_order == "<") != (sys.byteorder == "little"):
        marks.byteswap()
    return marks
