"""Damage found afterwards: the ring and memory alone say which copy it was, or that none was."""

from __future__ import annotations

from typing import Optional

import pytest
from stories import (
    CALLER,
    DATA,
    GOOD,
    GUARD,
    OTHER_PID,
    PID,
    RIGHT,
    RING,
    ROUTINE,
    SOURCE,
    SWITCH,
    Kernel,
    damaged,
    only,
    scene_of,
)  # fmt: skip

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding

BYTE, WORDS = b"\x77", bytes.fromhex("d1d2d3d4d5d6d7d8")


def find(kernel: Kernel, seen: Optional[int] = GOOD) -> Finding:
    return only(explain(scene_of(kernel, seen)).findings)


def doubled(size: int = 4, pid: int = PID) -> Kernel:
    """A copy that ended at the guard was done twice; the second went over the guard."""
    kernel = Kernel()
    kernel.copy(GUARD - size, size, pid=pid)
    kernel.put(GUARD - size, DATA[: 2 * size])
    return kernel


def overwritten(found: bytes = WORDS) -> Kernel:
    """The guard was overwritten with bytes that no source holds."""
    kernel = Kernel()
    kernel.put(GUARD, found)
    return kernel


def test_a_doubled_copy_is_the_routines_fault() -> None:
    finding = find(doubled())
    facts = finding.facts
    assert (finding.rule, finding.confidence, facts.verdict) == ("guard-changed", "certain", "routine at fault")
    assert (facts.asked, facts.wrote, facts.sequence, facts.routine) == (4, 8, 0, "copy_to_user")
    assert (facts.caller, facts.tag, facts.system_call) == ("tty_ioctl+0x5", "ioctl:TIOCGWINSZ", "ioctl")
    check = "kdbg check-copy copy_to_user"
    assert finding.next == (check, "disassemble copy_to_user", f"kdbg ring --around {GUARD:#x}")


def test_the_evidence_shows_the_bytes_behind_the_source() -> None:
    evidence = "\n".join(find(doubled()).evidence)
    assert "the 4 bytes behind the asked range equal the 4 bytes behind the source (15 16 17 18)" in evidence
    assert "exactly where the guard begins (fs_base" not in evidence
    assert f"guard at {GUARD:#x} is {damaged(DATA[4:8]):#018x}, should be {GOOD:#018x}" in evidence


@pytest.mark.parametrize(("size", "confidence"), [(2, "likely"), (3, "certain"), (8, "certain")])
def test_three_bytes_of_evidence_make_it_certain_and_two_likely(size: int, confidence: str) -> None:
    finding = find(doubled(size))
    assert (finding.facts.verdict, finding.confidence, finding.facts.wrote) == (
        "routine at fault",
        confidence,
        2 * size,
    )


def test_one_byte_of_evidence_accuses_no_copy_and_clears_none() -> None:
    kernel = doubled(1)
    del kernel.symbols["copy_to_user"]  # so that it cannot be exercised
    assert find(kernel).facts.verdict == "undecidable"


def test_a_doubled_copy_whose_source_changed_since_is_not_called_the_programs_fault() -> None:
    kernel = doubled()
    kernel.put(SOURCE, bytes(16))
    assert find(kernel).facts.verdict == "undecidable"


def test_a_copy_that_ran_on_over_a_gap_is_the_routines_fault() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 6, 2)
    kernel.put(GUARD - 6, DATA[:10])
    facts = find(kernel).facts
    assert (facts.verdict, facts.asked, facts.wrote) == ("routine at fault", 2, 10)


def test_bytes_that_differ_on_the_way_to_the_guard_clear_the_copy() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 6, 2)
    kernel.put(GUARD - 6, DATA[:10])
    kernel.put(GUARD - 1, b"\xee")
    assert find(kernel).facts.verdict == "program at fault"


def test_a_changed_byte_that_the_copy_does_not_explain_leaves_it_undecided() -> None:
    kernel = doubled()
    kernel.put(GUARD + 7, b"\xee")
    assert find(kernel).facts.verdict == "undecidable"


def test_a_copy_asked_for_too_much_is_the_callers_fault() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 8)
    kernel.put(GUARD - 4, DATA[:8])
    finding = find(kernel)
    facts = finding.facts
    assert (facts.verdict, finding.confidence, facts.asked, facts.wrote) == ("caller at fault", "certain", 8, 8)
    assert "by tty_ioctl+0x5 (tty.c:77), ioctl:TIOCGWINSZ, pid 7" in "\n".join(finding.evidence)
    assert "the bytes there are the ones at the source (15 16 17 18)" in "\n".join(finding.evidence)


def test_a_copy_asked_to_a_wrong_place_is_the_callers_fault() -> None:
    kernel = Kernel()
    kernel.copy(GUARD, 8)
    kernel.put(GUARD, DATA[:8])
    finding = find(kernel)
    assert (finding.facts.verdict, finding.confidence) == ("caller at fault", "certain")
    assert f"the asked destination lies in the guard at {GUARD:#x}" in finding.evidence


def test_where_the_source_changed_since_an_asked_overlap_is_likely_only() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 8)
    kernel.put(GUARD - 4, DATA[:8])
    kernel.put(SOURCE, bytes(8))
    assert (find(kernel).facts.verdict, find(kernel).confidence) == ("caller at fault", "likely")


def test_where_the_source_is_gone_an_asked_overlap_is_likely_only() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 8)
    kernel.put(GUARD - 4, DATA[:8])
    kernel.unmap(SOURCE)
    assert (find(kernel).facts.verdict, find(kernel).confidence) == ("caller at fault", "likely")


def test_the_newest_copy_that_explains_the_damage_for_certain_is_named() -> None:
    kernel = doubled()
    kernel.copy(GUARD - 4, 4)
    kernel.others(3)
    assert find(kernel).facts.sequence == 1


def test_a_certain_copy_is_named_before_a_newer_likely_one() -> None:
    kernel = doubled()
    kernel.copy(GUARD - 4, 8, source=SOURCE + 0x80)  # asked over the guard, but other bytes are there
    assert find(kernel).facts.sequence == 0


def test_damage_without_any_copy_is_the_programs_fault() -> None:
    kernel = overwritten()
    kernel.others(3)
    finding = find(kernel)
    assert (finding.facts.verdict, finding.confidence) == ("program at fault", "likely")
    assert "the ring misses none: it holds all 3 copies since it was switched on" in finding.evidence
    assert finding.next == ("backtrace", "kdbg canary --frames")


def test_a_copy_that_ended_at_the_guard_but_left_other_bytes_there_is_not_accused() -> None:
    kernel = overwritten()
    kernel.put(ROUTINE, RIGHT)
    kernel.copy(GUARD - 4, 4)
    kernel.put(GUARD - 4, DATA[:4])
    assert find(kernel).facts.verdict == "program at fault"


def test_lost_records_leave_it_undecidable() -> None:
    kernel = overwritten()
    kernel.others(33)
    finding = find(kernel)
    assert (finding.facts.verdict, finding.confidence) == ("undecidable", "possible")
    assert "but 1 older copies are lost, any of which may have done it" in finding.evidence
    assert finding.next[0] == "kdbg watch guard, then run it again"


def test_a_guard_that_was_intact_after_the_lost_copies_decides_it() -> None:
    kernel = overwritten()
    kernel.others(40)
    kernel.process(intact_at=8)
    assert find(kernel).facts.verdict == "program at fault"
    kernel.process(intact_at=7)
    assert find(kernel).facts.verdict == "undecidable"


def test_the_culprit_is_found_though_other_records_are_lost() -> None:
    kernel = Kernel()
    kernel.others(40)
    kernel.copy(GUARD - 4, 4)
    kernel.put(GUARD - 4, DATA[:8])
    assert find(kernel).facts.verdict == "routine at fault"


@pytest.mark.parametrize("change", ["off", "garbage", "unreadable", "missing"])
def test_a_ring_that_may_have_missed_copies_leaves_it_undecidable(change: str) -> None:
    kernel = overwritten()
    kernel.others(3)
    if change == "off":
        kernel.put(SWITCH, b"\0")
    elif change == "garbage":
        kernel.put_words(kernel.symbols["ucopy_trace_idx"].address, 1 << 63)
    elif change == "unreadable":
        kernel.unmap(RING)
    else:
        del kernel.symbols["ucopy_trace_buf"]
    assert find(kernel).facts.verdict == "undecidable"


def test_a_program_without_kernel_and_ring_can_only_have_done_it_itself() -> None:
    kernel = overwritten()
    del kernel.symbols["ucopy_trace_buf"], kernel.registers["cr3"]
    assert find(kernel).facts.verdict == "program at fault"


def test_another_processs_copy_to_the_same_address_is_not_accused() -> None:
    kernel = doubled(pid=OTHER_PID)
    kernel.process(PID)
    assert find(kernel).facts.verdict == "program at fault"
    kernel.process(OTHER_PID)
    assert find(kernel).facts.verdict == "routine at fault"


def test_a_process_id_beyond_16_bits_is_compared_by_its_low_16() -> None:
    kernel = doubled(pid=1)
    kernel.process(0x10001)
    assert find(kernel).facts.verdict == "routine at fault"


def test_without_process_ids_every_copy_is_suspect() -> None:
    kernel = doubled(pid=OTHER_PID)
    del kernel.symbols["ucopy_trace_context"]
    kernel.process(PID)
    assert find(kernel).facts.verdict == "routine at fault"


def test_a_copy_into_the_kernel_is_never_accused_of_user_memory() -> None:
    kernel = overwritten()
    kernel.copy(SOURCE, 1 << 63, source=GUARD)
    assert find(kernel).facts.verdict == "program at fault"


def test_zeros_behind_the_source_are_no_evidence() -> None:
    # A program that zeroes its guard, and a copy whose source happens to be followed by zeros.
    kernel = overwritten(bytes(8))
    kernel.copy(GUARD - 8, 8, source=CALLER + 0x200)
    kernel.map(CALLER + 0x200, DATA[:8] + bytes(64))
    kernel.put(GUARD - 8, DATA[:8] + bytes(8))
    assert find(kernel).facts.verdict != "routine at fault"


def test_zeros_behind_the_source_accuse_nobody_of_an_unknown_guard() -> None:
    kernel = Kernel()
    kernel.set_guard(0x1111_0000_0000_0000)
    kernel.copy(GUARD - 8, 8, source=CALLER + 0x200)
    kernel.map(CALLER + 0x200, DATA[:8] + bytes(64))
    kernel.put(GUARD - 8, DATA[:8])
    assert explain(scene_of(kernel)).findings == ()
