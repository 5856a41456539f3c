"""What triage keeps of one log: its first crash as a key to group by, when it was seen, what was wrong with it."""

from __future__ import annotations

import contextlib
import datetime
from collections import deque
from typing import Deque, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

from .console_time import console_time
from .errors import BadFile, KdbgError
from .kernel_log import crashes_in_blocks
from .kernel_log_frames import plain
from .kernel_log_guilty import dispatches, never_guilty
from .kernel_log_records import Crash, Frame
from .units import safe_text, shown

# As a kernel's own clock starts at 0, only a console that writes dates tells when a crash was.
FROM_LOG, FROM_FILE = "log", "file"
BINARY = "binary, no text of a console"
_FRAMES, _NAME, _REASON = 4, 160, 300
# A line longer than this is cut in two: no console writes one.
_LONGEST_LINE = 1 << 20
# A crash is told some lines after its head; this many blocks are kept to look at that line again.
_KEPT_BLOCKS = 8
_TEXT = bytes(range(0x20, 0x7F)) + b"\t\n\v\f\r\b\x07\x1b"
_TEXT_AT_LEAST = 0.7
# 1990: no kernel runs for so many seconds. The year 10000.
_EARLIEST, _LATEST = 631152000.0, 253402300800.0


class Log(NamedTuple):
    """A log to be read: a path or an `s3://` address, its size in bytes, when it was last written (ns since 1970).

    `problem` says why it cannot be read at all; empty if there is no such reason yet.
    """

    name: str
    size: int
    modified: int
    problem: str = ""


class CrashKey(NamedTuple):
    """What makes two crashes the same: the type, the guilty function, the title, and the first frames from it on."""

    type: str
    guilty: str
    title: str
    stack: Tuple[str, ...]


class Summary(NamedTuple):
    """One log: its first crash if it tells of one, when that was (seconds since 1970) and by whose clock.

    `problem` is why the log could not be read, or not to its end: a damaged file may have told of a crash before.
    """

    name: str
    size: int
    seen: float
    seen_by: str
    crash: Optional[CrashKey] = None
    problem: str = ""


def summary_of(log: Log) -> Summary:
    """Read one log, as far as its first crash; whatever is wrong with it stands in the summary."""
    if log.problem:
        return _problem(log, log.problem)
    try:
        with _local(log) as path:
            return _read(log, path)
    except KdbgError as error:
        return _problem(log, str(error))
    # One log that kdbg cannot take must not end the triage of a million others; it is named with its error.
    except Exception as error:
        return _problem(log, f"kdbg failed on it: {type(error).__name__}: {error}")


def _problem(log: Log, reason: str) -> Summary:
    return Summary(log.name, log.size, log.modified / 1e9, FROM_FILE, None, _reason(reason, log.name))


# The name stands beside the reason.
def _reason(text: str, *names: str) -> str:
    for name in map(shown, names):
        text = text.replace(f" {name}", "").replace(f"{name}: ", "")
    return safe_text(text, _REASON)


@contextlib.contextmanager
def _local(log: Log) -> Iterator[str]:
    from .triage_store import fetched, is_stored

    if is_stored(log.name):
        with fetched(log.name) as path:
            yield path
    else:
        yield log.name


def _read(log: Log, path: str) -> Summary:
    from .log_source import open_log

    text = _Text(open_log(path))
    crash = next(crashes_in_blocks(text), None)
    if crash is None and text.is_binary:
        return _problem(log, BINARY)
    damage = _reason(text.damage, path, log.name)
    if crash is None:
        return Summary(log.name, log.size, log.modified / 1e9, FROM_FILE, None, damage)
    written = _date(text.line(crash.first_line))
    seen, by = (log.modified / 1e9, FROM_FILE) if written is None else (written, FROM_LOG)
    return Summary(log.name, log.size, seen, by, key_of(crash), damage)


def key_of(crash: Crash) -> CrashKey:
    """Return what a crash is grouped by."""
    names = tuple(shown(name)[:_NAME] for name in _top(crash.stack, crash.guilty))
    return CrashKey(crash.type, shown(crash.guilty)[:_NAME], crash.title, names)


# From the guilty function outwards, to where the kernel runs whatever it is given: below that all stacks are alike.
def _top(stack: Sequence[Frame], guilty: str) -> Iterator[str]:
    sure = [plain(frame.function) for frame in stack if frame.function and frame.reliable]
    names = sure or [plain(frame.function) for frame in stack if frame.function]
    start = names.index(guilty) if guilty in names else 0
    found = [name for name in names[start:] if name == guilty or not never_guilty(name)]
    for number, name in enumerate(found[:_FRAMES]):
        if number and dispatches(name):
            return
        if not number or name != found[number - 1]:
            yield name


class _Text:
    """A log as blocks of whole lines; damage ends it early and is kept, so that what stands before it counts."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.damage = ""
        self.is_binary = False
        self._pieces = pieces
        self._kept: Deque[Tuple[int, str]] = deque(maxlen=_KEPT_BLOCKS)
        self._lines = 1

    def __iter__(self) -> Iterator[str]:
        for block in self._blocks():
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
        rest, is_first = b"", True
        for piece in self._whole():
            if is_first and _is_binary(piece):
                self.is_binary = True
                return
            is_first = False
            end = piece.rfind(b"\n") + 1
            if end or len(rest) > _LONGEST_LINE:
                end = end or len(piece)
                yield rest + piece[:end]
                rest = piece[end:]
            else:
                rest += piece
        if rest:
            yield rest

    def _whole(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except BadFile as error:
            self.damage = str(error)


# Files cut by a power failure are full of zeros in places: they count neither way.
def _is_binary(piece: bytes) -> bool:
    if piece.startswith(b"\x7fELF"):
        return True
    sample = piece[: 1 << 16].replace(b"\0", b"")
    strange = sample.translate(None, _TEXT)
    letters = len("".join(filter(str.isprintable, strange.decode("utf-8", "ignore"))).encode())
    return len(strange) - letters > (1 - _TEXT_AT_LEAST) * len(sample) or not sample


def _date(line: str) -> Optional[float]:
    time = console_time(line)[0]
    if time is None and line.startswith("["):
        # dmesg -T
        with contextlib.suppress(ValueError):
            stamp = datetime.datetime.strptime(line[1:25], "%a %b %d %H:%M:%S %Y")
            time = stamp.replace(tzinfo=datetime.timezone.utc).timestamp()
    return time if time is not None and _EARLIEST < time < _LATEST else None
