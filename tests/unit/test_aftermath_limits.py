"""Where attribution afterwards stops being sure: thresholds, chance, and copies that memory no longer clears."""

from __future__ import annotations

from typing import Optional

import pytest
from stories import DATA, GOOD, GUARD, PID, RIGHT, ROUTINE, SOURCE, Kernel, only, scene_of

from gdb_kdbg.aftermath import attribute_afterwards
from gdb_kdbg.copies import NO_COPY, Coverage, Victim
from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding
from gdb_kdbg.ranges import Range
from gdb_kdbg.ring import read_ring
from gdb_kdbg.scene import Note
from gdb_kdbg.units import Address, Size


def find(kernel: Kernel, note: Optional[Note] = None) -> Finding:
    return only(explain(scene_of(kernel, GOOD, note=note)).findings)


def verdict(kernel: Kernel, note: Optional[Note] = None) -> Optional[str]:
    return find(kernel, note).facts.verdict


def doubled() -> Kernel:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 4)
    kernel.put(GUARD - 4, DATA[:8])
    return kernel


def overwritten(found: bytes) -> Kernel:
    kernel = Kernel()
    kernel.put(GUARD, found)
    return kernel


def near(gap: int = 0, size: int = 4, tail: bytes = DATA[4:8]) -> Kernel:
    """A copy that was done as asked, before a guard that has other bytes than lie behind the source."""
    kernel = overwritten(bytes.fromhex("d1d2d3d4d5d6d7d8"))
    kernel.copy(GUARD - gap - size, size)
    kernel.put(GUARD - gap - size, (DATA[:size] + tail)[: size + gap])
    return kernel


def test_a_doubled_copy_is_told_by_its_size_though_the_byte_behind_agrees_by_chance() -> None:
    kernel = doubled()
    kernel.put(SOURCE + 8, GOOD.to_bytes(8, "little")[4:5])
    assert find(kernel).facts.wrote == 8


def test_a_copy_that_wrote_a_byte_more_than_double_is_told_by_what_it_wrote() -> None:
    kernel = doubled()
    kernel.put(GUARD + 4, DATA[8:9])
    assert find(kernel).facts.wrote == 9


def test_a_copy_that_ended_far_before_the_guard_did_not_run_over_into_it() -> None:
    kernel = Kernel()
    kernel.map(0x10_0000, b"\x33" * 0x3000)
    kernel.registers["fs_base"] = 0x10_2000 - 0x28
    kernel.map(0x20_0000, b"\x33" * 0x3000)
    kernel.copy(0x10_0000 + 0xFF0, 8, source=0x20_0000)  # 4104 bytes before the guard
    kernel.process()
    assert find(kernel).facts.verdict == "program at fault"
    kernel.copy(0x10_0000 + 0xFF8, 8, source=0x20_0000)
    assert find(kernel).facts.verdict == "routine at fault"


def test_a_copy_of_no_bytes_is_never_accused() -> None:
    kernel = overwritten(DATA[:8])
    kernel.copy(GUARD, 0)
    assert find(kernel).facts.verdict == "program at fault"


def test_a_copy_that_wrote_what_belongs_there_is_not_accused() -> None:
    kernel = Kernel()
    kernel.put(SOURCE, GOOD.to_bytes(8, "little")[2:5])
    kernel.copy(GUARD + 2, 3)
    kernel.put(GUARD, b"\xd1\xd2")
    assert find(kernel).facts.verdict == "program at fault"


def test_a_guard_that_is_intact_again_accuses_nobody() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 8)
    assert explain(scene_of(kernel, GOOD)).findings == ()


@pytest.mark.parametrize(("last", "expected"), [(4, "undecidable"), (3, "routine at fault")])
def test_a_copy_is_accused_only_if_it_explains_the_last_changed_byte(last: int, expected: str) -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 6, 4)
    kernel.put(GUARD - 6, DATA[:10])  # two bytes of a gap and four of the guard
    kernel.put(GUARD + 4, b"\xee" if last == 4 else GOOD.to_bytes(8, "little")[4:5])
    assert verdict(kernel) == expected


@pytest.mark.parametrize(("common", "confidence"), [(2, "likely"), (3, "certain")])
def test_three_bytes_at_the_source_make_an_asked_overlap_certain_and_two_likely(common: int, confidence: str) -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 4 + common)
    kernel.put(GUARD - 4, DATA[: 4 + common])
    assert (verdict(kernel), find(kernel).confidence) == ("caller at fault", confidence)


def test_a_caller_without_a_name_is_told_by_its_address() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 8, caller=0xFFFF_FFFF_9000_0000)
    del kernel.symbols["ucopy_trace_context"]
    kernel.put(GUARD - 4, DATA[:8])
    assert find(kernel).evidence[1].endswith(f"from {SOURCE:#x}, by 0xffffffff90000000")


def test_a_copy_that_memory_clears_is_no_suspect() -> None:
    kernel = near()
    kernel.put(ROUTINE, RIGHT)
    assert verdict(kernel) == "program at fault"


def test_a_near_copy_whose_source_changed_is_a_suspect() -> None:
    kernel = near()
    kernel.put(SOURCE, b"\xee" * 8)
    finding = find(kernel)
    assert (finding.facts.verdict, finding.confidence, finding.facts.sequence) == ("undecidable", "possible", None)
    assert "what it wrote cannot be checked any more" in finding.evidence[-2]
    assert finding.evidence[1].startswith("ring record 0: ")


def test_a_near_copy_whose_source_is_gone_is_a_suspect() -> None:
    kernel = near()
    kernel.unmap(SOURCE)
    assert verdict(kernel) == "undecidable"


def test_a_copy_of_a_small_variable_is_taken_to_have_its_source_still() -> None:
    kernel = near()
    kernel.put(ROUTINE, RIGHT)
    kernel.put(GUARD - 4, b"\xee" * 4)  # the program went on to use its buffer
    assert verdict(kernel) == "undecidable"
    kernel.label_sizes["winsize"] = 8
    kernel.labels["winsize"] = SOURCE
    assert verdict(kernel) == "program at fault"
    kernel.label_sizes["winsize"] = 4096
    assert verdict(kernel) == "undecidable"


@pytest.mark.parametrize(("gap", "expected"), [(3, "undecidable"), (4, "program at fault")])
def test_a_copy_further_away_than_its_own_size_is_no_suspect(gap: int, expected: str) -> None:
    kernel = near(gap, 4, b"\xee" * 4)
    kernel.put(SOURCE, b"\xee" * 4)
    assert verdict(kernel) == expected


def test_a_copy_behind_the_guard_is_no_suspect() -> None:
    kernel = overwritten(b"\xd1\xd2\xd3")
    kernel.copy(GUARD + 8, 8)
    kernel.put(SOURCE, b"\xee" * 8)
    assert verdict(kernel) == "program at fault"


def test_copies_made_before_the_guard_was_last_seen_intact_are_cleared() -> None:
    kernel = doubled()
    kernel.others(1)
    kernel.process(intact_at=1)
    assert verdict(kernel) == "program at fault"
    kernel = Kernel()
    kernel.others(1)
    kernel.copy(GUARD - 4, 4)
    kernel.put(GUARD - 4, DATA[:8])
    kernel.process(intact_at=1)
    assert verdict(kernel) == "routine at fault"


def test_a_ring_cleared_since_the_guard_was_seen_intact_clears_no_copy() -> None:
    kernel = doubled()
    kernel.process(intact_at=40)
    assert verdict(kernel) == "routine at fault"


def test_a_guard_that_changed_between_system_calls_clears_every_copy() -> None:
    outside = Coverage(True, "the guard changed while no system call was in progress", NO_COPY)
    assert verdict(doubled(), Note(("changed",), outside)) == "program at fault"
    assert verdict(doubled(), Note(("changed",))) == "routine at fault"


@pytest.mark.parametrize("damage", ["garbage", "unreadable"])
def test_a_damaged_ring_decides_nothing_though_the_kernel_saw_the_guard_intact(damage: str) -> None:
    kernel = overwritten(b"\xd1\xd2\xd3")
    kernel.others(3)
    kernel.process(intact_at=3)
    assert verdict(kernel) == "program at fault"
    if damage == "garbage":
        kernel.put_words(kernel.symbols["ucopy_trace_idx"].address, 1 << 63)
    else:
        kernel.unmap(kernel.symbols["ucopy_trace_buf"].address)
    assert verdict(kernel) == "undecidable"


def test_a_ring_without_switch_counts_as_switched_on() -> None:
    kernel = overwritten(b"\xd1\xd2\xd3")
    kernel.others(40)
    kernel.process(intact_at=40)
    del kernel.symbols["ucopy_trace_on"]
    assert verdict(kernel) == "program at fault"


def overlapping(is_guard: bool) -> str:
    """A copy was asked to write over half of a word, and its source has changed since."""
    kernel = Kernel()
    kernel.copy(GUARD - 4, 8)
    kernel.put(GUARD - 4, bytes(range(0x71, 0x79)))
    expected = GOOD.to_bytes(8, "little")
    victim = Victim(
        "word", Range(Address(GUARD), Size(8)), kernel.read_memory(Address(GUARD), Size(8)), expected, is_guard
    )
    records = read_ring(kernel).records
    return attribute_afterwards(kernel, records, victim, PID, Coverage(True, "for sure")).verdict


def test_no_copy_has_business_in_half_of_a_guard() -> None:
    assert overlapping(is_guard=True) == "caller at fault"


def test_a_copy_to_where_a_canary_is_now_may_be_from_before() -> None:
    assert overlapping(is_guard=False) == "undecidable"
