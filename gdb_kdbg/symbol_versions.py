"""The names of symbol versions in one ELF file: what it offers, and what it needs of others.

Source: LSB Core, "Symbol Versioning". Offered and needed versions share one space of indices.
"""

from __future__ import annotations

import struct
from typing import Iterator, Mapping, Protocol

from .errors import BadFile

DT_STRTAB, DT_STRSZ = 5, 10
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_BASE = 1
INDEX, HIDDEN = 0x7FFF, 0x8000


class _File(Protocol):
    @property
    def byte_order(self) -> str: ...
    def read_table(self, link_address: int, size: int) -> bytes: ...
    def dynamic(self) -> tuple[tuple[int, int], ...]: ...


def version_names(file: _File) -> Mapping[int, str]:
    """Return the name of each version index; without the part of a table that cannot be read."""
    tags = dict(file.dynamic())
    names: dict[int, str] = {}
    try:
        strings = file.read_table(tags.get(DT_STRTAB, 0), tags.get(DT_STRSZ, 0))
        for index, name in _offered(file, tags):
            names.setdefault(index, _text(strings, name))
        for index, name in _needed(file, tags):
            names.setdefault(index & INDEX, _text(strings, name))
    except (BadFile, struct.error):
        pass  # Without it only the version of a symbol stays unknown.
    return names


# Verdef: version, flags, index, count, hash, offset of the first Verdaux (name, next), offset of the next.
def _offered(file: _File, tags: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    place = tags.get(_DT_VERDEF, 0)
    for _ in range(min(tags.get(_DT_VERDEFNUM, 0), INDEX)):
        _, flags, index, _, _, first, following = _fields(file, place, "HHHHIII")
        if not flags & _BASE:  # The base version is the file's own name.
            yield index, _fields(file, place + first, "I")[0]
        if not following:
            return
        place += following


# Verneed: version, count, file, offset of the first Vernaux (hash, flags, index, name, next), offset of the next.
def _needed(file: _File, tags: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    place, left = tags.get(_DT_VERNEED, 0), INDEX
    for _ in range(min(tags.get(_DT_VERNEEDNUM, 0), INDEX)):
        _, count, _, first, following = _fields(file, place, "HHIII")
        part = place + first
        for _ in range(min(count, left)):
            left -= 1
            _, _, index, name, step = _fields(file, part, "IHHII")
            yield index, name
            part += step
            if not step:
                break
        if not following:
            return
        place += following


def _fields(file: _File, address: int, layout: str) -> tuple[int, ...]:
    layout = file.byte_order + layout
    return struct.unpack(layout, file.read_table(address, struct.calcsize(layout)))


def _text(strings: bytes, start: int) -> str:
    end = strings.find(b"\0", start, start + 1024)
    return strings[start:end].decode("utf-8", "backslashreplace") if end >= 0 else ""
