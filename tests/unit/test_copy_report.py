"""Many breaches told as few: sizes and alignments in a compact form, the smallest example, the verdict."""

from __future__ import annotations

from typing import Iterable, Optional

import pytest

from gdb_kdbg.copy_breaches import LEAVES, MISSING, NOT_RUN, PAST, READS_PAST, REGISTER, Breach
from gdb_kdbg.copy_cases import Case
from gdb_kdbg.copy_report import BREAKS, CONFORMS, UNDECIDABLE, CopyBreach, Findings, ranges
from gdb_kdbg.emulation import DESTINATION, SOURCE


def case(size: int, d: int = 0, s: int = 0) -> Case:
    return Case(size, DESTINATION + d, SOURCE + s)


def nobody(breach: Breach) -> tuple[Optional[int], str]:
    return None, ""


def told(found: Iterable[Breach], tried: Iterable[Case] = ()) -> tuple[CopyBreach, ...]:
    findings = Findings()
    for one in tried:
        findings.add(one, [], True)
    for breach in found:
        findings.add(breach.case, [breach], True)
    return findings.told(nobody)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([2, 1, 3, 2], "1-3"),
        ([1, 2, 5, 64, 65], "1-2, 5, 64-65"),
        (range(0, 40, 2), "0, 2, 4, 6, 8, 10, ..., 38"),
    ],
)
def test_numbers_as_a_person_writes_them(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_twice_the_size_is_said_as_that() -> None:
    (found,) = told(Breach(PAST, case(n, d), "", n) for n in range(1, 8) for d in range(16))
    assert found.summary == "sizes 1-7, any alignment: wrote 2 x size"
    assert (found.smallest, found.sizes, found.cases) == (1, "1-7", 112)


def test_other_amounts_are_said_in_bytes() -> None:
    (same,) = told(Breach(PAST, case(n), "", 1) for n in (4, 5))
    (growing,) = told(Breach(PAST, case(n), "", n - 3) for n in (4, 5))
    assert same.summary == "sizes 4-5, any alignment: wrote 1 byte past the end"
    assert growing.summary == "sizes 4-5, any alignment: wrote up to 2 bytes past the end"


def test_alignments_are_said_where_not_all_showed_it() -> None:
    tried = [case(4, d, s) for d in range(16) for s in range(16)]
    (found,) = told([Breach(MISSING, case(4, 5, s), "the last", 1) for s in range(16)], tried)
    assert found.summary == "size 4, destination alignment 5: the last 1 byte missing"
    (both,) = told([Breach(MISSING, case(4, 5, 2), "the last", 1)], tried)
    assert both.alignments == "destination alignment 5 and source alignment 2"


def test_registers_are_told_apart_and_the_smallest_comes_first() -> None:
    found = told(
        [
            Breach(REGISTER, case(9), "rbx is changed"),
            Breach(REGISTER, case(3), "r12 is changed"),
            Breach(REGISTER, case(2), "rbx is changed"),
            Breach(READS_PAST, case(2), "reads into the page behind the source", 1),
            Breach(PAST, case(2), "", 1),
        ]
    )
    assert [(b.kind, b.smallest) for b in found] == [(PAST, 2), (REGISTER, 2), (READS_PAST, 2), (REGISTER, 3)]


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [((), CONFORMS), ((NOT_RUN,), UNDECIDABLE), ((NOT_RUN, PAST), BREAKS), ((PAST,), BREAKS)],
)
def test_what_was_not_run_has_not_passed(kinds: tuple[str, ...], verdict: str) -> None:
    findings = Findings()
    findings.add(case(1), [Breach(kind, case(1), "") for kind in kinds], True)
    assert findings.verdict() == verdict


def test_overlaps_and_faults_are_in_the_example() -> None:
    overlapping = Case(20, DESTINATION + 5, DESTINATION)
    faulting = Case(8, DESTINATION, SOURCE, "src", 3)
    first, second = told([Breach(MISSING, faulting, "all", 8), Breach(PAST, overlapping, "", 1)])
    assert (first.example.fault, first.example.overlap) == ("src missing from byte 3", None)
    assert (second.example.fault, second.example.overlap) == ("", 5)


def test_places_that_are_others_each_time_are_one_finding() -> None:
    found = [Breach(LEAVES, case(size), f"control leaves the routine: to {size:#x}") for size in range(1, 40)]
    breaches = told(found)
    assert len(breaches) == 5 and breaches[-1].sizes == "5-39"
    assert breaches[-1].summary.endswith("control leaves the routine: to 0x5, and others")
    assert all("others" not in breach.summary for breach in breaches[:-1])
