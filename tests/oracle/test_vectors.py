"""Instructions with vectors against this machine's processor: registers, masks, flags, memory and faults."""

from __future__ import annotations

import collections
import pathlib
import random
from typing import Iterator, Optional

import pytest
import vectors
from vectors import PAGE, WINDOW, Record

from gdb_kdbg.vector_actions import compile_action
from gdb_kdbg.vector_encoding import Encoded
from gdb_kdbg.vector_forms import LOW_BITS, Form, form_of
from gdb_kdbg.vector_machine import Stopped, VectorMachine
from gdb_kdbg.vector_operands import registers_read

ROUNDS = 18
RESULT_FLAGS = 0x8D5


class _Around:
    """A page with the ends of a record in it, and what else an instruction changes."""

    def __init__(self, record: Record) -> None:
        self.page = record.page
        self.memory = bytearray(
            record.before.memory[:WINDOW].ljust(PAGE - WINDOW, b"\0") + record.before.memory[WINDOW:]
        )
        self.general = list(record.before.general)
        self.flags = record.before.flags

    def set_general(self, name: str, value: int) -> None:
        self.general[vectors.GENERAL.index(name)] = value

    def set_flags(self, is_zero: bool, is_carry: bool, is_sign: bool = False) -> None:
        self.flags = self.flags & ~RESULT_FLAGS | (0x40 if is_zero else 0) | is_carry | (0x80 if is_sign else 0)

    def reach(self, address: int, size: int, is_write: bool) -> Optional[int]:
        missing = (place for place in range(address, address + size) if not 0 <= place - self.page < PAGE)
        return next(missing, None)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.memory[address - self.page : address - self.page + size])

    def write(self, address: int, data: bytes) -> None:
        self.memory[address - self.page : address - self.page + len(data)] = data


# What differs, in a word; nothing if all is the same.
def _difference(record: Record) -> str:
    found = form_of(record.code)
    if found is None or found[0].size != len(record.code):
        return "not carried out"
    around = _Around(record)
    nowhere = (0, 0, memoryview(b""))
    machine = VectorMachine(around, (nowhere, nowhere))
    machine.registers[:], machine.masks[:] = record.before.vectors, record.before.masks
    for name in registers_read(*found):
        machine.general[name] = record.before.general[vectors.GENERAL.index(name)]
    fault = None
    try:
        compile_action(machine, *found, record.address + len(record.code))()
    except Stopped as stopped:
        fault = 0 if stopped.alignment else stopped.address
    return _compared(record, around, machine, fault)


def _compared(record: Record, around: _Around, machine: VectorMachine, fault: Optional[int]) -> str:
    wide = vectors.level() == "avx512"
    after, size = record.after, 64 if wide else 32
    if fault != after.fault:
        return f"fault at {fault} instead of {after.fault}"
    for number, wanted in enumerate(after.vectors if wide else after.vectors[:16]):
        if machine.vector(number, size) != wanted[:size]:
            return f"vector {number} is {machine.vector(number, size).hex()} instead of {wanted.hex()}"
    if wide and tuple(machine.masks) != after.masks:
        return f"masks {machine.masks} instead of {after.masks}"
    if (around.general[:4], around.general[5:]) != (list(after.general[:4]), list(after.general[5:])):
        return "general registers"
    # Intel leaves AF and PF of bzhi open.
    told = ~0x14 if _action(record) == LOW_BITS else ~0
    if (around.flags ^ after.flags) & told:
        return f"flags {around.flags:#x} instead of {after.flags:#x}"
    memory = bytes(around.memory[:WINDOW] + around.memory[-WINDOW:])
    return "" if memory == after.memory else "memory"


def _action(record: Record) -> str:
    found = form_of(record.code)
    return found[1].action if found else ""


def _check(forms: list[str], directory: pathlib.Path) -> None:
    faults, differences = collections.Counter[bool](), {}
    for record in vectors.records(forms, directory, ROUNDS):
        faults[record.after.fault is not None] += 1
        difference = _difference(record)
        if difference:
            differences.setdefault(record.text, difference)
    assert differences == {}
    assert faults[True] > len(forms) and faults[False] > len(forms)


# Encodings that no assembler makes: kdbg must not take for an instruction what the processor does not.
def _random_forms(count: int) -> Iterator[str]:
    chance = random.Random(5)
    while count:
        code = _random_code(chance)
        found = form_of(code)
        if found is not None and _can_be_run(*found):
            count -= 1
            yield ".byte " + ", ".join(map(str, code[: found[0].size]))


def _random_code(chance: random.Random) -> bytes:
    # Wrong maps and opcodes would be refused nearly always.
    opcode = chance.choice((0x10, 0x11, 0x18, 0x19, 0x58, 0x6E, 0x6F, 0x74, 0x78, 0x7E, 0x7F, 0x90, 0x98, 0xE7, 0xF5))
    opcode = opcode if chance.random() < 0.5 else chance.randrange(256)
    modrm = bytes([opcode, chance.choice((0x06, 0x46, 0x44, 0xC0, 0xC0)) | chance.randrange(64) & 0x3F])
    rest = modrm + bytes([chance.choice((0x24, 0xCC, 0x10)), *chance.randbytes(8)])
    if chance.random() < 0.3:
        return bytes([0xC5, chance.randrange(256)]) + rest
    if chance.random() < 0.5:
        return bytes([0xC4, chance.choice((0xE1, 0xE2, 0xE3, 0x61, 0xC1, 0xC2)), chance.randrange(256)]) + rest
    first, last = chance.randrange(256) & ~12, chance.randrange(256)
    return bytes([0x62, first, chance.randrange(256) | 4, last]) + rest


# Addresses near the page, and the stack left alone.
def _can_be_run(encoded: Encoded, form: Form) -> bool:
    place, is_wide = encoded.memory, vectors.level() == "avx512"
    if encoded.prefix.is_evex and not is_wide or (form.width and not is_wide):
        return False
    if place is not None:
        scale = (form.memory or encoded.length) if encoded.prefix.is_evex and place.is_short else 1
        is_near = abs(place.displacement) * scale < 200 and place.index_name in ("", "rcx")
        return is_near and place.base in ("rsi", "r12", "r13") and 4 not in (encoded.reg & 15, encoded.prefix.second)
    return 4 not in (encoded.reg & 15, encoded.register & 15, encoded.prefix.second & 15)


def test_random_encodings_against_this_processor(tmp_path: pathlib.Path) -> None:
    if not vectors.level():
        pytest.skip("this machine's processor has no AVX2")
    differences = {}
    for record in vectors.records(list(_random_forms(600)), tmp_path, 4):
        difference = _difference(record)
        if difference:
            differences.setdefault(f"{record.code.hex()} {form_of(record.code)}", difference)
    assert differences == {}


def test_avx2_against_this_processor(tmp_path: pathlib.Path) -> None:
    if not vectors.level():
        pytest.skip("this machine's processor has no AVX2")
    _check(vectors.vex_forms(), tmp_path)


def test_avx512_against_this_processor(tmp_path: pathlib.Path) -> None:
    if vectors.level() != "avx512":
        pytest.skip("this machine's processor has no AVX-512 with BW, DQ and VL")
    _check(vectors.evex_forms(), tmp_path)
