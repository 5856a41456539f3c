"""Object files as memory: where sections, symbols and relocations end up, and what hostile ones cause."""

from __future__ import annotations

import pathlib
import random
import struct
from typing import Callable, Sequence

import pytest

from gdb_kdbg.elf import open_elf
from gdb_kdbg.errors import BadFile, KdbgError, MemoryFault
from gdb_kdbg.object_image import ObjectImage
from gdb_kdbg.units import Address, Size

BASE = 0x400000
PROGBITS, SYMTAB, STRTAB, RELA, NOBITS = 1, 2, 3, 4, 8
WRITE, ALLOC, EXECUTE, TLS = 1, 2, 4, 0x400
ABS, COMMON = 0xFFF1, 0xFFF2
LOCAL, GLOBAL, WEAK = 0, 1, 2
NOTYPE, OBJECT, FUNC, SECTION, THREAD = 0, 1, 2, 3, 6

TEXT, RODATA, DATA, BSS = 1, 2, 3, 4
# name, section, value, size, type, binding; symbol 0 is the empty one.
Symbol = tuple[str, int, int, int, int, int]
SYMBOLS: Sequence[Symbol] = (
    ("copy", TEXT, 0x10, 0x20, FUNC, GLOBAL),
    ("copy_tail", TEXT, 0x20, 0, NOTYPE, LOCAL),
    ("table", RODATA, 0x8, 0x10, OBJECT, LOCAL),
    ("counter", DATA, 0x4, 4, OBJECT, GLOBAL),
    ("buffer", BSS, 0x20, 0x40, OBJECT, GLOBAL),
    ("helper", 0, 0, 0, NOTYPE, GLOBAL),
    ("perhaps", 0, 0, 0, NOTYPE, WEAK),
    ("shared", COMMON, 32, 0x18, OBJECT, GLOBAL),
    ("LIMIT", ABS, 0x1234, 0, NOTYPE, GLOBAL),
    ("mine", 5, 0x8, 4, THREAD, GLOBAL),
    ("", TEXT, 0, 0, SECTION, LOCAL),
    ("other", 0, 0, 0, NOTYPE, GLOBAL),
)
NUMBERS = {symbol[0]: number for number, symbol in enumerate(SYMBOLS, 1)}
NAMES = {"64": 1, "PC32": 2, "PLT32": 4, "GOTPCREL": 9, "32": 10, "32S": 11, "16": 12, "8": 14, "PC64": 24}
NAMES.update({"GOTOFF64": 25, "GOTPC32": 26, "SIZE32": 32, "GOTPCRELX": 41, "REX_GOTPCRELX": 42, "TPOFF32": 23})


def object_file(
    relocations: Sequence[tuple[int, int, int, int]] = (), symbols: Sequence[Symbol] = SYMBOLS
) -> bytearray:
    """An object file whose .text has relocations, as (offset, type, symbol's number, addend)."""
    strings, entries = b"\0", bytes(24)
    for name, section, value, size, kind, binding in symbols:
        entries += struct.pack("<IBBHQQ", len(strings) if name else 0, binding << 4 | kind, 0, section, value, size)
        strings += name.encode() + b"\0" if name else b""
    table = b"".join(struct.pack("<QQq", o, symbol << 32 | kind, addend) for o, kind, symbol, addend in relocations)
    rows = [
        # name, type, flags, data, size of NOBITS, link, info, alignment
        (".text", PROGBITS, ALLOC | EXECUTE, b"\x90" * 0x40, 0, 0, 0, 16),
        (".rodata", PROGBITS, ALLOC, bytes(range(0x20)), 0, 0, 0, 32),
        (".data", PROGBITS, ALLOC | WRITE, b"\x11" * 0x10, 0, 0, 0, 8),
        (".bss", NOBITS, ALLOC | WRITE, b"", 0x100, 0, 0, 64),
        (".tbss", NOBITS, ALLOC | WRITE | TLS, b"", 0x10, 0, 0, 8),
        (".comment", PROGBITS, 0, b"not loaded", 0, 0, 0, 1),
        (".ucopy_faults", PROGBITS, ALLOC, bytes(24), 0, 0, 0, 8),
        (".symtab", SYMTAB, 0, entries, 0, 9, 1, 8),
        (".strtab", STRTAB, 0, strings, 0, 0, 0, 1),
        (".rela.text", RELA, 0, table, 0, 8, TEXT, 8),
    ]
    return _packed(rows)


def _packed(rows: Sequence[tuple[str, int, int, bytes, int, int, int, int]]) -> bytearray:
    rows = [*rows, (".shstrtab", STRTAB, 0, b"", 0, 0, 0, 1)]
    names = b"\0" + b"".join(row[0].encode() + b"\0" for row in rows)
    contents, headers = b"", bytes(64)
    for name, kind, flags, data, size, link, info, alignment in rows:
        data = names if name == ".shstrtab" else data
        offset, place = names.index(name.encode() + b"\0"), 64 + len(contents)
        fields = (place, len(data) or size, link, info, alignment, 24 if kind in (SYMTAB, RELA) else 0)
        headers += struct.pack("<IIQQQQIIQQ", offset, kind, flags, 0, *fields)
        contents += data
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    sizes = (64, 0, 0, 64, len(rows) + 1, len(rows))
    return bytearray(
        ident + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64 + len(contents), 0, *sizes) + contents
    ) + (headers)


@pytest.fixture
def image_of(tmp_path: pathlib.Path) -> Callable[..., ObjectImage]:
    def make(*relocations: tuple[int, str, str, int]) -> ObjectImage:
        rows = [(offset, NAMES[kind], NUMBERS[name], addend) for offset, kind, name, addend in relocations]
        return opened(tmp_path, object_file(rows))

    return make


def opened(directory: pathlib.Path, data: bytes, base: int = BASE) -> ObjectImage:
    path = directory / f"{len(list(directory.iterdir()))}.o"
    path.write_bytes(data)
    return ObjectImage(open_elf(str(path)), base)


def read(image: ObjectImage, address: int, size: int) -> bytes:
    return image.read_memory(Address(address), Size(size))


def number_at(image: ObjectImage, address: int, width: int) -> int:
    return int.from_bytes(read(image, address, width), "little", signed=True)


def address_of(image: ObjectImage, name: str) -> int:
    symbol = image.symbol(name)
    assert symbol is not None, name
    return symbol.address


def undefined(image: ObjectImage, name: str) -> int:
    start, end = image.undefined.start, image.undefined.end
    return next(address for address in range(start, end) if image.name_of(address) == name)


def test_each_kind_of_section_begins_a_page(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of()
    assert image.range.start == BASE and image.range.size % 0x1000 == 0
    assert [address_of(image, name) for name in ("copy", "table", "counter")] == [0x400010, 0x401008, 0x402004]
    assert address_of(image, "buffer") == 0x402040 + 0x20
    assert image.section_address(".ucopy_faults") is not None
    assert (image.is_code(BASE), image.is_code(BASE + 0x1000)) == (True, False)


def test_sections_that_are_not_loaded_have_no_address(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of()
    assert image.section_address(".comment") is None
    assert image.section_address(".symtab") is None
    text = image.section_address(".text")
    assert text is not None and (text.start, text.size) == (BASE, 0x40)


def test_memory_holds_the_sections_and_what_is_between(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of()
    assert read(image, BASE + 0x3E, 4) == b"\x90\x90\xcc\xcc"
    assert read(image, 0x401000, 0x20) == bytes(range(0x20))
    assert read(image, 0x400FFF, 2) == b"\xcc\0"
    assert read(image, address_of(image, "buffer"), 0x40) == bytes(0x40)
    assert read(image, image.range.start, image.range.size).count(b"\x11" * 0x10) == 1


@pytest.mark.parametrize("place", [(BASE - 1, 1), (BASE - 1, 2), (0, 8), (BASE, 1 << 40), (BASE, -1)])
def test_a_read_outside_is_a_fault(image_of: Callable[..., ObjectImage], place: tuple[int, int]) -> None:
    with pytest.raises(MemoryFault):
        read(image_of(), *place)


def test_the_end_of_the_image_is_a_boundary(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of()
    assert len(read(image, image.range.end - 8, 8)) == 8
    with pytest.raises(MemoryFault):
        read(image, image.range.end - 8, 9)


def test_relocations_are_applied_by_the_formulas_of_the_abi(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of(
        (0, "64", "table", 4), (8, "PC32", "counter", -4), (12, "PLT32", "copy", -4), (16, "32S", "buffer", 8),
        (20, "16", "LIMIT", 1), (22, "8", "LIMIT", 0), (24, "PC64", "table", 0), (32, "SIZE32", "buffer", 1),
        (36, "32", "", 0x20),
    )  # fmt: skip
    table, counter, copy, buffer = (address_of(image, name) for name in ("table", "counter", "copy", "buffer"))
    assert number_at(image, BASE, 8) == table + 4
    assert number_at(image, BASE + 8, 4) == counter - 4 - (BASE + 8)
    assert number_at(image, BASE + 12, 4) == copy - 4 - (BASE + 12)
    assert number_at(image, BASE + 16, 4) == buffer + 8
    assert number_at(image, BASE + 20, 2) == 0x1235
    assert number_at(image, BASE + 22, 1) == 0x34
    assert number_at(image, BASE + 24, 8) == table - (BASE + 24)
    assert number_at(image, BASE + 32, 4) == 0x41
    assert number_at(image, BASE + 36, 4) == BASE + 0x20
    assert image.problems == ()


@pytest.mark.parametrize("kind", ["GOTPCREL", "GOTPCRELX", "REX_GOTPCRELX"])
@pytest.mark.parametrize("name", ["counter", "helper", "shared"])
def test_a_slot_of_the_offset_table_holds_the_symbol(
    image_of: Callable[..., ObjectImage], kind: str, name: str
) -> None:
    image = image_of((4, kind, name, -4))
    slot = BASE + 8 + number_at(image, BASE + 4, 4)
    assert image.location(Address(number_at(image, slot, 8))) is not None
    assert str(image.location(Address(number_at(image, slot, 8)))) == name


def test_undefined_symbols_have_names_and_no_memory(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of((0, "PLT32", "helper", -4))
    called = BASE + 4 + number_at(image, BASE, 4)
    assert called == undefined(image, "helper") != undefined(image, "other")
    assert image.name_of(called) == "helper"
    assert str(image.location(Address(called))) == "helper"
    assert image.name_of(called + 1) is None and image.name_of(BASE) is None
    assert image.symbol("helper") is None
    with pytest.raises(MemoryFault):
        read(image, called, 1)


def test_a_weak_symbol_nobody_defines_is_zero(image_of: Callable[..., ObjectImage]) -> None:
    assert number_at(image_of((0, "64", "perhaps", 0)), BASE, 8) == 0


def test_common_symbols_get_aligned_space(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of((0, "64", "shared", 0))
    shared = image.symbol("shared")
    assert shared is not None and shared.address % 32 == 0 and shared.size == 0x18
    assert number_at(image, BASE, 8) == shared.address
    assert read(image, shared.address, 0x18) == bytes(0x18)


def test_what_depends_on_a_thread_is_left_and_said(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of((0, "TPOFF32", "mine", 0), (8, "64", "mine", 0), (16, "64", "LIMIT", 0))
    assert read(image, BASE, 16) == b"\x90" * 16
    assert number_at(image, BASE + 16, 8) == 0x1234
    assert len(image.problems) == 2 and all("thread-local" in problem for problem in image.problems)
    assert image.symbol("mine") is None


def test_addresses_are_named(image_of: Callable[..., ObjectImage]) -> None:
    image = image_of()
    assert str(image.location(Address(BASE + 0x25))) == "copy+0x15"
    label = image.label(Address(BASE + 0x25))
    assert label is not None and (label.name, label.address, label.limit) == ("copy_tail", BASE + 0x20, BASE + 0x40)
    assert image.location(Address(0x10)) is None and image.label(Address(0x10)) is None
    assert {"copy", "copy_tail", "table", "counter", "buffer", "shared"} <= {s.name for s in image.symbols}


def test_another_base_moves_everything(tmp_path: pathlib.Path) -> None:
    image = opened(tmp_path, object_file([(0, NAMES["64"], NUMBERS["copy"], 0)]), 0x10000000)
    assert address_of(image, "copy") == 0x10000010 == number_at(image, 0x10000000, 8)


@pytest.mark.parametrize(
    ("relocation", "text"),
    [
        ((0x3D, 2, 1, 0), "does not lie in the file"),
        ((1 << 63, 1, 1, 0), "does not lie in the file"),
        ((0, 2, 999, 0), "does not lie in the file"),
        ((0, 0x77, 1, 0), "of unknown type (0x77)"),
    ],
)
def test_a_relocation_that_makes_no_sense_is_said(
    tmp_path: pathlib.Path, relocation: tuple[int, int, int, int], text: str
) -> None:
    image = opened(tmp_path, object_file([relocation]))
    assert read(image, BASE, 0x40) == b"\x90" * 0x40
    assert [text in problem for problem in image.problems] == [True]


def test_only_some_problems_are_kept(tmp_path: pathlib.Path) -> None:
    image = opened(tmp_path, object_file([(0, 0x77 + number, 1, 0) for number in range(1000)]))
    read(image, BASE, 1)
    assert len(image.problems) == 20


def test_an_object_without_symbols_is_memory_all_the_same(tmp_path: pathlib.Path) -> None:
    image = opened(tmp_path, object_file(symbols=()))
    assert read(image, BASE, 4) == b"\x90" * 4
    assert list(image.symbols) == []


@pytest.mark.parametrize(
    ("offset", "value", "text"),
    [
        (0x10, struct.pack("<H", 2), "is no object file of x86-64: its type is EXEC"),
        (0x12, struct.pack("<H", 183), "is no object file of x86-64: its type is REL, its machine aarch64"),
    ],
)
def test_other_files_are_refused(tmp_path: pathlib.Path, offset: int, value: bytes, text: str) -> None:
    data = object_file()
    data[offset : offset + len(value)] = value
    with pytest.raises(BadFile, match=text):
        opened(tmp_path, data)


def changed_section(number: int, field: int, value: int) -> bytes:
    """An object file with one field of a section header changed; fields as in Elf64_Shdr."""
    data = object_file([(0, 1, 1, 0)])
    (start,) = struct.unpack_from("<Q", data, 0x28)
    row = list(struct.unpack_from("<IIQQQQIIQQ", data, start + 64 * number))
    row[field] = value
    struct.pack_into("<IIQQQQIIQQ", data, start + 64 * number, *row)
    return bytes(data)


@pytest.mark.parametrize(
    ("number", "field", "value"),
    [(4, 5, 1 << 62), (1, 5, 1 << 40), (1, 8, 3), (2, 8, 1 << 60), (8, 6, 999), (8, 5, 1 << 50), (10, 5, 1 << 50)],
    ids=["huge .bss", "huge .text", "alignment 3", "huge alignment", "no strings", "huge symbols", "huge relocations"],
)
def test_hostile_headers_are_bad_files(tmp_path: pathlib.Path, number: int, field: int, value: int) -> None:
    with pytest.raises(BadFile):
        read(opened(tmp_path, changed_section(number, field, value)), BASE, 0x40)


def test_random_damage_never_gets_out_as_anything_but_our_errors(tmp_path: pathlib.Path) -> None:
    chance = random.Random(4)
    original = bytes(object_file([(0, 1, 1, 0), (8, 2, 6, -4), (16, 9, 5, 0)]))
    for _ in range(300):
        data = bytearray(original)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(16, len(data))] = chance.randrange(256)
        path = tmp_path / "damaged.o"
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        try:
            image = ObjectImage(open_elf(str(path)))
            read(image, image.range.start, min(image.range.size, 1 << 20))
            list(image.symbols)
            image.location(Address(BASE + 0x12))
        except KdbgError:
            pass
