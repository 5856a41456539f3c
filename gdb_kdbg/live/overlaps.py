"""Overlapping copies caught in this GDB, by a probe or by breakpoints, and what was told of them."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

import gdb

from ..errors import KdbgError, NotSupported
from ..overlap_command import COUNT, LOG, OverlapArmed
from ..overlap_plan import Planner
from ..overlap_probe import Removal, find_areas, remove
from ..overlap_report import OverlapHit, OverlapHits, OverlapReport, summed_up
from ..probe_area import read_counts, read_header
from .exact_overlaps import ExactOverlaps
from .injection import traced_process
from .leaving import Leaving
from .overlap_probes import GdbProbe
from .probe_host import NativeHost
from .target import GdbTarget, evaluate

_NATIVE = "native"


class GdbOverlaps:
    """What catches overlaps in this GDB; `show` prints what is found, `refresh` looks for code that has come since."""

    def __init__(
        self, target: GdbTarget, leaving: Leaving, show: Callable[[OverlapHits], None], refresh: Callable[[], None]
    ) -> None:
        self._show, self._refresh = show, refresh
        self._target = target
        self._probe: Optional[GdbProbe] = None
        self._exact: Optional[ExactOverlaps] = None
        self._routines: Sequence[str] = ()
        self._mode = LOG
        self._hits: list[OverlapHit] = []
        self._leaving = leaving

    def arm(self, routines: Sequence[str], mode: str, exact: bool) -> OverlapArmed:
        if self._probe is not None or self._exact is not None:
            raise KdbgError("overlaps are caught already (kdbg overlap --off ends it)")
        self._mode, self._routines = mode, routines
        return self._arm_exact(routines) if exact else self._arm_probe(routines, mode)

    def _arm_probe(self, routines: Sequence[str], mode: str) -> OverlapArmed:
        if self._target.kind != _NATIVE:
            raise NotSupported(
                f"a probe can only be put into a native process, and this is a {self._target.kind} target: "
                "use --exact, which is slow, or attach GDB to the process itself"
            )
        self._probe = GdbProbe(self._target, routines, mode, self._found, self._refresh)
        self._leaving.add(self._leave)
        return OverlapArmed(self._probe.how, self.describe(), tuple(self._probe.problems))

    def _arm_exact(self, routines: Sequence[str]) -> OverlapArmed:
        planner = Planner(self._target, evaluate, _unresolved)
        plans = [planner.plan(routine, exact=True) for routine in routines]
        self._exact = ExactOverlaps(self._target, planner.scope, plans, self._found, self._refresh)
        problems = tuple(problem for plan in plans for problem in plan.problems)
        return OverlapArmed("armed breakpoints that stop at every call", self.describe(), problems)

    def _found(self, hit: OverlapHit) -> bool:
        if self._mode == COUNT:
            return False
        if self._mode == LOG:
            self._show(OverlapHits((hit,)))
            return False
        self._hits.append(hit)
        return True

    def remove(self) -> OverlapArmed:
        if self._exact is not None:
            self._forget()
            return OverlapArmed("deleted the breakpoints", ())
        host = NativeHost(traced_process())
        areas = find_areas(host)
        problems = self._forget()
        # Those of another GDB, or of a program before a fork.
        left: list[Removal] = []
        with host.alone():
            left += [remove(host, area) for area in find_areas(host)] if not problems else []
        problems = *problems, *(problem for removal in left for problem in removal.problems)
        gone = len(areas) - len(find_areas(host))
        return OverlapArmed(f"took {gone} probe{'s' * (gone != 1)} out", (), tuple(problems))

    def _forget(self) -> Sequence[str]:
        probe, exact = self._probe, self._exact
        self._probe = self._exact = None
        self._hits.clear()
        if exact is not None:
            exact.remove()
        return probe.remove() if probe is not None else ()

    def disarm(self) -> int:
        """Remove what this GDB has armed; what does not work is told, not raised."""
        if self._probe is None and self._exact is None:
            return 0
        probe, exact = self._probe, self._exact
        try:
            for problem in self._forget():
                gdb.write(f"kdbg: {problem}\n", gdb.STDERR)
        except (KdbgError, gdb.error) as error:
            if probe is not None and probe.is_left():
                gdb.write(f"kdbg: the overlap probe stays in the program, passing calls through: {error}\n", gdb.STDERR)
        except BaseException:
            self._probe, self._exact = probe, exact  # interrupted: it is still there
            raise
        return 1

    def ended(self, process: int) -> None:
        """Disarm what was in a process that has ended, or that GDB left for its child: the child has the probe too."""
        others = any(inferior.pid not in (0, process) for inferior in gdb.inferiors())
        if not (self._probe.is_kept(process) if self._probe is not None else others):
            self.disarm()

    def _leave(self) -> None:
        self.disarm()

    def describe(self) -> tuple[str, ...]:
        """What is armed, a line each."""
        if self._probe is not None:
            return (self._probe.describe(),)
        if self._exact is not None:
            return (f"{self._exact.describe()}: overlap check at every call of {', '.join(self._routines)}",)
        return ()

    def report(self) -> OverlapReport:
        if self._exact is not None:
            tally = self._exact.tally
            problems = [f"whose call it was that returns to {place:#x} cannot be told" for place in tally.undecided]
            return summed_up(self._target, ", ".join(self._routines), [tally.counts()], problems)
        host = NativeHost(traced_process())
        areas = find_areas(host)
        if not areas:
            raise KdbgError("there is no overlap probe in the program (kdbg overlap puts one in)")
        headers = [header for area in areas if (header := read_header(host, area)) is not None]
        names = dict.fromkeys(str(name) for header in headers for name in header.about.get("routines", ()))
        return summed_up(self._target, ", ".join(names), [read_counts(host, area) for area in areas], ())

    def take_hits(self) -> Optional[OverlapHits]:
        """Hand out what stopped the program, once."""
        hits, self._hits = tuple(self._hits), []
        return OverlapHits(hits) if hits else None

    def stopped(self) -> None:
        """Take note of a stop."""
        if self._probe is not None and not self._probe.is_kept():
            self._forget()
        if self._probe is not None:
            self._probe.stopped()
        if self._exact is not None:
            self._exact.stopped()

    def loaded(self) -> None:
        """Take note of a new library."""
        if self._probe is not None:
            self._probe.loaded()


def _unresolved(resolver: int) -> int:
    raise NotSupported("a slot is not bound yet")
