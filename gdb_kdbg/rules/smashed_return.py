"""A `ret` went to an address that is no code: its return address was overwritten, or there never was one."""

from __future__ import annotations

from typing import Optional

from ..bad_jumps import BadJump
from ..copies import CERTAIN, LIKELY, POSSIBLE
from ..faults import Fault, is_canonical
from ..finding import Facts, Finding
from ..scene import Scene
from ..units import Address, Word, safe_text
from .slot_story import code_name, code_place, data_place

RULE = "smashed-return"
# No program has more arguments than this.
_ARGUMENTS = 4096


def smashed_return(scene: Scene) -> Optional[Finding]:
    """Explain a pc that the stack pointer has just left behind, and that no call went to."""
    jump, fault = scene.bad_jump, scene.fault
    if jump is None or fault is None or not jump.is_return or jump.is_call:
        return None
    # Fresh stacks are full of zeros, so a zero says little; and less where a call does lead there.
    if not jump.destination and (jump.has_return_address or fault.signal is None):
        return None
    if fault.signal is None and jump.has_return_address:
        return None
    if _is_entry(jump, scene):
        return _entry_returned(scene, jump)
    return _smashed(scene, jump, fault)


def _smashed(scene: Scene, jump: BadJump, fault: Fault) -> Finding:
    slot = _slot(scene, fault)
    who = f"{code_place(scene, fault.pc)} returned" if fault.instruction else "a function returned"
    what = f"{jump.destination:#x}{_spelled(jump.destination)}" if jump.destination else "0"
    lines = [f"the word at {slot:#x}, which `ret` took for the return address, is {what}"]
    if not is_canonical(jump.destination):
        lines.append("that is no address, so the CPU refused to go there (general protection fault)")
    text = _spelled(scene.registers.get("rbp", 0))
    lines += [f"rbp, which is saved beside it, is {scene.registers['rbp']:#x}{text}"] if text else []
    lines += [] if fault.instruction else ["no call that went there has its return address at rsp"]
    certain = fault.instruction is not None
    confidence = CERTAIN if certain else LIKELY if jump.destination else POSSIBLE
    why = "its return address was overwritten" if jump.destination else "its return address was overwritten with 0, or"
    why += "" if jump.destination else " nothing had called it"
    steps = (f"x/16gx {slot:#x} - 64", f"kdbg watch {slot:#x},8, then run it again")
    return Finding(f"{who} to {what}: {why}", RULE, confidence, tuple(lines), steps, _facts(scene, jump, fault))


# Where the return address was: at rsp while `ret` could not go, below it afterwards.
def _slot(scene: Scene, fault: Fault) -> int:
    return scene.registers.get("rsp", 0) - (0 if fault.instruction else 8)


def _spelled(value: int) -> str:
    data = value.to_bytes(8, "little").rstrip(b"\0")
    printable = len(data) >= 4 and all(32 <= byte < 127 for byte in data)
    return f' (text "{safe_text(data)}")' if printable else ""


def _facts(scene: Scene, jump: BadJump, fault: Fault) -> Facts:
    place = scene.target.location(Address(fault.pc)) if fault.instruction else None
    return Facts(
        victim="return address", victim_address=Address(_slot(scene, fault)), found=Word(jump.destination),
        instruction=fault.pc if fault.instruction else None, function=code_name(place) if place else None,
        file=place.file if place else None, line=place.line if place else None, fault_address=jump.destination,
    )  # fmt: skip


# At its entry a program finds argc at rsp and the argument pointers above it, ended by a 0 (psABI x86-64, 3.4.1).
def _is_entry(jump: BadJump, scene: Scene) -> bool:
    count, words = jump.destination, jump.stack
    if not 0 < count < min(_ARGUMENTS, len(words) - 1) or words[count + 1]:
        return False
    pointer = scene.registers.get("rsp", 0)
    return all(pointer < word < pointer + (1 << 24) for word in words[1 : count + 1])


def _entry_returned(scene: Scene, jump: BadJump) -> Finding:
    slot = scene.registers.get("rsp", 0) - 8
    evidence = (
        f"the word at {slot:#x}, which `ret` took for the return address, is {jump.destination}: argc, with the "
        f"argument pointers behind it ({data_place(scene, jump.stack[1])})",
    )
    summary = "the program's entry point returned; nothing had called it, it must end with an exit system call"
    facts = Facts(victim_address=Address(slot), found=Word(jump.destination), fault_address=jump.destination)
    return Finding(summary, RULE, LIKELY, evidence, ("info files",), facts)
