"""Columns of text side by side."""

from __future__ import annotations

from typing import Sequence

_GAP = "  "
# A header has room to breathe, so that the dashes under two short ones stay apart to the eye.
_AIR = 2


def aligned(headers: Sequence[str], columns: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Return the lines of a table: headers, dashes, and a line for each row; no line ends in blanks.

    All columns have the same length; `right` tells which of them stand at the right.
    """
    widths = [max(len(header) + _AIR, max(map(len, cells), default=0)) for header, cells in zip(headers, columns)]
    form = _GAP.join(f"%{'' if at_right else '-'}{width}s" for at_right, width in zip(right, widths))
    dashes = tuple("-" * width for width in widths)
    return [(form % row).rstrip() for row in (tuple(headers), dashes, *zip(*columns))]
