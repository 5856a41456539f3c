"""Overlaps judged call by call, where a debugger stops at each: slow, but it needs nothing in the program."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

from .call_sites import CallSites
from .overlap_plan import Plan
from .overlap_report import Call
from .probe_area import Counts, Tally
from .scope import Scope
from .target import Target


class CallTally:
    """Counts calls as a probe would, and knows which overlap is the first of its kind."""

    def __init__(self, target: Target, scope: Scope, plans: Sequence[Plan]) -> None:
        self._target, self._scope = target, scope
        self._calls = self._same = 0
        self._kinds: dict[tuple[int, int, int], int] = {}
        self._slots = {slot.address for plan in plans for slot in plan.slots}
        self._own = {entry.address for plan in plans for entry in plan.entries}
        self._meant: dict[int, Optional[bool]] = {}

    @property
    def undecided(self) -> Sequence[int]:
        """Return addresses of overlapping calls of shared code whose slot could not be found."""
        return sorted(address for address, meant in self._meant.items() if meant is None)

    def note(self, routine: int, call: Call, registers: Mapping[str, int]) -> bool:
        """Count a call; tell whether it is the first overlap of its kind."""
        self._calls += 1
        if call.destination == call.source and call.size:
            self._same += self._is_meant(routine, call, registers)
        if not call.is_overlap or not self._is_meant(routine, call, registers):
            return False
        kind = call.return_address, call.distance, call.size
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        return self._kinds[kind] == 1

    def counts(self) -> Counts:
        """Return the sums so far; `calls` are all of the code, also those of routines that share it."""
        kinds = tuple(Tally(*kind, times) for kind, times in self._kinds.items())
        return Counts(self._calls, sum(kind.times for kind in kinds), self._same, 0, kinds)

    # memmove's calls come by the same code; which slot a call went through tells them apart.
    def _is_meant(self, routine: int, call: Call, registers: Mapping[str, int]) -> bool:
        if routine in self._own:
            return True
        if call.return_address not in self._meant:
            site = CallSites(self._target, self._scope, registers).to(routine, call.return_address)
            place = site.place if site else None
            self._meant[call.return_address] = None if place is None else place in self._slots
        return bool(self._meant[call.return_address])
