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


# Each report's head contains one of these; strings are looked for much faster than patterns, and fastest if few of
# their letters stand in other lines.
NEEDLES = (
    "BUG", "WARNING:", "INFO:", "anic", "PANIC:", "nable to handle", "[#", "corru", "UBSAN", "usercopy",
    "detected", "general protection", "lignmen", "Internal error", "Unhandled", "unregister_netdevice:", "VFS:",
    "LOCKUP", "stack space to handle", "Kernel mode fault at addr",
    "Kernel tried to access user memory at addr", "Missing ENDBR",
    "--[ cut here ]--", "Pid:", "Linux version", "Booting",
)  # fmt: skip
# Heads are at the start of their lines.
HEAD_LIMIT = 512
_FREQUENT = ("BUG", "WARNING", "INFO", "detected", "not syncing", "andle")
_ROWS = (*CHECKERS, *FAULTS, *BROKEN)
# What looks like a head, and is none: lines about reports, and what user programs print about themselves.
_HARMLESS = re.compile(
    r"INFO: (?:lockdep is turned off|Stall ended|NMI handler|rcu_\w+ detected expedited stalls .{0,40}\{ \} |"
    r"task .{1,60} blocked on an? \w+ likely )"  # behind the report of a hung task
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
def _all_words() -> tuple[tuple[str, int], ...]:
    return tuple((word, number) for number, row in enumerate(_ROWS) for word in words_of(row[0]))


# Without those that a line cannot have, as it lacks what is in many of them.
@lru_cache(maxsize=1 << len(_FREQUENT))
def _words(absent: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple(pair for pair in _all_words() if not any(part in pair[0] for part in absent))


def words_of(pattern: str) -> tuple[str, ...]:
    """Return texts of which each match of a pattern has one: the longest of each alternative; they may be empty."""
    plain = re.sub(r"\\(\[)|\\.|\[(?:\\.|[^\\\]])*\]", lambda found: found[1] or ".", pattern)
    plain = re.sub(r"\{\d*,?\d*\}", "*", plain)
    nested = 1
    while nested:
        plain, nested = re.subn(r"\([^()]*\)", ".", plain)
    runs = (re.findall(r"[\w :,#\[-]+(?![?*+])", part) for part in plain.split("|"))
    return tuple(max(found, key=len, default="") for found in runs)


def kind_of(line: str) -> Optional[Kind]:
    """Return the kind of report that a line begins, None if it begins none."""
    line = line[:HEAD_LIMIT]
    for word, number in _words(tuple([part for part in _FREQUENT if part not in line])):
        if word in line and (kind := _kind(number)).pattern.search(line):
            return None if _HARMLESS.search(line) else kind
    return None
