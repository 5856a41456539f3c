"""Many logs counted: piles of the same crash that can be merged in any order, and the groups that are made of them."""

from __future__ import annotations

import heapq
import re
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

from .triage_summary import BINARY, CrashKey, Summary

EXEMPLARS = 3
NAMED = 20
# The same mistake in a function is reported by whoever notices it first: a sanitizer, the processor, a watchdog.
_ALTERNATES = tuple(
    (cause, re.compile(pattern))
    for cause, pattern in (
        ("invalid free", r"(?:KASAN|KFENCE): (?:invalid|double)-?[ -]?free"),
        ("stack overflow", r".*(?:stack overflow|stack guard page|corrupted stack end|stack-overflow)"),
        ("hang", r"INFO: task (?:hung|can't die)"),
        ("stall", r"INFO: rcu detected stall|BUG: (?:soft|hard|workqueue) lockup|.*watchdog: .*LOCKUP"),
        (
            "bad access",
            r"KASAN: |KFENCE: (?!memory corruption)|KMSAN: |BUG: unable to handle|Unable to handle|BUG: corrupted list|"
            r"general protection fault|Unhandled fault|Internal error|UBSAN: array-index-out-of-bounds|"
            r"kernel panic: Segfault with no mm|Kernel mode fault|Kernel tried to access",
        ),
    )
)


class Sight(NamedTuple):
    """When a log's crash was seen (seconds since 1970), by whose clock, in which log, under which title of its own."""

    time: float
    by: str
    name: str
    title: str = ""


class Pile(NamedTuple):
    """Crashes with one key: how many, the first and the last of them, the first few as exemplars."""

    crashes: int
    last: Sight
    exemplars: Tuple[Sight, ...]

    @property
    def first(self) -> Sight:
        return self.exemplars[0]


class Trouble(NamedTuple):
    """A file and what was wrong with it."""

    name: str
    reason: str


class Tally:
    """What has been read so far. Merging is associative and commutative, so it does not matter who read what."""

    def __init__(self, summaries: Iterable[Summary] = ()) -> None:
        self.files = self.size = self.crashes = self.quiet = self.binary = self.unreadable = self.damaged = 0
        self.piles: Dict[CrashKey, Pile] = {}
        self.troubles: Tuple[Trouble, ...] = ()
        troubles: List[Trouble] = []
        for summary in summaries:
            self._add(summary, troubles)
        self.troubles = _least_troubles(troubles)

    def merge(self, other: Tally) -> None:
        """Take in what another tally has counted, of other logs."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for key, pile in other.piles.items():
            self._pile(key, pile)
        if other.troubles:
            self.troubles = _least_troubles((*self.troubles, *other.troubles))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def _add(self, summary: Summary, troubles: List[Trouble]) -> None:
        self.files += 1
        self.size += summary.size
        if summary.crash is not None:
            sight = Sight(summary.seen, summary.seen_by, summary.name, summary.title)
            self.crashes += 1
            self._pile(summary.crash, Pile(1, sight, (sight,)))
        if summary.problem:
            name = "damaged" if summary.crash else "binary" if summary.problem == BINARY else "unreadable"
            setattr(self, name, getattr(self, name) + 1)
            troubles.append(Trouble(summary.name, summary.problem))
        elif summary.crash is None:
            self.quiet += 1

    def _pile(self, key: CrashKey, pile: Pile) -> None:
        own = self.piles.get(key)
        self.piles[key] = pile if own is None else joined([own, pile])


_COUNTS = ("files", "size", "crashes", "quiet", "binary", "unreadable", "damaged")


def joined(piles: Sequence[Pile]) -> Pile:
    """Put piles, one at least, onto one."""
    exemplars = heapq.nsmallest(EXEMPLARS, (sight for pile in piles for sight in pile.exemplars))
    return Pile(sum(pile.crashes for pile in piles), max(pile.last for pile in piles), tuple(exemplars))


def _least_troubles(troubles: Iterable[Trouble]) -> Tuple[Trouble, ...]:
    return tuple(heapq.nsmallest(NAMED, troubles))


def cause_of(title: str) -> str:
    """Return the word for all reports of one kind of mistake, whoever reports it; empty for other titles."""
    return next((cause for cause, pattern in _ALTERNATES if pattern.match(title)), "")


def grouped(tally: Tally) -> Sequence[Sequence[Tuple[CrashKey, Pile]]]:
    """Return the piles by their mistake: those of the same guilty function and type, or of types that are alternates.

    Crashes without a guilty function are told apart by their titles. Largest groups first.
    """
    groups: Dict[Tuple[str, str], List[Tuple[CrashKey, Pile]]] = {}
    for key, pile in tally.piles.items():
        word = (cause_of(key.title) or key.type, key.guilty) if key.guilty else (key.type, f": {key.title}")
        groups.setdefault(word, []).append((key, pile))
    for members in groups.values():
        members.sort(key=_largest_first)
    return [groups[word] for word in sorted(groups, key=lambda word: (-_count(groups[word]), word))]


def _largest_first(member: Tuple[CrashKey, Pile]) -> Tuple[int, CrashKey]:
    return -member[1].crashes, member[0]


def _count(members: Sequence[Tuple[CrashKey, Pile]]) -> int:
    return sum(pile.crashes for _, pile in members)
