"""The lines of a log that a page shows: those that findings rest on with some around them, and oops texts whole."""

from __future__ import annotations

import contextlib
from typing import Callable, Dict, Iterator, Set

from .analysis import Analysis
from .dossier import Excerpt, ExcerptLine
from .errors import KdbgError
from .units import Count, safe_text

_AROUND, _FINDINGS, _CRASHES, _CRASH_LINES, _LINES = 3, 6, 4, 160, 80
_TEXT = 400
_LONGEST = 1 << 16


class _Wanted:
    """The lines of one excerpt."""

    def __init__(self, title: str, numbers: Set[int], marked: Set[int], left_out: int) -> None:
        self.title = title
        self.numbers = numbers
        self.marked = marked
        self.left_out = left_out


def excerpts_of(analysis: Analysis, again: Callable[[], Iterator[bytes]]) -> tuple[Excerpt, ...]:
    """Read a log a second time for the lines to show; none if it cannot be read any more."""
    wanted = list(_wanted(analysis))
    numbers: Set[int] = set().union(*(one.numbers for one in wanted)) if wanted else set()
    texts: Dict[int, str] = {}
    if numbers:
        with contextlib.suppress(KdbgError):
            texts = lines_numbered(again(), numbers)
    return tuple(_excerpt(one, texts) for one in wanted)


def _wanted(analysis: Analysis) -> Iterator[_Wanted]:
    for finding, lines in list(zip(analysis.findings, analysis.finding_lines))[:_FINDINGS]:
        marked = {int(line) for line in lines[: _LINES // 4]}
        around = {n for line in sorted(marked) for n in range(max(1, line - _AROUND), line + _AROUND + 1)}
        around = {n for n in around if n <= analysis.lines}
        yield _Wanted(f"Log: {finding.rule.replace('-', ' ')}", around, marked, max(0, len(lines) - len(marked)))
    for crash in analysis.crashes[:_CRASHES]:
        last = min(crash.last_line, crash.first_line + _CRASH_LINES - 1)
        numbers = set(range(crash.first_line, last + 1))
        title = f"Log: lines {crash.first_line} to {crash.last_line}"
        yield _Wanted(title, numbers, {crash.first_line}, crash.last_line - last)


def _excerpt(wanted: _Wanted, texts: Dict[int, str]) -> Excerpt:
    there = sorted(wanted.numbers & texts.keys())
    lines = tuple(ExcerptLine(Count(number), texts[number], number in wanted.marked) for number in there)
    return Excerpt(wanted.title, lines, Count(wanted.left_out + len(wanted.numbers) - len(there)))


def lines_numbered(pieces: Iterator[bytes], numbers: Set[int]) -> Dict[int, str]:
    """Return the lines of some numbers, counted from 1, fit to be shown."""
    found: Dict[int, str] = {}
    last, line, rest = max(numbers), 1, b""
    for piece in pieces:
        count = piece.count(b"\n")
        if not numbers.isdisjoint(range(line, line + count + 1)):
            texts = (rest + piece).split(b"\n")
            for index, text in enumerate(texts[:-1]):
                if line + index in numbers:
                    found[line + index] = _shown(text)
            rest = texts[-1][:_LONGEST]
        else:
            rest = piece[piece.rfind(b"\n") + 1 :][:_LONGEST] if count else (rest + piece)[:_LONGEST]
        line += count
        if line > last:
            return found
    if line in numbers and rest:
        found[line] = _shown(rest)
    return found


def _shown(text: bytes) -> str:
    return safe_text(text[: 4 * _TEXT].replace(b"\0", b" ").decode("utf-8", "backslashreplace").rstrip(), _TEXT)
