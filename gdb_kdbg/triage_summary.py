"""What triage keeps of one log: its first crash as a key to group by, when it was seen, what was wrong with it."""

from __future__ import annotations

import contextlib
from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

from .errors import KdbgError
from .kernel_log import crashes_in_blocks
from .kernel_log_frames import plain
from .kernel_log_guilty import dispatches, never_guilty
from .kernel_log_records import Crash, Frame
from .triage_text import LogText, date_of
from .units import safe_text, shown

# As a kernel's own clock starts at 0, only a console that writes dates tells when a crash was.
FROM_LOG, FROM_FILE = "log", "file"
BINARY = "binary, no text of a console"
FRAMES, NAME = 4, 160
_REASON = 300


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
    `title` is the crash's own where that of its key has been made the same for many.
    """

    name: str
    size: int
    seen: float
    seen_by: str
    crash: Optional[CrashKey] = None
    problem: str = ""
    title: str = ""


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
    text = LogText(path)
    crash = next(crashes_in_blocks(text), None)
    if crash is None and text.is_binary:
        return _problem(log, BINARY)
    key, title, line = (key_of(crash), "", int(crash.first_line)) if crash else (None, "", 0)
    # A kernel without oops texts tells of its end in events; for them the log is read again, as analysing reads it.
    if crash is None and text.has_events:
        from .triage_events import told_in_events

        key, title, line = told_in_events(path) or (None, "", 0)
    damage = _reason(text.damage, path, log.name)
    written = date_of(text.line(line)) if key else None
    seen, by = (log.modified / 1e9, FROM_FILE) if written is None else (written, FROM_LOG)
    return Summary(log.name, log.size, seen, by, key, damage, title)


def key_of(crash: Crash) -> CrashKey:
    """Return what a crash is grouped by."""
    names = tuple(shown(name)[:NAME] for name in _top(crash.stack, crash.guilty))
    return CrashKey(crash.type, shown(crash.guilty)[:NAME], crash.title, names)


# From the guilty function outwards, to where the kernel runs whatever it is given: below that all stacks are alike.
def _top(stack: Sequence[Frame], guilty: str) -> Iterator[str]:
    sure = [plain(frame.function) for frame in stack if frame.function and frame.reliable]
    names = sure or [plain(frame.function) for frame in stack if frame.function]
    start = names.index(guilty) if guilty in names else 0
    found = [name for name in names[start:] if name == guilty or not never_guilty(name)]
    for number, name in enumerate(found[:FRAMES]):
        if number and dispatches(name):
            return
        if not number or name != found[number - 1]:
            yield name
