"""Where the ring lies and what its records look like: from the setting, from DWARF, from symbols."""

from __future__ import annotations

import pytest
from fakes import FakeTarget, array_type

from gdb_kdbg.errors import KdbgError, SymbolNotFound
from gdb_kdbg.ring_layout import Wish, find_layout, parse_wish

BUFFER, INDEX, SWITCH = 0x1000, 0x2000, 0x2008
PLAIN = {"destination": (0, 8), "source": (8, 8), "size": (16, 8), "return_address": (24, 8)}


def ring(size: int = 0, limit: int = 0, buffer: str = "ucopy_trace_buf") -> FakeTarget:
    target = FakeTarget()
    target.define(buffer, BUFFER, size, limit)
    target.define("ucopy_trace_idx", INDEX)
    target.define("ucopy_trace_on", SWITCH)
    return target


def test_no_wish_is_the_documented_layout() -> None:
    assert parse_wish("") == Wish("ucopy_trace_buf", "ucopy_trace_idx", "ucopy_trace_on", 0, 0, None)


def test_names_and_numbers_are_taken_in_any_order() -> None:
    wish = parse_wish("capacity=0x40 index=i buffer=b  record=48 switch=s")
    assert wish == Wish("b", "i", "s", 64, 48, None)


def test_a_field_has_an_offset_and_a_size_of_8_by_default() -> None:
    wish = parse_wish("destination=0 source=8 size=16:4 cookie=20:2")
    assert wish.fields == {"destination": (0, 8), "source": (8, 8), "size": (16, 4), "cookie": (20, 2)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("capacity", "'capacity' is not NAME=VALUE"),
        ("=5", "'=5' is not NAME=VALUE"),
        ("1x=5", "'1x=5' is not NAME=VALUE"),
        ("capacity=many", "'capacity=many' needs a number of at least 1"),
        ("capacity=0", "'capacity=0' needs a number of at least 1"),
        ("capacity=-4", "'capacity=-4' needs a number of at least 1"),
        ("capacity=2000000", "at most 1048576 records of 4096 bytes"),
        ("record=5000", "at most 1048576 records of 4096 bytes"),
        ("size=-8", "'size=-8' needs a number of at least 0"),
        ("size=", "'size=' needs a number of at least 0"),
        ("size=16:x", "'size=16:x' needs a number of at least 1"),
        ("destination=0 source=8 size=16:3", "size of size must be 1, 2, 4 or 8, not 3"),
        ("record=16 destination=0 source=8 size=16", "size ends behind the record of 16 bytes"),
        ("destination=0", "no offset for source, size"),
    ],
)
def test_a_bad_word_is_named_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(KdbgError, match="ring-layout: ") as raised:
        parse_wish(text)
    assert message in str(raised.value)


def test_the_setting_decides_the_capacity_before_anything_else() -> None:
    target = ring(size=1024)
    target.types["ucopy_trace_buf"] = array_type(16, 32)
    layout = find_layout(target, "capacity=8")
    assert (layout.capacity, layout.capacity_from) == (8, "set kdbg ring-layout")


def test_the_dwarf_type_decides_the_capacity_before_the_symbol() -> None:
    target = ring(size=1024)
    target.types["ucopy_trace_buf"] = array_type(16, 32)
    layout = find_layout(target, "")
    assert (layout.capacity, layout.capacity_from) == (16, "DWARF type")


def test_an_array_of_words_says_nothing_of_the_capacity() -> None:
    # `u64 ucopy_trace_buf[128]`: 128 is no number of records.
    target = ring(size=1024)
    target.types["ucopy_trace_buf"] = array_type(128, 8)
    layout = find_layout(target, "")
    assert (layout.capacity, layout.capacity_from, layout.record_size) == (32, "symbol size", 32)


def test_the_size_of_the_symbol_decides_the_capacity() -> None:
    layout = find_layout(ring(size=2048), "")
    assert (layout.capacity, layout.capacity_from) == (64, "symbol size")


def test_a_plain_label_reaches_at_most_to_the_next_symbol() -> None:
    layout = find_layout(ring(limit=BUFFER + 40 * 32), "")
    assert (layout.capacity, layout.capacity_from) == (32, "distance to the next symbol")


def test_without_any_size_the_capacity_must_be_given() -> None:
    with pytest.raises(KdbgError, match="cannot tell the capacity of ucopy_trace_buf: .*capacity=32"):
        find_layout(ring(), "")
    assert find_layout(ring(), "capacity=32").capacity == 32


def test_a_capacity_no_kernel_has_is_refused() -> None:
    assert find_layout(ring(size=32 << 20), "").capacity == 1 << 20
    with pytest.raises(KdbgError, match="not plausible"):
        find_layout(ring(size=(32 << 20) + 32), "")


def test_the_largest_capacity_and_record_are_accepted() -> None:
    wish = parse_wish("capacity=1048576 record=4096")
    assert (wish.capacity, wish.record) == (1 << 20, 4096)


def test_a_ring_of_one_record_is_a_ring() -> None:
    layout = find_layout(ring(size=32), "")
    assert (layout.capacity, layout.capacity_from) == (1, "symbol size")
    with pytest.raises(KdbgError, match="cannot tell the capacity"):
        find_layout(ring(size=31), "")


def test_a_type_that_is_no_array_says_nothing_of_the_capacity() -> None:
    target = ring(size=1024)
    target.types["ucopy_trace_buf"] = array_type(1, 32)
    assert find_layout(target, "").capacity_from == "symbol size"


def test_the_record_size_follows_from_the_fields_rounded_up_to_words() -> None:
    layout = find_layout(ring(size=1024), "destination=0 source=8 size=16:4")
    assert (layout.record_size, layout.capacity) == (24, 42)
    assert "return_address" not in layout.fields


def test_a_given_record_size_wins_over_the_fields() -> None:
    assert find_layout(ring(size=1024), "record=64 destination=0 source=8 size=16").record_size == 64
    assert find_layout(ring(size=1024), "record=64").fields == PLAIN


def test_members_of_the_type_are_known_by_the_names_kernels_use() -> None:
    target = ring()
    target.types["ucopy_trace_buf"] = array_type(8, 40, Len=(16, 4), dst=(0, 8), src=(8, 8), ip=(24, 8), cpu=(20, 4))
    layout = find_layout(target, "")
    fields = {"destination": (0, 8), "source": (8, 8), "size": (16, 4), "return_address": (24, 8), "cpu": (20, 4)}
    assert (layout.fields, layout.record_size, layout.capacity) == (fields, 40, 8)


def test_a_type_without_the_three_fields_is_not_taken_for_a_record() -> None:
    target = ring(size=1024)
    target.types["ucopy_trace_buf"] = array_type(8, 40, dst=(0, 8), flavour=(8, 8), taste=(16, 8))
    layout = find_layout(target, "")
    assert (layout.fields, layout.record_size, layout.capacity) == (PLAIN, 32, 32)


def test_members_that_are_no_numbers_are_left_out() -> None:
    target = ring()
    target.types["ucopy_trace_buf"] = array_type(8, 64, dst=(0, 8), src=(8, 8), len=(16, 8), name=(24, 40))
    assert "name" not in find_layout(target, "").fields


@pytest.mark.parametrize("missing", ["ucopy_trace_buf", "ucopy_trace_idx"])
def test_a_missing_symbol_is_named(missing: str) -> None:
    target = ring(size=1024)
    del target.symbols[missing]
    with pytest.raises(SymbolNotFound, match=f"no symbol '{missing}': the target has no trace ring"):
        find_layout(target, "")


def test_a_ring_of_other_names_is_found_by_the_setting() -> None:
    target = ring(size=1024, buffer="my_ring")
    layout = find_layout(target, "buffer=my_ring")
    assert (layout.symbol, layout.buffer, layout.index) == ("my_ring", BUFFER, INDEX)


def test_a_ring_may_lack_its_switch() -> None:
    target = ring(size=1024)
    assert find_layout(target, "").switch == SWITCH
    del target.symbols["ucopy_trace_on"]
    assert find_layout(target, "").switch is None


def test_finding_the_layout_reads_no_memory() -> None:
    target = ring(size=1024)
    find_layout(target, "")
    assert target.reads == []
