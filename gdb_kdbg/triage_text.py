"""The text of one log of many: blocks of whole lines, in which a line can be looked up again, and what was wrong."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import re
from collections import deque
from typing import Deque, Iterator, Optional, Tuple

from .console_time import console_time
from .errors import BadFile
from .log_files import opened
from .log_source import open_log

# A line longer than this is cut in two: no console writes one.
_LONGEST_LINE = 1 << 20
# A crash is told some lines after its head; this many blocks are kept to look at that line again.
_KEPT_BLOCKS = 8
_TEXT = bytes(range(0x20, 0x7F)) + b"\t\n\v\f\r\b\x07\x1b"
_TEXT_AT_LEAST = 0.7
# The text of an event is no oops text, whatever its members say.
_EVENT = re.compile(rb"^DBG \{[^\n]*", re.MULTILINE)
# 1990: no kernel runs for so many seconds. The year 10000.
_EARLIEST, _LATEST = 631152000.0, 253402300800.0


class LogText:
    """A log as blocks of whole lines; damage ends it early and is kept, so that what stands before it counts.

    `is_binary` and `has_events` are known when the blocks have been read. Raises BadFile if it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.damage = ""
        self.is_binary = self.has_events = False
        self._path = path
        self._pieces = open_log(path)
        self._kept: Deque[Tuple[int, str]] = deque(maxlen=_KEPT_BLOCKS)
        self._lines = 1

    def __iter__(self) -> Iterator[str]:
        for block in self._blocks():
            if b"DBG {" in block:
                self.has_events = True
                block = _EVENT.sub(b"", block)
            text = block.replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
            self._kept.append((self._lines, text))
            self._lines += text.count("\n") or 1
            yield text

    def line(self, number: int) -> str:
        """Return a line by its number, if its block is still kept; else nothing."""
        for first, text in reversed(self._kept):
            if first <= number:
                lines = text.split("\n", number - first + 1)
                return lines[number - first] if number - first < len(lines) else ""
        return ""

    def _blocks(self) -> Iterator[bytes]:
        rest = b""
        for piece in self._unwrapped():
            end = piece.rfind(b"\n") + 1
            if end or len(rest) > _LONGEST_LINE:
                end = end or len(piece)
                yield rest + piece[:end]
                rest = piece[end:]
            else:
                rest += piece
        if rest:
            yield rest

    # A crash dump's head is taken off; what cannot be opened as a log for another reason than damage is no text.
    def _unwrapped(self) -> Iterator[bytes]:
        pieces = self._whole()
        first = next(pieces, b"")
        if not first:
            return
        try:
            pieces = opened(itertools.chain((first,), pieces), self._path).pieces
            self.is_binary = _is_binary(first)
        except BadFile:
            self.is_binary = True
        if not self.is_binary:
            yield from pieces

    def _whole(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except BadFile as error:
            self.damage = str(error)


# Files cut by a power failure are full of zeros in places: they count neither way.
def _is_binary(piece: bytes) -> bool:
    sample = piece[: 1 << 16].replace(b"\0", b"")
    strange = sample.translate(None, _TEXT)
    letters = len("".join(filter(str.isprintable, strange.decode("utf-8", "ignore"))).encode())
    return len(strange) - letters > (1 - _TEXT_AT_LEAST) * len(sample) or not sample


def date_of(line: str) -> Optional[float]:
    """Return when a line was written, in seconds since 1970 (UTC unless it names a zone); None without a date."""
    time = console_time(line)[0]
    if time is None and line.startswith("["):
        # dmesg -T
        with contextlib.suppress(ValueError):
            stamp = datetime.datetime.strptime(line[1:25], "%a %b %d %H:%M:%S %Y")
            time = stamp.replace(tzinfo=datetime.timezone.utc).timestamp()
    return time if time is not None and _EARLIEST < time < _LATEST else None
