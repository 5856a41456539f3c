"""Puts an overlap probe into a program and takes it out again, through the few things a program must offer for it.

Nothing is changed before everything is known to be possible. All that is changed is written into the area first, so
that it can be undone from there. Bytes are put back only if they still are what kdbg wrote.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Container, Mapping, NamedTuple, Optional, Protocol, Sequence

from .assembly import JUMP_SIZE, Assembler, CannotPlace, jump_code
from .displacement import Displaced, displace, moved, used_scratch
from .errors import KdbgError
from .mappings import PAGE, free_places
from .mappings import Mapping as Mapped
from .overlap_plan import EntryPlan, Plan, SlotPlan
from .overlap_stub import Entry, Stub, TaskPlace, build_stub
from .probe_area import (
    AREA_SIZE,
    LISTENING,
    SIGNAL_MASK,
    SWITCH,
    Area,
    Header,
    Patch,
    read_header,
)  # fmt: skip
from .ranges import Range
from .target import Memory
from .units import Address, Size

_NEAREST = 8
_ANYWHERE = Range(Address(0x7000_0000_0000), Size(1))


class Host(Memory, Protocol):
    """A stopped program that a probe can be put into."""

    def write_code(self, address: int, data: bytes) -> None:
        """Write bytes, into read-only memory too; raise KdbgError."""
        ...

    def mappings(self) -> Sequence[Mapped]:
        """List what is mapped."""
        ...

    def map(self, address: int, size: int, code_size: int) -> bool:
        """Map zeroed memory exactly there, the first `code_size` bytes executable; False if it is not free."""
        ...

    def unmap(self, address: int, size: int) -> None:
        """Give the memory back."""
        ...

    def program_counters(self) -> Mapping[int, int]:
        """Return the pc of each thread."""
        ...

    def words_within(self, ranges: Sequence[Range]) -> Sequence[int]:
        """Return where registers and writable memory hold a word in one of the ranges: threads will go there."""
        ...

    def step_out(self, range: Range) -> None:
        """Let threads whose pc is in a range go on until it is not."""
        ...

    def step_unseen_out(self, places: Container[int]) -> None:
        """The same for some places, but only of threads that the user does not see stopped there."""
        ...


class Way(NamedTuple):
    """One way into a routine: the probe's entry, the routine and its name, and whether the routine is patched."""

    stub: int
    routine: int
    name: str
    is_patched: bool


class Installed(NamedTuple):
    """A probe that is in place."""

    area: Area
    stub: Stub
    header: Header
    ways: tuple[Way, ...]

    def way(self, inside: int) -> Way:
        """Return the way whose code, from its entry on, an address is in."""
        return max(way for way in self.ways if way.stub <= inside)


class Removal(NamedTuple):
    """What taking a probe out came to; `is_gone` if nothing of it is left."""

    is_gone: bool
    problems: tuple[str, ...] = ()


def install(
    host: Host,
    plans: Sequence[Plan],
    signal: int,
    listening: bool,
    about: Mapping[str, Any],
    task: Optional[TaskPlace] = None,
) -> Installed:
    """Put one probe for all the plans in place; raise CannotPlace with nothing changed."""
    displaced = {entry.address: _displaced(entry) for plan in plans for entry in plan.entries}
    _check_threads(host, list(displaced.values()))
    problems: list[str] = []
    for place in _places(host.mappings(), plans):
        area = Area(place)
        try:
            stub, patches, ways = _made(area, plans, displaced, signal, task)
        except CannotPlace as error:
            problems.append(str(error))
            continue
        header = Header(tuple(patches), {**about, "signal": signal})
        header.encoded()  # raises what it has to raise before anything is done
        if host.map(area.start, area.size, area.code_size):
            return _put(host, Installed(area, stub, header, ways), listening)
    reason = f": {problems[0]}" if problems else ""
    raise CannotPlace(f"there is no free memory within reach of the routines{reason}")


def _displaced(entry: EntryPlan) -> Displaced:
    found = displace(entry.code, entry.address, entry.size)
    if found.takes_code and not entry.is_whole:
        raise CannotPlace(
            f"{entry.name} at {entry.address:#x} may be entered behind its first jump, by its other parts"
        )
    used = used_scratch(entry.code[: entry.size], entry.address)
    if used:
        raise CannotPlace(f"{entry.name} at {entry.address:#x} takes {', '.join(used)} as input, which a probe needs")
    return found


def _check_threads(host: Host, displaced: Sequence[Displaced]) -> None:
    inside = frozenset(pc for item in displaced for pc in item.inside)
    host.step_unseen_out(inside)
    for thread, pc in host.program_counters().items():
        if pc in inside:
            raise CannotPlace(f"thread {thread} is at {pc:#x}, in the bytes to be patched: let it go on a little")
    # Only the starts of instructions can be returned to.
    starts = [i.instruction.address for item in displaced for i in item.instructions[1:]]
    held = host.words_within([Range(Address(start), Size(1)) for start in starts]) if starts else ()
    if held:
        raise CannotPlace(
            f"the word at {held[0]:#x} leads into the bytes to be patched: let the program go on a little"
        )


def _places(mappings: Sequence[Mapped], plans: Sequence[Plan]) -> Sequence[int]:
    routines = sorted(address for plan in plans for address in plan.routines)
    entries = sorted(entry.address for plan in plans for entry in plan.entries)
    for near in (routines, entries):
        if near:
            span = Range(Address(near[0]), Size(near[-1] + PAGE - near[0]))
            places = free_places(mappings, span, AREA_SIZE)
            if places:
                return places[:_NEAREST]
    return [] if entries else free_places(mappings, _ANYWHERE, AREA_SIZE)[:_NEAREST]


def _made(
    area: Area, plans: Sequence[Plan], displaced: Mapping[int, Displaced], signal: int, task: Optional[TaskPlace]
) -> tuple[Stub, list[Patch], tuple[Way, ...]]:
    entries = [Entry(f"entry {at:#x}", _displaced_code(item)) for at, item in displaced.items()]
    routines = sorted({slot.routine for plan in plans for slot in plan.slots})
    entries += [Entry(f"routine {routine:#x}", _jump_to(routine)) for routine in routines]
    names = {routine: plan.routine for plan in plans for routine in plan.routines}
    stub = build_stub(area, entries, signal, task)
    patches = [_entry_patch(item, stub.entries[f"entry {at:#x}"]) for at, item in displaced.items()]
    slots = {slot.address: slot for plan in plans for slot in plan.slots}
    patches += [_slot_patch(slot, stub.entries[f"routine {slot.routine:#x}"]) for slot in slots.values()]
    ways = [Way(stub.entries[f"entry {at:#x}"], at, names[at], True) for at in displaced]
    ways += [Way(stub.entries[f"routine {at:#x}"], at, names[at], False) for at in routines]
    return stub, patches, tuple(ways)


def _displaced_code(item: Displaced) -> Callable[[Assembler], None]:
    return lambda code: code.emit(moved(item, code.here))


def _jump_to(routine: int) -> Callable[[Assembler], None]:
    return lambda code: code.jump(routine)


def _entry_patch(item: Displaced, stub: int) -> Patch:
    old = b"".join(i.code for i in item.instructions)[:JUMP_SIZE]
    return Patch(item.address, old, jump_code(item.address, stub))


def _slot_patch(slot: SlotPlan, stub: int) -> Patch:
    return Patch(slot.address, struct.pack("<Q", slot.value), struct.pack("<Q", stub))


def _put(host: Host, probe: Installed, listening: bool) -> Installed:
    area, header = probe.area, probe.header
    try:
        # From here on it is found and taken out again, with nothing patched yet.
        host.write_code(area.header, header._replace(patches=()).encoded())
        host.write_code(area.start, probe.stub.code)
        host.write_code(area.control + SWITCH, b"\1")
        host.write_code(area.control + LISTENING, bytes([listening]))
        host.write_code(area.control + SIGNAL_MASK, struct.pack("<Q", 1 << header.about["signal"] - 1))
        for patch in header.patches:
            if host.read_memory(Address(patch.address), Size(len(patch.old))) != patch.old:
                raise CannotPlace(f"the bytes at {patch.address:#x} changed meanwhile")
        host.write_code(area.header, header.encoded())
        for patch in header.patches:
            host.write_code(patch.address, patch.new)
    except BaseException:
        if read_header(host, area) is None:
            host.unmap(area.start, area.size)
        remove(host, area)
        raise
    return probe


def extend(host: Host, probe: Installed, plans: Sequence[Plan]) -> tuple[Installed, Sequence[str]]:
    """Redirect further slots into a probe that is in place, those of files that were loaded later."""
    ways = {way.routine: way for way in probe.ways}
    known = {patch.address for patch in probe.header.patches}
    slots = {slot.address: slot for plan in plans for slot in plan.slots if slot.address not in known}
    problems = [f"{slot.of}: it leads elsewhere than others do, so its calls are not seen"
                for slot in slots.values() if slot.routine not in ways]  # fmt: skip
    added = [_slot_patch(slot, ways[slot.routine].stub) for slot in slots.values() if slot.routine in ways]
    header = probe.header._replace(patches=(*probe.header.patches, *added))
    if added:
        host.write_code(probe.area.header, header.encoded())
        for patch in added:
            host.write_code(patch.address, patch.new)
    return probe._replace(header=header), problems


def find_areas(host: Host) -> Sequence[Area]:
    """Find the probes that are in a program, whoever put them there."""
    starts: list[int] = []
    before = 0
    for mapping in host.mappings():
        # The code is a mapping of its own, right before the data.
        if mapping.start == before and mapping.permissions.startswith("rw"):
            starts.append(mapping.start)
        before = mapping.end if mapping.permissions.startswith("r-x") and not mapping.name else 0
    areas = [Area(start - Area(0).header) for start in starts]
    return [area for area in areas if read_header(host, area) is not None]


def remove(host: Host, area: Area) -> Removal:
    """Put back what was changed for an area and unmap it, as far as that is safe; what is left is told."""
    header = read_header(host, area)
    if header is None:
        return Removal(True)  # the program is another one by now
    host.write_code(area.control + LISTENING, b"\0")
    problems = [problem for patch in header.patches for problem in _put_back(host, patch)]
    host.step_out(Range(Address(area.start), Size(area.code_size)))
    if problems:
        return Removal(False, (*problems, f"the probe's code at {area.start:#x} stays, passing calls through"))
    held = host.words_within([Range(Address(area.start), Size(area.code_size))])
    if held:
        host.write_code(area.control + SWITCH, b"\0")
        told = f"{held[0]:#x} leads there" if area.is_code(held[0]) else f"the word at {held[0]:#x} leads there"
        why = f"nothing leads through the probe any more, but a thread may still be in it ({told})"
        return Removal(False, (f"{why}: its code at {area.start:#x} stays till kdbg overlap --off is given again",))
    host.unmap(area.start, area.size)
    return Removal(True)


def is_active(host: Host, area: Area) -> bool:
    """Tell whether calls still go through a probe; one that was taken out may have had to leave its code behind."""
    header = read_header(host, area)
    return header is not None and any(
        host.read_memory(Address(patch.address), Size(len(patch.new))) == patch.new for patch in header.patches
    )


def _put_back(host: Host, patch: Patch) -> Sequence[str]:
    try:
        found = host.read_memory(Address(patch.address), Size(len(patch.new)))
    except KdbgError:
        return ()  # the file it belonged to was unloaded
    if found == patch.new:
        host.write_code(patch.address, patch.old)
    elif found != patch.old:
        return (f"the bytes at {patch.address:#x} are not what kdbg wrote ({found.hex()}): they are left alone",)
    return ()
