"""A scene made of a log: what the rules look at, where nothing can be read but what the log tells."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from .canary import CORRUPTED, CanaryReport
from .copies import Attribution, Coverage, Victim
from .log_target import LogTarget
from .process import NO_SYSTEM_CALL, X86_64, ProbeProcess
from .ranges import Range
from .ring import RingRecord, RingReport
from .scene import Note, Scene
from .session import Guards
from .units import Address, Count, Size, Word, safe_text
from .writers import Writer

Settle = Callable[[Attribution, Victim], Attribution]


class Damage:
    """A guard that was found changed: where, what is there, and what should be."""

    def __init__(self, fs_base: int, address: int, found: int, expected: int) -> None:
        self.fs_base = Address(fs_base)
        self.address = Address(address)
        self.found = Word(found)
        self.expected = Word(expected)

    @property
    def report(self) -> CanaryReport:
        return CanaryReport(
            X86_64, self.fs_base, self.address, self.found, self.expected, "the kernel's own record", CORRUPTED
        )


class LogScene(Scene):
    """The moment that a line of a log tells of."""

    def __init__(
        self,
        target: LogTarget,
        stop: str,
        process: Optional[ProbeProcess],
        records: Sequence[RingRecord] = (),
        damage: Optional[Damage] = None,
        coverage: Optional[Coverage] = None,
        settle: Optional[Settle] = None,
        evidence: Sequence[str] = (),
    ) -> None:
        super().__init__(target, {}, Guards(), Note(tuple(evidence)))
        self._stop, self._process, self._records = stop, process, tuple(records)
        self._damage, self._coverage, self._settle = damage, coverage, settle

    @property
    def stop(self) -> str:
        return self._stop

    @property
    def canary(self) -> CanaryReport:
        assert self._damage is not None
        return self._damage.report

    @property
    def ring(self) -> Optional[RingReport]:
        count = Count(len(self._records))
        return RingReport(
            "the log", Address(0), count, "the log", Size(32), count, Count(0), None, self._records
        ) if self._records else None  # fmt: skip

    @property
    def process(self) -> Optional[ProbeProcess]:
        return self._process

    @property
    def guard_coverage(self) -> Coverage:
        return self._coverage or Coverage(False, "the log does not tell which copies there were")

    def writer_to(self, victim: Range) -> Optional[Writer]:
        """Nobody is caught in the act by a log."""
        return None

    def attribute(self, victim: Victim) -> Attribution:
        """Attribute damage as on a machine, then by what the log knows of the moment it was done in."""
        attribution = super().attribute(victim)
        return self._settle(attribution, victim) if self._settle else attribution


def kernel_process(
    pid: Optional[int], name: str, expected: int = 0, system_call: Optional[int] = None
) -> Optional[ProbeProcess]:
    """Return what the log tells of a process, in the form in which a kernel's memory tells it."""
    if pid is None:
        return None
    return ProbeProcess(
        pid, NO_SYSTEM_CALL if system_call is None else system_call, Word(expected), 0, safe_text(name, 64)
    )
