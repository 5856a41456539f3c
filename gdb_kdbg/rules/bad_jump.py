"""A call or jump to an address where no code is: data, the stack, nothing at all, or no address."""

from __future__ import annotations

from typing import Optional

from ..bad_jumps import BadJump, slots_holding
from ..copies import CERTAIN, LIKELY, POSSIBLE
from ..faults import SEGV_MAPERR, SIGSEGV, Fault, is_canonical
from ..finding import Finding
from ..relocations import ELSEWHERE, executable
from ..scene import Scene
from ..scope import base_name
from .null_call import is_sure, jump_facts
from .slot_story import code_place, data_place, shown_place, way_lines

RULE = "bad-jump"


def bad_jump(scene: Scene) -> Optional[Finding]:
    """Tell where the pc went and by which call, where no slot, null pointer or return explains it."""
    jump, fault = scene.bad_jump, scene.fault
    if jump is None or fault is None or not jump.destination or _is_anothers(jump):
        return None
    if not jump.is_call and fault.signal is None:
        return None
    if next(slots_holding(scene.target, scene.scope, jump.destination), None):
        return None
    what = f"{data_place(scene, jump.destination)}, {_why_not(scene, fault, jump.destination)}"
    if jump.site is None or not jump.is_call:
        unknown = ("nothing tells from where: the word at rsp is no return address of a call that goes there",)
        return Finding(f"the pc is {what}", RULE, POSSIBLE, unknown, ("x/8gx $rsp - 8",), jump_facts(scene, jump))
    summary = f"{code_place(scene, jump.site.call.address)} went to {what}"
    evidence = (*way_lines(scene, jump.site), *_without_bias(scene, jump.destination))
    confidence = CERTAIN if is_sure(jump.site) and not jump.is_ambiguous else LIKELY
    return Finding(summary, RULE, confidence, evidence, ("backtrace",), jump_facts(scene, jump))


# The offset of a function in its file taken for its address, as where a load bias was forgotten.
def _without_bias(scene: Scene, destination: int) -> tuple[str, ...]:
    for objfile, elf in scene.scope.files:
        name = scene.scope.link_place(objfile, destination) if objfile.load_bias else ""
        if name and executable(elf, destination) and "+" not in name:
            what = f"{shown_place(name)} in {base_name(objfile)}, whose load bias is {objfile.load_bias:#x}"
            return (f"{destination:#x} is the link-time address of {what}",)
    return ()


# The rules about slots tell more of what they explain, and a `ret` is no call.
def _is_anothers(jump: BadJump) -> bool:
    if jump.is_return and not jump.is_call:
        return True
    slot = jump.slot
    if slot is None or not jump.is_call:
        return False
    return slot.is_unrelocated or slot.row.status == ELSEWHERE or jump.destination in slot.before


def _why_not(scene: Scene, fault: Fault, destination: int) -> str:
    if not is_canonical(destination):
        return "which is no address (bits 47 to 63 differ)"
    signal = fault.signal
    if signal is None or (signal.number, signal.code) == (SIGSEGV, SEGV_MAPERR):
        return "where no memory is mapped"
    return "which is not executable" if signal.number == SIGSEGV else "which cannot be read"
