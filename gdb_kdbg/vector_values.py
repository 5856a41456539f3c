"""What instructions compute from the bytes of vectors."""

from __future__ import annotations

from typing import Callable, Iterator, Mapping

_LANE = 16
Binary = Callable[[bytes, bytes, int], bytes]


def _by_bits(combine: Callable[[int, int], int]) -> Binary:
    def run(first: bytes, second: bytes, immediate: int) -> bytes:
        bits = combine(int.from_bytes(first, "little"), int.from_bytes(second, "little"))
        return bits.to_bytes(len(first), "little")

    return run


def _shuffled(first: bytes, second: bytes, immediate: int) -> bytes:
    lanes = (first[at : at + _LANE] for at in range(0, len(first), _LANE))
    chosen = (second[at : at + _LANE] for at in range(0, len(first), _LANE))
    return b"".join(bytes(0 if n & 128 else lane[n & 15] for n in some) for lane, some in zip(lanes, chosen))


def _aligned(first: bytes, second: bytes, immediate: int) -> bytes:
    parts = ((second[at : at + _LANE] + first[at : at + _LANE]) for at in range(0, len(first), _LANE))
    return b"".join(part[immediate : immediate + _LANE].ljust(_LANE, b"\0") for part in parts)


# The first operand is the one that VEX adds, the second the one that may be memory.
BINARY: Mapping[str, Binary] = {
    "and": _by_bits(lambda a, b: a & b),
    "andn": _by_bits(lambda a, b: ~a & b),
    "or": _by_bits(lambda a, b: a | b),
    "xor": _by_bits(lambda a, b: a ^ b),
    "minub": lambda a, b, _: bytes(map(min, a, b)),
    "maxub": lambda a, b, _: bytes(map(max, a, b)),
    "shufb": _shuffled,
    "alignr": _aligned,
}
MASKS: Mapping[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "andn": lambda a, b: ~a & b,
    "or": lambda a, b: a | b,
    "xnor": lambda a, b: ~(a ^ b),
    "xor": lambda a, b: a ^ b,
    "left": lambda a, count: a << count,
    "right": lambda a, count: a >> count,
}


def equal_elements(first: bytes, second: bytes, size: int) -> int:
    """Return a mask of the elements that are equal."""
    if first == second:
        return (1 << len(first) // size) - 1
    places = range(0, len(first), size)
    equal = (first[at : at + size] == second[at : at + size] for at in places)
    return sum(1 << number for number, is_equal in enumerate(equal) if is_equal)


def spread(mask: int, count: int, size: int) -> bytes:
    """Write a mask as elements that are all ones or all zeros."""
    return b"".join(b"\xff" * size if mask >> number & 1 else bytes(size) for number in range(count))


def signs(vector: bytes, size: int) -> int:
    """Return a mask of the elements whose highest bit is set."""
    return sum(1 << number for number, byte in enumerate(vector[size - 1 :: size]) if byte & 128)


def extents(mask: int, count: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where the elements in a mask begin and end, in bytes, neighbours together."""
    begin = None
    for number in range(count + 1):
        is_in = number < count and mask >> number & 1
        if is_in and begin is None:
            begin = number
        elif not is_in and begin is not None:
            yield begin * size, number * size
            begin = None


def merged(old: bytes, new: bytes, mask: int, size: int) -> bytes:
    """Return the elements of `new` that are in a mask, and those of `old` for the rest."""
    result = bytearray(old)
    for begin, end in extents(mask, len(new) // size, size):
        result[begin:end] = new[begin:end]
    return bytes(result)
