"""Columns of text side by side."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Iterator, Sequence

_GAP = "  "
# A header has room to breathe, so that the dashes under two short ones stay apart to the eye.
_AIR = 2
# A few names of hundreds of characters would fill a table of thousands of rows with blanks; they push the rest aside.
_WIDEST = 72


def aligned(headers: Sequence[str], columns: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Return the lines of a table: headers, dashes, and a line for each row; no line ends in blanks.

    All columns have the same length; `right` tells which of them stand at the right.
    """
    padded = [_padded(*column) for column in zip(headers, columns, right)]
    return [line.rstrip() for line in map(_GAP.join, zip(*padded))]


def _padded(header: str, cells: Sequence[str], at_right: bool) -> Iterator[str]:
    widest = max(map(len, cells), default=0)
    width = max(len(header) + _AIR, min(widest, _WIDEST))
    every = chain((header, "-" * width), cells)
    return map(str.rjust if at_right else str.ljust, every, repeat(width))
