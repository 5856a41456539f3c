"""What findings about slots have in common: the call site, the slot, its relocation and its file in words."""

from __future__ import annotations

from typing import Any

from ..bad_jumps import SlotState
from ..call_sites import CallSite
from ..demangle import demangle
from ..disassembly import Instruction
from ..elf import ElfFile
from ..errors import BadFile
from ..finding import Facts
from ..scene import Scene
from ..scope import base_name
from ..slots import JUMP_SLOT, RELATIVE, SYMBOL
from ..target import Location
from ..units import ADDRESS_MASK, Address, LinkAddress, Word, safe_text

# Compilers call these of their own accord: for values passed by value, and for loops that copy or fill.
_IMPLIED = ("memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen")
_NAME_LIMIT = 200
# Closer to the stack pointer than this an address is told by it.
_NEAR = 1 << 16


def code_place(scene: Scene, address: int) -> str:
    """Name a code address with its line: `use_slot+0x4 (shapes.c:60)`."""
    place = scene.target.location(Address(address))
    if place is None:
        return scene.scope.place(address) or f"{address:#x}"
    return f"{code_name(place)} ({safe_text(place.file, _NAME_LIMIT)}:{place.line})" if place.file else code_name(place)


def code_name(place: Location) -> str:
    """Return a function's name and offset, demangled."""
    name = safe_text(demangle(place.function), _NAME_LIMIT)
    return f"{name}+{place.offset:#x}" if place.offset else name


def shown_place(place: str) -> str:
    """Demangle the name in a place such as `_ZTV1C+0x10`."""
    name, plus, offset = place.rpartition("+")
    name, plus, offset = (name, plus, offset) if offset.startswith("0x") else (place, "", "")
    return safe_text(demangle(name), _NAME_LIMIT) + plus + offset


def instruction_line(scene: Scene, instruction: Instruction) -> str:
    """Say where an instruction stands."""
    return f"`{instruction}` at {instruction.address:#x} in {code_place(scene, instruction.address)}"


def site_lines(scene: Scene, site: CallSite) -> tuple[str, ...]:
    """Tell the way of control: the call, the jump it led to, the load of the register it went by."""
    lines = _way(scene, site)
    if site.load and site.load.instruction.address != site.jump.address:
        was = "may have been" if site.rivals else "was"
        lines += (f"the register {was} loaded by {instruction_line(scene, site.load.instruction)}",)
    return lines


def way_lines(scene: Scene, site: CallSite) -> tuple[str, ...]:
    """Tell the way of control and where the pointer came from, which may lie too far back to be seen."""
    return (*_way(scene, site), *load_lines(scene, site))


def _way(scene: Scene, site: CallSite) -> tuple[str, ...]:
    call = instruction_line(scene, site.call)
    same = site.jump.address == site.call.address
    return (call,) if same else (call, f"it led to {instruction_line(scene, site.jump)}")


def target_name(scene: Scene, state: SlotState) -> str:
    """Name what a slot is to point to; where it has no symbol, by its file and link-time address."""
    if state.row.demangled:
        return safe_text(state.row.demangled, _NAME_LIMIT)
    slot = state.found.slot
    if slot.effect == RELATIVE:
        return f"{base_name(state.found.objfile)}+{slot.addend & ADDRESS_MASK:#x} (no symbol)"
    return "a symbol without a name"


def slot_name(scene: Scene, state: SlotState) -> str:
    """Return the object that a slot lies in, `handlers+0x10`; empty in the GOT."""
    name = scene.scope.link_place(state.found.objfile, state.row.link_address)
    in_got = state.row.section.startswith(".got") or name.startswith("_GLOBAL_OFFSET_TABLE_")
    return "" if in_got else shown_place(name)


def slot_text(scene: Scene, state: SlotState) -> str:
    """Say which slot it is, for a summary."""
    if state.row.section.startswith(".got"):
        return "its GOT slot"
    return slot_name(scene, state) or f"a slot in {state.row.section or base_name(state.found.objfile)}"


def slot_line(scene: Scene, state: SlotState) -> str:
    """Tell where a slot is, what it holds and what it should hold."""
    row = state.row
    where = f"{row.section} of {base_name(state.found.objfile)}".lstrip()
    held = "cannot be read" if row.value is None else f"holds {row.value:#x}" if row.value else "holds 0"
    should = f", should hold {row.expected:#x} ({target_name(scene, state)})" if row.expected is not None else ""
    return f"slot {row.slot_address:#x} (link-time address {row.link_address:#x}, {where}) {held}{should}"


def relocation_line(state: SlotState) -> str:
    """Write a slot's relocation as `readelf -r` does; a RELR one has no line there."""
    slot = state.found.slot
    if slot.relocation == "RELR":
        return f"relocation: an entry of DT_RELR for {slot.address:#x}, whose addend {slot.addend:#x} is in the slot"
    value = f"{slot.addend & ADDRESS_MASK:x}"
    if slot.effect in (SYMBOL, JUMP_SLOT):
        value = f"{safe_text(slot.symbol.name, _NAME_LIMIT)} + {slot.addend:x}"
    return f"relocation: {slot.address:012x} {relocation_name(state)} {value}"


def relocation_name(state: SlotState) -> str:
    """Return the ABI's name of a slot's relocation type."""
    name = state.found.slot.relocation
    return name if name == "RELR" else f"R_X86_64_{name}"


def state_line(state: SlotState) -> str:
    """Say how far the slot's whole file is relocated."""
    return f"{base_name(state.found.objfile)}: {state.file.state()}"


def slot_facts(scene: Scene, state: SlotState, instruction: Instruction, **more: Any) -> Facts:
    """Return the facts of a slot and of the instruction that went through it."""
    site = more.pop("call_site", instruction.address)
    row, place = state.row, scene.target.location(site)
    return Facts(
        instruction=instruction.address, call_site=site,
        function=code_name(place) if place else None, file=place.file if place else None,
        line=place.line if place else None,
        slot_address=row.slot_address, slot_link_address=LinkAddress(row.link_address),
        slot_name=slot_name(scene, state) or None, section=row.section or None,
        relocation=relocation_name(state), addend=Word(row.addend), symbol=row.demangled or None,
        expected=row.expected, found=row.value, objfile=base_name(state.found.objfile),
        objfile_state=state.file.state(), **more,
    )  # fmt: skip


def relocation_steps(state: SlotState) -> tuple[str, ...]:
    """Return what to type to see the slot, and all that are like it."""
    objfile = base_name(state.found.objfile)
    return f"kdbg reloc {state.row.slot_address:#x}", f"kdbg got {objfile} --status unrelocated"


def advice(state: SlotState, target: str) -> str:
    """Say how code that runs before relocation can do without the slot."""
    name = target.split("@")[0].split("+")[0]
    if name in _IMPLIED:
        return (
            f"until relocations are applied: pass large values by reference instead of by value (the compiler copies "
            f"them with {name}), or link so that {name} is called directly"
        )
    if state.row.section.startswith(".got"):
        return f"until relocations are applied: call {name} directly (a hidden or static function needs no GOT slot)"
    return "apply the relocations before the first call through a table (dyn, virtual, function pointers)"


def load_lines(scene: Scene, site: CallSite) -> tuple[str, ...]:
    """Say which instruction read the pointer, and from where."""
    load = site.load
    if load is None:
        return ()
    read = "was read" if load.is_sure else "may have been read"
    own = load.instruction.address == site.jump.address
    by = "" if own else f" by {instruction_line(scene, load.instruction)}"
    where = f" from {data_place(scene, load.place)}" if load.place is not None else ""
    return (f"the pointer {read}{by}{',' if by and where else ''}{where}",) if by or where else ()


def data_place(scene: Scene, address: int) -> str:
    """Name a data address: its symbol, else its section and file, else how far from the stack pointer it is."""
    named = scene.scope.place(address)
    for objfile, elf in scene.scope.symbols.holders(address):
        link = address - objfile.load_bias & ADDRESS_MASK
        section = _section(elf, link)
        inside = f"{section} of {base_name(objfile)}" if section else base_name(objfile)
        return f"{address:#x} ({shown_place(named)}, in {inside})" if named else f"{address:#x}"
    distance = address - scene.registers.get("rsp", 0)
    if -_NEAR <= distance < _NEAR:
        sign = "-" if distance < 0 else "+"
        return f"{address:#x} (rsp{sign}{abs(distance):#x})"
    return f"{address:#x}"


# Section headers may be cut off the end of the file; the loader does not need them.
def _section(elf: ElfFile, link_address: int) -> str:
    try:
        return next((s.name for s in elf.sections if s.placed and s.address <= link_address < s.end), "")
    except BadFile:
        return ""
