"""The modules of a running kernel: where their sections lie, and which files they came from.

Source: Linux include/linux/module.h and kernel/module/sysfs.c.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import Iterator, Mapping, Optional, Sequence

from .blocks import read_available, read_words
from .elf import open_elf
from .errors import KdbgError, MemoryFault
from .target import Target
from .units import Address, Size, safe_text

_MEMBERS = {
    "list": ("struct module", "list"),
    "name": ("struct module", "name"),
    "sect_attrs": ("struct module", "sect_attrs"),
    "nsections": ("struct module_sect_attrs", "nsections"),
    "attrs": ("struct module_sect_attrs", "attrs"),
    "attr_name": ("struct module_sect_attr", "battr.attr.name"),
    "attr_address": ("struct module_sect_attr", "address"),
}
# Names go into a command line of GDB.
_SECTION_NAME = re.compile(r"[\w.$+-]+")
_NAME, _BUILD_ID = 56, ".note.gnu.build-id"
_MOST_MODULES, _MOST_SECTIONS, _MOST_FILES = 1024, 1024, 20000
# A note is three words, the owner's name (`GNU`, padded to 4) and at most 20 bytes of build id.
_NOTE_HEAD, _NOTE_SIZE = 16, Size(36)

# ELF-64 object file format: e_shoff, e_shentsize and e_shnum of a header, sh_addr of a section.
_TABLE, _ENTRIES, _ADDRESS = 0x28, 0x3A, 16


@dataclass(frozen=True)
class Module:
    """A loaded module: its name and the addresses of its sections."""

    name: str
    sections: Mapping[str, Address]
    build_id: str = ""

    @property
    def text(self) -> Optional[Address]:
        return self.sections.get(".text")


def list_head(target: Target) -> Optional[tuple[int, ...]]:
    """Return the two ends of the list of modules, which change when one comes or goes; None if there is no list."""
    symbol = target.symbol("modules")
    if symbol is None:
        return None
    try:
        return read_words(target, symbol.address, 2)
    except MemoryFault:
        return None


def read_modules(target: Target) -> Iterator[Module]:
    """Yield the loaded modules; raise KdbgError where the list is damaged or DWARF does not tell how to read it."""
    head = target.symbol("modules")
    if head is None:
        return
    offsets = _offsets(target)
    (place,) = read_words(target, head.address, 1)
    for _ in range(_MOST_MODULES):
        if place == head.address:
            return
        yield _module(target, place - offsets["list"], offsets)
        (place,) = read_words(target, Address(place), 1)
    raise KdbgError(f"the list of modules does not end: more than {_MOST_MODULES} were read")


def _offsets(target: Target) -> Mapping[str, int]:
    offsets: dict[str, int] = {}
    for name, (structure, path) in _MEMBERS.items():
        found = target.member(structure, path)
        if found is None:
            raise KdbgError(f"no debug information for {structure}.{path}: modules cannot be found")
        offsets[name] = found[0]
    return offsets


def _module(target: Target, address: int, offsets: Mapping[str, int]) -> Module:
    name = safe_text(target.read_memory(Address(address + offsets["name"]), Size(_NAME)), _NAME)
    (table,) = read_words(target, Address(address + offsets["sect_attrs"]), 1)
    if not table:
        return Module(name, {})
    count = int.from_bytes(target.read_memory(Address(table + offsets["nsections"]), Size(4)), "little")
    if count > _MOST_SECTIONS:
        raise KdbgError(f"module {name} is damaged: {count} sections")
    step = offsets["attr_address"] + 8  # the last member of an element
    data = target.read_memory(Address(table + offsets["attrs"]), Size(count * step))
    sections: dict[str, Address] = {}
    for start in range(0, count * step, step):
        named, placed = (_word(data, start + offsets[part]) for part in ("attr_name", "attr_address"))
        section = read_available(target, Address(named), Size(_NAME)).split(b"\0")[0].decode("ascii", "replace")
        if _SECTION_NAME.fullmatch(section):
            sections[section] = Address(placed)
    return Module(name, sections, _build_id(target, sections.get(_BUILD_ID)))


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _build_id(target: Target, note: Optional[Address]) -> str:
    data = read_available(target, note, _NOTE_SIZE) if note else b""
    return data[_NOTE_HEAD:].hex() if len(data) == _NOTE_SIZE and data[12:16] == b"GNU\0" else ""


def find_file(module: Module, directories: Sequence[str]) -> Optional[str]:
    """Return the path of a module's own file below some directories; one of another build does not count."""
    for path in _files_named(module.name, directories):
        try:
            build_id = open_elf(path).build_id()
        except KdbgError:
            continue
        if not module.build_id or not build_id or build_id == module.build_id:
            return path
    return None


def at_zero(path: str) -> Optional[bytes]:
    """Return the content of a relocatable file with all its sections at address 0; None if they are there already.

    GNU ld 2.44 leaves addresses in modules, and GDB does not place the debugging information of such files.
    """
    elf = open_elf(path)
    if elf.type != "REL" or elf.bits != 64 or not any(section.address for section in elf.sections):
        return None
    with open(path, "rb") as file:
        data = bytearray(file.read())
    (table,), (size, count) = struct.unpack_from("<Q", data, _TABLE), struct.unpack_from("<HH", data, _ENTRIES)
    for entry in range(table, table + size * count, size):
        struct.pack_into("<Q", data, entry + _ADDRESS, 0)
    return bytes(data)


def directories_for(executable: str, setting: str) -> Sequence[str]:
    """Return where modules are looked for: the user's directories (separated by colons), beside the kernel's file."""
    own = os.path.dirname(os.path.realpath(executable))
    return (*filter(None, setting.split(":")), own, os.path.join(os.path.dirname(own), "modules"))


# `-` and `_` are one and the same in the names of modules.
def _files_named(name: str, directories: Sequence[str]) -> Iterator[str]:
    wanted = f"{name.replace('-', '_')}.ko"
    for directory in directories:
        seen = 0
        for folder, folders, files in os.walk(directory):
            folders.sort()
            yield from (os.path.join(folder, file) for file in files if file.replace("-", "_") == wanted)
            seen += len(files)
            if seen > _MOST_FILES:
                break
