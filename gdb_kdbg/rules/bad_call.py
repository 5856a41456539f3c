"""A call went through a slot that is not relocated yet, or was overwritten: the pc is no code at all."""

from __future__ import annotations

from typing import Optional

from ..bad_jumps import BadJump, SlotState, slots_holding
from ..call_sites import CallSite
from ..copies import CERTAIN, LIKELY, POSSIBLE
from ..finding import Facts, Finding
from ..relocations import ELSEWHERE
from ..scene import Scene
from ..scope import base_name
from ..slots import RELATIVE
from ..units import ADDRESS_MASK
from .slot_story import (
    advice,
    code_place,
    relocation_line,
    relocation_name,
    relocation_steps,
    site_lines,
    slot_facts,
    slot_line,
    slot_name,
    slot_text,
    state_line,
    target_name,
    way_lines,
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
        return None if jump.is_return and not jump.has_return_address else _by_value(scene, jump)
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
    confidence = CERTAIN if site.is_sure else POSSIBLE if site.rivals else LIKELY
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


# With no slot that the call went through, those that hold the pc and should not are still a hint.
def _by_value(scene: Scene, jump: BadJump) -> Optional[Finding]:
    found = list(slots_holding(scene.target, scene.scope, jump.destination)) if jump.destination else []
    if not found:
        return None
    first, site = found[0], jump.site if jump.is_call else None
    target = target_name(scene, first)
    several = "a slot for it is" if len(found) == 1 else f"{len(found)} slots for it are"
    summary = f"the pc is the link-time address of {target}, and {several} not relocated yet"
    lines = way_lines(scene, site) if site else ("no call is found that went there",)
    row = first.row if len(found) == 1 else None
    facts = Facts(
        slot_address=row.slot_address if row else None, slot_link_address=row.link_address if row else None,
        slot_name=slot_name(scene, first) or None if row else None, section=row.section or None if row else None,
        addend=first.row.addend, symbol=first.row.demangled or None, target=target, expected=first.row.expected,
        found=first.row.value, objfile=base_name(first.found.objfile), objfile_state=first.file.state(),
        relocation=relocation_name(first), call_site=site.call.address if site else None,
    )  # fmt: skip
    confidence = LIKELY if first.file.is_relocated is False else POSSIBLE
    evidence = (*lines, slot_line(scene, first), relocation_line(first), state_line(first))
    return Finding(summary, RULE, confidence, evidence, (*relocation_steps(first), advice(first, target)), facts)
