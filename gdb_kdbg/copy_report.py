"""What an exercised copy routine did wrong, many cases told as few findings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Callable, Iterable, Optional

from .copy_breaches import BEFORE, LEAVES, MISSING, NOT_RUN, PAST, REGISTER, STATE, WRONG, Breach
from .copy_cases import Case
from .units import Address, Count, Size

CONFORMS, BREAKS, UNDECIDABLE = "conforms", "breaks", "undecidable"
# Alignments are told apart within a vector of 16 bytes.
_VECTOR = 16
_KEYED_BY_TEXT = (REGISTER, LEAVES, NOT_RUN, STATE)
_TEXTS = 4
_RANGES = 8
_FIRST = (PAST, BEFORE, WRONG, MISSING)


@dataclass(frozen=True)
class BreachExample:
    """The smallest case that shows a breach; `overlap` is destination minus source where the areas overlap."""

    size: Size
    destination_alignment: int
    source_alignment: int
    overlap: Optional[int]
    fault: str
    text: str


@dataclass(frozen=True)
class CopyBreach:
    """One kind of breach over all cases that showed it."""

    kind: str
    summary: str
    sizes: str = field(metadata={"text": False})
    alignments: str = field(metadata={"text": False})
    cases: Count
    smallest: Size = field(metadata={"text": False})
    instruction: Optional[Address] = field(metadata={"text": False})
    by: str
    example: BreachExample = field(metadata={"text": False})


@dataclass(frozen=True)
class CopyReport:
    """The verdict on a copy routine: `conforms`, `breaks`, or `undecidable` where some of it could not be run."""

    routine: str
    address: Address
    contract: str
    cases: Count
    verdict: str
    breaches: tuple[CopyBreach, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Findings:
    """Collects breaches case by case."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}
        self._alignments: dict[int, tuple[set[int], set[int]]] = {}
        self.cases = 0

    def add(self, case: Case, breaches: Iterable[Breach], is_aligned: bool) -> None:
        """Take note of a case; `is_aligned` counts its alignment as one that was tried."""
        self.cases += 1
        if is_aligned:
            destinations, sources = self._alignments.setdefault(case.size, (set(), set()))
            destinations.add(case.destination % _VECTOR)
            sources.add(case.source % _VECTOR)
        for breach in breaches:
            self._groups.setdefault(self._key(breach), _Group()).add(breach, is_aligned)

    # Where control goes after the return address was overwritten is another place each time.
    def _key(self, breach: Breach) -> tuple[str, str]:
        key = breach.kind, breach.text if breach.kind in _KEYED_BY_TEXT else ""
        is_new = key not in self._groups and sum(kind == breach.kind for kind, _ in self._groups) >= _TEXTS
        return (breach.kind, "") if is_new else key

    @property
    def breaches(self) -> list[Breach]:
        """The smallest breach of each kind."""
        return [group.example for group in self._groups.values()]

    def verdict(self) -> str:
        """Judge by what was found; a routine that was not run at all sizes has not passed."""
        kinds = {kind for kind, _ in self._groups}
        return BREAKS if kinds - {NOT_RUN} else UNDECIDABLE if kinds else CONFORMS

    def told(self, culprit: Callable[[Breach], tuple[Optional[int], str]]) -> tuple[CopyBreach, ...]:
        """Return the breaches, the one with the smallest size first; `culprit` finds and names the instruction."""
        groups = sorted(self._groups.values(), key=lambda group: (group.example.case.size, _rank(group.example.kind)))
        return tuple(self._told(group, *culprit(group.example)) for group in groups)

    def _told(self, group: _Group, pc: Optional[int], by: str) -> CopyBreach:
        example = group.example
        sizes = ranges(group.sizes)
        alignments = self._alignment_text(group)
        where = ", ".join(filter(None, (f"size{'s' if len(group.sizes) > 1 else ''} {sizes}", alignments)))
        return CopyBreach(
            example.kind,
            f"{where}: {group.text()}",
            sizes,
            alignments,
            Count(group.count),
            Size(example.case.size),
            None if pc is None else Address(pc),
            by,
            _example(example),
        )

    def _alignment_text(self, group: _Group) -> str:
        tried = [self._alignments.get(size, (set(), set())) for size in group.sizes]
        sides = []
        for number, (name, seen) in enumerate((("destination", group.destinations), ("source", group.sources))):
            all_of_them = set().union(*(pair[number] for pair in tried))
            if seen and not seen >= all_of_them:
                sides.append(f"{name} alignment {ranges(seen)}")
        return " and ".join(sides) if sides else "any alignment" if group.destinations else ""


class _Group:
    """The cases that showed one kind of breach."""

    def __init__(self) -> None:
        self.count = 0
        self.sizes: set[int] = set()
        self.destinations: set[int] = set()
        self.sources: set[int] = set()
        self._breaches: list[Breach] = []
        self._has_others = False
        self._amounts: Counter[tuple[int, int]] = Counter()

    def add(self, breach: Breach, is_aligned: bool) -> None:
        case = breach.case
        self.count += 1
        self.sizes.add(case.size)
        if is_aligned:
            self.destinations.add(case.destination % _VECTOR)
            self.sources.add(case.source % _VECTOR)
        if not breach.text or breach.kind in (MISSING, WRONG):
            self._amounts[case.size, breach.amount] += 1
        if breach.kind in _KEYED_BY_TEXT and self._breaches and breach.text != self.example.text:
            self._has_others = True
        if not self._breaches or case.size < self.example.case.size:
            self._breaches = [breach]

    @property
    def example(self) -> Breach:
        return self._breaches[0]

    def text(self) -> str:
        example, amounts = self.example, set(self._amounts)
        if example.kind not in (PAST, BEFORE, MISSING, WRONG) or not amounts:
            return f"{example.text}, and others" if self._has_others else example.text
        if example.kind == PAST and all(size == amount for size, amount in amounts):
            return "wrote 2 x size"
        largest = max(amount for _, amount in amounts)
        number = f"{largest} byte{'s' if largest > 1 else ''}"
        number = number if len({amount for _, amount in amounts}) == 1 else f"up to {number}"
        if example.kind in (PAST, BEFORE):
            return f"wrote {number} {'past the end' if example.kind == PAST else 'before the start'}"
        return f"{example.text} {number} {'missing' if example.kind == MISSING else 'wrong'}"


def _example(breach: Breach) -> BreachExample:
    case = breach.case
    distance = case.destination - case.source
    return BreachExample(
        Size(case.size),
        case.destination % 64,
        case.source % 64,
        distance if abs(distance) < max(case.size, 1) else None,
        f"{case.fault_side} missing from byte {case.fault_at}" if case.fault_side else "",
        breach.text,
    )


# What is written comes before what is read.
def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def ranges(numbers: Iterable[int]) -> str:
    """Write numbers as a person would: `1-7, 64, 128-255`; of many ranges the first and the last."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    texts = [f"{low}-{high}" if high > low else f"{low}" for low, high in found]
    return ", ".join(texts if len(texts) <= _RANGES else [*texts[: _RANGES - 2], "...", texts[-1]])
