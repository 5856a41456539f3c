"""What triage keeps of one log: its first crash as a key to group by, when it was seen, what was wrong with it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Iterator, NamedTuple, Optional, Sequence, Tuple

from .errors import KdbgError
from .kernel_log import crashes_in_blocks
from .kernel_log_frames import plain
from .kernel_log_guilty import dispatches, never_guilty
from .kernel_log_records import Crash, Frame
from .triage_text import LogText, date_of
from .units import safe_text, shown

if TYPE_CHECKING:
    from .finding import Finding

# As a kernel's own clock starts at 0, only a console that writes dates tells when a crash was.
FROM_LOG, FROM_FILE = "log", "file"
BINARY = "binary, no text of a console"
_FRAMES, _NAME, _REASON = 4, 160, 300
_NUMBER = re.compile(r"0x[0-9a-f]+|\b\d+\b")


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
    text = LogText(path)
    crash = next(crashes_in_blocks(text), None)
    if crash is None and text.is_binary:
        return _problem(log, BINARY)
    key, line = (key_of(crash), int(crash.first_line)) if crash else (None, 0)
    if crash is None and text.has_events:
        key, line = _in_events(path)
    damage = _reason(text.damage, path, log.name)
    written = date_of(text.line(line)) if key else None
    seen, by = (log.modified / 1e9, FROM_FILE) if written is None else (written, FROM_LOG)
    return Summary(log.name, log.size, seen, by, key, damage)


# A kernel without oops texts tells of its end in events; the log is read again for them, with all that analysing takes.
def _in_events(path: str) -> Tuple[Optional[CrashKey], int]:
    from .analysis import read_log
    from .log_files import open_named
    from .log_story import GUARD, PANIC
    from .log_symbols import Symbolic

    stories = read_log(path, lambda: open_named(path), Symbolic()).stories
    story = next((story for story in stories if story.gravity in (GUARD, PANIC)), None)
    return (key_of_finding(story.finding), min(story.lines, default=0)) if story else (None, 0)


def key_of_finding(finding: Finding) -> CrashKey:
    """Return what a finding on events is grouped by: its rule, and who is at fault if that is known by name."""
    facts = finding.facts
    at_fault = {"routine at fault": facts.routine, "caller at fault": facts.caller}
    guilty = at_fault.get(facts.verdict or "", facts.function if facts.verdict is None else None) or ""
    title = _NUMBER.sub("N", finding.summary)[:_NAME]
    return CrashKey(finding.rule, shown(guilty.split("+")[0].strip("<>"))[:_NAME], title, ())


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
