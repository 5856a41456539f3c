"""Lines of a kernel's console: whatever stands before the message taken off, and who printed it.

Kernels with CONFIG_PRINTK_CALLER print the task `[T123]` or CPU `[C1]`; that tells apart what two CPUs print at once.
"""

from __future__ import annotations

import re
from typing import Iterable, Sequence

# No line of a kernel is longer (LOG_LINE_MAX and its prefix); the rest of a longer one is noise.
LINE_LIMIT = 2048

STAMPED = re.compile(r"(?:<[0-9]{1,3}>)?\[ {0,9}[0-9]{1,10}\.[0-9]{3,9}\](?:\[ {0,9}([TC][0-9]{1,10})\])? ?")
# Between two lines. To split a text at these takes a third of the time of finding its lines.
_BETWEEN = re.compile(rf"\n{STAMPED.pattern}")
_LATE = re.compile(r"\[ {0,9}[0-9]{1,10}\.[0-9]{3,9}\](?:\[ {0,9}([TC][0-9]{1,10})\])? ?")
# netconsole and /dev/kmsg; syslog and journald; dmesg -T; colours; a level alone.
_OTHER = re.compile(
    r"(?:\x1b\[[0-9;]{0,12}m)*(?:"
    r"\d{1,3},\d{1,20},\d{1,20},[^;]{1,60};"
    r"|\w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d \S{1,80} kernel: ?"
    r"|\d{4}-\d\d-\d\d[T ][\d:.,]{8,20}(?:Z|[+-]\d\d:?\d\d)? \S{1,80} kernel: ?"
    r"|\[\w{3} \w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4}\] ?"
    r"|<\d{1,3}>"
    r"|)(?:\x1b\[[0-9;]{0,12}m)*"
)
_PREFIXED = re.compile(r"[\d<[]|\w{3} ")
_CALLER = re.compile(r"\[ {0,9}([TC]\d{1,10})\] ?")
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,12}[A-Za-z]")
_SYSLOG = re.compile(r"(?:\w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:]{8})")
_LATEST = 120
# A text that is no longer does not reach the limit behind any stamp.
_SHORT = LINE_LIMIT - 100


def message(line: str, latest: int = _LATEST) -> tuple[str, str]:
    """Return who printed a line and its message: `("T12", "BUG: ...")`; the caller is empty where it is not printed.

    A copy of the line by a syslog daemon has a caller of its own (`~T12`), so that it does not fall between the lines
    of the original. The time is looked for in the first `latest` characters, since programs print too.
    """
    stamped = STAMPED.match(line)
    if stamped:
        return stamped[1] or "", line[stamped.end() : LINE_LIMIT]
    return _unusual(line[:LINE_LIMIT], latest)


def messages(lines: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return what `message` returns for each of many lines: all callers, and all texts."""
    before, *parts = _BETWEEN.split(f"\n{lines}")
    callers, texts = parts[::2], parts[1::2]
    callers = [""] * len(texts) if callers.count(None) == len(texts) else [caller or "" for caller in callers]
    # Lines without a stamp are still part of the one before them; in front of the first stamp there may be others.
    if before or lines.count("\n") >= len(texts):
        for place in [place for place, text in enumerate(texts) if "\n" in text][::-1]:
            texts[place], *others = texts[place].split("\n")
            _insert(others, place + 1, callers, texts)
    if before:
        _insert(before.split("\n")[1:], 0, callers, texts)
    if len(lines) > _SHORT and max(map(len, texts)) > _SHORT:
        texts = [text if len(text) <= _SHORT else message(line)[1] for text, line in zip(texts, lines.split("\n"))]
    return callers, texts


def _insert(lines: Iterable[str], place: int, callers: list[str], texts: list[str]) -> None:
    found = [_unusual(line[:LINE_LIMIT], _LATEST) for line in lines]
    callers[place:place] = [caller for caller, _ in found]
    texts[place:place] = [text for _, text in found]


def _unusual(line: str, latest: int) -> tuple[str, str]:
    if "\x1b" in line:
        line = _COLOUR.sub("", line)
    late = _LATE.search(line, 0, latest) if "[" in line else None
    if late:
        copied = "~" if _SYSLOG.match(line) else ""
        return copied + (late[1] or ""), line[late.end() :]
    other = _OTHER.match(line) if _PREFIXED.match(line) else None
    start = other.end() if other else 0
    caller = _CALLER.match(line, start)
    return (caller[1], line[caller.end() :]) if caller else ("", line[start:])
