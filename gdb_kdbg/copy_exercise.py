"""The whole exercise of one copy routine: all its cases, in an order that finds what is wrong soon."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Callable, Iterable, Mapping, NamedTuple, Optional, Sequence

from . import copy_cases
from .copy_breaches import (
    LEAVES,
    NO_RETURN,
    NOT_RUN,
    OVERFLOW,
    PAST,
    READS_BEFORE,
    READS_PAST,
    SOURCE_WRITTEN,
    STATE,
    Breach,
)
from .copy_cases import Case
from .copy_check import CopyCheck
from .copy_contracts import Contract
from .copy_culprit import culprit
from .copy_report import UNDECIDABLE, CopyReport, Findings
from .copy_trace import hidden, overread
from .copy_unsettled import is_thread, reads_thread, unsettled
from .emulation import RETURNED, Emulator
from .exception_table import Entry
from .target import Memory
from .units import Address, Count

# So many calls may go by before the areas are compared as a whole.
_ROUND = 2000
_ENDLESS = 4
_TELLS = 2.0


class Routine(NamedTuple):
    """What is exercised: its name, the memory its code is read from, which of it can be code, and names for it.

    `place` names an address, `label` an instruction, which it shows too; `is_aligned` tells whether the instruction at
    an address needs an aligned operand, `is_settled` whether what is at an address is what a running program has there,
    `is_missing` whether an address only stands for code that the file does not have, `chooser` the indirect function
    that chose it.
    """

    name: str
    address: int
    code: Memory
    bases: Mapping[str, int]
    fixups: Mapping[int, Entry]
    is_code: Callable[[int], bool]
    place: Callable[[int], str]
    label: Callable[[int], str]
    is_aligned: Callable[[int], bool]
    is_settled: Callable[[int], bool] = lambda address: True
    is_missing: Callable[[int], bool] = lambda address: False
    chooser: str = ""


def exercise(
    routine: Routine, contract: Contract, mode: str, tell: Callable[[str], None], only: Sequence[Case] = ()
) -> CopyReport:
    """Run every case of a mode (or only those given) and report; raise KdbgError if nothing can be run."""
    emulator = Emulator(routine.code, routine.bases, routine.is_code)
    try:
        return _Exercise(routine, contract, emulator, tell).run(mode, only)
    finally:
        emulator.close()


class _Exercise:
    def __init__(self, routine: Routine, contract: Contract, emulator: Emulator, tell: Callable[[str], None]) -> None:
        self._routine, self._contract, self._emulator = routine, contract, emulator
        self._check = CopyCheck(emulator, routine.address, contract, routine.fixups)
        self._findings = Findings()
        self._tell = tell
        self._told = time.monotonic()
        self._has_told = False
        self._endless: set[int] = set()
        self._overread = 0
        self._total = 0

    def run(self, mode: str, only: Sequence[Case]) -> CopyReport:
        phases = [(list(cases), is_aligned) for cases, is_aligned in self._phases(mode, only)]
        traced = [] if only else list(copy_cases.traced_cases(self._contract, mode))
        self._total = sum(len(cases) for cases, _ in phases) + len(traced)
        for cases, is_aligned in phases:
            self._run_all(cases, is_aligned)
        self._trace_all(traced)
        return self._report()

    def _phases(self, mode: str, only: Sequence[Case]) -> Iterable[tuple[Iterable[Case], bool]]:
        if only:
            return [(only, True)]
        contract = self._contract
        phases: list[tuple[Iterable[Case], bool]] = [(copy_cases.aligned_cases(contract, mode), True)]
        phases.append((copy_cases.edge_cases(contract, mode), False))
        if contract.may_overlap:
            phases.append((copy_cases.overlap_cases(mode), False))
        if contract.faults and self._routine.fixups:
            phases.append((copy_cases.fault_cases(contract, mode), False))
        return phases

    def _run_all(self, cases: Sequence[Case], is_aligned: bool) -> None:
        for start in range(0, len(cases), _ROUND):
            some = [case for case in cases[start : start + _ROUND] if not self._is_given_up(case)]
            for case in some:
                self._run(case, is_aligned)
            if some and self._check.stray():
                self._find_stray(some)
            self._progress()

    def _is_given_up(self, case: Case) -> bool:
        return case.size in self._endless or len(self._endless) >= _ENDLESS

    def _run(self, case: Case, is_aligned: bool) -> None:
        if self._is_given_up(case):
            return
        breaches = self._check.run(case)
        self._findings.add(case, breaches, is_aligned)
        for breach in breaches:
            if breach.kind in (NO_RETURN, OVERFLOW):
                self._endless.add(case.size)
            self._first(breach)

    # A write that no single comparison saw: call by call, until one is found.
    def _find_stray(self, cases: Sequence[Case]) -> None:
        for case in cases:
            self._check.run(case)
            where = self._check.stray()
            if where is not None:
                kind = SOURCE_WRITTEN if where == "source" else PAST
                text = f"writes into the {where}" + (" far from where it should" if where != "source" else "")
                self._findings.add(case, [Breach(kind, case, text)], False)
                return

    def _trace_all(self, cases: Sequence[Case]) -> None:
        known = {breach.kind for breach in self._findings.breaches}
        is_aligned = lru_cache(maxsize=None)(self._routine.is_aligned)
        with self._emulator.tracing() as accesses:
            for case in cases:
                if self._is_given_up(case):
                    continue
                accesses.clear()
                breaches: list[Breach] = []
                if self._check.call_once(case) == RETURNED:
                    self._overread = max(self._overread, overread(case, accesses))
                    breaches += hidden(case, accesses, known, is_aligned, self._contract.home_area)
                    breaches += (Breach(STATE, case, f"{what} is changed") for what in self._emulator.changed_state())
                self._findings.add(case, breaches, False)
        self._check.stray()

    def _first(self, breach: Breach) -> None:
        if not self._has_told:
            self._has_told = True
            self._tell(f"first breach: {breach.kind}, {breach.case}")

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._told > _TELLS:
            self._told = now
            share = min(100 * self._findings.cases // max(self._total, 1), 100)
            bar = "#" * (share // 5)
            self._tell(f"[{bar:<20}] {share} % of {self._total} cases")

    def _report(self) -> CopyReport:
        findings, routine = self._findings, self._routine
        problems = tuple(self._doubts())
        verdict = UNDECIDABLE if problems else findings.verdict()
        breaches = findings.told(self._culprit)
        notes = tuple(self._notes())
        return CopyReport(
            routine.name, Address(routine.address), self._contract.name, Count(findings.cases), verdict, breaches,
            notes, problems,
        )  # fmt: skip

    # Reasons to doubt all that was found; a single breach that stands needs no other.
    def _doubts(self) -> Iterable[str]:
        places: set[int] = set()
        missing: dict[str, None] = {}
        has_thread = False
        for breach in self._findings.breaches:
            if breach.kind == NOT_RUN:
                continue
            if breach.kind == LEAVES and self._routine.is_missing(breach.place):
                missing[self._routine.place(breach.place)] = None
                continue
            some = unsettled(self._check, breach, self._routine.is_settled)
            of_thread = not some and reads_thread(self._check, breach)
            if not some and not of_thread:
                return
            places.update(some)
            has_thread |= of_thread
        if missing:
            yield f"it calls {', '.join(missing)}, which the file does not define: try it in a linked program"
        if has_thread:
            yield "it uses what its thread keeps on the stack, which the emulator does not have"
        if any(map(is_thread, places)):
            yield "it uses what its thread or processor keeps behind fs or gs, which only a running target has"
        known = [place for place in places if not is_thread(place)]
        if known:
            names = sorted({self._routine.place(place) or f"{place:#x}" for place in known})
            what = f"what it does depends on data that is set when a program starts: {', '.join(names[:4])}"
            yield f"{what}; the file has only its first value, so try it in a running program"

    def _notes(self) -> Iterable[str]:
        kinds = {breach.kind for breach in self._findings.breaches}
        if self._overread > 0 and not kinds & {READS_PAST, READS_BEFORE}:
            yield f"reads up to {self._overread} bytes beyond the source, but never into a further page"
        if self._contract.faults and not self._routine.fixups:
            yield "no exception table was found: what it does on a fault was not exercised"
        if self._check.gave_up:
            case = self._check.gave_up
            yield f"before a fault it may copy nothing though it could, which Linux does not allow: {case}"
        if self._endless:
            yield f"sizes that did not return were given up: {', '.join(map(str, sorted(self._endless)))}"
        pages = self._emulator.written_pages
        if pages:
            names = sorted({self._routine.place(page) or f"{page:#x}" for page in pages})
            yield f"also writes to data of the target (in the emulator only), in the pages at {', '.join(names[:4])}"

    def _culprit(self, breach: Breach) -> tuple[Optional[int], str]:
        pc = culprit(self._check, self._routine.code, breach)
        return (pc, self._routine.label(pc)) if pc else (None, "")
