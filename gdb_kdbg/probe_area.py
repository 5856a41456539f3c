"""The memory kdbg maps into a program for its probes: how it is laid out, and what it says of itself.

It is found again and undone from what is in it alone, by another GDB, in a forked child, or after a crash of GDB: its
header tells which bytes were changed and what they were. Code comes first, then data; the ring has the format of
docs/ring-format.md.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, NamedTuple, Optional, Sequence

from .errors import KdbgError
from .mappings import PAGE
from .target import Memory
from .units import Address, Size

MAGIC = b"kdbg overlap probe 1\n"
CODE_PAGES = 4
RECORD, CAPACITY = 32, 1024
# Threads count in places of their own, chosen by bits of the stack pointer as they are; only pages in use are there.
LINE, LINES = PAGE, 128
# A kind of overlap: return address, distance, size, count.
KIND, KINDS = 32, 1024
TOKENS = 4
_HEADER_SIZE = 16 * PAGE
# Words of the control line: index of the ring, switch, whether somebody listens, mask of the signal, calls with equal
# addresses, hits beyond the table of kinds, presented calls that came again.
INDEX, SWITCH, LISTENING, SIGNAL_MASK, SAME, UNLISTED, AGAIN, FIRST_TOKEN = (8 * n for n in range(8))


class Area(NamedTuple):
    """The addresses of an area's parts."""

    start: int

    @property
    def code_size(self) -> int:
        return CODE_PAGES * PAGE

    @property
    def header(self) -> int:
        return self.start + self.code_size

    @property
    def control(self) -> int:
        return self.header + _HEADER_SIZE

    @property
    def ring(self) -> int:
        return self.control + PAGE

    @property
    def contexts(self) -> int:
        return self.ring + RECORD * CAPACITY

    @property
    def kinds(self) -> int:
        return self.contexts + 4 * CAPACITY

    @property
    def lines(self) -> int:
        return self.kinds + KIND * KINDS

    @property
    def end(self) -> int:
        return self.lines + LINE * LINES

    @property
    def size(self) -> int:
        return self.end - self.start

    def is_code(self, address: int) -> bool:
        return self.start <= address < self.start + self.code_size


AREA_SIZE = Area(0).size


class Patch(NamedTuple):
    """Bytes that kdbg changed: where, what they were, what it wrote."""

    address: int
    old: bytes
    new: bytes


class Header(NamedTuple):
    """What an area says of itself: what is probed, how, the patches, and what the command needs again."""

    patches: tuple[Patch, ...]
    about: Mapping[str, Any]

    def encoded(self) -> bytes:
        """Return the bytes of the header; raise KdbgError if there are too many."""
        patches = [[patch.address, patch.old.hex(), patch.new.hex()] for patch in self.patches]
        text = json.dumps({"patches": patches, "about": self.about}).encode()
        if len(MAGIC) + len(text) + 1 > _HEADER_SIZE:
            raise KdbgError(f"{len(self.patches)} places to patch are too many: name fewer routines")
        return MAGIC + text + b"\0"


def read_header(memory: Memory, area: Area) -> Optional[Header]:
    """Read the header of an area, None if there is none at its place."""
    try:
        data = memory.read_memory(Address(area.header), Size(_HEADER_SIZE))
        if not data.startswith(MAGIC):
            return None
        told = json.loads(data[len(MAGIC) :].split(b"\0", 1)[0])
        patches = (Patch(int(at), bytes.fromhex(old), bytes.fromhex(new)) for at, old, new in told["patches"])
        return Header(tuple(patches), dict(told["about"]))
    except (KdbgError, ValueError, KeyError, TypeError):
        return None


class Tally(NamedTuple):
    """How many overlapping calls of one kind there were: same call site, same distance, same size."""

    return_address: int
    distance: int
    size: int
    times: int


class Counts(NamedTuple):
    """What an area has counted. `unlisted` overlaps found no room in the table of kinds."""

    calls: int
    overlaps: int
    same: int
    unlisted: int
    kinds: tuple[Tally, ...]


def read_counts(memory: Memory, area: Area) -> Counts:
    """Read everything an area has counted; raise MemoryFault."""
    control = _words(memory, area.control, PAGE // 8)
    lines = _words(memory, area.lines, LINE * LINES // 8)
    calls = sum(lines[:: LINE // 8]) - control[AGAIN // 8]
    return Counts(
        max(0, calls), control[INDEX // 8], control[SAME // 8], control[UNLISTED // 8], _kinds(memory, area.kinds)
    )


# Two threads that met a kind for the first time at once have an entry each.
def _kinds(memory: Memory, start: int) -> tuple[Tally, ...]:
    words = _words(memory, start, KIND * KINDS // 8)
    found: dict[tuple[int, int, int], int] = {}
    for at in range(0, len(words), KIND // 8):
        site, distance, size, count = words[at : at + 4]
        if site and count:
            key = site, distance - (1 << 64) if distance >> 63 else distance, size
            found[key] = found.get(key, 0) + count
    return tuple(Tally(*key, count) for key, count in found.items())


def _words(memory: Memory, start: int, count: int) -> Sequence[int]:
    data = memory.read_memory(Address(start), Size(8 * count))
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
