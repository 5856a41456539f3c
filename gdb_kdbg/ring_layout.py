"""Where a trace ring lies and what its records look like.

The layout comes from `set kdbg ring-layout`, from DWARF types, from symbol sizes, from the mask in the probe's own
code, or at worst from the distance to the next symbol. docs/ring-format.md is the specification of the default layout.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Mapping, Optional

from .errors import KdbgError, SymbolNotFound
from .probe import probe_code
from .target import ArrayType, Symbol, Target
from .units import Address, Count, Size

BUFFER, INDEX, SWITCH = "ucopy_trace_buf", "ucopy_trace_idx", "ucopy_trace_on"
FIELDS = ("destination", "source", "size", "return_address")
# Member names that kernels use for the four fields.
_ALIASES = {
    "destination": ("destination", "dst", "dest", "to"),
    "source": ("source", "src", "from"),
    "size": ("size", "len", "length", "count", "bytes", "n"),
    "return_address": ("return_address", "ret", "ra", "caller", "ip", "rip", "pc"),
}
MAXIMUM_CAPACITY = 1 << 20
MAXIMUM_RECORD = 4096


@dataclass(frozen=True)
class RingLayout:
    """Shape of a ring: where its parts are, and (offset, size) of each field in a record."""

    symbol: str
    buffer: Address
    index: Address
    switch: Optional[Address]
    capacity: Count
    capacity_from: str
    record_size: Size = Size(32)
    fields: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {name: (8 * i, 8) for i, name in enumerate(FIELDS)}
    )

    @property
    def size(self) -> Size:
        return Size(self.capacity * self.record_size)


@dataclass(frozen=True)
class Wish:
    """The parsed text of `set kdbg ring-layout`."""

    buffer: str = BUFFER
    index: str = INDEX
    switch: str = SWITCH
    capacity: int = 0
    record: int = 0
    fields: Optional[Mapping[str, tuple[int, int]]] = None


def parse_wish(text: str) -> Wish:
    """Parse a ring-layout text, or raise KdbgError naming the word that is wrong."""
    names, numbers, fields = dict[str, str](), dict[str, int](), dict[str, tuple[int, int]]()
    for word in text.split():
        name, separator, value = word.partition("=")
        if not separator or not name.isidentifier():
            raise KdbgError(f"ring-layout: {word!r} is not NAME=VALUE (help set kdbg ring-layout)")
        if name in ("buffer", "index", "switch"):
            names[name] = value
        elif name in ("capacity", "record"):
            numbers[name] = _number(word, value, 1)
        else:
            offset, _, size = value.partition(":")
            fields[name] = (_number(word, offset, 0), _number(word, size or "8", 1))
    return _checked(
        Wish(
            names.get("buffer", BUFFER), names.get("index", INDEX), names.get("switch", SWITCH),
            numbers.get("capacity", 0), numbers.get("record", 0), fields or None,
        )
    )  # fmt: skip


def _number(word: str, text: str, least: int) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < least:
        raise KdbgError(f"ring-layout: {word!r} needs a number of at least {least}")
    return value


def _checked(wish: Wish) -> Wish:
    if wish.capacity > MAXIMUM_CAPACITY or wish.record > MAXIMUM_RECORD:
        raise KdbgError(f"ring-layout: at most {MAXIMUM_CAPACITY} records of {MAXIMUM_RECORD} bytes")
    for name, (offset, size) in (wish.fields or {}).items():
        if size not in (1, 2, 4, 8):
            raise KdbgError(f"ring-layout: size of {name} must be 1, 2, 4 or 8, not {size}")
        if wish.record and offset + size > wish.record:
            raise KdbgError(f"ring-layout: {name} ends behind the record of {wish.record} bytes")
    missing = [name for name in FIELDS[:3] if wish.fields is not None and name not in wish.fields]
    if missing:
        raise KdbgError(f"ring-layout: no offset for {', '.join(missing)}")
    return wish


def find_layout(target: Target, setting: str) -> RingLayout:
    """Find the ring of a target, or raise SymbolNotFound saying what is missing."""
    wish = parse_wish(setting)
    buffer, index = target.symbol(wish.buffer), target.symbol(wish.index)
    if buffer is None or index is None:
        missing = wish.buffer if buffer is None else wish.index
        raise SymbolNotFound(
            f"no symbol {missing!r}: the target has no trace ring (docs/probe-kit.md), "
            "or its names differ (set kdbg ring-layout buffer=... index=...)"
        )
    switch = target.symbol(wish.switch)
    layout = RingLayout(buffer.name, buffer.address, index.address, switch.address if switch else None, Count(0), "")
    return _with_capacity(target, _with_fields(layout, wish, target.variable_type(wish.buffer)), wish, buffer)


def _with_fields(layout: RingLayout, wish: Wish, shape: Optional[ArrayType]) -> RingLayout:
    if wish.fields is not None:
        end = max(offset + size for offset, size in wish.fields.values())
        return replace(layout, fields=wish.fields, record_size=Size(wish.record or (end + 7) // 8 * 8))
    if shape is not None:
        named = _rename(shape.fields)
        if all(name in named for name in FIELDS[:3]) and 0 < shape.element_size <= MAXIMUM_RECORD:
            layout = replace(layout, fields=named, record_size=shape.element_size)
    return replace(layout, record_size=Size(wish.record)) if wish.record else layout


def _rename(members: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
    known = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
    return {known.get(member.lower(), member): place for member, place in members.items() if place[1] in (1, 2, 4, 8)}


def _with_capacity(target: Target, layout: RingLayout, wish: Wish, buffer: Symbol) -> RingLayout:
    room = (buffer.limit - buffer.address) // layout.record_size if buffer.limit > buffer.address else 0
    shape = target.variable_type(wish.buffer)
    if wish.capacity:
        return replace(layout, capacity=Count(wish.capacity), capacity_from="set kdbg ring-layout")
    if shape is not None and shape.element_size == layout.record_size and shape.elements > 1:
        return replace(layout, capacity=_bounded(shape.elements), capacity_from="DWARF type")
    if buffer.size >= layout.record_size:
        return replace(layout, capacity=_bounded(buffer.size // layout.record_size), capacity_from="symbol size")
    code = probe_code(target, layout.index)
    if code is not None and code.mask is not None and (not room or code.mask < room):
        return replace(layout, capacity=_bounded(code.mask + 1), capacity_from="mask in the probe")
    if room:
        capacity = _bounded(1 << (room.bit_length() - 1))
        return replace(layout, capacity=capacity, capacity_from="distance to the next symbol")
    raise KdbgError(f"cannot tell the capacity of {wish.buffer}: give it with `set kdbg ring-layout capacity=32`")


def _bounded(capacity: int) -> Count:
    if capacity > MAXIMUM_CAPACITY:
        raise KdbgError(f"a ring of {capacity} records is not plausible: `set kdbg ring-layout capacity=32` sets it")
    return Count(capacity)
