"""Logs by their names: files, directories, patterns, standard input; and what a file is that was named as a log.

A crash dump of the kind that a kernel leaves in memory for the next boot is a log behind a head: `u32 0xdeadbeee`,
`u32` length of the text, the text, all little endian.
"""

from __future__ import annotations

import itertools
import os
from typing import Iterable, Iterator, NamedTuple, Sequence

from .errors import BadFile
from .log_source import open_log
from .units import shown

SERIAL, EVENTS, BOOT2DUMP = "serial log", "event file", "boot2dump"
STANDARD_INPUT = "-"
_MAGIC = (0xDEADBEEE).to_bytes(4, "little")
_HEAD = 8
_LOOKED_AT = 4096
# Control characters that no console prints but for line ends, tabs, bells, backspaces and escape sequences.
_STRANGE = bytes(set(range(32)) - set(b"\0\a\b\t\n\v\f\r\x1b")) + b"\x7f"
_STRANGE_SHARE, _UNDECODABLE_SHARE, _ZERO_SHARE = 0.05, 0.3, 0.25
_KINDS = ((b"\x7fELF", "an ELF file: name it with --symbols"), (b"!<arch>\n", "an archive"), (b"PK\3\4", "an archive"))


def is_elf(path: str) -> bool:
    """Tell whether a file begins as ELF files do; False if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


class Opened(NamedTuple):
    """A log that is open: its kind and its text in pieces, uncompressed and without a head."""

    kind: str
    pieces: Iterator[bytes]


def log_names(words: Sequence[str]) -> Iterator[str]:
    """Yield the files that words mean: patterns and directories (with all below) give theirs in the order of names.

    A word that matches nothing stays as it is; opening it will say so.
    """
    for word in words:
        if word == STANDARD_INPUT or os.path.isfile(word):
            yield word
        elif os.path.lexists(word):
            yield from _below(word) if os.path.isdir(word) else (word,)
        else:
            found = _matching(word) if any(sign in word for sign in "*?[") else ()
            yield from itertools.chain.from_iterable(_below(n) if os.path.isdir(n) else (n,) for n in found or (word,))


def _matching(pattern: str) -> Sequence[str]:
    import glob  # with all that it imports for a word in a hundred

    return sorted(glob.iglob(pattern, recursive=True))


def _below(directory: str) -> Iterator[str]:
    for place, directories, names in os.walk(directory):
        directories.sort()
        paths = (os.path.join(place, name) for name in sorted(names))
        yield from (path for path in paths if os.path.isfile(path))


def open_named(name: str) -> Opened:
    """Open a log; raise BadFile or KdbgError if it cannot be read, or is no text; later pieces may raise it too."""
    return opened(open_log(name), name)


def opened(pieces: Iterable[bytes], name: str) -> Opened:
    """Look at the first bytes of a log, and take its head off if it has one; raise BadFile for what is no text."""
    rest = iter(pieces)
    first = next(rest, b"")
    if first[:4] == _MAGIC and len(first) >= _HEAD:
        return Opened(BOOT2DUMP, _unwrapped(itertools.chain((first,), rest)))
    for magic, what in _KINDS:
        if first.startswith(magic):
            raise BadFile(f"{shown(name)} is {what}")
    if _is_binary(first[:_LOOKED_AT]):
        raise BadFile(f"{shown(name)} is no text: a binary file")
    is_events = first.lstrip()[:9].startswith((b'{"type":', b"DBG {"))
    return Opened(EVENTS if is_events else SERIAL, itertools.chain((first,), rest) if first else iter(()))


# A noisy line puts bytes of any kind between lines of text; a binary file has little else.
def _is_binary(start: bytes) -> bool:
    size = len(start)
    strange = size - len(start.translate(None, _STRANGE))
    undecodable = 0 if start.isascii() else start.decode("utf-8", "replace").count("\ufffd")
    if strange > _STRANGE_SHARE * size or start.count(0) > _ZERO_SHARE * size:
        return True
    return undecodable > _UNDECODABLE_SHARE * size


# A length beyond the file is that of a dump that was cut; behind the text another dump may follow.
def _unwrapped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    left, head = 0, b""
    for piece in pieces:
        piece, head = head + piece, b""
        while piece:
            if left:
                yield piece[:left]
                piece, left = piece[left:], max(0, left - len(piece))
            elif len(piece) < _HEAD:
                piece, head = b"", piece
            elif piece[:4] == _MAGIC:
                left = int.from_bytes(piece[4:_HEAD], "little")
                piece = piece[_HEAD:]
            else:
                return
