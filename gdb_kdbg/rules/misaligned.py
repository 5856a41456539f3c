"""An instruction that needs an aligned operand met one that is not, mostly because the stack was not aligned."""

from __future__ import annotations

from typing import Optional

from ..copies import CERTAIN
from ..disassembly import Instruction, MemoryOperand
from ..faults import Fault, is_canonical
from ..finding import Facts, Finding
from ..scene import Scene
from ..units import Address, Size
from .slot_story import code_name, code_place, instruction_line

RULE = "misaligned-operand"
# Moves that demand the alignment of their operand's size, with VEX and EVEX as well (Intel SDM vol. 1, 14.9).
_ALIGNED = ("movaps", "movapd", "movdqa", "movntps", "movntpd", "movntdq")
_FIXED = {"fxsave": 16, "fxsave64": 16, "fxrstor": 16, "fxrstor64": 16, "cmpxchg16b": 16, "lock cmpxchg16b": 16,
          "xsave": 64, "xsave64": 64, "xrstor": 64, "xrstor64": 64, "xsavec": 64, "xsaveopt": 64}  # fmt: skip
# All other SSE instructions with an operand of 16 bytes need it aligned, but for these.
_UNALIGNED = ("movups", "movupd", "movdqu", "lddqu", "pcmpestr", "pcmpistr")
_STACK = ("rsp", "rbp")


def misaligned(scene: Scene) -> Optional[Finding]:
    """Name the operand that is not aligned; silent unless the CPU reported a general protection fault."""
    fault = scene.fault
    if fault is None or fault.instruction is None or not fault.is_protection:
        return None
    instruction = fault.instruction
    for operand in instruction.memory:
        address = operand.resolve({**scene.registers, "rip": instruction.end})
        alignment = _alignment(instruction, operand)
        if address is not None and is_canonical(address) and alignment and address % alignment:
            return _finding(scene, fault, instruction, operand, address, alignment)
    return None


def _alignment(instruction: Instruction, operand: MemoryOperand) -> int:
    name = instruction.mnemonic
    if name in _FIXED:
        return _FIXED[name]
    if name.lstrip("v").startswith(_ALIGNED) and operand.size in (16, 32, 64):
        return operand.size
    legacy = not name.startswith(("v", *_UNALIGNED)) and operand.size == 16
    return 16 if legacy and instruction.has_vector_register else 0


def _finding(
    scene: Scene, fault: Fault, instruction: Instruction, operand: MemoryOperand, address: int, alignment: int
) -> Finding:
    place = scene.target.location(fault.pc)
    culprit = _culprit(scene) if operand.base in _STACK else None
    what = f"`{instruction.mnemonic}` needs an operand aligned to {alignment} bytes, and {address:#x} is not"
    why = f"; the stack is misaligned since {culprit}" if culprit else ""
    evidence = [
        instruction_line(scene, instruction),
        f"its operand is at {address:#x}, {address % alignment} bytes off",
    ]
    if operand.base in _STACK:
        evidence.append(f"it is addressed by {operand.base}, which is {scene.registers[operand.base]:#x}")
        evidence.append("the ABI wants rsp to be a multiple of 16 before each call")
    facts = Facts(
        instruction=fault.pc, function=code_name(place) if place else None, file=place.file if place else None,
        line=place.line if place else None, operand_address=Address(address), alignment=Size(alignment),
        caller=culprit,
    )  # fmt: skip
    summary = f"misaligned operand in {code_place(scene, fault.pc)}: {what}{why}"
    return Finding(summary, RULE, CERTAIN, tuple(evidence), ("backtrace", "x/i $pc"), facts)


# Every frame but the innermost is in a call, before which rsp was a multiple of 16: the first that was not.
def _culprit(scene: Scene) -> Optional[str]:
    frames = scene.frames
    wrong = [frame.level for frame in frames[1:] if frame.sp % 16 and not frame.interrupted]
    if not wrong or any(frame.interrupted for frame in frames[1:]):
        return None
    outermost = next(frame for frame in frames if frame.level == wrong[-1])
    return f"the call in {code_place(scene, outermost.code_address)}"
