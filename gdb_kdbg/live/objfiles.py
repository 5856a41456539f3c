"""Which ELF files GDB has loaded, and where."""

from __future__ import annotations

import re
from typing import Iterable, Optional

import gdb

from ..elf import open_elf
from ..errors import KdbgError
from ..target import Objfile

# GDB lists the sections of the main file without a name, those of others with `in FILE`.
_SECTION = re.compile(r"^\s*(0x[0-9a-f]+) - 0x[0-9a-f]+ is (\S+)(?: in (.*))?$")
_MAIN = re.compile(r"^\s*`(.*)', file type")
_TRIED_SYMBOLS = 8


def loaded_objfiles() -> tuple[Objfile, ...]:
    """Return GDB's ELF files with their load biases, from its section table; no packet is sent for it."""
    listed = _listed_sections()
    found: list[Objfile] = []
    for path in dict.fromkeys(objfile.filename for objfile in gdb.objfiles() if objfile.filename):
        bias = _bias(path, listed.get(path, {}))
        if bias is not None:
            found.append(Objfile(path, bias))
    return tuple(found)


def _listed_sections() -> dict[str, dict[str, int]]:
    listed: dict[str, dict[str, int]] = {}
    space = gdb.current_progspace()
    main = (space.filename if space else None) or ""
    for line in (gdb.execute("info files", to_string=True) or "").splitlines():
        header, section = _MAIN.match(line), _SECTION.match(line)
        if header:
            main = header[1]
        elif section:
            listed.setdefault(section[3] or main, {}).setdefault(section[2], int(section[1], 16))
    return listed


def _bias(path: str, sections: dict[str, int]) -> Optional[int]:
    """Runtime minus link-time address: of a section GDB lists, else of a symbol GDB knows."""
    try:
        elf = open_elf(path)
        for section in elf.sections:
            if section.name in sections and section.address:
                return sections[section.name] - section.address
        names = (symbol for symbol in elf.symbol_table() if symbol.kind == "FUNC")
        return _bias_by_symbol((symbol.name, symbol.address) for symbol in names)
    except KdbgError:
        return None


def _bias_by_symbol(symbols: Iterable[tuple[str, int]]) -> int:
    for (name, link), _ in zip(symbols, range(_TRIED_SYMBOLS)):
        try:
            return int(gdb.parse_and_eval(f"(unsigned long)&'{name}'")) - link
        except gdb.error:
            continue
    return 0
