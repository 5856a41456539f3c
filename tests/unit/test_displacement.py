"""Instructions at another place do what they did: run in an emulator where they were and where they are moved."""

from __future__ import annotations

import struct
from typing import Mapping, Sequence

import pytest
import unicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import x86_const as x86

from gdb_kdbg.assembly import CannotPlace, jump_code
from gdb_kdbg.disassembly import decode
from gdb_kdbg.displacement import displace, moved, moved_size, used_scratch
from gdb_kdbg.units import Address

ROUTINE, AREA, STACK, DATA = 0x40_0000, 0x5000_0000, 0x7000_0000, 0x40_1000
LEAVE = 0x40_0800
OUT = 0x60
REGISTERS = ("RAX", "RCX", "RDX", "RBX", "RSI", "RDI", "R8", "R10", "RSP", "EFLAGS", "XMM0", "RIP")


def rip(opcode: str, length: int, behind: str = "") -> object:
    """An instruction that names a word of the data page; `length` is all of it."""
    return lambda at: bytes.fromhex(opcode) + struct.pack("<i", DATA + 0x80 - (at + length)) + bytes.fromhex(behind)


def near(opcode: str, length: int) -> object:
    """A branch with a 32-bit distance to the other exit of the routine."""
    return lambda at: bytes.fromhex(opcode) + struct.pack("<i", ROUTINE + OUT - (at + length))


def short(opcode: str) -> object:
    return lambda at: bytes.fromhex(opcode) + struct.pack("<b", ROUTINE + OUT - (at + 2))


def plain(code: str) -> object:
    return lambda at: bytes.fromhex(code)


POOL = {
    "mov rax, rdi": plain("4889f8"), "cmp rdx, 64": plain("4883fa40"), "test rdx, rdx": plain("4885d2"),
    "mov rcx, rdx": plain("4889d1"), "add rax, rcx": plain("4801c8"), "nop": plain("90"), "long nop": plain("0f1f4000"),
    "push rbx": plain("53"), "movdqu xmm0, [rsi]": plain("f30f6f06"), "sub rsp, 8": plain("4883ec08"),
    "mov [rsp-8], rax": plain("48894424f8"), "xor ecx, ecx": plain("31c9"), "std": plain("fd"), "movsb": plain("a4"),
    "mov rax, [rip]": rip("488b05", 7), "lea rcx, [rip]": rip("488d0d", 7), "add [rip], rdx": rip("480115", 7),
    "cmp byte [rip], 5": rip("803d", 7, "05"), "mov dword [rip], 0x12345678": rip("c705", 10, "78563412"),
    "movdqu xmm0, [rip]": rip("f30f6f05", 8), "imul rax, [rip], 3": rip("486b05", 8, "03"),
    "jb short": short("72"), "jne short": short("75"), "jmp short": short("eb"), "jrcxz": short("e3"),
    "loop": short("e2"),
    "jb near": near("0f82", 6), "ja near": near("0f87", 6), "jmp near": near("e9", 5),
    "bnd jne": lambda at: b"\xf2" + short("75")(at + 1),
}  # fmt: skip


def routine(names: Sequence[str]) -> bytes:
    """A routine of some instructions, with two exits that can be told apart."""
    code = b""
    for name in names:
        code += POOL[name](ROUTINE + len(code))  # type: ignore[operator]
    code += b"\xff\xc0\xc3"  # inc eax; ret
    assert len(code) < OUT
    return code.ljust(OUT, b"\x90") + b"\x48\xff\xc8\xc3"  # dec rax; ret


def run(code: bytes, area: bytes, values: Mapping[str, int]) -> Mapping[str, int]:
    """Run the routine from its entry to its return."""
    machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    for start in (ROUTINE, DATA, AREA, STACK):
        machine.mem_map(start, 0x1000)
    machine.mem_write(ROUTINE, code)
    machine.mem_write(AREA, area)
    machine.mem_write(DATA, bytes(range(256)))
    machine.mem_write(STACK + 0x800, struct.pack("<Q", LEAVE))
    machine.reg_write(x86.UC_X86_REG_RSP, STACK + 0x800)
    for name, value in {"RSI": DATA, "RDI": DATA + 0x400, **values}.items():
        machine.reg_write(getattr(x86, f"UC_X86_REG_{name}"), value)
    machine.emu_start(ROUTINE, LEAVE, 0, 4000)
    found = {name: machine.reg_read(getattr(x86, f"UC_X86_REG_{name}")) for name in REGISTERS}
    return {**found, "data": bytes(machine.mem_read(DATA, 0x1000)), "stack": bytes(machine.mem_read(STACK, 0x1000))}  # type: ignore[dict-item]


def patched(code: bytes, size: int) -> tuple[bytes, bytes]:
    """The same routine with a jump at its entry, and what the jump leads to."""
    displaced = displace(code, ROUTINE, size)
    area = moved(displaced, AREA)
    assert len(area) <= moved_size(displaced)
    jump = jump_code(displaced.address, AREA)
    at = displaced.address - ROUTINE
    return code[:at] + jump.ljust(displaced.size, b"\xcc") + code[at + displaced.size :], area


@settings(max_examples=150, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(POOL)), min_size=1, max_size=6),
    size=st.sampled_from([0, 1, 5, 63, 64, 65, 200]),
    count=st.sampled_from([0, 1, 9]),
    has_endbr=st.booleans(),
)
def test_moved_code_computes_the_same(names: list[str], size: int, count: int, has_endbr: bool) -> None:
    names = [name for name in names if "push" not in name and "rsp, 8" not in name]  # the stack must be even at the end
    code = routine(names)
    if has_endbr:
        names, code = ["long nop", *names], routine(["long nop", *names])
        code = b"\xf3\x0f\x1e\xfa" + code[4:]
    values = {"RDX": size, "RCX": count, "RAX": 77, "RBX": 1}
    try:
        new, area = patched(code, len(code))
    except CannotPlace:
        assert len(routine(names)) and not names or "jmp" in " ".join(names) or len(code.rstrip(b"\x90")) < 8
        return
    before, after = run(code, b"", values), run(new, area, values)
    for result in (before, after):
        # A routine ends where it was called, and there is nothing else to compare of the patched bytes themselves.
        assert result["RIP"] == LEAVE
    assert before == after


@pytest.mark.parametrize("name", sorted(POOL))
def test_every_instruction_alone_at_the_entry(name: str) -> None:
    code = routine([name, "mov rax, rdi", "cmp rdx, 64", "mov rcx, rdx"])
    if "rsp, 8" in name or "push" in name:
        code = code.replace(b"\xff\xc0\xc3", b"\x5e\xff\xc0\xc3", 1)[: len(code)]
    for count in (0, 1, 200):
        values = {"RDX": count, "RCX": count % 7, "RAX": 1}
        new, area = patched(code, len(code))
        assert run(code, b"", values) == run(new, area, values)


@pytest.mark.parametrize(
    ("code", "size", "words"),
    [
        ("c3 5589e5", 1, "is too short for a jump of 5 bytes, and what follows is not its own"),
        ("c3", 1, "is too short for a jump of 5 bytes"),
        ("4889f8 c3 4889f8", 4, "what follows is not its own"),
        ("90 e800000000 90", 7, "call 0x400006 at 0x400001 cannot be moved"),
        ("0f05 909090 c3", 6, "syscall at 0x400000 cannot be moved"),
        ("cc 90909090 c3", 6, "there is a breakpoint in the code at 0x400000"),
        ("c7f800000000 c3", 7, "xbegin 0x400006 at 0x400000 cannot be moved"),
        ("4889f8 4883fa40 7284 75f5 c3", 13, "jne 0x400000 at 0x400009 leads back to the routine's entry"),
        ("4889f8 4883fa40 75fa c3", 10, "jne 0x400003 at 0x400007 leads into the bytes to be patched"),
        ("4889f8 4883fa40 e8f7ffffff c3", 13, "call 0x400003 at 0x400007 leads into the bytes to be patched"),
        ("7202 4889f8 90 c3", 7, "jb 0x400004 at 0x400000 leads into"),
        ("06", 1, "is too short for a jump"),
        ("66e90000 909090 c3", 8, "is a branch of a form that cannot be moved"),
        ("eb09 4889f8 4889d1 f3a4 c3 90", 3, "what follows is not its own"),
        ("eb06 4889f8 c3 9090 4889d1 75f5 c3", 14, "jne 0x400002 at 0x40000b leads into the bytes to be patched"),
        ("eb09 4889f8 4889d1 ffe0 c3", 11, "jmp rax at 0x400008 may lead into the bytes to be patched"),
    ],
)
def test_what_cannot_be_moved_is_refused_with_the_reason(code: str, size: int, words: str) -> None:
    with pytest.raises(CannotPlace, match=words.replace("+", r"\+")):
        displace(bytes.fromhex(code), ROUTINE, size)


@pytest.mark.parametrize(
    ("code", "size", "taken"),
    [
        ("c3 90909090", 1, 5),
        ("c3 0f1f4000", 1, 5),
        ("eb10 cccccc 4889f8", 2, 5),
        ("e9fb000000 4889f8", 8, 5),
        ("eb09 4889f8 4889d1 f3a4 c3", 11, 5),
        ("4889f8 4883fa40 ffe0", 9, 7),
        ("4889f8 4883fa40 e8f4ffffff c3", 13, 7),
        ("f30f1efa 4889f8 4883fa40 c3", 12, 7),
    ],
)
def test_what_can_be_moved_next_to_that(code: str, size: int, taken: int) -> None:
    assert displace(bytes.fromhex(code), ROUTINE, size).size == taken


def test_a_target_out_of_reach_is_refused() -> None:
    displaced = displace(bytes.fromhex("e9fb000000"), ROUTINE, 5)
    with pytest.raises(CannotPlace, match="more than 2 GiB away"):
        moved(displaced, 0x7000_0000_0000)
    # Going back has a form for every distance.
    assert moved(displace(bytes.fromhex("4889f8 4883fa40 c3"), ROUTINE, 8), 0x7000_0000_0000)


def test_an_endbr_stays_where_it_is() -> None:
    displaced = displace(bytes.fromhex("f30f1efa 4889f8 4883fa40 c3"), ROUTINE, 12)
    assert displaced.address == ROUTINE + 4
    assert str(decode(moved(displaced, AREA), Address(AREA))[0]) == "mov rax, rdi"


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("4889f8 c3", []),
        ("4c01d0 c3", ["r10", "rax"]),
        ("31c0 c3", []),
        ("84c0 7400 c3", ["rax"]),
        ("7203 4c89d8 31c0 c3", ["r11"]),
        ("4889f8 7203 4883c001 c3", []),
        ("eb00 49ffe2", ["r10"]),
    ],
)
def test_registers_that_a_routine_takes_are_found(code: str, used: list[str]) -> None:
    assert list(used_scratch(bytes.fromhex(code), ROUTINE)) == used
