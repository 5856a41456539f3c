"""A call went through a slot that is not relocated yet, or was overwritten: the pc is no code at all."""

from __future__ import annotations

from typing import Optional

from ..bad_jumps import BadJump, SlotState, slots_holding
from ..call_sites import CallSite
from ..copies import CERTAIN, LIKELY, POSSIBLE
from ..finding import Facts, Finding
from ..relocations import ELSEWHERE
from ..scene import Scene
from ..slots import RELATIVE
from ..units import ADDRESS_MASK, LinkAddress, Word
from .slot_story import (
    advice,
    code_place,
    relocation_line,
    relocation_steps,
    site_lines,
    slot_facts,
    slot_line,
    slot_name,
    slot_text,
    state_line,
    target_name,
)  # fmt: skip

RULE, OVERWRITTEN, UNBOUND = "unrelocated-call", "overwritten-slot", "unbound-call"


def bad_call(scene: Scene) -> Optional[Finding]:
    """Explain a pc that is 0 or a link-time address by the slot that the call went through.

    A slot is accused only while it still holds the pc; of one that does not, only that it once may have.
    """
    jump = scene.bad_jump
    if jump is None:
        return None
    site, slot = jump.site, jump.slot
    if site is None or slot is None or not jump.is_call:
        return None if _is_explained(jump) else _by_value(scene, jump)
    if site.value == jump.destination:
        return _through(scene, jump, site, slot)
    return _changed_since(scene, jump, site, slot)


def overwritten_slot(scene: Scene) -> Optional[Finding]:
    """Explain a jump to nowhere by a slot that the loader had filled and something else overwrote."""
    jump = scene.bad_jump
    slot = jump.slot if jump else None
    if jump is None or slot is None or jump.site is None or slot.row.status != ELSEWHERE:
        return None
    if not jump.is_call or jump.site.value != jump.destination:
        return None
    summary = (
        f"call of {target_name(scene, slot)} through {slot_text(scene, slot)}, which was overwritten: "
        f"{code_place(scene, jump.site.call.address)} went to {jump.destination:#x}"
    )
    evidence = (*site_lines(scene, jump.site), slot_line(scene, slot), relocation_line(slot), state_line(slot))
    watch = f"kdbg watch {slot.row.slot_address:#x},8, then run it again"
    confidence = CERTAIN if jump.site.is_sure and slot.row.expected is not None else LIKELY
    steps = (f"kdbg reloc {slot.row.slot_address:#x}", watch)
    return Finding(summary, OVERWRITTEN, confidence, evidence, steps, _facts(scene, jump.site, slot))


def _through(scene: Scene, jump: BadJump, site: CallSite, slot: SlotState) -> Optional[Finding]:
    if not slot.is_unrelocated:
        return None
    target = target_name(scene, slot)
    who = f"call, possibly of {target}," if site.rivals else f"call of {target}"
    summary = (
        f"{who} through {slot_text(scene, slot)}, which is not relocated yet: "
        f"{code_place(scene, site.call.address)} went to {_what(jump.destination, slot)}"
    )
    evidence = (*site_lines(scene, site), slot_line(scene, slot), relocation_line(slot), state_line(slot))
    is_certain = site.is_sure and not jump.is_ambiguous
    confidence = CERTAIN if is_certain else POSSIBLE if site.rivals else LIKELY
    steps = (*relocation_steps(slot), advice(slot, target))
    return Finding(summary, RULE, confidence, evidence, steps, _facts(scene, site, slot))


def _what(destination: int, slot: SlotState) -> str:
    planned = slot.found.slot
    if destination and planned.effect == RELATIVE and destination == planned.addend & ADDRESS_MASK:
        return f"{destination:#x}, its link-time address"
    return (
        f"{destination:#x}, what the linker left in the slot" if destination else "0, what the linker left in the slot"
    )


def _facts(scene: Scene, site: CallSite, slot: SlotState) -> Facts:
    target = target_name(scene, slot)
    return slot_facts(scene, slot, site.jump, call_site=site.call.address, target=target)


# A register may have been loaded before the slot was relocated; a call through memory reads it at once.
def _changed_since(scene: Scene, jump: BadJump, site: CallSite, slot: SlotState) -> Optional[Finding]:
    if jump.destination not in slot.before or not slot.found.slot.is_constant or slot.row.value is None:
        return None
    summary = (
        f"call of {target_name(scene, slot)} by a register that may have been loaded before relocation: "
        f"{code_place(scene, site.call.address)} went to {jump.destination:#x}"
    )
    changed = f"{slot_line(scene, slot)}: the slot has changed since, or the register was reloaded from elsewhere"
    evidence = (*site_lines(scene, site), changed, relocation_line(slot), state_line(slot))
    return Finding(summary, RULE, POSSIBLE, evidence, relocation_steps(slot), _facts(scene, site, slot))


def unbound_call(scene: Scene) -> Optional[Finding]:
    """Explain a call through the PLT that found no dynamic linker to bind it: the PLT's own slot for that is 0."""
    jump = scene.bad_jump
    via = jump.via if jump else None
    if jump is None or via is None or jump.site is None or not jump.is_unbound or jump.destination:
        return None
    target = target_name(scene, via)
    summary = (
        f"call of {target} through the PLT, which is bound lazily, and no dynamic linker is there to bind it: "
        f"{code_place(scene, jump.site.call.address)} went to 0"
    )
    empty = f"{jump.site.place:#x}, where the dynamic linker puts the address of its resolver, holds 0"
    evidence = (*site_lines(scene, jump.site), slot_line(scene, via), relocation_line(via), empty)
    steps = (f"kdbg reloc {via.row.slot_address:#x}", "bind the slots of DT_JMPREL at once, or link with `-z now`")
    facts = slot_facts(scene, via, jump.site.jump, call_site=jump.site.call.address, target=target)
    return Finding(summary, UNBOUND, CERTAIN if jump.site.is_sure else LIKELY, evidence, steps, facts)


def _is_explained(jump: BadJump) -> bool:
    """Whether the place the destination came from is known, and is no slot; or it was a return."""
    known = jump.site is not None and jump.is_call and jump.site.value == jump.destination
    return known or (jump.is_return and not jump.has_return_address)


# With no slot that the call went through, one that holds the pc and should not is still a hint.
def _by_value(scene: Scene, jump: BadJump) -> Optional[Finding]:
    found = next(slots_holding(scene.target, scene.scope, jump.destination), None) if jump.destination else None
    if found is None:
        return None
    target = target_name(scene, found)
    summary = f"the pc is the link-time address of {target}, and {_several(scene, found)} not relocated yet"
    lines = site_lines(scene, jump.site) if jump.site and jump.is_call else ("no call is found that went there",)
    facts = Facts(
        slot_address=found.row.slot_address, slot_link_address=LinkAddress(found.row.link_address),
        slot_name=slot_name(scene, found) or None, section=found.row.section or None, addend=Word(found.row.addend),
        symbol=found.row.demangled or None, target=target, expected=found.row.expected, found=found.row.value,
        objfile_state=found.file.state(), call_site=jump.site.call.address if jump.site and jump.is_call else None,
    )  # fmt: skip
    confidence = LIKELY if found.file.is_relocated is False else POSSIBLE
    evidence = (*lines, slot_line(scene, found), relocation_line(found), state_line(found))
    return Finding(summary, RULE, confidence, evidence, (*relocation_steps(found), advice(found, target)), facts)


def _several(scene: Scene, state: SlotState) -> str:
    name = slot_name(scene, state)
    return f"{name} is" if name else "a slot for it is"
