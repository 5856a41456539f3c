"""Writes small dynamically linked ELF files word by word: what a slot, a symbol or a version is in the unit tests.

Each is loaded as code at 0x1000 to 0x2000, RELRO at 0x3000 to 0x4000, writable data behind that; a file offset is a
link-time address. There are no section headers.
"""

from __future__ import annotations

import pathlib
import struct
from typing import Mapping, NamedTuple, Sequence

RELATIVE, SYMBOL, GLOB_DAT, JUMP_SLOT, COPY, IRELATIVE = 8, 1, 6, 7, 5, 37
DTPMOD64, DTPOFF64, TPOFF64, TLSDESC, HALF = 16, 17, 18, 36, 10
NOTYPE, OBJECT, FUNC, TLS, IFUNC = 0, 1, 2, 6, 10
LOCAL, GLOBAL, WEAK = 0, 1, 2
ABSOLUTE = 0xFFF1
CODE, RELRO, DATA, END = 0x1000, 0x3000, 0x4000, 0x5000
_DYNAMIC = 0x3800


class Rel(NamedTuple):
    """A relocation; `symbol` is a name among the file's symbols."""

    address: int
    type: int
    addend: int = 0
    symbol: str = ""


class Sym(NamedTuple):
    """A dynamic symbol, undefined at address 0 unless told otherwise; `version` ends in `@` if it is the default."""

    name: str
    address: int = 0
    kind: int = FUNC
    binding: int = GLOBAL
    section: int = -1
    size: int = 16
    version: str = ""

    def pack(self, name: int) -> bytes:
        section = self.section if self.section >= 0 else int(bool(self.address))
        return struct.pack("<IBBHQQ", name, self.binding << 4 | self.kind, 0, section, self.address, self.size)


class _Image:
    def __init__(self) -> None:
        self.data = bytearray(END)
        self.place = 0x200
        self.strings = bytearray(b"\0")

    def add(self, data: bytes) -> int:
        start = self.place
        self.data[start : start + len(data)] = data
        self.place += -(-len(data) // 16) * 16 + 16
        assert self.place <= CODE
        return start

    def text(self, text: str) -> int:
        start = len(self.strings)
        self.strings += text.encode() + b"\0"
        return start


def write(
    path: pathlib.Path,
    relocations: Sequence[Rel] = (),
    symbols: Sequence[Sym] = (),
    words: Mapping[int, int] = {},
    relr: Sequence[int] = (),
    tags: Mapping[int, int] = {},
    tls: tuple[int, int] = (0, 0),
    interpreter: str = "",
) -> str:
    """Write a file and return its path; `words` are the words at link-time addresses, `tls` size and alignment."""
    image = _Image()
    asked = interpreter.encode() + b"\0"
    place = image.add(asked)
    for address, word in words.items():
        struct.pack_into("<Q", image.data, address, word & (1 << 64) - 1)
    dynamic = {**_symbols(image, symbols), **_relocations(image, relocations, symbols, relr), **tags}
    packed = b"".join(struct.pack("<QQ", *pair) for pair in dynamic.items()) + bytes(16)
    image.data[_DYNAMIC : _DYNAMIC + len(packed)] = packed
    segments = [
        (1, 5, 0, 0x2000),
        (1, 6, RELRO, END - RELRO),
        (2, 6, _DYNAMIC, len(packed)),
        (0x6474E552, 4, RELRO, 0x1000),
    ]
    headers = [
        struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, 0x1000) for kind, flags, at, size in segments
    ]
    if interpreter:
        headers.append(struct.pack("<IIQQQQQQ", 3, 4, place, place, place, len(asked), len(asked), 1))
    if tls[0]:
        headers.append(struct.pack("<IIQQQQQQ", 7, 4, DATA, DATA, DATA, 0, *tls))
    sizes = (64, 56, len(headers), 64, 0, 0)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, CODE, 64, 0, 0, *sizes)
    image.data[: 64 + 56 * len(headers)] = header + b"".join(headers)
    path.write_bytes(bytes(image.data))
    return str(path)


def _symbols(image: _Image, symbols: Sequence[Sym]) -> dict[int, int]:
    entries = bytes(24) + b"".join(symbol.pack(image.text(symbol.name)) for symbol in symbols)
    versions = list(dict.fromkeys(s.version.rstrip("@") for s in symbols if s.version))
    marks = [0, *(_mark(symbol, versions) for symbol in symbols)]
    tags = {6: image.add(entries), 4: image.add(struct.pack("<IIII", 1, len(marks), 0, 0))}
    if versions:
        names = [image.text(version) for version in versions]
        offered = b"".join(
            struct.pack("<HHHHIII", 1, 0, index + 2, 1, 0, 20, 28 if index + 1 < len(names) else 0)
            + struct.pack("<II", name, 0)
            for index, name in enumerate(names)
        )
        tags.update({0x6FFFFFF0: image.add(struct.pack(f"<{len(marks)}H", *marks))})
        tags.update({0x6FFFFFFC: image.add(offered), 0x6FFFFFFD: len(names)})
    tags.update({5: image.add(bytes(image.strings)), 10: len(image.strings)})
    return tags


def _mark(symbol: Sym, versions: Sequence[str]) -> int:
    if not symbol.version:
        return 1
    hidden = 0 if symbol.version.endswith("@") or not symbol.address else 0x8000
    return versions.index(symbol.version.rstrip("@")) + 2 | hidden


def _relocations(
    image: _Image, relocations: Sequence[Rel], symbols: Sequence[Sym], relr: Sequence[int]
) -> dict[int, int]:
    names = ["", *(symbol.name for symbol in symbols)]
    plt = b"".join(_pack(rel, names) for rel in relocations if rel.type == JUMP_SLOT)
    others = b"".join(_pack(rel, names) for rel in relocations if rel.type != JUMP_SLOT)
    tags = {}
    if others:
        tags.update({7: image.add(others), 8: len(others), 9: 24})
    if plt:
        tags.update({23: image.add(plt), 2: len(plt), 20: 7})
    if relr:
        tags.update({36: image.add(struct.pack(f"<{len(relr)}Q", *relr)), 35: 8 * len(relr), 37: 8})
    return tags


def _pack(rel: Rel, names: Sequence[str]) -> bytes:
    return struct.pack("<QQq", rel.address, names.index(rel.symbol) << 32 | rel.type, rel.addend)
