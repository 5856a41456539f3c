"""The scene of a stop: everything the rules look at, read once and only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Mapping, Optional, Sequence

from .aftermath import attribute_afterwards
from .bad_jumps import BadJump, BadPointer, read_bad_jump, read_bad_pointer
from .canary import CanaryReport, read_canary
from .copies import Attribution, Coverage, Victim
from .errors import KdbgError, SymbolNotFound
from .faults import Fault, read_fault, registers_of
from .process import ProbeProcess, probe_process
from .ranges import Range
from .ring import IMPLAUSIBLE_TOTAL, RingRecord, RingReport, read_ring
from .scope import Scope
from .session import Guards
from .target import Frame, Target
from .units import Address
from .writers import Writer, writer_to

_FRAMES = 32


@dataclass(frozen=True)
class WatchedWrite:
    """A write to a range the user watches."""

    what: str
    range: Range
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Note:
    """What kdbg itself saw when it stopped the target: lines of evidence, and what they say of the ring's coverage.

    `intact_at` is how many copies had been made when it last saw the guard intact.
    """

    evidence: tuple[str, ...] = ()
    coverage: Optional[Coverage] = None
    intact_at: Optional[int] = None
    watched: Optional[WatchedWrite] = None


class Scene:
    """A stopped target with what has been read of it. `problems` collects what could not be read."""

    def __init__(
        self, target: Target, settings: Mapping[str, str], guards: Guards, note: Optional[Note] = None
    ) -> None:
        self.note = note
        self.target = target
        self.settings = settings
        self.guards = guards
        self.problems = list(target.problems)

    @property
    def pc(self) -> Address:
        return Address(self.target.register("rip") or 0)

    @cached_property
    def stop(self) -> str:
        place = self.target.location(self.pc)
        line = f" ({place.file}:{place.line})" if place and place.file else ""
        return f"{self.pc:#x} in {place or '??'}{line}"

    @cached_property
    def canary(self) -> CanaryReport:
        return read_canary(self.target, self.guards, self.settings.get("expected-guard", ""), with_frames=True)

    @cached_property
    def ring(self) -> Optional[RingReport]:
        """The trace ring; None if the target has none or it cannot be read."""
        try:
            report = read_ring(self.target, self.settings.get("ring-layout", ""))
        except SymbolNotFound:
            return None
        except KdbgError as error:
            self.problems.append(str(error))
            return None
        self.problems += report.problems
        return report

    @property
    def records(self) -> Sequence[RingRecord]:
        return self.ring.records if self.ring else ()

    @cached_property
    def process(self) -> Optional[ProbeProcess]:
        return probe_process(self.target)

    def writer_to(self, victim: Range) -> Optional[Writer]:
        """The store to a range that just happened, if the stop is right behind one."""
        return writer_to(self.target, self.records, victim)

    def attribute(self, victim: Victim) -> Attribution:
        """Attribute damage to the guard that nobody saw being done."""
        process = self.process.pid if self.process else None
        return attribute_afterwards(self.target, self.records, victim, process, self.guard_coverage)

    @cached_property
    def scope(self) -> Scope:
        return Scope.of(self.target)

    @cached_property
    def registers(self) -> Mapping[str, int]:
        return registers_of(self.target)

    @cached_property
    def fault(self) -> Optional[Fault]:
        """The fault the target is stopped at, None on a healthy stop."""
        return read_fault(self.target, self.scope, self.registers)

    @cached_property
    def bad_jump(self) -> Optional[BadJump]:
        """The jump to where no code is that was the fault."""
        return read_bad_jump(self.target, self.scope, self.registers, self.fault) if self.fault else None

    @cached_property
    def bad_pointer(self) -> Optional[BadPointer]:
        """The slot that the pointer was read from whose use was the fault."""
        return read_bad_pointer(self.target, self.scope, self.registers, self.fault) if self.fault else None

    @cached_property
    def frames(self) -> Sequence[Frame]:
        return self.target.frames(_FRAMES)

    def frame_in(self, functions: Sequence[str], among: int = 12) -> Optional[int]:
        """Return the index of the innermost frame that is in one of the named functions."""
        for index, frame in enumerate(self.frames[:among]):
            place = self.target.location(frame.code_address)
            if place is not None and place.function.split("@")[0] in functions:
                return index
        return None

    @cached_property
    def coverage(self) -> Coverage:
        """Whether the ring holds every copy since it was switched on."""
        return self._since(0, "")

    def _since(self, first: int, witness: str) -> Coverage:
        """Whether the ring holds every copy from number `first` on; 0 stands for all there were."""
        ring = self.ring
        if ring is None:
            if not self.target.is_system:
                return Coverage(True, "the target is a program with no ring, whose writes are all its own")
            return Coverage(False, "the target has no trace ring to tell which copies there were")
        if ring.enabled is False:
            return Coverage(False, "the ring is switched off (kdbg ring --on), so copies may be missing from it")
        if ring.total >= IMPLAUSIBLE_TOTAL or len(ring.records) < min(ring.total, ring.capacity):
            return Coverage(False, "the ring is damaged, so copies may be missing from it")
        # A number beyond the total is from before the ring was cleared.
        if first and ring.lost <= first <= ring.total:
            return Coverage(True, f"{witness} saw the guard intact when {first} copies had been made", first)
        if ring.lost:
            return Coverage(False, f"{ring.lost} older copies are lost, any of which may have done it")
        return Coverage(True, f"it holds all {ring.total} copies since it was switched on")

    @cached_property
    def guard_coverage(self) -> Coverage:
        """The same since the guard was last seen intact, by kdbg or by the kernel itself."""
        if self.note and self.note.coverage:
            return self.note.coverage
        seen = [(self.process.guard_intact_at, "the kernel")] if self.process else []
        seen += [(self.note.intact_at, "kdbg")] if self.note and self.note.intact_at is not None else []
        return self._since(*max(seen, default=(0, "")))
