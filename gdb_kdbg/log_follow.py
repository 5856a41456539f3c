"""Logs that still grow: files, pipes, terminals, and sockets of an emulator's serial line.

All of them give an empty piece when there is nothing right now, so that whoever reads them can show what it has. They
look again after a hundredth of a second at first and a tenth later, which costs nothing to speak of, works on every
file system, and lets Ctrl-C end the wait.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import stat
from typing import Callable, Iterator, List, Optional

from .errors import BadFile, KdbgError
from .log_source import PIECE, is_compressed
from .units import shown

_SHORT, _LONG = 0.01, 0.1
_CONNECTING = 5.0
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]*):(\d{1,5})", re.ASCII)
Read = Callable[[], bytes]


class GrowingLog:
    """Pieces of bytes as they come; `notices` are what happened to the log meanwhile, for whoever reads it to show."""

    def __init__(self, pieces: Callable[[List[str]], Iterator[bytes]]) -> None:
        self.notices: List[str] = []
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces(self.notices)


def is_stream(name: str) -> bool:
    """Tell whether a name is that of a socket, a terminal or a pipe, which have no end to look for."""
    if name.startswith("unix:"):
        return True
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return _HOST_AND_PORT.fullmatch(name) is not None
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def follow(name: str) -> GrowingLog:
    """Open a log that still grows: `unix:PATH`, `HOST:PORT`, a terminal or pipe, or a file. Raises KdbgError."""
    if name.startswith("unix:"):
        return _of_socket(_connected(name, lambda: _unix(name[5:])), name)
    if not is_stream(name):
        if is_compressed(name):
            raise KdbgError(f"{shown(name)} is compressed: only what it holds now can be shown, without --follow")
        return GrowingLog(lambda notices: _file_pieces(name, notices))
    if os.path.exists(name):
        if stat.S_ISSOCK(os.stat(name).st_mode):
            return _of_socket(_connected(name, lambda: _unix(name)), name)
        return _of_device(name)
    found = _HOST_AND_PORT.fullmatch(name)
    assert found is not None
    host, port = found[1].strip("[]") or "localhost", int(found[2])
    return _of_socket(_connected(name, lambda: socket.create_connection((host, port), _CONNECTING)), name)


def of_descriptor(descriptor: int, name: str) -> GrowingLog:
    """Read what comes through an open descriptor, standard input for instance, until it ends."""
    return GrowingLog(lambda notices: _readable_pieces(descriptor, lambda: os.read(descriptor, PIECE)))


def _unix(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(_CONNECTING)
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made


def _connected(name: str, connect: Callable[[], socket.socket]) -> socket.socket:
    try:
        made = connect()
    except (OSError, OverflowError) as error:
        raise KdbgError(f"cannot connect to {shown(name)}: {getattr(error, 'strerror', None) or error}") from None
    made.setblocking(False)
    return made


def _of_socket(made: socket.socket, name: str) -> GrowingLog:
    def pieces(notices: List[str]) -> Iterator[bytes]:
        with made:
            yield from _readable_pieces(made.fileno(), lambda: made.recv(PIECE))
        notices.append(f"{shown(name)} was closed by its other end")

    return GrowingLog(pieces)


def _of_device(name: str) -> GrowingLog:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise BadFile(f"cannot open {shown(name)}: {error.strerror}") from None

    def pieces(notices: List[str]) -> Iterator[bytes]:
        try:
            with _raw(descriptor):
                yield from _readable_pieces(descriptor, lambda: os.read(descriptor, PIECE))
        finally:
            os.close(descriptor)
        notices.append(f"{shown(name)} was closed by its other end")

    return GrowingLog(pieces)


# A terminal would send an echo of all that it shows back to the kernel, and change line ends.
@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    if not os.isatty(descriptor):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _readable_pieces(descriptor: int, read: Read) -> Iterator[bytes]:
    was_idle = True
    while True:
        if not select.select([descriptor], [], [], 0 if not was_idle else _LONG)[0]:
            was_idle = True
            yield b""
            continue
        try:
            piece = read()
        except BlockingIOError:
            continue
        except OSError as error:
            # What a terminal says whose other end is gone, and a connection that was cut.
            if error.errno in (errno.EIO, errno.ECONNRESET, errno.EPIPE):
                return
            raise
        if not piece:
            return
        was_idle = False
        yield piece


def _file_pieces(name: str, notices: List[str]) -> Iterator[bytes]:
    descriptor, position, wait = _opened(name), 0, _SHORT
    last = b"\n"
    try:
        while True:
            piece = os.read(descriptor, PIECE)
            if piece:
                position, wait, last = position + len(piece), _SHORT, piece
                yield piece
                continue
            change = _changed(name, descriptor, position)
            if change is None:
                yield b""
                select.select([], [], [], wait)
                wait = min(2 * wait, _LONG)
                continue
            # Between the last look and the change more may have been written to what was open.
            while piece := os.read(descriptor, PIECE):
                last = piece
                yield piece
            notices.append(f"{shown(name)} was {change}: reading it from its start")
            yield b"" if last.endswith(b"\n") else b"\n"
            other = _opened(name)
            os.close(descriptor)
            descriptor, position, last = other, 0, b"\n"
    finally:
        os.close(descriptor)


def _opened(name: str) -> int:
    try:
        return os.open(name, os.O_RDONLY)
    except OSError as error:
        raise BadFile(f"cannot open {shown(name)}: {error.strerror}") from None


# A name that is gone may come back: a log is rotated by renaming it first.
def _changed(name: str, descriptor: int, position: int) -> Optional[str]:
    try:
        now, opened = os.stat(name), os.fstat(descriptor)
    except OSError:
        return None
    if (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino):
        return "replaced"
    return "truncated" if opened.st_size < position else None
