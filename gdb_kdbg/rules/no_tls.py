"""Thread-local storage was used before it was set up: fs_base is 0."""

from __future__ import annotations

from typing import Optional

from ..copies import CERTAIN
from ..disassembly import GUARD_OFFSET, MemoryOperand
from ..finding import Facts, Finding
from ..process import fs_base
from ..scene import Scene
from .slot_story import code_name, code_place, instruction_line

RULE = "no-tls"


def no_tls(scene: Scene) -> Optional[Finding]:
    """Explain a fault at an operand relative to fs where fs_base is 0."""
    fault = scene.fault
    if fault is None or fault.instruction is None or scene.registers.get("fs_base", 1):
        return None
    operand = fault.reached_for(scene.registers)
    if operand is None or operand.segment != "fs":
        return None
    place = scene.target.location(fault.pc)
    address = operand.resolve({**scene.registers, "rip": fault.instruction.end})
    assert address is not None
    summary = f"thread-local storage is not set up yet: {code_place(scene, fault.pc)} {_what(operand)}"
    evidence = (
        instruction_line(scene, fault.instruction), f"fs_base is {fs_base(scene.target):#x}, so it went to {address:#x}"
    )  # fmt: skip
    facts = Facts(
        instruction=fault.pc, function=code_name(place) if place else None, file=place.file if place else None,
        line=place.line if place else None, fault_address=address,
    )  # fmt: skip
    return Finding(summary, RULE, CERTAIN, evidence, _steps(operand), facts)


def _is_guard(operand: MemoryOperand) -> bool:
    return operand.displacement == GUARD_OFFSET and not operand.base


def _what(operand: MemoryOperand) -> str:
    if _is_guard(operand):
        return "read the stack guard at fs:0x28"
    if operand.written:
        return "wrote a thread-local variable"
    return "read the thread pointer at fs:0" if not operand.displacement else "read a thread-local variable"


def _steps(operand: MemoryOperand) -> tuple[str, ...]:
    setup = "set fs_base (arch_prctl ARCH_SET_FS, wrfsbase) before the first thread-local variable"
    if _is_guard(operand):
        return (setup, "compile the code before that with -fno-stack-protector")
    return (setup,)
