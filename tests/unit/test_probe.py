"""The probe's machine code in an ELF file: the mask of its index, and where a record is half written."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import pytest
from elf_builder import DYN, EXEC, LOAD, PROGBITS, Builder
from fakes import FakeTarget
from stories import DATA as BYTES
from stories import GOOD, GUARD, Kernel, only, scene_of

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.probe import probe_code, probes_of
from gdb_kdbg.ranges import Range
from gdb_kdbg.ring import read_ring
from gdb_kdbg.ring_layout import find_layout
from gdb_kdbg.target import Objfile
from gdb_kdbg.units import Address, Size

TEXT, DATA = 0x1000, 0x3000
INDEX = DATA + 8
# A file's name is what its parsed form is kept under.
names = itertools.count()


def probe(mask: int = 0x1F, index: int = INDEX, at: int = TEXT) -> bytes:
    """A probe as compiled: counts, masks, writes the four words."""
    code = bytes.fromhex("b801000000")  # mov eax, 1
    count = at + len(code)
    code += bytes.fromhex("f0480fc105") + struct.pack("<i", index - (count + 9))  # lock xadd [rip + index], rax
    code += bytes.fromhex("83e0") + bytes([mask])  # and eax, mask
    code += bytes.fromhex("48c1e005")  # shl rax, 5
    code += bytes.fromhex("48893c03")  # mov [rbx + rax], rdi
    code += bytes.fromhex("4889740308")  # mov [rbx + rax + 8], rsi
    return code + b"\xc3"  # ret


WRITING = Range(Address(TEXT + 14), Size(len(probe()) - 15))


def file_of(directory: Path, code: bytes, flags: int = 6, type: int = EXEC) -> str:
    builder = Builder(type=type)
    builder.segment(LOAD, TEXT, code)
    builder.segment(LOAD, DATA, bytes(64))
    builder.section(".text", PROGBITS, TEXT, code, flags=flags)
    path = directory / f"kernel-{next(names)}.elf"
    path.write_bytes(builder.build())
    return str(path)


def target_of(path: str, bias: int = 0) -> FakeTarget:
    target = FakeTarget()
    target.files = [Objfile(path, bias)]
    return target


def test_the_mask_is_read_from_the_code_behind_the_count(tmp_path: Path) -> None:
    code = probe_code(target_of(file_of(tmp_path, probe())), Address(INDEX))
    assert code is not None and (code.mask, code.writing) == (0x1F, WRITING)


@pytest.mark.parametrize(
    ("assembly", "code"),
    [
        ("add qword ptr [rip + index], 1", "488305" + (INDEX - TEXT - 8).to_bytes(4, "little").hex() + "01"),
        ("add qword ptr [rip + index], 256", "488105" + (INDEX - TEXT - 11).to_bytes(4, "little").hex() + "00010000"),
        ("inc qword ptr [rip + index]", "48ff05" + (INDEX - TEXT - 7).to_bytes(4, "little").hex()),
        ("inc qword ptr [index]", "48ff0425" + INDEX.to_bytes(4, "little").hex()),
        ("mov qword ptr [rip + index], rax", "488905" + (INDEX - TEXT - 7).to_bytes(4, "little").hex()),
    ],
)
def test_whatever_writes_the_index_counts(tmp_path: Path, assembly: str, code: str) -> None:
    count = bytes.fromhex(code)
    found = probe_code(target_of(file_of(tmp_path, count + bytes.fromhex("83e03fc3"))), Address(INDEX))
    assert found is not None, assembly
    # Nothing is stored behind the count, so nothing is ever half written.
    assert (found.mask, found.writing) == (0x3F, Range(Address(TEXT + len(count)), Size(0)))


def test_a_mask_in_front_of_the_count_is_found(tmp_path: Path) -> None:
    before = bytes.fromhex("48c7c11f0000004821c183e11f")  # mov rcx, 31; and rcx, rax; and ecx, 31
    at = TEXT + len(before)
    count = bytes.fromhex("48ff05") + (INDEX - at - 7).to_bytes(4, "little")  # inc qword ptr [rip + index]
    found = probe_code(target_of(file_of(tmp_path, before + count + b"\xc3")), Address(INDEX))
    assert found is not None and (found.mask, found.writing.size) == (0x1F, 0)


def test_an_address_that_is_only_mentioned_is_no_probe(tmp_path: Path) -> None:
    code = b"\xb8" + INDEX.to_bytes(4, "little") + b"\xc3"  # mov eax, index; ret
    assert probe_code(target_of(file_of(tmp_path, code * 3)), Address(INDEX)) is None


def test_a_relocated_file_is_searched_at_its_load_bias(tmp_path: Path) -> None:
    target = target_of(file_of(tmp_path, probe(), type=DYN), bias=0x10000)
    code = probe_code(target, Address(INDEX + 0x10000))
    assert code is not None and code.writing == Range(Address(WRITING.start + 0x10000), WRITING.size)
    assert probe_code(target, Address(INDEX)) is None


def test_a_probe_in_front_of_other_code_is_found(tmp_path: Path) -> None:
    padding = b"\x90" * 7 + b"\xc3" + b"\x90" * 5
    path = file_of(tmp_path, padding + probe(at=TEXT + len(padding)) + b"\x90" * 40)
    code = probe_code(target_of(path), Address(INDEX))
    assert code is not None and code.mask == 0x1F


def test_code_that_only_reads_the_index_is_no_probe(tmp_path: Path) -> None:
    reader = bytes.fromhex("488b05") + struct.pack("<i", INDEX - (TEXT + 7)) + b"\xc3"  # mov rax, [rip + index]
    assert probes_of(target_of(file_of(tmp_path, reader)), Address(INDEX)) == []


def test_code_that_counts_something_else_is_no_probe(tmp_path: Path) -> None:
    assert probe_code(target_of(file_of(tmp_path, probe(index=INDEX + 16))), Address(INDEX)) is None


def test_a_number_that_is_no_mask_is_not_taken_for_one(tmp_path: Path) -> None:
    code = probe_code(target_of(file_of(tmp_path, probe(mask=0x1E))), Address(INDEX))
    assert code is not None and code.mask is None


def test_sections_without_code_are_not_searched(tmp_path: Path) -> None:
    assert probe_code(target_of(file_of(tmp_path, probe(), flags=2)), Address(INDEX)) is None


@pytest.mark.parametrize("content", [None, b"", b"\x7fELF", b"no ELF file" * 100])
def test_a_file_that_cannot_be_read_has_no_probe(tmp_path: Path, content: "bytes | None") -> None:
    path = tmp_path / f"kernel-{next(names)}.elf"
    if content is not None:
        path.write_bytes(content)
    assert probes_of(target_of(str(path)), Address(INDEX)) == []


def test_each_probe_of_a_kernel_is_found(tmp_path: Path) -> None:
    first = probe()
    path = file_of(tmp_path, first + probe(at=TEXT + len(first)))
    assert len(probes_of(target_of(path), Address(INDEX))) == 2


def ring_of(path: str, limit: int = 0) -> FakeTarget:
    target = target_of(path)
    target.define("ucopy_trace_buf", 0x8000, 0, limit)
    target.define("ucopy_trace_idx", INDEX)
    return target


def test_the_capacity_of_a_ring_without_sizes_comes_from_the_mask(tmp_path: Path) -> None:
    layout = find_layout(ring_of(file_of(tmp_path, probe())), "")
    assert (layout.capacity, layout.capacity_from) == (32, "mask in the probe")


def test_a_mask_too_large_for_the_room_there_is_is_not_believed(tmp_path: Path) -> None:
    path = file_of(tmp_path, probe())
    assert find_layout(ring_of(path, 0x8000 + 32 * 32), "").capacity_from == "mask in the probe"
    layout = find_layout(ring_of(path, 0x8000 + 31 * 32), "")
    assert (layout.capacity, layout.capacity_from) == (16, "distance to the next symbol")


def stopped_at(pc: int, directory: Path) -> Kernel:
    kernel = Kernel()
    kernel.files = [Objfile(file_of(directory, probe()), 0)]
    kernel.define("ucopy_trace_idx", INDEX)
    for _ in range(33):
        kernel.copy(0x5000, 8)
    kernel.put_words(INDEX, 33)
    kernel.registers["rip"] = pc
    return kernel


@pytest.mark.parametrize("pc", [WRITING.start, WRITING.end - 1])
def test_the_newest_record_is_torn_while_the_probe_writes_it(pc: int, tmp_path: Path) -> None:
    report = read_ring(stopped_at(pc, tmp_path))
    assert [record.sequence for record in report.records if record.torn] == [32]
    assert report.problems == (f"record 32 is torn: the target is stopped inside the probe, at {pc:#x}",)


@pytest.mark.parametrize("pc", [WRITING.start - 1, WRITING.end])
def test_before_it_counts_and_when_it_has_written_nothing_is_torn(pc: int, tmp_path: Path) -> None:
    report = read_ring(stopped_at(pc, tmp_path))
    assert not any(record.torn for record in report.records)
    assert report.problems == ()


def test_an_empty_or_damaged_ring_has_no_torn_record(tmp_path: Path) -> None:
    kernel = stopped_at(WRITING.start, tmp_path)
    for total in (0, 1 << 48):
        kernel.put_words(INDEX, total)
        report = read_ring(kernel)
        assert not any(record.torn for record in report.records)
        assert "torn" not in "".join(report.problems)


def test_a_torn_record_is_never_accused(tmp_path: Path) -> None:
    kernel = stopped_at(WRITING.end, tmp_path)
    kernel.copy(GUARD - 4, 4)
    kernel.put_words(INDEX, 34)
    kernel.put(GUARD - 4, BYTES[:8])
    assert only(explain(scene_of(kernel, GOOD)).findings).facts.verdict == "routine at fault"
    kernel.registers["rip"] = WRITING.start
    assert only(explain(scene_of(kernel, GOOD)).findings).facts.verdict != "routine at fault"
