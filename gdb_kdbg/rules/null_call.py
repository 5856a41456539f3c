"""A call through a null pointer that no relocation was to fill."""

from __future__ import annotations

from typing import Optional

from ..bad_jumps import BadJump, SlotState
from ..call_sites import CallSite
from ..copies import CERTAIN, LIKELY
from ..finding import Facts, Finding
from ..relocations import RESOLVED
from ..scene import Scene
from ..scope import base_name
from ..slot_report import LoadedSlots
from ..units import Address
from .slot_story import code_name, code_place, slot_line, target_name, way_lines

RULE = "null-call"


def null_call(scene: Scene) -> Optional[Finding]:
    """Tell which call went to 0, and which instruction had read that from where."""
    jump = scene.bad_jump
    if jump is None or jump.destination or jump.site is None or not jump.is_call:
        return None
    slot = jump.slot
    if jump.is_unbound or (slot is not None and (slot.is_unrelocated or jump.site.value != 0)):
        return None
    where = code_place(scene, jump.site.call.address)
    if slot is not None and slot.row.status == RESOLVED and jump.site.is_sure:
        name = target_name(scene, slot)
        summary = f"call of {name}, a weak symbol that no loaded file defines: {where} went to 0"
    else:
        summary = f"call through a null pointer: {where} went to 0"
    before = _before_relocation(scene, jump.site) if slot is None else ()
    evidence = (*way_lines(scene, jump.site), *_note(scene, slot), *before)
    confidence = CERTAIN if is_sure(jump.site) and not jump.is_ambiguous else LIKELY
    return Finding(summary, RULE, confidence, evidence, ("backtrace", *_further(jump)), jump_facts(scene, jump))


def is_sure(site: CallSite) -> bool:
    """Tell whether it is certain that control came by this way: there was no other from the call."""
    return site.is_sure or site.jump.address == site.call.address


# What the loader had put there says nothing of who is at fault: the program may change it.
def _note(scene: Scene, slot: Optional[SlotState]) -> tuple[str, ...]:
    if slot is None:
        return ()
    row = slot.row
    note = f": {row.note}" if row.note else ""
    if row.expected:
        return (f"relocation put {row.expected:#x} ({target_name(scene, slot)}) there{note}",)
    return (f"{slot_line(scene, slot)}{note}",)


# A pointer that was copied from a slot too far back to be seen is 0 as well, if lld made the file.
def _before_relocation(scene: Scene, site: CallSite) -> tuple[str, ...]:
    objfile = scene.scope.executable_in(site.call.address)
    elf = scene.scope.elf_of(objfile) if objfile else None
    loaded = LoadedSlots(scene.scope, objfile, elf, scene.target) if objfile and elf else None
    if objfile is None or loaded is None or loaded.is_relocated is not False:
        return ()
    return (f"{base_name(objfile)}: {loaded.state()}; a pointer copied from one of these slots may be 0",)


def _further(jump: BadJump) -> tuple[str, ...]:
    if jump.site is None or jump.site.place is None or jump.site.value != jump.destination:
        return ()
    if jump.slot is not None and jump.slot.row.status == RESOLVED and jump.site.is_sure:
        return ("test the address of a weak symbol before calling it",)
    return (f"kdbg watch {jump.site.place:#x},8, then run it again",)


def jump_facts(scene: Scene, jump: BadJump) -> Facts:
    """Return the facts of a jump that has no slot to blame."""
    site = jump.site
    if site is None or not jump.is_call:
        return Facts(fault_address=jump.destination)
    place = scene.target.location(Address(site.call.address))
    return Facts(
        instruction=site.jump.address, call_site=site.call.address, function=code_name(place) if place else None,
        file=place.file if place else None, line=place.line if place else None, fault_address=jump.destination,
        operand_address=site.place,
    )  # fmt: skip
