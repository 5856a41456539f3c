"""What triage keeps of a log whose kernel tells of its end in events: the first of its findings as a key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Optional, Tuple

from .triage_summary import FRAMES, NAME, CrashKey
from .units import shown

if TYPE_CHECKING:
    from .finding import Facts, Finding
    from .log_story import Story

# Titles of one mistake differ in addresses, counts and processes.
_NUMBER = re.compile(r"0x[0-9a-f]+|\b\d+\b")
_TITLE = 300
# The fact that tells best who is at fault, then what is known instead of it.
_GUILTY = {
    "routine at fault": ("routine",),
    "caller at fault": ("caller", "tag", "system_call"),
    "program at fault": ("process",),
    "copy-fault": ("caller", "tag", "routine"),
    "panic": ("function",),
    "error-storm": ("system_call",),
    "missing-system-calls": ("system_call",),
    "kernel-pointer-leak": ("system_call", "process"),
}
# A kernel has one routine for copies, whatever its name.
_UNNAMED = {"routine at fault": "copy routine"}
# A program that died: its function where a file tells it.
_PROGRAM = ("function", "process")


class Told(NamedTuple):
    """The gravest finding of a log: its key, what `kdbg analyze` calls it, and the first line that it rests on."""

    key: CrashKey
    title: str
    line: int


def told_in_events(path: str) -> Optional[Told]:
    """Read a log for what its events add up to; all that analysing finds counts, the gravest first."""
    from .analysis import read_log
    from .log_files import open_named
    from .log_symbols import Symbolic

    stories = read_log(path, lambda: open_named(path), Symbolic()).stories
    if not stories:
        return None
    first = stories[0]
    return Told(key_of_story(first), shown(first.finding.summary)[:_TITLE], min(first.lines, default=0))


def key_of_story(story: Story) -> CrashKey:
    """Return what a finding on events is grouped by: its rule, and who is at fault if that is known by name."""
    finding = story.finding
    guilty = shown(guilty_of(finding))[:NAME]
    return CrashKey(finding.rule, guilty, shown(_NUMBER.sub("N", finding.summary))[:NAME], _stack(story))


def guilty_of(finding: Finding) -> str:
    """Return the function at fault, or the program, system call or tag that stands for it; empty if undecidable."""
    facts = finding.facts
    names = _GUILTY.get(facts.verdict or finding.rule, _PROGRAM if facts.verdict is None else ())
    found = next((found for name in names if (found := _plain(facts, name))), "")
    return found or _UNNAMED.get(facts.verdict or "", "")


def _plain(facts: Facts, name: str) -> str:
    text = str(getattr(facts, name) or "").strip("<>")
    return text if name in ("process", "tag") else text.split("+")[0]


# A panic has its backtrace; of a program that died the place is known.
def _stack(story: Story) -> Tuple[str, ...]:
    from .log_panics import is_machinery, panic_frames
    from .log_symbols import Symbolic

    if story.subject is not None and story.subject.type == "panic":
        names = [shown(name)[:NAME] for name, _ in panic_frames(story.subject, Symbolic())]
        return tuple(name for name in names if name and not is_machinery(name))[:FRAMES]
    place = story.finding.facts.instruction
    return () if place is None or story.finding.facts.verdict else (f"{place:#x}",)
