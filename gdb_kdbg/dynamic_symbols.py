"""The dynamic symbols of one ELF file by index, as relocations name them, and its definitions by name."""

from __future__ import annotations

import sys
from array import array
from functools import cached_property
from types import MappingProxyType
from typing import Mapping, NamedTuple, Sequence

from .errors import BadFile
from .symbol_table import KINDS, SHN_ABS, RawSymbols, entries_of
from .symbol_versions import HIDDEN, INDEX
from .units import LinkAddress, Size, decoded

_SHN_UNDEF = 0
_WEAK, _LOCAL = 2, 0
# Names may share the tails of strings, so that a small hostile table could unfold to gigabytes.
_NAME_LIMIT = 1 << 14
_NAMES_LIMIT = 4 << 20
# Versions of one name; the most there are in a C library is five.
_SAME_NAME = 64


class DynamicSymbol(NamedTuple):
    """An entry of the dynamic symbol table; `kind` is NOTYPE, OBJECT, FUNC, IFUNC, TLS, or empty for others.

    `version` is empty without one; a definition that is not `is_default` is only for who asks for its version. The
    address of an absolute symbol is a number that no load bias moves.
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


NO_SYMBOL = DynamicSymbol("", LinkAddress(0), Size(0), "", False, False, False)


class DynamicSymbols:
    """The table that the DYNAMIC segment leads to."""

    def __init__(self, raw: RawSymbols, versions: Mapping[int, str] = MappingProxyType({})) -> None:
        """Take the table and the names of the versions by index."""
        self._raw, self._versions = raw, versions

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> DynamicSymbol:
        """Return the symbol of an index; one that is not in the table, or 0, has no name."""
        return self._symbols[index] if 0 < index < len(self._rows) else NO_SYMBOL

    def definitions(self, name: str) -> Sequence[DynamicSymbol]:
        """Return what the file offers under a name: each version, and the PLT entry that stands for a function."""
        return [self._symbols[index] for index in self._by_name.get(name, ())]

    def names_at(self, link_address: int) -> Sequence[str]:
        """Return the names that the file offers for one address."""
        return self._names_by_address.get(link_address, ())

    @cached_property
    def _names_by_address(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for symbol in self._symbols:
            if symbol.is_defined and symbol.kind != "TLS" and symbol.name:
                found.setdefault(symbol.address, []).append(symbol.name)
        return found

    @cached_property
    def _rows(self) -> list[tuple[int, ...]]:
        return list(entries_of(self._raw))

    @cached_property
    def _symbols(self) -> list[DynamicSymbol]:
        limit = _NAMES_LIMIT + 4 * len(self._raw.strings)
        symbols = []
        marks = _version_marks(self._raw, len(self._rows))
        for row, mark in zip(self._rows, marks):
            symbols.append(self._symbol(row, mark))
            limit -= len(symbols[-1].name)
            if limit < 0:
                raise BadFile("its dynamic symbols' names unfold to more than they may")
        return symbols

    # A non-PIE program that takes a function's address gives its own PLT entry as the undefined symbol's value.
    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, symbol in enumerate(self._symbols):
            if symbol.name and not symbol.is_local and (symbol.is_defined or symbol.address):
                same = found.setdefault(symbol.name, [])
                if len(same) < _SAME_NAME:
                    same.append(index)
        return found

    def _symbol(self, row: tuple[int, ...], mark: int) -> DynamicSymbol:
        name, info, section, value, size = row
        binding, strings = info >> 4, self._raw.strings
        end = strings.find(b"\0", name, name + _NAME_LIMIT)
        text = decoded(strings[name:end]) if end >= 0 else ""
        kind = KINDS.get(info & 15, "")
        return DynamicSymbol(
            text,
            LinkAddress(value),
            Size(size),
            kind,
            section != _SHN_UNDEF,
            binding == _WEAK,
            binding == _LOCAL,
            section == SHN_ABS,
            self._versions.get(mark & INDEX, ""),
            not mark & HIDDEN,
        )


def _version_marks(raw: RawSymbols, count: int) -> array[int]:
    marks = array("H", raw.versions[: 2 * count].ljust(2 * count, b"\0"))
    if (raw.byte_order == "<") != (sys.byteorder == "little"):
        marks.byteswap()
    return marks
