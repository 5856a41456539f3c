"""What a stop is a fault of: by the signal, else by what the CPU and memory say; a healthy stop is none."""

from __future__ import annotations

from typing import Optional

import pytest
from fakes import FakeTarget

from gdb_kdbg.faults import SI_KERNEL, Fault, is_canonical, read_fault, registers_of
from gdb_kdbg.scope import Scope
from gdb_kdbg.target import Signal
from gdb_kdbg.units import Address

CODE, DATA, GONE = 0x40_1000, 0x40_4000, 0x7000
LOAD_RDI = bytes.fromhex("488b4708")  # mov rax, [rdi + 8]


def program(pc: int = CODE, signal: Optional[tuple[int, int, int]] = None, **registers: int) -> FakeTarget:
    """A process without any file kdbg could read; its code is known from memory alone."""
    target = FakeTarget({"rip": pc, "rsp": DATA, "rdi": DATA, **registers}, "native", None)
    target.map(CODE, LOAD_RDI.ljust(64, b"\x90"))
    target.map(DATA, bytes(64))
    if signal:
        target.signal = Signal(signal[0], signal[1], Address(signal[2]))
    return target


def fault_of(target: FakeTarget) -> Optional[Fault]:
    return read_fault(target, Scope([]), registers_of(target))


def test_a_signal_at_the_pc_is_a_failed_fetch() -> None:
    fault = fault_of(program(GONE, (11, 1, GONE)))
    assert fault is not None and (fault.instruction, fault.address) == (None, GONE)


def test_a_signal_elsewhere_is_a_failed_access_with_its_operand() -> None:
    target = program(signal=(11, 1, GONE + 8), rdi=GONE)
    fault = fault_of(target)
    assert fault is not None and fault.instruction is not None
    operand = fault.reached_for(registers_of(target))
    assert operand is not None and operand.base == "rdi"


def test_an_address_that_is_no_operand_has_none() -> None:
    target = program(signal=(11, 1, GONE), rdi=DATA)
    fault = fault_of(target)
    assert fault is not None and fault.reached_for(registers_of(target)) is None


def test_a_protection_fault_has_no_address_but_an_operand_that_is_none() -> None:
    target = program(signal=(11, SI_KERNEL, 0), rdi=0xDEAD << 48)
    fault = fault_of(target)
    assert fault is not None and fault.is_protection and fault.address is None
    assert fault.reached_for(registers_of(target)) is not None


@pytest.mark.parametrize("signal", [(5, 1, CODE), (11, 0, CODE), (11, -6, 0), (6, -6, 0), (2, 0x80, 0)])
def test_other_signals_and_those_that_were_sent_are_no_faults(signal: tuple[int, int, int]) -> None:
    assert fault_of(program(signal=signal)) is None


def test_a_step_to_where_nothing_is_has_no_fault_signal_and_is_one() -> None:
    assert fault_of(program(GONE, (5, 2, 0))) is not None
    assert fault_of(program(GONE)) is not None


def test_without_a_signal_the_cpu_must_name_the_operand_and_memory_be_gone() -> None:
    healthy = program(rdi=GONE)
    assert fault_of(healthy) is None
    assert fault_of(program(rdi=GONE, cr2=GONE)) is None  # code that kdbg knows of no file is not judged


def test_no_registers_and_foreign_machines_are_no_faults() -> None:
    assert fault_of(FakeTarget({}, "file", None)) is None
    target = program(GONE, (11, 1, GONE))
    target.architecture = "aarch64"
    assert fault_of(target) is None


@pytest.mark.parametrize(
    ("address", "exists"),
    [(0, True), ((1 << 47) - 1, True), (1 << 47, False), (0xFFFF_8000_0000_0000, True), (0xFFFF_7FFF_FFFF_FFFF, False)],
)
def test_canonical_addresses(address: int, exists: bool) -> None:
    assert is_canonical(address) is exists
