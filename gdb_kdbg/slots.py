"""The slots of one ELF file: the words its dynamic relocations fill, as far as the file alone tells.

A slot is planned once per file: where it is, what fills it, what the linker left in it. What a running program holds
there is judged in `relocations.py`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import lru_cache
from typing import Mapping, NamedTuple, Optional, Sequence

from .dynamic_symbols import NO_SYMBOL, DynamicSymbol
from .elf import ElfFile, guarded
from .elf_relocations import RELA, RELR
from .elf_tables import PF_W, Segment
from .errors import BadFile, MemoryFault
from .units import ADDRESS_MASK, LinkAddress

# What a relocation does, by the ABI's name of its type without the machine's prefix; the machines differ in spelling.
RELATIVE, SYMBOL, JUMP_SLOT, IRELATIVE, COPY = "relative", "symbol", "jump slot", "irelative", "copy"
TLS_MODULE, TLS_OFFSET, TLS_STATIC, TLS_DESCRIPTOR, OTHER = "tls module", "tls offset", "tls static", "tlsdesc", "other"
_EFFECTS: Mapping[str, str] = {
    "RELATIVE": RELATIVE, "RELATIVE64": RELATIVE, "RELR": RELATIVE,
    "GLOB_DAT": SYMBOL, "64": SYMBOL, "32": SYMBOL, "ABS64": SYMBOL,
    "JUMP_SLOT": JUMP_SLOT, "JMP_SLOT": JUMP_SLOT, "IRELATIVE": IRELATIVE, "COPY": COPY,
    "DTPMOD64": TLS_MODULE, "TLS_DTPMOD32": TLS_MODULE, "TLS_DTPMOD64": TLS_MODULE, "TLS_DTPMOD": TLS_MODULE,
    "DTPOFF64": TLS_OFFSET, "TLS_DTPOFF32": TLS_OFFSET, "TLS_DTPREL64": TLS_OFFSET, "TLS_DTPREL": TLS_OFFSET,
    "TPOFF64": TLS_STATIC, "TLS_TPOFF": TLS_STATIC, "TLS_TPREL64": TLS_STATIC, "TLS_TPREL": TLS_STATIC,
    "TLSDESC": TLS_DESCRIPTOR, "TLS_DESC": TLS_DESCRIPTOR,
}  # fmt: skip
# On x86-64 `32` fills half a word, which no pointer fits in.
_X86_64_HALF = "32"
# Compilers put into these what only the loader writes, protected by RELRO or not.
_CONSTANT_SECTIONS = (
    ".got", ".data.rel.ro", ".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors", ".rodata", ".dynamic",
)  # fmt: skip


class PlannedSlot(NamedTuple):
    """A slot as its file tells it; all addresses are link-time addresses.

    `initial` is the word in the file, None where the file has none; for a RELATIVE relocation `addend` is the
    link-time address that the slot is to point to, wherever the file keeps it. `is_constant` tells that nobody but
    the loader writes there, so that another value is news.
    """

    address: LinkAddress
    section: str
    relocation: str
    effect: str
    addend: int
    symbol: DynamicSymbol
    initial: int
    is_constant: bool


def planned_slots(elf: ElfFile) -> Sequence[PlannedSlot]:
    """Return the slots of a file in the order of its relocations; raise BadFile."""
    return _planned(elf)


def has_slots(elf: ElfFile) -> bool:
    """Tell whether the file has any dynamic relocation; raise BadFile."""
    return len(elf.relocations().addresses) > 0


@lru_cache(maxsize=64)
def _planned(elf: ElfFile) -> tuple[PlannedSlot, ...]:
    with guarded(elf.path):
        columns = elf.relocations()
        symbols = elf.dynamic_symbols() if any(columns.symbols) else ()
        places = _Places(elf)
        names = _Names(elf)
        initial = _initial_words(elf, columns.addresses)
        return tuple(
            _slot(places, names, address, number, symbols[index] if index else NO_SYMBOL, addend, table, word)
            for address, number, index, addend, table, word in zip(*columns, initial)
        )


def _slot(
    places: _Places,
    names: _Names,
    address: int,
    number: int,
    symbol: DynamicSymbol,
    addend: int,
    table: int,
    initial: int,
) -> PlannedSlot:
    name, effect = names.relr if table == RELR else names.of(number)
    section, is_constant = places.of(address)
    # Only compilers make these, and only for their global offset table.
    is_constant = is_constant or effect == JUMP_SLOT or name == "GLOB_DAT"
    if table != RELA and effect in (RELATIVE, SYMBOL, IRELATIVE, TLS_STATIC, TLS_OFFSET):
        addend = initial
    # There it only tells which PLT entry is the slot's (`ld -z mark-plt`); the psABI defines the value without it.
    if effect == JUMP_SLOT and names.machine == "x86-64":
        addend = 0
    return PlannedSlot(LinkAddress(address), section, name, effect, addend, symbol, initial, is_constant)


class _Names:
    """Names and effects of relocation types, each looked up once."""

    relr = ("RELR", RELATIVE)

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf
        self.machine = elf.machine
        self._known: dict[int, tuple[str, str]] = {}

    def of(self, number: int) -> tuple[str, str]:
        if number not in self._known:
            name = self._elf.relocation_name(number)
            half = name == _X86_64_HALF and self._elf.bits == 64
            self._known[number] = name, OTHER if half else _EFFECTS.get(name, OTHER)
        return self._known[number]


class _Places:
    """Section and constancy of link-time addresses; neighbours are mostly in the same section."""

    def __init__(self, elf: ElfFile) -> None:
        self._relro = next((s for s in elf.segments if s.type == "GNU_RELRO"), None)
        self._loaded = elf.loaded
        sections = _sections(elf)
        self._starts = [start for start, _, _ in sections]
        self._sections = sections
        self._last = (1, 0, "", False)

    def of(self, address: int) -> tuple[str, bool]:
        start, end, name, constant = self._last
        if not start <= address < end:
            self._last = self._find(address)
            start, end, name, constant = self._last
        return name, constant

    def _find(self, address: int) -> tuple[int, int, str, bool]:
        relro = self._relro
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._sections[index][1]:
            start, end, name = self._sections[index]
        else:
            start, end, name = address, address + 1, ""
        if relro and relro.address <= address < relro.end:
            return max(start, relro.address), min(end, relro.end), name or "RELRO", True
        # A section may begin in RELRO and end behind it: `.got.plt` does.
        if relro and start < relro.end <= address:
            start = relro.end
        return start, end, name, name.startswith(_CONSTANT_SECTIONS) or not self._is_writable(address)

    def _is_writable(self, address: int) -> bool:
        return any(s.flags & PF_W for s in self._loaded if s.address <= address < s.end)


def _sections(elf: ElfFile) -> list[tuple[int, int, str]]:
    try:
        return sorted((s.address, s.end, s.name) for s in elf.sections if s.placed and s.size)
    except BadFile:
        return []  # cut off the end of the file; the loader does not need them


def _initial_words(elf: ElfFile, addresses: Sequence[int]) -> array[int]:
    """Return the word in the file at each address, 0 where the file has none."""
    width, order = elf.bits // 8, "little" if elf.byte_order == "<" else "big"
    data: dict[Segment, bytes] = {}
    words = array("Q", bytes(8 * len(addresses)))
    segment: Optional[Segment] = None
    content = b""
    start = end = 0
    for position, address in enumerate(addresses):
        if not start <= address < end:
            segment = next((s for s in elf.loaded if s.address <= address < s.end), None)
            if segment is None:
                continue
            start, end = segment.address, segment.end
            content = data[segment] = data[segment] if segment in data else _file_bytes(elf, segment)
        offset = address - start
        words[position] = int.from_bytes(content[offset : offset + width], order)  # type: ignore[arg-type]
    return words


def _file_bytes(elf: ElfFile, segment: Segment) -> bytes:
    try:
        return elf.read_file(segment.offset, segment.file_size)
    except (BadFile, MemoryFault):
        return b""


def by_address(elf: ElfFile) -> tuple[Sequence[int], Sequence[PlannedSlot]]:
    """Return the link-time addresses of all slots, sorted, and the slots in that order; raise BadFile."""
    return _by_address(elf)


@lru_cache(maxsize=64)
def _by_address(elf: ElfFile) -> tuple[array[int], tuple[PlannedSlot, ...]]:
    ordered = sorted(planned_slots(elf), key=lambda slot: slot.address)
    return array("Q", [slot.address for slot in ordered]), tuple(ordered)


def slot_at(elf: ElfFile, link_address: int) -> Optional[PlannedSlot]:
    """Return the slot whose word holds a link-time address; raise BadFile."""
    addresses, slots = by_address(elf)
    index = bisect_right(addresses, link_address) - 1
    if index >= 0 and link_address - addresses[index] < elf.bits // 8:
        return slots[index]
    return None


def slots_towards(elf: ElfFile, link_address: int) -> Sequence[PlannedSlot]:
    """Return the slots that are to point at a link-time address of their own file; raise BadFile."""
    return _targets(elf).get(link_address & ADDRESS_MASK, ())


@lru_cache(maxsize=64)
def _targets(elf: ElfFile) -> Mapping[int, Sequence[PlannedSlot]]:
    found: dict[int, list[PlannedSlot]] = {}
    for slot in planned_slots(elf):
        target = link_target(slot)
        if target is not None:
            found.setdefault(target, []).append(slot)
    return found


def link_target(slot: PlannedSlot) -> Optional[int]:
    """Return the link-time address a slot is to point at, None if it is in another file or no address."""
    if slot.effect == RELATIVE:
        return slot.addend & ADDRESS_MASK
    if slot.effect in (SYMBOL, JUMP_SLOT) and slot.symbol.is_defined:
        return (slot.symbol.address + slot.addend) & ADDRESS_MASK
    return None
