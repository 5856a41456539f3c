"""linkmap.py on memory made by hand: the auxiliary vector, the dynamic linker's list, and how far to trust them."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Optional, Sequence

import pytest
from elf_builder import DYN, DYNAMIC, LOAD, Builder
from fakes import FakeTarget

from gdb_kdbg.elf import ElfFile, open_elf
from gdb_kdbg.linkmap import LoadedObject, header_agrees, loaded_objects, mismatch, other_dynamic

BASE, DYNAMIC_AT, ENTRY = 0x555555554000, 0x3000, 0x1040
LIST, LD_SO = 0x7FFFF7FFE2E0, 0x7FFFF7FCA000
INTERP, PHDR, NAMES, R_DEBUG, VDSO = 0x318, 0x40, 0x7FFFF7FFE800, 0x7FFFF7FFE110, 0x7FFFF7FC8000
PAGE = 4096


def program_header(kind: int, address: int, size: int, offset: Optional[int] = None) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 4, address if offset is None else offset, address, address, size, size, 8)


def auxiliary(base: int = BASE, count: int = 4) -> dict[int, int]:
    return {3: base + PHDR, 4: 56, 5: count, 7: LD_SO, 9: base + ENTRY, 31: NAMES + 0x200, 33: VDSO}


def process(debug: int = R_DEBUG, base: int = BASE) -> FakeTarget:
    """A PIE with an interpreter, whose DT_DEBUG holds `debug`; its memory is whole pages."""
    target = FakeTarget(kind="native", cr3=None)
    target.auxiliary = auxiliary(base)
    headers = (program_header(6, PHDR, 224), program_header(3, INTERP, 28), program_header(1, 0, 0x1000))
    target.map(base, bytes(4 * PAGE))
    target.put(base + PHDR, b"".join(headers) + program_header(2, DYNAMIC_AT, 64))
    target.put(base + INTERP, b"/lib64/ld-linux-x86-64.so.2\0")
    target.put_words(base + DYNAMIC_AT, 1, 99, 21, debug, 0, 0)
    target.map(LIST // PAGE * PAGE, bytes(2 * PAGE))
    target.put(NAMES + 0x200, b"/usr/bin/program\0")
    return target


def put_list(target: FakeTarget, nodes: Sequence[tuple[int, bytes, int]], at: int = LIST, version: int = 1) -> None:
    """Write r_debug and a list of (l_addr, name, l_ld), each node 0x30 behind the last."""
    target.put_words(R_DEBUG, version, at)
    text = at + 0x30 * len(nodes)
    for number, (bias, name, dynamic) in enumerate(nodes):
        node = at + 0x30 * number
        target.put_words(node, bias, text, dynamic, node + 0x30 if number + 1 < len(nodes) else 0, 0)
        target.put(text, name + b"\0")
        text += len(name) + 1


MAIN = (BASE, b"", BASE + DYNAMIC_AT)
LIBC = (0x7FFFF7DD4000, b"/lib/libc.so.6", 0x7FFFF7FA6000)
LOADER = (LD_SO, b"/lib64/ld-linux-x86-64.so.2", 0x7FFFF7FFCE60)
MAIN_OBJECT = LoadedObject("/usr/bin/program", BASE, BASE + DYNAMIC_AT, BASE + ENTRY)


def test_the_list_of_the_dynamic_linker() -> None:
    target = process()
    put_list(target, [MAIN, (VDSO, b"linux-vdso.so.1", VDSO + 0x3E0), LIBC, LOADER])
    found = loaded_objects(target)
    assert found[0] == MAIN_OBJECT
    assert [tuple(other[:3]) for other in found[1:]] == [
        ("/lib/libc.so.6", LIBC[0], LIBC[2]),
        ("/lib64/ld-linux-x86-64.so.2", LD_SO, LOADER[2]),
    ]


def test_few_reads_for_many_files() -> None:
    target = process()
    put_list(target, [MAIN] + [(0x7F0000000000 + n * 0x10000, b"/l/%d" % n, 0x1000 + n) for n in range(20)])
    assert len(loaded_objects(target)) == 21
    assert len(target.reads) <= 5


@pytest.mark.parametrize("debug", [0, 0x1234, R_DEBUG])
def test_before_the_list_is_made(debug: int) -> None:
    found = loaded_objects(process(debug))
    assert found == (MAIN_OBJECT, LoadedObject("/lib64/ld-linux-x86-64.so.2", LD_SO))


def test_a_kernel_has_none() -> None:
    target = process()
    target.auxiliary = {}
    assert loaded_objects(target) == () and target.reads == []


@pytest.mark.parametrize("kind", [2, 3], ids=["EXEC", "DYN"])
def test_a_static_program_without_a_segment_for_its_headers(kind: int) -> None:
    base = 0x7FFFF7F47000 if kind == 3 else 0x400000
    link = 0 if kind == 3 else base
    target = FakeTarget(kind="native", cr3=None)
    entry = link + ENTRY
    header = b"\x7fELF".ljust(16, b"\2") + struct.pack("<HHIQQQIHHH", kind, 62, 1, entry, 64, 0, 0, 64, 56, 1)
    target.map(base, header.ljust(64, b"\0") + program_header(1, link, 0x1000, offset=0))
    target.auxiliary = {3: base + 64, 4: 56, 5: 1, 9: base + ENTRY}
    assert loaded_objects(target) == (LoadedObject("", base - link, 0, base + ENTRY),)
    target.auxiliary[9] += 0x1000
    assert loaded_objects(target) == (), "the entry point contradicts it"


def test_a_file_below_where_it_was_linked() -> None:
    target = process()
    put_list(target, [MAIN, ((1 << 64) - 0x1000, b"/low", 0x5000)])
    assert loaded_objects(target)[1].load_bias == -0x1000


def test_namespaces_of_dlmopen() -> None:
    target = process()
    put_list(target, [MAIN, LIBC], version=2)
    second = R_DEBUG + 0x400
    target.put_words(R_DEBUG + 40, second)
    node = LIST + 0x800
    target.put_words(second, 2, node)
    target.put_words(second + 40, R_DEBUG)  # in a circle
    target.put_words(node, 0x7FFFF0000000, LIST + 0x30 * 2 + 1, 0x7FFFF0001000, 0, 0)
    assert [found.load_bias for found in loaded_objects(target)] == [BASE, LIBC[0], 0x7FFFF0000000]


def test_a_list_in_a_circle_ends() -> None:
    target = process()
    put_list(target, [MAIN, LIBC, LOADER])
    target.put_words(LIST + 0x60 + 24, LIST)
    assert [found.load_bias for found in loaded_objects(target)] == [BASE, LIBC[0], LD_SO]


def test_a_list_without_an_end_is_cut() -> None:
    target = process()
    nodes = 6000
    target.map(
        0x7FFF00000000, b"".join(struct.pack("<6Q", 0, 0, n, 0x7FFF00000000 + 48 * n, 0, 0) for n in range(1, nodes))
    )
    target.put_words(R_DEBUG, 1, 0x7FFF00000000)
    assert len(loaded_objects(target)) == 4097


def test_what_cannot_be_read_ends_the_list() -> None:
    target = process()
    put_list(target, [MAIN, LIBC, LOADER])
    target.put_words(LIST + 0x30 + 24, 0xDEAD0000)
    assert [found.load_bias for found in loaded_objects(target)] == [BASE, LIBC[0]]


def test_a_name_that_cannot_be_read_is_empty_and_one_may_cross_pages() -> None:
    target = process()
    put_list(target, [MAIN, LIBC, LOADER])
    target.put_words(LIST + 0x30 + 8, 0xDEAD0000)
    edge = LIST // PAGE * PAGE + PAGE - 4
    target.put(edge, b"/across/pages\0")
    target.put_words(LIST + 0x60 + 8, edge)
    assert [found.name for found in loaded_objects(target)[1:]] == ["", "/across/pages"]


@pytest.mark.parametrize("changes", [{4: 32}, {5: 0}, {5: 60000}, {3: 0}, {3: 0xDEAD0000}, {3: (1 << 64) - 8}])
def test_a_vector_that_says_nothing(changes: dict[int, int]) -> None:
    target = process()
    target.auxiliary.update(changes)
    assert loaded_objects(target) == ()


def test_hostile_memory_raises_nothing() -> None:
    chance = random.Random(3)
    for _ in range(500):
        target = process()
        put_list(target, [MAIN, LIBC, LOADER])
        for place in (BASE + PHDR, BASE + DYNAMIC_AT, R_DEBUG, LIST):
            if chance.random() < 0.5:
                target.put(place + chance.randrange(200), chance.randbytes(8))
        assert len(loaded_objects(target)) <= 4097


def built(folder: Path, name: str = "file", entry_data: bytes = b"") -> ElfFile:
    builder = Builder(type=DYN)
    builder.segment(DYNAMIC, DYNAMIC_AT, bytes(32))
    builder.segment(LOAD, 0, bytes(0x100))
    path = folder / name
    path.write_bytes(builder.build() + entry_data)
    return open_elf(str(path))


def test_a_file_that_agrees_with_the_process(tmp_path: Path) -> None:
    elf, memory = built(tmp_path), FakeTarget()
    assert mismatch(memory, elf, LoadedObject("", BASE, BASE + DYNAMIC_AT, BASE + elf.entry)) is None
    assert mismatch(memory, elf, LoadedObject("", BASE, BASE + DYNAMIC_AT)) is None
    assert "entry point at" in (mismatch(memory, elf, LoadedObject("", BASE, 0, BASE + elf.entry + 16)) or "")
    assert "dynamic section at" in (mismatch(memory, elf, LoadedObject("", BASE, BASE)) or "")
    assert memory.reads == []


def test_the_file_header_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    raw = bytearray(built(tmp_path).read_file(0, built(tmp_path).size))
    struct.pack_into("<Q", raw, 64 + 56 + 8, 0)  # its LOAD segment begins with the file header
    path.write_bytes(raw)
    elf, memory = open_elf(str(path)), FakeTarget()
    assert header_agrees(memory, elf, BASE) is None, "it cannot be read"
    memory.map(BASE, bytes(raw[:PAGE]).ljust(PAGE, b"\0"))
    assert header_agrees(memory, elf, BASE) is True
    assert mismatch(memory, elf, LoadedObject("", BASE)) is None
    memory.put(BASE + 40, b"\x99" * 8)  # e_shoff: it was stripped
    assert header_agrees(memory, elf, BASE) is True
    memory.put(BASE + 64 + 56 + 16, b"\x99")  # p_vaddr of the LOAD segment
    assert header_agrees(memory, elf, BASE) is False
    memory.put(BASE + 64 + 56 + 16, bytes(raw[64 + 56 + 16 :][:1]))
    assert header_agrees(memory, elf, BASE) is True
    memory.put(BASE + 24, b"\x99")  # e_entry
    assert header_agrees(memory, elf, BASE) is False
    assert "another header" in (mismatch(memory, elf, LoadedObject("", BASE)) or "")


STRTAB, SYMTAB, STRSZ, DEBUG = 5, 6, 10, 21


def with_dynamic(folder: Path, *pairs: tuple[int, int]) -> ElfFile:
    builder = Builder(type=DYN)
    builder.segment(DYNAMIC, DYNAMIC_AT, packed(*pairs, (0, 0)))
    path = folder / "dynamic"
    path.write_bytes(builder.build())
    return open_elf(str(path))


def packed(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<QQ", *pair) for pair in pairs)


def test_the_dynamic_section_in_memory(tmp_path: Path) -> None:
    elf, memory = with_dynamic(tmp_path, (STRTAB, 0x400), (SYMTAB, 0x300), (STRSZ, 166), (DEBUG, 0)), FakeTarget()
    assert other_dynamic(memory, elf, BASE) is None, "it cannot be read"

    def there(*pairs: tuple[int, int]) -> bool:
        memory.map(BASE + DYNAMIC_AT // PAGE * PAGE, bytes(PAGE))
        memory.put(BASE + DYNAMIC_AT, packed(*pairs))
        return other_dynamic(memory, elf, BASE) is not None

    assert not there((STRTAB, 0x400), (SYMTAB, 0x300), (STRSZ, 166), (DEBUG, 0)), "as in the file"
    assert not there((STRTAB, BASE + 0x400), (SYMTAB, BASE + 0x300), (STRSZ, 166), (DEBUG, R_DEBUG)), "relocated"
    assert there((STRTAB, BASE + 0x400), (SYMTAB, BASE + 0x300), (STRSZ, 180), (DEBUG, R_DEBUG)), "other strings"
    assert there((STRTAB, BASE + 0x400), (SYMTAB, BASE + 0x300), (DEBUG, R_DEBUG), (0, 0)), "other entries"
    assert not there((0, 0), (0, 0), (0, 0), (0, 0)), "left out of the dump"
    assert not there((STRTAB, 0x400), (SYMTAB, 0x300), (0x4141414141414141, 0x4141414141414141)), "its end overwritten"
    assert not there((STRTAB, 0x400), (0x4141414141414141, 0x4141414141414141), (STRSZ, 166)), "overwritten"
    assert other_dynamic(memory, with_dynamic(tmp_path, (STRSZ, 1)), BASE) is None, "a file of symbols alone"
