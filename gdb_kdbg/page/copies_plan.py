"""How the copies stand on their axis: lanes by caller, shapes by process, columns of a few pixels.

Whatever the number of copies, a drawing has at most one mark per lane and column. A mark that stands for several has
the shape of the process with the most of them, and is a little larger. What is near the victim or has a role stands
alone.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence

from ..dossier import CopyAxis, CopyNote
from .html import number

WIDTH, GUTTER, RIGHT = 1040, 200, 24
TOPS, LANE, BOTTOM = (8, 34), 30, 38
COLUMN = 10
LANES, PROCESSES = 12, 6
OTHERS, NOBODY = "other callers", "process unknown"
OTHER_PROCESSES = "other processes"


@dataclass(frozen=True)
class Plan:
    """Lanes and processes by name, and which of them each copy belongs to."""

    lanes: tuple[str, ...]
    processes: tuple[str, ...]
    lane_of: Mapping[str, int]
    process_of: Mapping[str, int]
    first: float
    last: float
    # Between two numbers of copies there is nothing; between two moments there is.
    least_step: float
    # More where lines have words at their heads.
    top: int

    @property
    def height(self) -> int:
        return self.top + LANE * len(self.lanes) + BOTTOM

    def lane(self, copy: CopyNote) -> int:
        return self.lane_of.get(copy.function, len(self.lanes) - 1)

    def process(self, copy: CopyNote) -> int:
        return self.process_of.get(copy.process or NOBODY, len(self.processes) - 1)

    def x(self, at: float) -> float:
        return GUTTER + (at - self.first) / (self.last - self.first) * (WIDTH - GUTTER - RIGHT)

    def y(self, lane: int) -> int:
        return self.top + LANE * lane + LANE // 2


def plan_of(axis: CopyAxis) -> Plan:
    """Choose lanes and processes: those of the marked copies, then the most frequent."""
    lanes = _chosen([copy.function for copy in axis.copies], _blamed(axis, "function"), LANES, OTHERS)
    named = [copy.process or NOBODY for copy in axis.copies]
    processes = _chosen(named, [name or NOBODY for name in _blamed(axis, "process")], PROCESSES, OTHER_PROCESSES)
    places = [copy.at for copy in axis.copies]
    margin = (max(places) - min(places)) * 0.02 or 0.5
    return Plan(
        lanes, processes, {name: i for i, name in enumerate(lanes)}, {name: i for i, name in enumerate(processes)},
        min(places) - margin, max(places) + margin, 1 if all(at == int(at) for at in places) else 1e-9,
        TOPS[bool(axis.marks or any(copy.role for copy in axis.copies))],
    )  # fmt: skip


def _blamed(axis: CopyAxis, attribute: str) -> list[str]:
    return [getattr(copy, attribute) for copy in axis.copies if copy.is_marked]


def _chosen(names: Sequence[str], first: Sequence[str], limit: int, others: str) -> tuple[str, ...]:
    ranked = list(dict.fromkeys([*first, *(name for name, _ in Counter(names).most_common())]))
    if len(ranked) <= limit:
        return tuple(ranked)
    return (*ranked[: limit - 1], others)


def shape(process: int, count: int) -> str:
    """Return the path of a mark, to stand behind its `M`: a shape for each process, larger where it is for several."""
    r = 4 + 0.3 * min(3, int(math.log2(count)))
    return _shapes(r)[process % PROCESSES]


def _shapes(r: float) -> tuple[str, ...]:
    one, two, third = number(r), number(2 * r), number(r / 2.6)
    wide, step = number(2 * r / 2.6), number(r - r / 2.6)
    return (
        f"m-{one},0a{one},{one} 0 1,0 {two},0a{one},{one} 0 1,0 -{two},0z",
        f"m-{one},-{one}h{two}v{two}h-{two}z",
        f"m0,-{one}l{one},{two}h-{two}z",
        f"m0,-{one}l{one},{one}l-{one},{one}l-{one},-{one}z",
        f"m-{third},-{one}h{wide}v{step}h{step}v{wide}h-{step}v{step}h-{wide}v-{step}h-{step}v-{wide}h{step}z",
        f"m0,{one}l-{one},-{two}h{two}z",
    )


def sizes(process: int) -> list[str]:
    """Return the shapes of a process for 1, 2, 4 and 8 or more copies."""
    return [shape(process, count) for count in (1, 2, 4, 8)]


def marks(plan: Plan, copies: Iterable[CopyNote]) -> Mapping[tuple[int, int], str]:
    """Return a path for each lane and process that has copies."""
    columns: dict[tuple[int, int], list[CopyNote]] = {}
    for copy in copies:
        columns.setdefault((plan.lane(copy), int(plan.x(copy.at) // COLUMN)), []).append(copy)
    paths: dict[tuple[int, int], list[str]] = {}
    for (lane, column), among in columns.items():
        process = Counter(map(plan.process, among)).most_common(1)[0][0]
        x = number(plan.x(among[0].at)) if len(among) == 1 else column * COLUMN + COLUMN // 2
        paths.setdefault((lane, process), []).append(f"M{x},{plan.y(lane)}{shape(process, len(among))}")
    return {key: "".join(path) for key, path in paths.items()}


def is_crowded(plan: Plan, axis: CopyAxis) -> bool:
    """Tell whether any mark stands for several copies."""
    return len({(plan.lane(copy), int(plan.x(copy.at) // COLUMN)) for copy in axis.copies}) < len(axis.copies)


def ticks(plan: Plan) -> list[float]:
    """Return about eight round numbers in the range of the axis."""
    raw = max((plan.last - plan.first) / 8, plan.least_step)
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    begin = math.ceil(plan.first / step)
    return [i * step for i in range(begin, math.floor(plan.last / step) + 1)]
