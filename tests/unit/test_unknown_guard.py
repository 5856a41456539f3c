"""A guard nobody can compare with anything: only a copy that fits the bytes and overlaps it in part is accused."""

from __future__ import annotations

from stories import DATA, GUARD, SOURCE, Kernel, only, scene_of

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding


def findings(kernel: Kernel) -> tuple[Finding, ...]:
    return explain(scene_of(kernel)).findings


def copied(destination: int, asked: int, done: int) -> Kernel:
    kernel = Kernel()
    kernel.copy(destination, asked)
    kernel.put(destination, DATA[:done])
    return kernel


def test_a_copy_that_ran_over_into_the_guard_is_accused() -> None:
    finding = only(findings(copied(GUARD - 4, 4, 8)))
    assert (finding.facts.verdict, finding.confidence, finding.facts.expected) == ("routine at fault", "likely", None)


def test_three_bytes_of_evidence_are_needed_against_a_routine() -> None:
    assert len(findings(copied(GUARD - 3, 3, 6))) == 1
    assert findings(copied(GUARD - 2, 2, 4)) == ()


def test_a_copy_asked_to_write_part_of_the_guard_and_whose_bytes_are_there_is_accused() -> None:
    finding = only(findings(copied(GUARD - 4, 8, 8)))
    assert (finding.facts.verdict, finding.confidence) == ("caller at fault", "certain")


def test_a_copy_asked_to_write_part_of_a_guard_that_has_other_bytes_now_is_not_accused() -> None:
    kernel = copied(GUARD - 4, 8, 8)
    kernel.set_guard(0x1234_5678_9ABC_DE00)  # set by its runtime afterwards
    assert findings(kernel) == ()


def test_a_copy_that_set_the_whole_guard_is_not_accused() -> None:
    # The kernel loaded the thread control block, guard included.
    assert findings(copied(GUARD - 8, 16, 16)) == ()


def test_a_healthy_guard_gives_no_finding() -> None:
    assert findings(Kernel()) == ()
    assert findings(copied(GUARD - 4, 4, 4)) == ()


def test_an_unset_guard_gives_no_finding() -> None:
    kernel = copied(GUARD - 4, 4, 4)
    kernel.set_guard(0)
    assert findings(kernel) == ()
    kernel.registers["fs_base"] = 0
    assert findings(kernel) == ()


def test_what_is_behind_an_unreadable_source_accuses_nobody() -> None:
    kernel = copied(GUARD - 4, 4, 8)
    kernel.unmap(SOURCE)
    assert findings(kernel) == ()
