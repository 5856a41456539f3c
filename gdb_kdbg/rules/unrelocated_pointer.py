"""An instruction could not reach its operand because the pointer in its base register is a slot's link-time address."""

from __future__ import annotations

from typing import Optional

from ..bad_jumps import BadPointer
from ..copies import CERTAIN, LIKELY, POSSIBLE
from ..demangle import demangle
from ..finding import Finding
from ..scene import Scene
from ..slot_report import find_slot
from ..slots import link_target
from ..units import ADDRESS_MASK, safe_text
from .slot_story import (
    code_place,
    instruction_line,
    relocation_line,
    relocation_steps,
    slot_facts,
    slot_line,
    slot_text,
    state_line,
    target_name,
)  # fmt: skip

RULE = "unrelocated-pointer"


def unrelocated_pointer(scene: Scene) -> Optional[Finding]:
    """Explain a data fault by the slot that the base register was loaded from, if that still holds the same."""
    pointer = scene.bad_pointer
    fault = scene.fault
    if pointer is None or fault is None or fault.instruction is None or not pointer.slot.is_unrelocated:
        return None
    slot, instruction = pointer.slot, fault.instruction
    name, target = target_name(scene, slot), _meant(scene, pointer)
    through = f" (to call {target})" if target and instruction.is_call else ""
    summary = (
        f"the pointer to {name} was read from {slot_text(scene, slot)}, which is not relocated yet: "
        f"{code_place(scene, fault.pc)} used it{through} and could not reach {pointer.address:#x}"
    )
    was = "was" if pointer.is_only else "may have been"
    evidence = (
        instruction_line(scene, instruction),
        f"{pointer.base} {was} loaded by {instruction_line(scene, pointer.load.instruction)}",
        slot_line(scene, slot),
        relocation_line(slot),
        state_line(slot),
    )
    confidence = CERTAIN if pointer.load.is_sure else LIKELY if pointer.is_only else POSSIBLE
    steps = (*relocation_steps(slot), "until relocations are applied: take addresses relative to the pc (`lea`)")
    facts = slot_facts(scene, slot, instruction, target=target, fault_address=pointer.address)
    return Finding(summary, RULE, confidence, evidence, steps, facts)


# The function that the slot at the right address is for, if it is a call.
def _meant(scene: Scene, pointer: BadPointer) -> Optional[str]:
    row = pointer.slot.row
    if row.expected is None or row.value is None:
        return None
    meant = (pointer.address - row.value + row.expected) & ADDRESS_MASK
    found = find_slot(scene.scope, meant)
    target = link_target(found.slot) if found else None
    name = scene.scope.link_place(found.objfile, target) if found and target is not None else ""
    return safe_text(demangle(name), 200) or None
