"""kernel_image.py on fake machines: where a kernel runs, found and confirmed by memory alone."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Optional

import pytest
from elf_builder import DYN, DYNAMIC, EXEC, LOAD, NOTE, Builder, Sym, note
from fakes import FakeTarget

from gdb_kdbg.elf import ElfFile, open_elf
from gdb_kdbg.kernel_image import is_astray, is_kernel_image, kernel_shift, shifted_objfiles
from gdb_kdbg.target import Objfile

BASE, SHIFT, IDT = 0xFFFFFFFF81000000, 0x1DE00000, 0xFFFFFE0000000000
HANDLER, CALLER, TABLE = 0x1990, 0x2450, 0x3000
PAGE = 4096
BUILD_ID = bytes(range(100, 120))
TEXT = random.Random(1).randbytes(3 * PAGE)
CONSTANTS = random.Random(2).randbytes(PAGE)


def kernel(
    folder: Path, with_id: bool = True, kind: int = EXEC, base: int = BASE, dynamic: bool = False, symbol: bool = True
) -> ElfFile:
    """Code, then constants that nothing may write, and perhaps a build id in the middle of the constants."""
    builder = Builder(type=kind)
    builder.segment(LOAD, base, TEXT)
    builder.segment(LOAD, base + TABLE, constants(with_id))
    if with_id:
        builder.segment(NOTE, base + TABLE + 0x200, note(b"GNU", 3, BUILD_ID))
    if dynamic:
        builder.segment(DYNAMIC, base + TABLE, bytes(16))
    builder.section(".text", 1, base, b"", size=len(TEXT))
    if symbol:
        builder.symbols([Sym("asm_exc_divide_error", base + HANDLER, 16)])
    raw = bytearray(builder.build())
    struct.pack_into("<I", raw, 64 + 56 + 4, 4)
    path = folder / f"kernel{with_id}{kind}{base:x}{dynamic}{symbol}"
    path.write_bytes(raw)
    return open_elf(str(path))


def constants(with_id: bool = True) -> bytes:
    known = note(b"GNU", 3, BUILD_ID) if with_id else b""
    return CONSTANTS[:0x200] + known + CONSTANTS[0x200 + len(known) :]


def machine(shift: Optional[int], with_id: bool = True, base: int = BASE, **registers: int) -> FakeTarget:
    target = FakeTarget(registers)
    if shift is not None:
        target.map(base + shift, TEXT)
        target.map(base + shift + TABLE, constants(with_id))
    return target


def put_gate(target: FakeTarget, at: int, handler: int) -> None:
    target.put(at, struct.pack("<HHHHII", handler & 0xFFFF, 0x10, 0x8E00, handler >> 16 & 0xFFFF, handler >> 32, 0))


@pytest.mark.parametrize("with_id", [True, False], ids=["build id", "no build id"])
def test_a_kernel_where_it_is_linked_takes_one_read(with_id: bool, tmp_path: Path) -> None:
    target = machine(0, with_id)
    found = kernel_shift(target, kernel(tmp_path, with_id))
    assert found is not None and found.amount == 0
    assert ("build id" if with_id else "read-only data") in found.evidence
    assert len(target.reads) == 1


def test_what_the_user_said_is_tried_first(tmp_path: Path) -> None:
    target = machine(SHIFT)
    found = kernel_shift(target, kernel(tmp_path), guess=SHIFT)
    assert found is not None and found.amount == SHIFT and len(target.reads) == 1
    wrong = kernel_shift(machine(SHIFT, rip=BASE + SHIFT + CALLER), kernel(tmp_path), guess=0x200000)
    assert wrong is not None and wrong.amount == SHIFT


@pytest.mark.parametrize("with_id", [True, False], ids=["build id", "no build id"])
def test_the_interrupt_table_of_linux(with_id: bool, tmp_path: Path) -> None:
    target = machine(SHIFT, with_id, rip=0x401000)
    put_gate(target, IDT, BASE + SHIFT + HANDLER)
    found = kernel_shift(target, kernel(tmp_path, with_id))
    assert found is not None and found.amount == SHIFT and "asm_exc_divide_error" in found.evidence
    assert len(target.reads) <= 5


def test_user_mode_with_the_kernel_hidden(tmp_path: Path) -> None:
    """With PTI a program's page tables hold the interrupt table and the entry code, and nothing else of the kernel."""
    target = FakeTarget({"rip": 0x401000})
    put_gate(target, IDT, BASE + SHIFT + HANDLER)
    target.map(BASE + SHIFT + PAGE, TEXT[PAGE : 2 * PAGE])
    found = kernel_shift(target, kernel(tmp_path))
    assert found is not None and found.amount == SHIFT and "its code there" in found.evidence


@pytest.mark.parametrize("with_id", [True, False], ids=["build id", "no build id"])
@pytest.mark.parametrize("shift", [SHIFT, -0xFFFFFFFF80000000], ids=["KASLR", "before paging"])
def test_the_code_around_the_pc(shift: int, with_id: bool, tmp_path: Path) -> None:
    target = machine(shift, with_id, rip=BASE + shift + CALLER)
    found = kernel_shift(target, kernel(tmp_path, with_id, symbol=False))
    assert found is not None and found.amount == shift and "around the pc" in found.evidence


def test_a_call_to_nowhere_leaves_its_return_address(tmp_path: Path) -> None:
    sp = 0xFFFF888000004F00
    target = machine(SHIFT, rip=0, rsp=sp)
    target.put_words(sp, 7, sp + 0x40, BASE + SHIFT + CALLER, *[0] * 29)
    found = kernel_shift(target, kernel(tmp_path, symbol=False))
    assert found is not None and found.amount == SHIFT and "on the stack" in found.evidence


def test_an_interrupt_table_that_the_emulator_names(tmp_path: Path) -> None:
    target = machine(SHIFT, rip=0x401000, idt_base=0xFFFF800000010000)
    put_gate(target, 0xFFFF800000010000, BASE + SHIFT + HANDLER)
    found = kernel_shift(target, kernel(tmp_path, symbol=False))
    assert found is not None and found.amount == SHIFT and "interrupt handler" in found.evidence


def test_code_that_is_patched_in_places_is_still_known(tmp_path: Path) -> None:
    target = machine(SHIFT, rip=BASE + SHIFT + CALLER)
    target.unmap(BASE + SHIFT + TABLE)
    for place in range(CALLER, CALLER + 512, 64):
        target.put(BASE + SHIFT + place, b"\x0f\x1f\x44\0\0")
    found = kernel_shift(target, kernel(tmp_path))
    assert found is not None and found.amount == SHIFT


def test_addresses_in_constants_move_with_the_kernel(tmp_path: Path) -> None:
    def table(shift: int) -> bytes:
        return struct.pack("<64Q", *(BASE + shift + 0x1110 * n for n in range(64)))

    builder = Builder()
    builder.segment(LOAD, BASE, table(0))
    (tmp_path / "table").write_bytes(builder.build())
    target = FakeTarget()
    target.map(BASE + SHIFT, table(SHIFT))
    found = kernel_shift(target, open_elf(str(tmp_path / "table")), SHIFT)
    assert found is not None and found.amount == SHIFT
    target.put(BASE + SHIFT, table(SHIFT + 0x3000))
    assert kernel_shift(target, open_elf(str(tmp_path / "table")), SHIFT) is None


@pytest.mark.parametrize("with_id", [True, False], ids=["build id", "no build id"])
def test_nothing_is_claimed_of_another_kernel(with_id: bool, tmp_path: Path) -> None:
    target = FakeTarget({"rip": BASE + SHIFT + CALLER, "rsp": BASE + SHIFT + 0x2000})
    target.map(BASE, random.Random(9).randbytes(4 * PAGE))
    target.map(BASE + SHIFT, random.Random(8).randbytes(4 * PAGE))
    put_gate(target, IDT, BASE + SHIFT + HANDLER)
    assert kernel_shift(target, kernel(tmp_path, with_id)) is None
    assert len(target.reads) <= 12


def test_another_build_of_the_same_code_is_another_kernel(tmp_path: Path) -> None:
    target = machine(SHIFT, rip=BASE + SHIFT + CALLER)
    target.put(BASE + SHIFT + TABLE + 0x200 + 16, b"another build id....")
    assert kernel_shift(target, kernel(tmp_path)) is None


@pytest.mark.parametrize("memory", [b"\0", b"\xcc", b"\x90"])
def test_empty_memory_confirms_nothing(memory: bytes, tmp_path: Path) -> None:
    target = FakeTarget({"rip": BASE + CALLER})
    target.map(BASE, memory * 4 * PAGE)
    assert kernel_shift(target, kernel(tmp_path, with_id=False)) is None


def test_kernel_images(tmp_path: Path) -> None:
    assert is_kernel_image(kernel(tmp_path))
    assert not is_kernel_image(kernel(tmp_path, dynamic=True))
    assert not is_kernel_image(kernel(tmp_path, base=0x400000))


def test_files_of_a_machine(tmp_path: Path) -> None:
    target = machine(SHIFT, rip=BASE + SHIFT + CALLER)
    fixed = Objfile(kernel(tmp_path, base=0x400000).path, 0)
    gone = Objfile(str(tmp_path / "gone"), 5)
    target.files = [Objfile(kernel(tmp_path).path, 0), fixed, gone]
    assert is_astray(target, target.files)
    placed = shifted_objfiles(target)
    assert [objfile.load_bias for objfile in placed.objfiles] == [SHIFT, 0, 5] and placed.problems == ()
    plain = Objfile(kernel(tmp_path, symbol=False).path, SHIFT)
    assert not is_astray(target, [plain])
    assert is_astray(target, [Objfile(plain.path, 0)])
    assert is_astray(target, placed.objfiles), "Linux may be elsewhere nevertheless"
    target.registers["rip"] = 0x401000
    assert not is_astray(target, placed.objfiles)


def test_files_of_a_process_are_taken_as_they_are(tmp_path: Path) -> None:
    target = FakeTarget({"rip": 0x1234}, kind="native", cr3=None)
    target.files = [Objfile(kernel(tmp_path, kind=DYN, base=0).path, 0x1000)]
    assert shifted_objfiles(target).objfiles == tuple(target.files) and target.reads == []


@pytest.mark.parametrize("dynamic", [True, False])
def test_slots_of_a_file_that_is_nowhere_are_not_judged(dynamic: bool, tmp_path: Path) -> None:
    target = FakeTarget({"rip": 0xFFFFFFFFC0001000})
    target.files = [Objfile(kernel(tmp_path, kind=DYN, base=0, dynamic=dynamic).path, 0)]
    placed = shifted_objfiles(target)
    assert len(placed.objfiles) == (0 if dynamic else 1)
    assert len(placed.problems) == 1 and "--bias" in placed.problems[0]
