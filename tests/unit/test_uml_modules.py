"""The list of a kernel's modules, and the files that they came from."""

from __future__ import annotations

import pathlib
import struct

import pytest
from elf_builder import Builder, note
from fakes import FakeTarget

from gdb_kdbg.errors import KdbgError
from gdb_kdbg.uml_modules import Module, at_zero, directories_for, find_file, list_head, read_modules
from gdb_kdbg.units import Address

HEAD, STRINGS = 0x6010_0000, 0x6011_0000
ID = bytes(range(20))
MEMBERS = {
    ("struct module", "list"): (8, 16),
    ("struct module", "name"): (24, 56),
    ("struct module", "sect_attrs"): (80, 8),
    ("struct module_sect_attrs", "nsections"): (40, 4),
    ("struct module_sect_attrs", "attrs"): (48, 0),
    ("struct module_sect_attr", "battr.attr.name"): (0, 8),
    ("struct module_sect_attr", "address"): (64, 8),
}


class Modules(FakeTarget):
    """A kernel with modules."""

    def __init__(self) -> None:
        super().__init__(kind="native", cr3=None)
        self.members = dict(MEMBERS)
        self.define("modules", HEAD)
        self.put_words(HEAD, HEAD, HEAD)
        self._links = [HEAD]
        self.map(STRINGS, bytes(4096))
        self._strings = STRINGS

    def module(self, at: int, name: str, sections: dict[str, int]) -> None:
        table = at + 0x1000
        self.map(at, bytes(8) + bytes(16) + name.encode().ljust(56, b"\0") + struct.pack("<Q", table))
        data = bytes(40) + struct.pack("<II", len(sections), 0)
        for section, address in sections.items():
            data += struct.pack("<Q", self._string(section)) + bytes(56) + struct.pack("<Q", address)
        self.map(table, data)
        self._links.append(at + 8)
        for here, there in zip(self._links, [*self._links[1:], HEAD]):
            self.put_words(here, there)

    def _string(self, text: str) -> int:
        place, self._strings = self._strings, self._strings + len(text) + 1
        self.put(place, text.encode() + b"\0")
        return place


def test_modules_and_their_sections() -> None:
    target = Modules()
    target.module(
        0x7000_0000, "overlap", {".text": 0x7300_0000, ".eh_frame": 0x7300_4000, ".note.gnu.build-id": 0x7300_8000}
    )
    target.module(0x7100_0000, "leaf", {".text": 0x7400_0000})
    target.map(0x7300_8000, note(b"GNU", 3, ID))
    first, second = read_modules(target)
    assert (first.name, first.text, first.build_id) == ("overlap", 0x7300_0000, ID.hex())
    assert first.sections[".eh_frame"] == 0x7300_4000
    assert (second.name, second.build_id) == ("leaf", "")


def test_a_kernel_without_modules() -> None:
    assert list(read_modules(Modules())) == []
    assert list(read_modules(FakeTarget())) == [] and list_head(FakeTarget()) is None


def test_the_ends_of_the_list_tell_of_a_new_module() -> None:
    target = Modules()
    before = list_head(target)
    target.module(0x7000_0000, "overlap", {})
    assert before == (HEAD, HEAD) and list_head(target) != before


def test_names_that_are_none_of_a_section_are_left_out() -> None:
    target = Modules()
    target.module(0x7000_0000, "x\x1b", {".text": 1, ".t; shell rm": 2, "\n": 3, "-s .x": 4})
    (module,) = read_modules(target)
    assert module.name == "x\\x1b" and list(module.sections) == [".text"]


@pytest.mark.parametrize("damage", ["endless", "count", "table", "members"])
def test_a_damaged_list_is_an_error(damage: str) -> None:
    target = Modules()
    target.module(0x7000_0000, "overlap", {".text": 1})
    if damage == "endless":
        target.put_words(0x7000_0008, 0x7000_0008)
    elif damage == "count":
        target.put(0x7000_1000 + 40, b"\xff\xff\xff\xff")
    elif damage == "table":
        target.put_words(0x7000_0000 + 80, 0xDEAD_0000)
    else:
        del target.members["struct module", "list"]
    with pytest.raises(KdbgError):
        list(read_modules(target))


def built(path: pathlib.Path, build_id: bytes) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    builder = Builder(type=1)
    builder.section(".note.gnu.build-id", 7, 0, note(b"GNU", 3, build_id))
    path.write_bytes(builder.build())
    return path


def test_a_file_of_another_build_is_not_taken(tmp_path: pathlib.Path) -> None:
    built(tmp_path / "a" / "over-lap.ko", bytes(20))
    right = built(tmp_path / "b" / "deeper" / "over_lap.ko", ID)
    module = Module("over_lap", {".text": Address(1)}, ID.hex())
    assert find_file(module, [str(tmp_path)]) == str(right)
    assert find_file(module, [str(tmp_path / "a")]) is None
    assert find_file(Module("other", {}), [str(tmp_path)]) is None
    (tmp_path / "broken.ko").write_bytes(b"\x7fELF")
    assert find_file(Module("broken", {}), [str(tmp_path), "/nonexistent"]) is None


def test_where_files_are_looked_for(tmp_path: pathlib.Path) -> None:
    kernel = str(tmp_path / "build" / "vmlinux")
    own = (str(tmp_path / "build"), str(tmp_path / "modules"))
    assert directories_for(kernel, "") == own
    assert directories_for(kernel, "/a:/b") == ("/a", "/b", *own)


def test_a_module_that_was_linked_to_addresses_is_read_at_zero(tmp_path: pathlib.Path) -> None:
    def module(name: str, data_at: int) -> pathlib.Path:
        builder = Builder()
        builder.section(".text", 1, 0, b"\x90" * 16)
        builder.section(".data", 1, data_at, bytes(16))
        data = bytearray(builder.build())
        struct.pack_into("<H", data, 16, 1)  # ET_REL
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    fine, odd = module("fine.ko", 0), module("odd.ko", 0x40)
    assert at_zero(str(fine)) is None
    assert at_zero(str(odd)) == fine.read_bytes()
