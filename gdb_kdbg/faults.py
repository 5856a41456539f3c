"""What a stop is a fault of: an instruction that could not be fetched, or one that could not reach its data.

A debugger of processes tells by the signal. A stub that hands out none (QEMU's) leaves registers and memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

from .blocks import read_available
from .disassembly import Instruction, MemoryOperand, decode
from .process import X86_64
from .scope import Scope
from .target import Signal, Target
from .units import Address, Size

SIGBUS, SIGSEGV = 7, 11
# <asm-generic/siginfo.h>: what is there but forbidden, and what the CPU reports without an address (#GP).
SEGV_MAPERR, SEGV_ACCERR, SI_KERNEL = 1, 2, 0x80
LONGEST_INSTRUCTION = 15
# Bits 47 and up of an address are all the same (Intel SDM vol. 1, 3.3.7.1); with five levels of page tables 56 and up.
_CANONICAL = 1 << 47
_GENERAL = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip", "fs_base", "gs_base",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """An instruction that failed; `instruction` is None if it could not even be fetched.

    `address` is what could not be reached, None if the CPU did not say (#GP). `signal` is None where the target has
    no signals.
    """

    pc: Address
    address: Optional[Address]
    signal: Optional[Signal]
    instruction: Optional[Instruction] = None

    @property
    def is_protection(self) -> bool:
        """Whether it is a general protection fault, which has no address: misaligned, or no address at all."""
        return self.signal is not None and self.signal.code == SI_KERNEL

    def reached_for(self, registers: Mapping[str, int]) -> Optional[MemoryOperand]:
        """Return the operand that lies at the address of the fault."""
        for operand in self.instruction.memory if self.instruction else ():
            start = operand.resolve({**registers, "rip": self.instruction.end if self.instruction else self.pc})
            if start is None or self.instruction is None or self.instruction.mnemonic in ("lea", "nop"):
                continue
            if self.is_protection and not is_canonical(start):
                return operand
            if self.address is not None and start <= self.address < start + max(operand.size, 1):
                return operand
        return None


def registers_of(target: Target) -> Mapping[str, int]:
    """Return the general registers of the selected thread, those that it has."""
    return {name: value for name in _GENERAL if (value := target.register(name)) is not None}


def read_fault(target: Target, scope: Scope, registers: Mapping[str, int]) -> Optional[Fault]:
    """Return the fault the target is stopped at; None if nothing says that it is one.

    Where the pc is in the code of a file and the signal is no fault's, memory is not read.
    """
    pc = registers.get("rip")
    if pc is None or target.architecture != X86_64:
        return None
    signal = target.stop_signal()
    if signal is not None and signal.number in (SIGSEGV, SIGBUS) and signal.code > 0:
        return _signalled(target, scope, Address(pc), signal)
    if scope.executable_in(pc) is None and not scope.in_vdso(pc):
        # Code made at run time can be read; what cannot is about to fault.
        return None if read_available(target, Address(pc), Size(1)) else Fault(Address(pc), Address(pc), signal)
    return _without_signal(target, Address(pc), registers) if signal is None else None


def _signalled(target: Target, scope: Scope, pc: Address, signal: Signal) -> Optional[Fault]:
    if signal.address == pc and signal.code != SI_KERNEL and scope.executable_in(pc) is None:
        return Fault(pc, pc, signal)
    address = None if signal.code == SI_KERNEL else signal.address
    return Fault(pc, address, signal, instruction_at(target, pc))


# A page that is only not there yet faults as well and is healthy; so the CPU must have complained, in vain.
def _without_signal(target: Target, pc: Address, registers: Mapping[str, int]) -> Optional[Fault]:
    address = target.register("cr2")
    if not address:
        return None
    fault = Fault(pc, Address(address), None, instruction_at(target, pc))
    operand = fault.reached_for(registers)
    if operand is None or read_available(target, Address(address), Size(1)):
        return None
    return fault


def instruction_at(target: Target, pc: Address) -> Optional[Instruction]:
    """Decode the instruction at an address; None if it cannot be read or is none."""
    decoded = decode(read_available(target, pc, Size(LONGEST_INSTRUCTION)), pc, 1)
    return decoded[0] if decoded else None


def is_canonical(address: int) -> bool:
    """Tell whether an address exists at all for an x86-64 CPU with four levels of page tables."""
    return address < _CANONICAL or address >= (1 << 64) - _CANONICAL
