"""Machine code put together piece by piece: bytes, labels, and 32-bit distances to either."""

from __future__ import annotations

import struct
from typing import Union

from .errors import KdbgError

# Intel SDM vol. 2: jmp rel32, jmp [rip+disp32], and the near conditional jumps 0f 80+condition.
JUMP, JUMP_BELOW, JUMP_EQUAL, JUMP_UNEQUAL = b"\xe9", b"\x0f\x82", b"\x0f\x84", b"\x0f\x85"
JUMP_THROUGH = b"\xff\x25"
JUMP_SIZE = 5

Place = Union[str, int]


class CannotPlace(KdbgError):
    """A probe that cannot be put where it was asked for; the text says why."""


class Assembler:
    """Code for a known address. Places are labels or absolute addresses, within 2 GiB."""

    def __init__(self, address: int) -> None:
        self._start = address
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        self._open: list[tuple[int, int, Place]] = []

    @property
    def here(self) -> int:
        """The address of the next byte."""
        return self._start + len(self._code)

    def label(self, name: str) -> None:
        """Name the next byte."""
        self._labels[name] = self.here

    def address(self, name: str) -> int:
        """Return the address of a label that has been set."""
        return self._labels[name]

    def emit(self, *pieces: bytes) -> None:
        """Append bytes as they are."""
        for piece in pieces:
            self._code += piece

    def align(self, to: int) -> None:
        """Fill up with int3, which nothing reaches."""
        self._code += b"\xcc" * (-self.here % to)

    def relative(self, opcode: bytes, place: Place, behind: bytes = b"") -> None:
        """Append an instruction that ends in a 32-bit distance to `place`, or in that and an immediate operand."""
        self._code += opcode
        field = len(self._code)
        self._code += bytes(4) + behind
        self._open.append((field, self.here, place))

    def jump(self, place: int) -> None:
        """Append a jump to an address however far."""
        if fits(place - self.here - JUMP_SIZE):
            self.relative(JUMP, place)
        else:
            self.emit(JUMP_THROUGH, bytes(4), struct.pack("<Q", place))

    def finish(self) -> bytes:
        """Fill in the distances and return the code; raise CannotPlace where one is too far."""
        for field, end, place in self._open:
            target = self._labels[place] if isinstance(place, str) else place
            self._code[field : field + 4] = distance(end, target)
        return bytes(self._code)


def fits(distance: int) -> bool:
    """Tell whether a distance has a 32-bit form."""
    return -(1 << 31) <= distance < 1 << 31


def distance(start: int, target: int) -> bytes:
    """Encode the distance between the end of an instruction and its target; raise CannotPlace if it is too far."""
    if not fits(target - start):
        raise CannotPlace(f"{target:#x} is more than 2 GiB away from {start:#x}")
    return struct.pack("<i", target - start)


def jump_code(address: int, target: int) -> bytes:
    """Encode the five bytes of a jump that stands at `address`; raise CannotPlace if it is too far."""
    return JUMP + distance(address + JUMP_SIZE, target)
