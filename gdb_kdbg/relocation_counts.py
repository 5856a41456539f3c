"""How far a loaded file is relocated as a whole: its slots counted by what they hold."""

from __future__ import annotations

from collections import Counter
from typing import Optional, Sequence

from .slots import IRELATIVE, RELATIVE, SYMBOL, PlannedSlot
from .target import Objfile
from .units import ADDRESS_MASK

# One in so many slots may be damaged in a file that is called relocated.
_FEW = 16


def is_relocated(done: int, open_: int) -> Optional[bool]:
    """Tell from the counts of its RELATIVE slots whether a file is relocated; None if only partly, or nobody knows.

    A few that hold something else in a file full of relocated ones were overwritten.
    """
    if not done and not open_:
        return None
    return True if open_ * _FEW <= done else False if not done else None


def relative_counts(objfile: Objfile, slots: Sequence[PlannedSlot], values: Sequence[Optional[int]]) -> tuple[int, int]:
    """Return how many RELATIVE slots of the kind that tells are relocated, and how many are not."""
    bias = objfile.load_bias & ADDRESS_MASK
    if not bias:
        return 0, 0
    told = Counter(
        value == (slot.addend + bias) & ADDRESS_MASK
        for slot, value in zip(slots, values)
        if slot.effect == RELATIVE and slot.is_constant and value is not None
    )
    return told[True], told[False]


def symbol_counts(slots: Sequence[PlannedSlot], values: Sequence[Optional[int]]) -> tuple[int, int]:
    """Return how many constant slots of symbols that must be found are filled, and how many are as in the file.

    The second best witness, for files without RELATIVE relocations or with a load bias of 0.
    """
    told = Counter(
        value not in (0, slot.addend & ADDRESS_MASK)
        for slot, value in zip(slots, values)
        if slot.effect == SYMBOL and slot.is_constant and slot.symbol.name and not slot.symbol.is_weak
        if value is not None
    )
    return told[True], told[False]


def resolver_counts(slots: Sequence[PlannedSlot], values: Sequence[Optional[int]]) -> tuple[int, int]:
    """Return how many IRELATIVE slots are filled, and how many hold what the linker left.

    The last witness, for static programs at a fixed address. A single one tells nothing: its resolver may return 0.
    """
    told = Counter(
        value not in (0, slot.initial, slot.addend & ADDRESS_MASK)
        for slot, value in zip(slots, values)
        if slot.effect == IRELATIVE and value is not None
    )
    return (told[True], told[False]) if told[True] or told[False] > 1 else (0, 0)
