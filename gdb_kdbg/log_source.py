"""Logs as pieces of bytes: files, also compressed by gzip, xz or zstd, which their first bytes tell."""

from __future__ import annotations

import contextlib
from io import FileIO
from typing import IO, Any, Callable, Iterator

from .errors import BadFile, KdbgError
from .units import shown

# Small enough that what is made of a piece stays in a processor's cache.
PIECE = 1 << 17
_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_ENDED = "{}: damaged, or it ends too soon: {}"


def open_log(path: str) -> Iterator[bytes]:
    """Open a log and return its bytes in pieces, uncompressed.

    Raises BadFile if it cannot be opened, and later where compressed data is damaged; what stands before is given.
    """
    file = open_file(path)
    try:
        piece = file.read(PIECE)
        if not _is_packed(piece):
            return _pieces(file, path, piece)
        file.seek(0)
    except OSError as error:
        file.close()
        raise BadFile(f"cannot read {shown(path)}: {error.strerror}") from None
    return _zstd(file, path) if piece[:4] == _ZSTD else _decompressed(file, path, piece.startswith(_XZ))


def open_file(path: str) -> FileIO:
    """Open a regular file, or raise BadFile."""
    try:
        return FileIO(path)
    except IsADirectoryError:
        raise BadFile(f"{shown(path)} is a directory: name a log") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"cannot open {shown(path)}: {getattr(error, 'strerror', None) or error}") from None


def is_compressed(path: str) -> bool:
    """Tell whether a file starts as compressed ones do."""
    with open_file(path) as file:
        return _is_packed(file.read(6))


def _is_packed(start: bytes) -> bool:
    return start.startswith((_GZIP, _XZ, _ZSTD))


def _pieces(file: FileIO, path: str, piece: bytes) -> Iterator[bytes]:
    with file:
        try:
            while piece:
                yield piece
                piece = file.read(PIECE)
        except OSError as error:
            raise BadFile(f"cannot read {shown(path)}: {error.strerror}") from None


def _decompressed(file: FileIO, path: str, is_xz: bool) -> Iterator[bytes]:
    import gzip
    import lzma
    import zlib

    unpack: Callable[[FileIO], IO[bytes]] = lzma.open if is_xz else gzip.open  # type: ignore[assignment]
    with file, _unpacking(path, zlib.error, lzma.LZMAError), unpack(file) as opened:
        # What is whole of a file that ends too soon is given before it is said that it does.
        while piece := opened.read1(PIECE):  # type: ignore[attr-defined]
            yield piece


@contextlib.contextmanager
def _unpacking(path: str, *errors: Any) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, *errors) as error:
        raise BadFile(_ENDED.format(shown(path), error)) from None


def _zstd(file: FileIO, path: str) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        return _by_program(file, path)
    return _by_library(file, path, zstandard)


def _by_library(file: FileIO, path: str, zstandard: Any) -> Iterator[bytes]:
    with file, _unpacking(path, zstandard.ZstdError):
        opened = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while piece := opened.read(PIECE):
            yield piece


def _by_program(file: FileIO, path: str) -> Iterator[bytes]:
    import shutil

    program = shutil.which("zstd")
    if program is None:
        file.close()
        raise KdbgError(f"{shown(path)} is compressed by zstd: install the program zstd, or Python's zstandard")
    return _from_program(program, file, path)


def _from_program(program: str, file: FileIO, path: str) -> Iterator[bytes]:
    import subprocess

    command = [program, "-dcq"]
    with file, subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            while piece := process.stdout.read(PIECE):
                yield piece
            reason = process.stderr.read(1000).decode("utf-8", "backslashreplace").strip()
        finally:
            process.kill()
    if reason:
        raise BadFile(_ENDED.format(shown(path), shown(reason)))
