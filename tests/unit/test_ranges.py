"""Half-open ranges: what they hold, share and leave between them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gdb_kdbg.ranges import Range, gap_after
from gdb_kdbg.units import Address, Size

ranges = st.builds(Range, st.integers(0, 60).map(Address), st.integers(0, 20).map(Size))


def of(start: int, size: int) -> Range:
    return Range(Address(start), Size(size))


def bytes_of(range_: Range) -> set[int]:
    return set(range(range_.start, range_.end))


def test_the_start_belongs_to_a_range_and_the_end_does_not() -> None:
    assert of(8, 4).contains(8)
    assert of(8, 4).contains(11)
    assert not of(8, 4).contains(12)
    assert not of(8, 4).contains(7)


@given(ranges, ranges)
def test_ranges_overlap_exactly_when_they_share_an_address(one: Range, other: Range) -> None:
    assert one.overlaps(other) == bool(bytes_of(one) & bytes_of(other))


@given(ranges, ranges)
def test_overlap_does_not_depend_on_the_order(one: Range, other: Range) -> None:
    assert one.overlaps(other) == other.overlaps(one)


@given(ranges, ranges)
def test_the_intersection_holds_the_shared_addresses(one: Range, other: Range) -> None:
    assert bytes_of(one.intersection(other)) == bytes_of(one) & bytes_of(other)


@given(ranges, ranges)
def test_a_range_covers_another_that_has_no_address_outside(one: Range, other: Range) -> None:
    if other.size:
        assert one.covers(other) == (bytes_of(other) <= bytes_of(one))


@given(ranges, ranges)
def test_the_gap_is_negative_exactly_when_ranges_overlap(asked: Range, victim: Range) -> None:
    assert (gap_after(asked, victim) < 0) == asked.overlaps(victim)


@given(ranges, ranges)
def test_an_overlap_is_counted_in_shared_bytes(asked: Range, victim: Range) -> None:
    if asked.overlaps(victim):
        assert -gap_after(asked, victim) == len(bytes_of(asked) & bytes_of(victim))


def test_a_copy_that_ends_where_the_victim_begins_has_gap_0() -> None:
    assert gap_after(of(0x100, 4), of(0x104, 8)) == 0


def test_a_copy_that_ends_before_the_victim_has_the_bytes_between_as_gap() -> None:
    assert gap_after(of(0x100, 4), of(0x110, 8)) == 12


def test_a_copy_behind_the_victim_is_measured_from_the_victims_end() -> None:
    assert gap_after(of(0x110, 4), of(0x100, 8)) == 8
