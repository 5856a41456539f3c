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
    "VFS: Busy", "LOCKUP", "stack space to handle", " at addr 0x", "cut here", "Pid: ", "Linux version", "Booting",
)  # fmt: skip
# Heads are at the start of their lines.
HEAD_LIMIT = 512
_ROWS = (*CHECKERS, *FAULTS, *BROKEN)
_GROUP = re.compile(r"(?<!\\)\((?:\?P<\w+>|(?!\?))")
# What looks like a head, and is none: lines about reports, and what user programs print about themselves.
_HARMLESS = re.compile(
    r"INFO: (?:lockdep is turned off|Stall ended|NMI handler|rcu_\w+ detected expedited stalls .{0,40}\{ \} )"
    r"|audit: type="
)


@lru_cache(maxsize=1)
def kinds() -> tuple[Kind, ...]:
    """Return all kinds of reports, those that must be tried first in front."""
    return tuple(Kind(re.compile(row[0]), *row[1:]) for row in _ROWS)


# One pattern for all kinds: most lines with a needle are no head, and leave with one search.
@lru_cache(maxsize=1)
def _any() -> re.Pattern[str]:
    return re.compile("|".join(_GROUP.sub("(?:", row[0]) for row in _ROWS))


def kind_of(line: str) -> Optional[Kind]:
    """Return the kind of report that a line begins, None if it begins none."""
    line = line[:HEAD_LIMIT]
    if not _any().search(line) or _HARMLESS.search(line):
        return None
    return next((kind for kind in kinds() if kind.pattern.search(line)), None)
