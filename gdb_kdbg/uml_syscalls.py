"""System calls of a user-mode Linux guest: where the kernel begins and ends one, and what it is.

Source: Linux arch/um/os-Linux/skas/process.c and arch/um/kernel/skas/syscall.c.
"""

from __future__ import annotations

import contextlib
from typing import Optional, Sequence

from .disassembly import Instruction, decode
from .errors import KdbgError, SymbolNotFound
from .syscalls import ENTRY, EXIT, SystemCall, SystemCallChecker, SystemCallPath
from .uml_guest import GuestProcess
from .uml_kernel import Task, UmlKernel
from .units import Address, Size

HANDLER, LOOP = "handle_syscall", "userspace"
_LONGEST_LOOP = 8192
_ARGUMENTS = ("rdi", "rsi", "rdx")
# What the kernel leaves as the number when a call is over.
_NO_CALL = (1 << 64) - 1


def uml_path(kernel: UmlKernel) -> SystemCallPath:
    """Find where every system call of a guest enters and leaves: a function, and where it returns to."""
    target = kernel.target
    handler, loop = target.symbol(HANDLER), target.symbol(LOOP)
    if handler is None or loop is None:
        raise SymbolNotFound(f"no symbol {HANDLER if handler is None else LOOP} for the system-call path")
    size = Size(min(loop.size or _LONGEST_LOOP, _LONGEST_LOOP))
    returns = returns_from(target.read_memory(loop.address, size), loop.address, handler.address)
    if not returns:
        raise SymbolNotFound(f"{LOOP} does not call {HANDLER}: name the system-call path with `set kdbg syscall-entry`")
    return SystemCallPath("user-mode Linux", (handler.address,), tuple(returns))


def returns_from(code: bytes, start: Address, function: Address) -> Sequence[Address]:
    """Return where calls of a function return to; with the large code model its address is in a register."""
    held: dict[str, int] = {}
    found = []
    for instruction in decode(code, start):
        if instruction.is_call:
            goal = instruction.immediate if not instruction.registers else held.get(instruction.registers[0])
            found += [instruction.end] if goal == function and not instruction.memory else []
        for name in instruction.writes:
            held.pop(name, None)
        if instruction.mnemonic == "movabs" and instruction.registers and instruction.immediate is not None:
            held[instruction.registers[0]] = instruction.immediate
    return found


def note_guards(kernel: UmlKernel, checker: SystemCallChecker) -> None:
    """Note the guard of every task, and which system call it is in: that may be the one which changes it."""
    with contextlib.suppress(KdbgError):
        for task in kernel.tasks():
            call = call_of(task)
            if task.mm:
                point = EXIT if call.number == _NO_CALL else ENTRY
                checker.check(GuestProcess(kernel, task), point, call if point == ENTRY else None)


class Progress:
    """Sees a breakpoint reported again without having gone on, as GDB does when a signal comes in between."""

    def __init__(self) -> None:
        self._last: Optional[tuple[str, int]] = None

    def is_repeated(self, point: str, task: int) -> bool:
        before, self._last = self._last, (point, task)
        return before == self._last


def skipping(instruction: Optional[Instruction]) -> Sequence[str]:
    """Return assignments that do what an instruction does; none for one that is not simple."""
    if instruction is None:
        return ()
    name = instruction.mnemonic
    if name == "jmp" and instruction.immediate is not None:
        return (f"$rip = {instruction.immediate:#x}",)
    if name == "push" and instruction.registers and not instruction.memory:
        (register,) = instruction.registers
        push = (f"*(unsigned long *)($rsp - 8) = (unsigned long)${register}", "$rsp = $rsp - 8")
        return (*push, f"$rip = {instruction.end:#x}")
    return (f"$rip = {instruction.end:#x}",) if name in ("nop", "endbr64") else ()


def call_of(task: Task) -> SystemCall:
    """Return the system call that a task makes, from its saved registers."""
    number = task.register("orig_rax") or 0
    return SystemCall(number, tuple(task.register(name) or 0 for name in _ARGUMENTS))
