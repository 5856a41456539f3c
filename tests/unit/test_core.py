"""offline/ on core dumps built byte by byte: what no real dump shows in one place."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Optional

import pytest
from elf_builder import CORE, LOAD, NOTE, Builder, note

from gdb_kdbg.dumps.core import CoreTarget
from gdb_kdbg.dumps.expressions import evaluate
from gdb_kdbg.errors import BadFile, KdbgError, MemoryFault, NotSupported
from gdb_kdbg.units import Address, Size

FS_BASE, RIP, RSP = 21, 16, 19  # places in user_regs_struct
PAGE = 4096


def status(number: int = 7, **registers: int) -> bytes:
    values = [0] * 27
    for name, value in registers.items():
        values[{"fs_base": FS_BASE, "rip": RIP, "rsp": RSP}[name]] = value
    data = struct.pack("<32xi76x27Q8x", number, *values)
    return note(b"CORE", 1, data)


def opened(folder: Path, notes: bytes, *loads: tuple[int, bytes, int]) -> CoreTarget:
    builder = Builder(type=CORE)
    builder.segment(NOTE, 0, notes)
    for address, data, physical in loads:
        builder.segment(LOAD, address, data, memory_size=max(len(data), PAGE), physical=physical)
    path = folder / "core"
    path.write_bytes(builder.build())
    return CoreTarget.open(str(path))


def read(target: CoreTarget, address: int, size: int) -> Optional[bytes]:
    try:
        return target.read_memory(Address(address), Size(size))
    except MemoryFault:
        return None


def test_threads(tmp_path: Path) -> None:
    target = opened(tmp_path, status(7, rip=0x1000, fs_base=0x5000) + status(8, rip=0x2000))
    assert [thread.number for thread in target.threads] == [7, 8]
    assert (target.register("rip"), target.register("fs_base")) == (0x1000, 0x5000)
    assert target.select(1).register("pc") == 0x2000
    assert target.register("cr3") is None


def test_what_was_not_dumped_is_not_zero(tmp_path: Path) -> None:
    target = opened(tmp_path, status(), (0x1000, b"abc", 0))
    assert read(target, 0x1000, 3) == b"abc"
    assert read(target, 0x1000, 4) is None
    assert read(target, 0x1800, 1) is None


def test_neighbours_and_overlaps(tmp_path: Path) -> None:
    target = opened(tmp_path, status(), (0x1000, b"a" * PAGE, 0), (0x2000, b"b" * PAGE, 0), (0x1800, b"c" * 16, 0))
    assert read(target, 0x1FFE, 4) == b"aabb"
    assert read(target, 0x17FF, 18) == b"a" + b"c" * 16 + b"a"
    assert read(target, 0x1800, 18) == b"c" * 16 + b"aa"


def test_pages_that_were_not_dumped_come_from_their_file(tmp_path: Path) -> None:
    mapped = tmp_path / "mapped"
    mapped.write_bytes(b"x" * PAGE + b"last")
    ranges = struct.pack("<5Q", 1, PAGE, 0x10000, 0x13000, 0) + str(mapped).encode() + b"\0"
    loads = (0x10000, b"dumped", 0), (0x10800, b"changed", 0)
    target = opened(tmp_path, status() + note(b"CORE", 0x46494C45, ranges), *loads)
    assert read(target, 0x10000, 8) == b"dumpedxx"
    assert read(target, 0x107FF, 9) == b"xchangedx"
    assert read(target, 0x11000, 8) == b"last" + bytes(4), "the rest of the last page is zero"
    assert read(target, 0x11FFF, 2) is None, "no page behind the end of the file"


@pytest.mark.parametrize("count", [1, 2, 1 << 40, (1 << 64) - 1])
def test_a_file_note_that_contradicts_itself(tmp_path: Path, count: int) -> None:
    with pytest.raises(BadFile):
        opened(tmp_path, status() + note(b"CORE", 0x46494C45, struct.pack("<2Q", count, PAGE)))


def test_no_registers(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no registers"):
        opened(tmp_path, note(b"CORE", 6, bytes(16)))
    with pytest.raises(BadFile, match="NT_PRSTATUS note has 10 bytes"):
        opened(tmp_path, note(b"CORE", 1, bytes(10)))


def test_frames_without_any_file_stop_at_once(tmp_path: Path) -> None:
    target = opened(tmp_path, status(rip=0x401000, rsp=0x1000), (0x1000, struct.pack("<Q", 0x401005) * 16, 0))
    assert [(frame.pc, frame.sp) for frame in target.frames(10)] == [(0x401000, 0x1000)]
    assert target.frames(0) == ()


def qemu(cr3: int) -> bytes:
    control = [1 << 31, 0, 0, cr3, 0x20, 0]
    segments = [field for _ in range(10) for field in (8, 0, 0, 0, 0x7000)]
    return note(b"QEMU", 0, struct.pack("<II18Q" + "IIIIQ" * 10 + "6Q", 1, 0, *[3] * 18, *segments, *control))


def test_a_guest_is_read_through_its_page_tables(tmp_path: Path) -> None:
    root, directories, directory, table, page = (bytearray(PAGE) for _ in range(5))
    struct.pack_into("<Q", root, 8 * 511, 0x1003)
    struct.pack_into("<QQ", directories, 8 * 510, 0x2003, 0x40000083)  # the last: one page of 1 GiB
    struct.pack_into("<QQ", directory, 0, 0x3003, 0x200083)  # the second: one of 2 MiB
    struct.pack_into("<Q", table, 8 * 3, 0x8000000000004003)
    page[:4] = b"page"
    low = bytes(root + directories + directory + table + page)
    loads = [(0, low, 0), (0x200000, b"large" + bytes(8), 0x200000), (0x40000000, b"huge" + bytes(8), 0x40000000)]
    target = opened(tmp_path, status() + qemu(cr3=0), *loads)
    base = 0xFFFFFFFF80000000
    assert read(target, base + 0x3000, 4) == b"page"
    assert read(target, base + 0x200000, 5) == b"large"
    assert read(target, base + (1 << 30), 4) == b"huge"
    assert read(target, base + 0x2000, 4) is None, "not present"
    assert read(target, 0x4000, 4) is None, "a physical address is not a virtual one"
    assert read(target, base - (1 << 63), 4) is None, "not canonical"
    assert target.register("fs_base") == 0x7000


def test_expressions() -> None:
    registers, memory = {7: 0x1000, 16: 0x100B}, {0x10A0: 5}
    for code, expected in [
        ("7708", 0x1008),  # breg7 +8
        ("77a00106", 5),  # breg7 +160; deref
        ("77088000 3f 1a 3b 2a 33 24 22", 0x1010),  # the one of every PLT
        ("0bfeff", (1 << 64) - 2),  # const2s -2
        ("2305", 0x2A + 5),  # plus_uconst on what was pushed
    ]:
        assert evaluate(bytes.fromhex(code), registers.__getitem__, memory.__getitem__, [0x2A]) == expected
    for bad in ("", "22", "77", "e0", "0c0000"):
        with pytest.raises(NotSupported):
            evaluate(bytes.fromhex(bad), registers.__getitem__, memory.__getitem__)


def test_damaged_cores(tmp_path: Path) -> None:
    builder = Builder(type=CORE)
    ranges = struct.pack("<5Q", 1, PAGE, 0x10000, 0x13000, 0) + b"/bin/true\0"
    builder.segment(NOTE, 0, status(rip=0x10100, rsp=0x1000) + note(b"CORE", 0x46494C45, ranges))
    builder.segment(LOAD, 0x1000, struct.pack("<Q", 0x10105) * 64)
    data, chance = builder.build(), random.Random(7)
    for number in range(100):
        copy = bytearray(data)
        for _ in range(chance.choice((1, 2, 8))):
            place = chance.randrange(len(copy))
            copy[place : place + 8] = chance.choice((b"\xff" * 8, bytes(8), struct.pack("<Q", chance.getrandbits(64))))
        path = tmp_path / str(number)
        path.write_bytes(bytes(copy[: chance.choice((len(data), len(data), chance.randrange(len(data))))]))
        try:
            target = CoreTarget.open(str(path))
            target.frames(10)
            target.location(Address(0x10100))
            target.read_memory(Address(0x1000), Size(64))
        except KdbgError:
            pass
