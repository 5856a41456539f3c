"""What kernels print at the head of a report, and what each means: its title, its type, where its culprit is found.

The first pattern that matches decides. `{f}` in a title is the guilty function, `{0}`, `{1}` the groups of the pattern.
Titles and types follow the public corpora of crash reports, so that results can be compared.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, Optional

from .kernel_log_broken import BROKEN
from .kernel_log_faults import FAULTS
from .kernel_log_heads import CHECKERS


class Kind(NamedTuple):
    """A kind of report; `pick` names the rule that finds the guilty function.

    `then` is "same" if the head may go on with a report that has no stack yet, "panic" or "end" if it ends the report
    before it (after "end" none begins once there was a crash), "lead" if a warning may follow that belongs to it, and
    "stack" if it is a report only with a stack below.
    """

    pattern: re.Pattern[str]
    title: str
    type: str
    pick: str
    then: str = ""


# Each report's head contains one of these; strings are looked for much faster than patterns.
NEEDLES = (
    "BUG", "WARNING:", "INFO:", "anic", "PANIC:", "nable to handle", " [#", "corruption", "UBSAN", "usercopy",
    "detected", "general protection", "lignment trap", "Internal error", "Unhandled", "unregister_netdevice:",
    "VFS: Busy", "VFS: Close",
    "LOCKUP", "stack space to handle", " at addr 0x", "cut here", "Pid: ", "Linux version", "Booting",
)  # fmt: skip
# Heads are at the start of their lines.
HEAD_LIMIT = 512
_ROWS = (*CHECKERS, *FAULTS, *BROKEN)
# What looks like a head, and is none: lines about reports, and what user programs print about themselves.
_HARMLESS = re.compile(
    r"INFO: (?:lockdep is turned off|Stall ended|NMI handler|rcu_\w+ detected expedited stalls .{0,40}\{ \} )"
    r"|audit: type="
)


def kinds() -> tuple[Kind, ...]:
    """Return all kinds of reports, those that must be tried first in front."""
    return tuple(map(_kind, range(len(_ROWS))))


# Compiled when it is tried: a log has reports of few kinds.
@lru_cache(maxsize=None)
def _kind(number: int) -> Kind:
    pattern, *rest = _ROWS[number]
    return Kind(re.compile(pattern), *rest)


# Looking for a word takes a tenth of a pattern's time, and most patterns fail.
@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    return tuple(word_of(row[0]) for row in _ROWS)


def word_of(pattern: str) -> str:
    """Return the longest text that is in every match of a pattern; it may be empty."""
    plain = re.sub(r"\\.|\[(?:\\.|[^\\\]])*\]", ".", pattern)
    plain = re.sub(r"\{\d*,?\d*\}", "*", plain)
    nested = 1
    while nested:
        plain, nested = re.subn(r"\([^()]*\)", ".", plain)
    return "" if "|" in plain else max(re.findall(r"[\w :,#-]+(?![?*+])", plain), key=len, default="")


def kind_of(line: str) -> Optional[Kind]:
    """Return the kind of report that a line begins, None if it begins none."""
    line = line[:HEAD_LIMIT]
    numbers = (number for number, word in enumerate(_words()) if word in line)
    found = next((kind for number in numbers if (kind := _kind(number)).pattern.search(line)), None)
    return None if found is None or _HARMLESS.search(line) else found
