"""The bytes of VEX- and EVEX-coded instructions taken apart: prefixes, operands, displacement.

Source: Intel SDM vol. 2, 2.3 (VEX) and 2.7 (EVEX).
"""

from __future__ import annotations

from typing import NamedTuple, Optional

GENERAL_NAMES = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
# The prefix that an instruction without VEX would have.
NONE, P66, PF3, PF2 = range(4)
_VEX2, _VEX3, _EVEX = 0xC5, 0xC4, 0x62
_ZERO_ALL = 0x77
# Of the first map; all of the third take one.
_WITH_IMMEDIATE = frozenset((0x70, 0x71, 0x72, 0x73, 0xC2, 0xC4, 0xC5, 0xC6))


class Place(NamedTuple):
    """A memory operand; `is_short` tells of a displacement of one byte, which EVEX scales."""

    base: str
    index_name: str
    scale: int
    displacement: int
    is_short: bool
    is_relative: bool


class Prefix(NamedTuple):
    """What the VEX or EVEX prefix says, bits of register numbers being inverted already."""

    size: int
    is_evex: bool
    opcode_map: int
    kind: int
    wide: int
    length: int
    reg_high: int
    index_high: int
    base_high: int
    second: int
    mask: int
    is_zeroing: bool
    is_broadcast: bool


class Encoded(NamedTuple):
    """One instruction: `length` is that of its vectors, `register` the operand that might be memory but is not."""

    prefix: Prefix
    opcode: int
    reg: int
    register: int
    memory: Optional[Place]
    immediate: int
    size: int

    @property
    def length(self) -> int:
        return self.prefix.length


def is_vector_code(code: bytes) -> bool:
    """Tell whether an instruction of 64-bit mode is VEX- or EVEX-coded."""
    return code[:1] in (b"\xc5", b"\xc4", b"\x62")


def decode_vector(code: bytes) -> Optional[Encoded]:
    """Take an instruction apart; None for what is none, is cut off, or has prefixes before its VEX or EVEX."""
    try:
        prefix = _prefix(code)
        return _operands(prefix, code) if prefix else None
    except IndexError:
        return None


def _prefix(code: bytes) -> Optional[Prefix]:
    if code[0] == _VEX2:
        last = code[1]
        return Prefix(
            2, False, 1, last & 3, 0, 16 << (last >> 2 & 1), ~last >> 4 & 8, 0, 0, ~last >> 3 & 15, 0, False, False
        )
    if code[0] == _VEX3:
        first, last = code[1], code[2]
        high = (~first >> 4 & 8, ~first >> 3 & 8, ~first >> 2 & 8)
        length = 16 << (last >> 2 & 1)
        return Prefix(3, False, first & 31, last & 3, last >> 7, length, *high, ~last >> 3 & 15, 0, False, False)
    return _evex(code[1], code[2], code[3]) if code[0] == _EVEX else None


def _evex(first: int, middle: int, last: int) -> Optional[Prefix]:
    length = last >> 5 & 3
    if first & 12 or not middle & 4 or length == 3:
        return None
    reg = (~first >> 4 & 8) | (~first & 16)
    second = (~middle >> 3 & 15) | (~last << 1 & 16)
    return Prefix(
        4, True, first & 3, middle & 3, middle >> 7, 16 << length, reg, ~first >> 3 & 8, ~first >> 2 & 8, second,
        last & 7, bool(last & 128), bool(last & 16),
    )  # fmt: skip


def _operands(prefix: Prefix, code: bytes) -> Optional[Encoded]:
    opcode, position = code[prefix.size], prefix.size + 1
    if opcode == _ZERO_ALL and prefix.opcode_map == 1:
        return Encoded(prefix, opcode, 0, 0, None, 0, position)
    modrm = code[position]
    position += 1
    memory = None
    if modrm >> 6 != 3:
        memory, position = _memory(prefix, modrm, code, position)
    register = modrm & 7 | prefix.base_high | (prefix.index_high << 1 if prefix.is_evex else 0)
    immediate = 0
    if prefix.opcode_map == 3 or (prefix.opcode_map == 1 and opcode in _WITH_IMMEDIATE):
        immediate, position = code[position], position + 1
    return Encoded(prefix, opcode, modrm >> 3 & 7 | prefix.reg_high, register, memory, immediate, position)


def _memory(prefix: Prefix, modrm: int, code: bytes, position: int) -> tuple[Place, int]:
    mode, low = modrm >> 6, modrm & 7
    base, index, scale, is_relative = GENERAL_NAMES[low | prefix.base_high], "", 1, False
    if low == 4:
        sib = code[position]
        position += 1
        number = sib >> 3 & 7 | prefix.index_high
        index, scale = (GENERAL_NAMES[number] if number != 4 else ""), 1 << (sib >> 6)
        low = sib & 7
        base = GENERAL_NAMES[low | prefix.base_high]
        is_bare = low == 5 and not mode
    else:
        is_bare = is_relative = low == 5 and not mode
    size = 4 if is_bare or mode == 2 else mode
    if len(code) < position + size:
        raise IndexError
    displacement = int.from_bytes(code[position : position + size], "little", signed=True)
    place = Place("" if is_bare else base, index, scale, displacement, size == 1, is_relative)
    return place, position + size
