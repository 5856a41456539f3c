"""The rules about bad jumps and faults, on a small program: each says what holds, and is silent on its twin."""

from __future__ import annotations

import pathlib
from typing import Optional, Sequence

import pytest
from elf_builder import LOAD, PROGBITS, Builder, Sym
from fakes import FakeTarget

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.faults import SI_KERNEL
from gdb_kdbg.finding import Finding
from gdb_kdbg.scene import Scene
from gdb_kdbg.session import Guards
from gdb_kdbg.target import Objfile, Signal
from gdb_kdbg.units import Address

CODE, DATA, STACK, GONE = 0x40_1000, 0x40_4000, 0x7FFF_0000_0000, 0x7000
SP = STACK + 0x808  # 8 off a multiple of 16, as behind a call
RETURN = CODE + 16
TEXT = int.from_bytes(b"AAAAAAAA", "little")


class Program(FakeTarget):
    """A process of one file: `code` ends where a call would return to, 16 bytes into `main`."""

    def __init__(self, directory: pathlib.Path, code: str, with_symbols: bool = True) -> None:
        super().__init__({"rip": CODE, "rsp": SP, "fs_base": 0, "rbp": 0}, "native", None)
        before = bytes.fromhex(code)
        text = (b"\x90" * (16 - len(before)) + before).ljust(64, b"\x90")
        builder = Builder()
        builder.segment(LOAD, CODE, text)
        builder.section(".text", PROGBITS, CODE, text)
        if with_symbols:
            builder.symbols([Sym("main", CODE, 64)])
        path = directory / "program"
        path.write_bytes(builder.build())
        self.files = [Objfile(str(path), 0)]
        self.map(CODE, text)
        self.map(DATA, bytes(64))
        self.map(STACK, bytes(0x1000))
        self.place("main", CODE, 64, "main.c", 7)

    def stopped(self, signal: Optional[tuple[int, int, int]], **registers: int) -> Sequence[Finding]:
        self.signal = Signal(signal[0], signal[1], Address(signal[2])) if signal else None
        self.registers.update(registers)
        report = explain(Scene(self, {}, Guards()))
        assert report.problems == ()
        return report.findings

    def called(self, to: int, **registers: int) -> Sequence[Finding]:
        """The call before RETURN has just gone to an address."""
        self.put_words(SP, RETURN)
        return self.stopped((11, 1, to), rip=to, **registers)


def only(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_call_through_a_null_pointer_names_the_pointer(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, "488b05f22f0000ffd0")  # mov rax, [DATA]; call rax
    finding = only(program.called(0, rax=0))
    assert (finding.rule, finding.confidence) == ("null-call", "certain")
    assert finding.summary == "call through a null pointer: main+0xe (main.c:7) went to 0"
    assert finding.facts.call_site == CODE + 14
    assert "the pointer was read by `mov rax" in finding.evidence[1]


def test_a_register_that_does_not_hold_the_pc_was_not_what_was_called(tmp_path: pathlib.Path) -> None:
    assert Program(tmp_path, "ffd0").called(0, rax=CODE) == ()


@pytest.mark.parametrize("pointer", [0, CODE])
def test_a_call_is_found_without_any_symbol(tmp_path: pathlib.Path, pointer: int) -> None:
    program = Program(tmp_path, "ff15f02f0000", with_symbols=False)  # call [DATA]
    program.put_words(DATA, pointer)
    assert [f.rule for f in program.called(0)] == (["null-call"] if not pointer else [])


def test_what_may_have_been_a_return_to_null_is_not_certainly_a_call(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, "ffd0")
    program.put_words(SP - 8, 0, RETURN, RETURN)
    assert only(program.stopped((11, 1, 0), rip=0, rax=0)).confidence == "certain"
    assert only(program.stopped((11, 1, 0), rip=0, rax=0, rsp=SP + 8)).confidence == "certain"
    # Behind a return rsp is a multiple of 16, and the word below it is where that went.
    program.put_words(SP, 0)
    assert only(program.stopped((11, 1, 0), rip=0, rax=0, rsp=SP + 8)).confidence == "likely"


def test_a_wild_call_is_told_with_its_address(tmp_path: pathlib.Path) -> None:
    finding = only(Program(tmp_path, "ffd0").called(GONE, rax=GONE))
    assert (finding.rule, finding.confidence) == ("bad-jump", "certain")
    assert finding.summary == f"main+0xe (main.c:7) went to {GONE:#x}, where no memory is mapped"


def test_a_jump_that_nothing_leads_to_is_possible_only(tmp_path: pathlib.Path) -> None:
    finding = only(Program(tmp_path, "").stopped((11, 2, DATA), rip=DATA))
    assert (finding.rule, finding.confidence) == ("bad-jump", "possible")
    assert finding.summary == f"the pc is {DATA:#x}, which is not executable"


def test_without_a_signal_a_jump_that_nothing_leads_to_is_not_told(tmp_path: pathlib.Path) -> None:
    assert Program(tmp_path, "").stopped(None, rip=GONE) == ()


def test_a_call_to_no_address_faults_on_the_call(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, "ffd0")
    finding = only(program.stopped((11, SI_KERNEL, 0), rip=CODE + 14, rax=TEXT))
    assert finding.rule == "bad-jump" and "which is no address" in finding.summary
    assert program.stopped((11, SI_KERNEL, 0), rip=CODE + 14, rax=CODE) == ()


def test_a_return_to_text_is_a_smashed_return_address(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, "c3")  # ret
    program.put_words(SP, TEXT)
    finding = only(program.stopped((11, SI_KERNEL, 0), rip=CODE + 15, rbp=TEXT))
    assert (finding.rule, finding.confidence) == ("smashed-return", "certain")
    assert finding.summary.startswith("main+0xf (main.c:7) returned to 0x4141414141414141")
    assert (finding.facts.victim_address, finding.facts.found) == (SP, TEXT)
    assert any(line.startswith("rbp, which is saved beside it") for line in finding.evidence)


def test_a_return_to_an_address_that_exists_is_no_smashed_one(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, "c3")
    program.put_words(SP, CODE)
    assert program.stopped((11, SI_KERNEL, 0), rip=CODE + 15) == ()


@pytest.mark.parametrize(("left", "rules"), [(GONE, ["smashed-return"]), (CODE, ["bad-jump"])])
def test_a_return_leaves_its_address_below_the_stack_pointer(
    tmp_path: pathlib.Path, left: int, rules: list[str]
) -> None:
    program = Program(tmp_path, "")
    program.put_words(SP - 8, left)
    assert [f.rule for f in program.stopped((11, 1, GONE), rip=GONE)] == rules


def test_a_return_to_null_is_possible_only_and_not_told_where_a_call_was(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, "e800000000")  # call next
    assert only(program.stopped((11, 1, 0), rip=0)).confidence == "possible"
    program.put_words(SP, RETURN)
    assert program.stopped((11, 1, 0), rip=0) == ()


@pytest.mark.parametrize(("words", "summary"), [((2, SP + 64, SP + 80, 0), "entry point"), ((2, 5, 6, 0), "returned")])
def test_argc_is_where_an_entry_point_returns_to(tmp_path: pathlib.Path, words: tuple[int, ...], summary: str) -> None:
    program = Program(tmp_path, "")
    program.put_words(SP - 8, *words)
    assert summary in only(program.stopped((11, 1, 2), rip=2)).summary


MOVAPS, MOVUPS, VMOVAPS, ADDPS = "0f2807", "0f1007", "c5fc2807", "0f5807"  # of [rdi]; vmovaps ymm0


@pytest.mark.parametrize(
    ("code", "address", "alignment"),
    [(MOVAPS, DATA + 8, 16), (MOVAPS, DATA, 0), (MOVUPS, DATA + 8, 0), (VMOVAPS, DATA + 16, 32), (ADDPS, DATA + 4, 16),
     (MOVAPS, 0xDEAD_0000_0000_0008, 0), ("660f3a630708", DATA + 8, 0)],
)  # fmt: skip
def test_a_misaligned_operand(tmp_path: pathlib.Path, code: str, address: int, alignment: int) -> None:
    program = Program(tmp_path, code)
    pc = RETURN - len(code) // 2
    findings = program.stopped((11, SI_KERNEL, 0), rip=pc, rdi=address)
    assert [(f.rule, f.facts.alignment) for f in findings] == ([("misaligned-operand", alignment)] if alignment else [])
    assert program.stopped((5, 1, 0), rip=pc, rdi=address) == ()


@pytest.mark.parametrize("sizes", [(0, 16), (8, 16)])
def test_a_misaligned_stack_is_followed_outwards(tmp_path: pathlib.Path, sizes: tuple[int, int]) -> None:
    program = Program(tmp_path, "0f280424")  # movaps xmm0, [rsp]
    program.frame(CODE + 12, SP)
    program.frame(CODE + 40, SP + 24 + sizes[0])
    finding = only(program.stopped((11, SI_KERNEL, 0), rip=CODE + 12))
    assert ("misaligned since the call in main" in finding.summary) is bool(sizes[0])


GUARD, POINTER, VARIABLE = "64488b042528000000", "64488b042500000000", "64488b0425f8ffffff"


@pytest.mark.parametrize(
    ("code", "address", "what"),
    [(GUARD, 0x28, "the stack guard at fs:0x28"), (POINTER, 0, "the thread pointer at fs:0"),
     (VARIABLE, 0xFFFF_FFFF_FFFF_FFF8, "a thread-local variable")],
)  # fmt: skip
def test_thread_local_storage_without_a_thread_pointer(
    tmp_path: pathlib.Path, code: str, address: int, what: str
) -> None:
    program = Program(tmp_path, code)
    pc = RETURN - len(code) // 2
    finding = only(program.stopped((11, 1, address), rip=pc))
    assert (finding.rule, finding.confidence, finding.facts.fault_address) == ("no-tls", "certain", address)
    assert what in finding.summary
    assert program.stopped((11, 1, address), rip=pc, fs_base=DATA) == ()
    assert program.stopped((11, 1, GONE), rip=pc, fs_base=0) == ()


def test_a_healthy_stop_reads_nothing(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, "ffd0")
    assert program.stopped((5, 1, 0)) == ()
    assert program.reads == []
