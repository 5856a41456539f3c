"""Words for what an exercised copy routine did in one case."""

from __future__ import annotations

from .copy_cases import Case
from .emulation import NOISE_OF

_ONE_WHERE_SET = b"\0" + b"\1" * 255


def differing(one: bytes, other: bytes) -> bytes:
    """Mark the bytes in which two texts of one length differ: each byte of the result is 1 or 0."""
    difference = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return difference.to_bytes(len(one), "little").translate(_ONE_WHERE_SET)


def both(one: bytes, other: bytes) -> bytes:
    """Mark what is marked in both."""
    return (int.from_bytes(one, "little") & int.from_bytes(other, "little")).to_bytes(len(one), "little")


def position(marks: bytes) -> str:
    """Say which bytes are marked; at least one is."""
    first, last = marks.index(1), marks.rindex(1)
    count = marks.count(1)
    if count == len(marks):
        return "all"
    if count < last - first + 1 or (first and last < len(marks) - 1):
        return "scattered"
    return "the first" if first == 0 else "the last"


def value_text(value: int, case: Case) -> str:
    """Write a result in terms of a case's arguments, or as a number."""
    for name, base in (("destination", case.destination), ("source", case.source)):
        if abs(value - base) <= case.size + 64:
            return name + (f"{value - base:+d}" if value != base else "")
    held = next((name for name, noise in NOISE_OF.items() if value == noise), "")
    if held:
        return f"what {held} held before"
    signed = value - (1 << 64) if value >> 63 else value
    return str(signed) if abs(signed) < 1 << 20 else f"{value:#x}"
