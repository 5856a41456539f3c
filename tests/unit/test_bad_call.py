"""A call through a slot: accused only while the slot holds what the pc is, and relocation has not put it there."""

from __future__ import annotations

import pathlib
import struct
from typing import Optional, Sequence

import pytest
from elf_builder import DYN, DYNAMIC, LOAD, PROGBITS, Builder, Sym
from fakes import FakeTarget

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding
from gdb_kdbg.scene import Scene
from gdb_kdbg.session import Guards
from gdb_kdbg.target import Objfile, Signal
from gdb_kdbg.units import Address

BIAS = 0x5555_5555_0000
MAIN, BELL, STUB = 0x1000, 0x1020, 0x1040  # functions, by link-time addresses
SLOTS, RELA, TABLE = 0x3000, 0x3040, 0x3100
SLOT, SPARE, OBJECT = SLOTS, SLOTS + 8, SLOTS + 16
STACK = 0x7FFF_0000_0008
SP = STACK + 0x800
CALL_MEMORY = "ff15f01f0000"  # call [rip + SLOT], ending at MAIN + 16
CALL_RAX = "488b05f21f0000ffd0"  # mov rax, [rip + SLOT]; call rax


def write_file(directory: pathlib.Path, code: bytes) -> str:
    """A position-independent program whose SLOT is to point to BELL, and whose spare one to MAIN."""
    builder = Builder(type=DYN)
    text = code.ljust(0x20, b"\x90").ljust(0x40, b"\xc3") + bytes.fromhex("ff25ba1f0000").ljust(0x40, b"\xcc")
    rela = b"".join(struct.pack("<QQq", *entry) for entry in ((SLOT, 8, BELL), (SPARE, 8, MAIN), (OBJECT, 8, TABLE)))
    dynamic = struct.pack("<8Q", 7, RELA, 8, len(rela), 9, 24, 0, 0)
    data = struct.pack("<3Q", BELL, MAIN, TABLE).ljust(RELA - SLOTS, b"\0") + rela
    data = data.ljust(TABLE - SLOTS, b"\0") + dynamic
    builder.segment(LOAD, MAIN, text)
    builder.segment(LOAD, SLOTS, data)
    builder.segment(DYNAMIC, TABLE, dynamic)
    builder.section(".text", PROGBITS, MAIN, text)
    builder.section(".got", PROGBITS, SLOTS, data[:24])
    builder.symbols([Sym("main", MAIN, 32), Sym("ring_bell", BELL, 16), Sym("table", TABLE, 64, kind=1, section=2)])
    path = directory / "program"
    path.write_bytes(builder.build())
    return str(path)


class Program(FakeTarget):
    """Stopped where the call before MAIN + 16 went to; what the slots hold says the test."""

    def __init__(self, directory: pathlib.Path, code: str = CALL_MEMORY) -> None:
        super().__init__({"rsp": SP, "rip": 0}, "native", None)
        text = (b"\x90" * (16 - len(code) // 2) + bytes.fromhex(code)).ljust(0x20, b"\x90")
        path = write_file(directory, text)
        self.files = [Objfile(path, BIAS)]
        self.map(BIAS + MAIN, text.ljust(0x40, b"\xc3") + bytes.fromhex("ff25ba1f0000").ljust(0x40, b"\xcc"))
        self.map(BIAS + SLOTS, bytes(0x200))
        self.map(STACK, bytes(0x1000))
        self.place("main", BIAS + MAIN, 32, "main.c", 7)
        self.put_words(SP, BIAS + MAIN + 16)

    def went_to(self, pc: int, *slots: int, address: Optional[int] = None, **registers: int) -> Sequence[Finding]:
        self.put_words(BIAS + SLOTS, *slots)
        self.signal = Signal(11, 1, Address(pc if address is None else address))
        self.registers.update(registers, rip=pc)
        report = explain(Scene(self, {}, Guards()))
        assert report.problems == ()
        return report.findings


def only(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.parametrize("left", [BELL, 0])
def test_a_slot_that_holds_what_the_linker_left_is_accused(tmp_path: pathlib.Path, left: int) -> None:
    finding = only(Program(tmp_path).went_to(left, left, MAIN if left else 0, TABLE if left else 0))
    facts = finding.facts
    assert (finding.rule, finding.confidence) == ("unrelocated-call", "certain")
    assert (facts.slot_address, facts.slot_link_address, facts.section) == (BIAS + SLOT, SLOT, ".got")
    assert (facts.relocation, facts.addend, facts.symbol) == ("R_X86_64_RELATIVE", BELL, "ring_bell")
    assert (facts.expected, facts.found, facts.objfile) == (BIAS + BELL, left, "program")
    assert (facts.call_site, facts.file, facts.line) == (BIAS + MAIN + 10, "main.c", 7)
    assert facts.objfile_state == "relocations not applied yet: 0 of 3 RELATIVE slots relocated; 3 unrelocated"
    assert finding.evidence[2] == "relocation: 000000003000 R_X86_64_RELATIVE 1020"
    assert finding.next[0] == f"kdbg reloc {BIAS + SLOT:#x}"


def test_a_stub_is_followed_to_its_slot(tmp_path: pathlib.Path) -> None:
    finding = only(Program(tmp_path, "e830000000").went_to(BELL, BELL, MAIN, TABLE))
    assert (finding.confidence, finding.facts.target) == ("certain", "ring_bell")
    assert finding.evidence[1].startswith("it led to `jmp qword ptr [rip")


def test_a_file_that_is_half_relocated_is_told_as_such(tmp_path: pathlib.Path) -> None:
    finding = only(Program(tmp_path).went_to(BELL, BELL, BIAS + MAIN, BIAS + TABLE))
    assert str(finding.facts.objfile_state).startswith("partly relocated: 2 of 3 RELATIVE slots relocated")


def test_a_slot_that_is_resolved_is_never_accused(tmp_path: pathlib.Path) -> None:
    findings = Program(tmp_path).went_to(BELL, BIAS + BELL, BIAS + MAIN, BIAS + TABLE)
    assert [(f.rule, f.confidence) for f in findings] == [("bad-jump", "possible")]


def test_a_slot_that_is_something_else_was_overwritten(tmp_path: pathlib.Path) -> None:
    finding = only(Program(tmp_path).went_to(0x6666, 0x6666, BIAS + MAIN, BIAS + TABLE))
    assert (finding.rule, finding.confidence, finding.facts.found) == ("overwritten-slot", "certain", 0x6666)


def test_a_register_loaded_before_relocation_is_possible_only(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, CALL_RAX)
    relocated = (BIAS + BELL, BIAS + MAIN, BIAS + TABLE)
    finding = only(program.went_to(BELL, *relocated, rax=BELL))
    assert (finding.rule, finding.confidence) == ("unrelocated-call", "possible")
    assert any("the slot has changed since" in line for line in finding.evidence)
    assert only(program.went_to(0x6666, *relocated, rax=0x6666)).rule == "bad-jump"


def test_without_a_call_site_a_slot_that_holds_the_pc_is_a_hint(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path)
    program.put_words(SP, 0)
    finding = only(program.went_to(BELL, BELL, MAIN, TABLE))
    assert (finding.confidence, finding.facts.target, finding.facts.call_site) == ("likely", "ring_bell", None)
    half = only(program.went_to(BELL, BELL, BIAS + MAIN, TABLE))
    assert (half.rule, half.confidence) == ("unrelocated-call", "possible")
    done = program.went_to(BELL, BIAS + BELL, BIAS + MAIN, BIAS + TABLE)
    assert "unrelocated-call" not in {f.rule for f in done}


def test_a_null_pointer_from_out_of_sight_may_be_from_a_slot_in_a_file_that_is_not_relocated(
    tmp_path: pathlib.Path,
) -> None:
    finding = only(Program(tmp_path, "ffd0").went_to(0, 0, 0, 0, rax=0))
    assert finding.rule == "null-call" and "relocations not applied yet" in finding.evidence[-1]
    done = only(Program(tmp_path, "ffd0").went_to(0, BIAS + BELL, BIAS + MAIN, BIAS + TABLE, rax=0))
    assert done.rule == "null-call" and "not applied" not in done.evidence[-1]


def test_a_pointer_read_from_a_slot_is_told_where_it_is_used(tmp_path: pathlib.Path) -> None:
    code = "488b0503200000ff5018"  # mov rax, [rip + OBJECT]; call [rax + 0x18]
    program = Program(tmp_path, code)
    place = BIAS + MAIN + 13
    finding = only(program.went_to(place, BELL, MAIN, TABLE, address=TABLE + 0x18, rax=TABLE))
    assert (finding.rule, finding.confidence) == ("unrelocated-pointer", "certain")
    assert (finding.facts.symbol, finding.facts.fault_address) == ("table", TABLE + 0x18)
    relocated = (BIAS + BELL, BIAS + MAIN, BIAS + TABLE)
    assert program.went_to(place, *relocated, address=TABLE + 0x18, rax=TABLE) == ()
    assert program.went_to(place, BELL, MAIN, TABLE, address=0x99, rax=TABLE) == ()


def test_slots_are_read_in_one_piece(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path)
    program.went_to(BELL, BELL, MAIN, TABLE)
    assert len([1 for start, _ in program.reads if BIAS + SLOTS <= start < BIAS + RELA]) <= 2
    assert len(program.reads) <= 8
