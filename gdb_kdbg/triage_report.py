"""The result of `kdbg triage`: groups of crashes, and what became of all the other files."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Dict, List, NamedTuple, Sequence, Tuple

from .triage_groups import Pile, Tally, Trouble, grouped, joined
from .triage_summary import CrashKey
from .units import Count, Size, shown

_STACKS = 10
_JSON_ONLY = {"text": False}


class Stack(NamedTuple):
    """The crashes of a group that have the same first frames, innermost first."""

    crashes: Count
    frames: Tuple[str, ...]
    exemplar: str


class Group(NamedTuple):
    """Crashes of one mistake. Times are UTC; `times` says whose: the console's own dates, or the files' last change.

    `title` is the most frequent one, as `kdbg analyze` tells it of the first log that has it. `types` and `titles` have
    all of the group with their counts, without numbers where these differ; `stacks` the most frequent ones.
    """

    crashes: Count
    type: str
    guilty: str
    first_seen: str
    last_seen: str
    times: str
    stack_count: Annotated[Count, {"label": "stacks"}]
    first_log: str
    title: Annotated[str, {"unless": ("has_guilty", True)}]
    has_guilty: Annotated[bool, _JSON_ONLY]
    types: Annotated[Dict[str, int], _JSON_ONLY]
    titles: Annotated[Dict[str, int], _JSON_ONLY]
    exemplars: Annotated[Tuple[str, ...], _JSON_ONLY]
    stacks: Annotated[Tuple[Stack, ...], _JSON_ONLY]


class NamedFile(NamedTuple):
    """A file that could not be read, or not to its end."""

    file: Annotated[str, {"label": "not read"}]
    reason: str


@dataclass(frozen=True)
class TriageReport:
    """All logs. `crashes`, `quiet`, `binary` and `unreadable` add up to `logs`; `damaged` ones are among the crashes.

    `not_read` names the first of the binary, unreadable and damaged ones by name.
    """

    logs: Count
    size: Size = field(metadata=_JSON_ONLY)
    crashes: Count
    quiet: Count = field(metadata={"label": "no crash"})
    binary: Count
    unreadable: Count
    damaged: Count
    groups: tuple[Group, ...]
    not_read: tuple[NamedFile, ...]
    problems: tuple[str, ...] = ()


def report_of(tally: Tally, problems: Sequence[str] = ()) -> TriageReport:
    """Return the groups of a tally, the largest first; the same for the same logs, whoever read them."""
    more = tally.binary + tally.unreadable + tally.damaged - len(tally.troubles)
    return TriageReport(
        Count(tally.files), Size(tally.size), Count(tally.crashes), Count(tally.quiet), Count(tally.binary),
        Count(tally.unreadable), Count(tally.damaged), tuple(_group(members) for members in grouped(tally)),
        tuple(_named(trouble) for trouble in tally.troubles),
        (*problems, *([f"{more} more files were not read, or not to the end"] if more else [])),
    )  # fmt: skip


def _named(trouble: Trouble) -> NamedFile:
    return NamedFile(shown(trouble.name), trouble.reason)


def _group(members: Sequence[Tuple[CrashKey, Pile]]) -> Group:
    whole = joined([pile for _, pile in members])
    types, titles = (
        _counts([(k.type, p.crashes) for k, p in members]),
        _counts([(k.title, p.crashes) for k, p in members]),
    )
    stacks: Dict[Tuple[str, ...], List[Pile]] = {}
    for key, pile in members:
        stacks.setdefault(key.stack, []).append(pile)
    rows = sorted(_stack(frames, joined(piles)) for frames, piles in stacks.items())
    rows.sort(key=lambda row: -row.crashes)
    guilty = members[0][0].guilty
    return Group(
        Count(whole.crashes), next(iter(types)), guilty,
        _written(whole.first.time), _written(whole.last.time), _clocks([pile for _, pile in members]),
        Count(len(stacks)), shown(whole.first.name), _title(members, next(iter(titles))), bool(guilty), types, titles,
        tuple(shown(sight.name) for sight in whole.exemplars), tuple(rows[:_STACKS]),
    )  # fmt: skip


def _title(members: Sequence[Tuple[CrashKey, Pile]], most: str) -> str:
    return joined([pile for key, pile in members if key.title == most]).first.title or most


def _stack(frames: Tuple[str, ...], pile: Pile) -> Stack:
    return Stack(Count(pile.crashes), frames, shown(pile.first.name))


def _counts(pairs: Sequence[Tuple[str, int]]) -> Dict[str, int]:
    counter: Counter[str] = Counter()
    for word, count in pairs:
        counter[word] += count
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


# Whose clocks the first and the last time are of.
def _clocks(piles: Sequence[Pile]) -> str:
    return ", ".join(sorted({min(pile.first for pile in piles).by, max(pile.last for pile in piles).by}))


def _written(seconds: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return ""
