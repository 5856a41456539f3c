"""Instructions with vectors against this machine's processor: registers, masks, flags, memory and faults."""

from __future__ import annotations

import collections
import pathlib
from typing import Optional

import pytest
import vectors
from vectors import PAGE, WINDOW, Record

from gdb_kdbg.vector_actions import compile_action
from gdb_kdbg.vector_forms import form_of
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
    told = ~0x14 if record.text.startswith("bzhi") else ~0
    if (around.flags ^ after.flags) & told:
        return f"flags {around.flags:#x} instead of {after.flags:#x}"
    memory = bytes(around.memory[:WINDOW] + around.memory[-WINDOW:])
    return "" if memory == after.memory else "memory"


def _check(forms: list[str], directory: pathlib.Path) -> None:
    faults, differences = collections.Counter[bool](), {}
    for record in vectors.records(forms, directory, ROUNDS):
        faults[record.after.fault is not None] += 1
        difference = _difference(record)
        if difference:
            differences.setdefault(record.text, difference)
    assert differences == {}
    assert faults[True] > len(forms) and faults[False] > len(forms)


def test_avx2_against_this_processor(tmp_path: pathlib.Path) -> None:
    if not vectors.level():
        pytest.skip("this machine's processor has no AVX2")
    _check(vectors.vex_forms(), tmp_path)


def test_avx512_against_this_processor(tmp_path: pathlib.Path) -> None:
    if vectors.level() != "avx512":
        pytest.skip("this machine's processor has no AVX-512 with BW, DQ and VL")
    _check(vectors.evex_forms(), tmp_path)
