"""The trace ring: reading it in few blocks and decoding its records, torn and lost ones included."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Sequence

from .blocks import read_available, read_pieces
from .errors import MemoryFault, SymbolNotFound
from .probe import probes_of
from .process import guard_range
from .ranges import Range, gap_after
from .ring_layout import FIELDS, RingLayout, find_layout
from .target import LiveTarget, Location, Target
from .uml_kernel import is_uml
from .units import Address, Count, Size, Word, is_kernel_half, safe_text

CONTEXTS, CONTEXT, TAGS = "ucopy_trace_context", "ucopy_context", "ucopy_tags"
# No machine counts this many copies in its life: such an index is garbage.
IMPLAUSIBLE_TOTAL = 1 << 48
_TAG_SIZE = Size(64)


@dataclass(frozen=True)
class RingRecord:
    """One copy as it was asked for. `guard_gap` counts from the end of the asked range to the guard."""

    sequence: Count = field(metadata={"label": "#"})
    destination: Address
    source: Address
    size: Size
    return_address: Address = field(metadata={"text": False})
    caller: str
    file: Optional[str] = field(metadata={"label": "line"})
    line: Optional[int]
    direction: str
    context: Optional[str]
    process: Optional[Count] = field(metadata={"label": "pid"})
    torn: bool
    # A distance beyond this tells a person nothing; JSON has it all the same.
    guard_gap: Optional[int] = field(metadata={"within": 4096})
    extra: Mapping[str, Word]

    @property
    def asked(self) -> Range:
        return Range(self.destination, self.size)


@dataclass(frozen=True)
class RingReport:
    """The trace ring of a target, oldest record first. `lost` records were overwritten by later ones."""

    symbol: str
    address: Address
    capacity: Count
    capacity_from: str
    record_size: Size
    total: Count
    lost: Count
    enabled: Optional[bool]
    records: tuple[RingRecord, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Header:
    total: int
    enabled: Optional[bool]
    process: Optional[int]


def read_ring(target: Target, layout_setting: str = "") -> RingReport:
    """Read and decode the whole ring, or raise SymbolNotFound or MemoryFault (the index is unreadable)."""
    layout = find_layout(target, layout_setting)
    header = _header(target, layout)
    problems: list[str] = []
    data = read_available(target, layout.buffer, layout.size)
    if len(data) < layout.size:
        bad = layout.buffer + len(data)
        problems.append(f"{layout.symbol}: only {len(data)} of {layout.size} bytes can be read, not {bad:#x}")
    slots = _order(layout, header.total, data, problems)
    torn = _torn_slot(target, layout, header.total, problems)
    records = _Decoder(target, layout, header).decode(data, slots, torn)
    lost = max(0, header.total - layout.capacity) if header.total < IMPLAUSIBLE_TOTAL else 0
    return RingReport(
        layout.symbol, layout.buffer, layout.capacity, layout.capacity_from, layout.record_size,
        Count(header.total), Count(lost), header.enabled, records, tuple(problems),
    )  # fmt: skip


def _header(target: Target, layout: RingLayout) -> _Header:
    context = target.symbol(CONTEXT)
    wanted = [(layout.index, Size(8))]
    wanted += [(layout.switch, Size(1))] if layout.switch is not None else []
    wanted += [(context.address, Size(4))] if context else []
    pieces = read_pieces(target, wanted)
    index = pieces[layout.index]
    if index is None:
        raise MemoryFault(layout.index, 8, "the ring's index cannot be read")
    switch = pieces[layout.switch] if layout.switch is not None else None
    word = pieces[context.address] if context else None
    process = int.from_bytes(word, "little") >> 16 if word else None
    return _Header(int.from_bytes(index, "little"), None if switch is None else switch != b"\0", process)


def _order(layout: RingLayout, total: int, data: bytes, problems: list[str]) -> Sequence[tuple[int, int]]:
    """Return (sequence, slot) of the readable records, oldest first."""
    readable = len(data) // layout.record_size
    if total >= IMPLAUSIBLE_TOTAL:
        problems.append(f"index {total:#x} is not plausible: records are shown in the order of their slots")
        size = layout.record_size
        return [(slot, slot) for slot in range(readable) if any(data[slot * size : (slot + 1) * size])]
    first = max(0, total - layout.capacity)
    numbered = ((sequence, sequence % layout.capacity) for sequence in range(first, total))
    return [(sequence, slot) for sequence, slot in numbered if slot < readable]


def _torn_slot(target: Target, layout: RingLayout, total: int, problems: list[str]) -> Optional[int]:
    pc = target.register("rip")
    if pc is None or not 0 < total < IMPLAUSIBLE_TOTAL:
        return None
    if not any(probe.writing.contains(pc) for probe in probes_of(target, layout.index)):
        return None
    problems.append(f"record {total - 1} is torn: the target is stopped inside the probe, at {pc:#x}")
    return (total - 1) % layout.capacity


class _Decoder:
    """Decodes records; names each distinct address once."""

    def __init__(self, target: Target, layout: RingLayout, header: _Header) -> None:
        self.target = target
        self.layout = layout
        self.header = header
        self.guard = guard_range(target)
        self.is_uml = is_uml(target)  # its addresses are all in the lower half
        self.names: dict[int, Optional[Location]] = {}

    def decode(self, data: bytes, slots: Sequence[tuple[int, int]], torn: Optional[int]) -> tuple[RingRecord, ...]:
        contexts = self._contexts()
        return tuple(
            self._record(sequence, self._values(data, slot), contexts.get(slot), slot == torn)
            for sequence, slot in slots
        )

    def _values(self, data: bytes, slot: int) -> Mapping[str, int]:
        start = slot * self.layout.record_size
        return {
            name: int.from_bytes(data[start + offset : start + offset + size], "little")
            for name, (offset, size) in self.layout.fields.items()
        }

    def _record(
        self, sequence: int, values: Mapping[str, int], context: Optional[tuple[str, int]], torn: bool
    ) -> RingRecord:
        asked = Range(Address(values["destination"]), Size(values["size"]))
        tag, process = context if context else (None, None)
        place = self._name(values.get("return_address", 0))
        return RingRecord(
            Count(sequence), asked.start, Address(values["source"]), asked.size,
            Address(values.get("return_address", 0)), str(place) if place else "",
            place.file if place else None, place.line if place else None,
            "kernel" if self.is_uml else direction(values["destination"], values["source"]), tag or None,
            None if process is None else Count(process), torn, self._gap(asked, process),
            {name: Word(value) for name, value in values.items() if name not in FIELDS},
        )  # fmt: skip

    def _gap(self, asked: Range, process: Optional[int]) -> Optional[int]:
        # The same virtual address in another process is another guard.
        other = None not in (process, self.header.process) and process != self.header.process
        if self.guard is None or other or is_kernel_half(asked.start):
            return None
        return gap_after(asked, self.guard)

    def _name(self, return_address: int) -> Optional[Location]:
        # The byte before the return address belongs to the call: its line, and its function if that never returns.
        if return_address not in self.names:
            place = self.target.location(Address(return_address - 1)) if return_address else None
            exact = Location(place.function, Size(place.offset + 1), place.file, place.line) if place else None
            self.names[return_address] = exact
        return self.names[return_address]

    def _contexts(self) -> Mapping[int, tuple[str, int]]:
        # Per slot (tag, process id) of the optional parallel array; empty without one.
        array, tags = self.target.symbol(CONTEXTS), self.target.symbol(TAGS)
        if array is None:
            return {}
        data = read_available(self.target, array.address, Size(4 * self.layout.capacity))
        words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        offsets = {word & 0xFFFF for word in words} - {0}
        texts = read_tags(self.target, tags.address, offsets) if tags else {}
        return {slot: (texts.get(word & 0xFFFF, ""), word >> 16) for slot, word in enumerate(words)}


def read_tags(target: Target, base: Address, offsets: set[int]) -> Mapping[int, str]:
    """Read tag texts at offsets from the tag section: bounded and escaped, they are the guest's words."""
    places = {offset: Address(base + offset) for offset in offsets}
    pieces = read_pieces(target, [(place, _TAG_SIZE) for place in places.values()])
    # The last tag may end with its page.
    texts = {o: pieces[place] or read_available(target, place, _TAG_SIZE) for o, place in places.items()}
    return {offset: safe_text(text, _TAG_SIZE - 1) for offset, text in texts.items()}


def current_tag(target: Target) -> Optional[str]:
    """Return the tag set right now, None if there is none."""
    context, tags = target.symbol(CONTEXT), target.symbol(TAGS)
    if context is None or tags is None:
        return None
    offset = int.from_bytes(target.read_memory(context.address, Size(2)), "little")
    return read_tags(target, tags.address, {offset})[offset] if offset else None


def direction(destination: int, source: int) -> str:
    """Name a copy by the halves of the address space it crosses."""
    to_kernel, from_kernel = is_kernel_half(destination), is_kernel_half(source)
    if to_kernel == from_kernel:
        return "kernel" if to_kernel else "user"
    return "from_user" if to_kernel else "to_user"


def switch_ring(target: LiveTarget, layout_setting: str, on: bool) -> None:
    """Turn the probe on or off; only the low byte of the switch is written."""
    layout = find_layout(target, layout_setting)
    if layout.switch is None:
        raise SymbolNotFound("the ring has no switch: no symbol 'ucopy_trace_on' (set kdbg ring-layout switch=...)")
    target.write_memory(layout.switch, b"\1" if on else b"\0")


def clear_ring(target: LiveTarget, layout_setting: str) -> None:
    """Forget all records: zero the buffer, then the count."""
    layout = find_layout(target, layout_setting)
    target.write_memory(layout.buffer, bytes(layout.size))
    target.write_memory(layout.index, bytes(8))
