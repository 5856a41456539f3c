"""Reading a ring: order, loss, damage, tags, and the distance of each copy to the guard."""

from __future__ import annotations

import pytest
from fakes import FakeTarget
from stories import (
    CALLER,
    CONTEXTS,
    DATA,
    GUARD,
    INDEX,
    KERNEL,
    OTHER_PID,
    RETURN,
    RING,
    SOURCE,
    SWITCH,
    TAGS,
    Kernel,
)

from gdb_kdbg.errors import MemoryFault, SymbolNotFound
from gdb_kdbg.ring import clear_ring, current_tag, direction, read_ring, switch_ring


def sequences(target: FakeTarget) -> list[int]:
    return [record.sequence for record in read_ring(target).records]


def test_records_come_oldest_first() -> None:
    kernel = Kernel()
    kernel.others(5)
    report = read_ring(kernel)
    assert [record.sequence for record in report.records] == [0, 1, 2, 3, 4]
    assert (report.total, report.lost, report.problems) == (5, 0, ())


def test_after_wrapping_around_the_oldest_survivor_comes_first_and_the_rest_is_lost() -> None:
    kernel = Kernel()
    for number in range(37):
        kernel.copy(0x1000 + number, 8)
    report = read_ring(kernel)
    assert [record.sequence for record in report.records] == list(range(5, 37))
    assert [record.destination for record in report.records] == [0x1000 + number for number in range(5, 37)]
    assert (report.total, report.lost) == (37, 5)


def test_a_ring_that_is_just_full_has_lost_nothing() -> None:
    kernel = Kernel()
    kernel.others(32)
    report = read_ring(kernel)
    assert (len(report.records), report.lost) == (32, 0)


def test_an_empty_ring_has_no_records_and_no_problem() -> None:
    report = read_ring(Kernel())
    assert (report.records, report.total, report.lost, report.problems) == ((), 0, 0, ())


def test_a_record_is_the_copy_as_it_was_asked_for() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 4)
    (record,) = read_ring(kernel).records
    assert (record.destination, record.source, record.size, record.return_address) == (GUARD - 4, SOURCE, 4, RETURN)
    assert (record.caller, record.file, record.line) == (f"tty_ioctl+{RETURN - CALLER:#x}", "tty.c", 77)
    assert (record.context, record.process, record.torn, record.extra) == ("ioctl:TIOCGWINSZ", 7, False, {})


def test_the_caller_is_named_by_its_call_even_if_nothing_follows_it() -> None:
    # The return address of a call that is a function's last instruction is the next function's first.
    kernel = Kernel()
    kernel.place("next", RETURN, 16)
    kernel.copy(0x1000, 8)
    assert read_ring(kernel).records[0].caller == "tty_ioctl+0x5"


def test_an_unknown_caller_is_empty() -> None:
    kernel = Kernel()
    kernel.copy(0x1000, 8, caller=0xDEAD)
    kernel.copy(0x1000, 8, caller=0)
    assert [record.caller for record in read_ring(kernel).records] == ["", ""]


def test_a_whole_ring_is_read_in_at_most_4_blocks() -> None:
    kernel = Kernel()
    kernel.others(40)
    assert len(read_ring(kernel).records) == 32
    assert len(kernel.reads) <= 4


def test_a_garbage_index_is_reported_and_the_slots_are_shown_in_their_order() -> None:
    kernel = Kernel()
    kernel.others(3)
    kernel.put_words(INDEX, 0xDEAD_BEEF_DEAD_BEEF)
    report = read_ring(kernel)
    assert [record.sequence for record in report.records] == [0, 1, 2]
    assert (report.lost, report.total) == (0, 0xDEAD_BEEF_DEAD_BEEF)
    assert report.problems == (
        "index 0xdeadbeefdeadbeef is not plausible: records are shown in the order of their slots",
    )


def test_a_large_but_plausible_index_is_no_problem() -> None:
    kernel = Kernel()
    kernel.put_words(INDEX, (1 << 48) - 1)
    report = read_ring(kernel)
    assert (report.lost, report.problems, len(report.records)) == ((1 << 48) - 33, (), 32)
    kernel.put_words(INDEX, 1 << 48)
    report = read_ring(kernel)
    assert (report.lost, len(report.problems), len(report.records)) == (0, 1, 0)


def test_an_unreadable_page_hides_only_its_own_records() -> None:
    kernel = Kernel()
    kernel.others(32)
    content = kernel.peek(RING, 1024)
    buffer = 0x7000 - 320
    kernel.map(buffer, content[:320])
    kernel.define("ucopy_trace_buf", buffer, 1024)
    report = read_ring(kernel)
    assert [record.sequence for record in report.records] == list(range(10))
    assert report.problems == ("ucopy_trace_buf: only 320 of 1024 bytes can be read, not 0x7000",)


def test_an_unreadable_buffer_is_a_problem_and_no_error() -> None:
    kernel = Kernel()
    kernel.others(3)
    kernel.unmap(RING)
    report = read_ring(kernel)
    assert (report.records, report.total, len(report.problems)) == ((), 3, 1)


def test_an_unreadable_index_is_an_error() -> None:
    kernel = Kernel()
    kernel.unmap(INDEX)
    with pytest.raises(MemoryFault, match="the ring's index cannot be read"):
        read_ring(kernel)


@pytest.mark.parametrize(("switch", "enabled"), [(b"\0", False), (b"\1", True), (b"\x80", True)])
def test_the_low_byte_of_the_switch_tells_whether_the_probe_is_on(switch: bytes, enabled: bool) -> None:
    kernel = Kernel()
    kernel.put(SWITCH, switch + b"\1")
    assert read_ring(kernel).enabled is enabled


def test_without_a_switch_nobody_knows_whether_the_probe_is_on() -> None:
    kernel = Kernel()
    del kernel.symbols["ucopy_trace_on"]
    assert read_ring(kernel).enabled is None


def test_a_kernel_without_contexts_has_records_without_tags() -> None:
    kernel = Kernel()
    kernel.copy(0x1000, 8)
    del kernel.symbols["ucopy_trace_context"]
    (record,) = read_ring(kernel).records
    assert (record.context, record.process) == (None, None)


def test_a_copy_without_a_tag_still_has_its_process() -> None:
    kernel = Kernel()
    kernel.copy(0x1000, 8, tag=0)
    kernel.copy(0x1000, 8, tag=0x50)
    assert [(record.context, record.process) for record in read_ring(kernel).records] == [(None, 7), (None, 7)]


def test_unreadable_contexts_cost_the_tags_and_not_the_records() -> None:
    kernel = Kernel()
    kernel.copy(0x1000, 8)
    kernel.unmap(CONTEXTS)
    (record,) = read_ring(kernel).records
    assert (record.destination, record.context) == (0x1000, None)


def test_a_hostile_tag_is_escaped_and_bounded() -> None:
    kernel = Kernel()
    kernel.copy(0x1000, 8)
    kernel.put(TAGS + 1, b"\x1b[2J\n" + b"A" * 200)
    context = read_ring(kernel).records[0].context
    assert context is not None
    assert context.startswith(r"\x1b[2J\x0aAAA")
    assert context.isprintable() and context.endswith("A...") and context.count("A") == 58


def test_a_tag_at_the_very_end_of_its_page_is_read() -> None:
    kernel = Kernel()
    kernel.unmap(TAGS)
    kernel.define("ucopy_tags", 0x8FF0)
    kernel.map(0x8FF0, b"\0read:tty\0".ljust(16, b"\0"))
    kernel.copy(0x1000, 8)
    assert read_ring(kernel).records[0].context == "read:tty"


def test_a_tag_that_points_nowhere_is_no_tag() -> None:
    kernel = Kernel()
    kernel.unmap(TAGS)
    kernel.copy(0x1000, 8)
    assert read_ring(kernel).records[0].context is None


@pytest.mark.parametrize(
    ("destination", "size", "gap"),
    [
        (GUARD - 4, 4, 0),  # adjacent: the copy that was asked for does not touch the guard
        (GUARD - 4, 8, -4),
        (GUARD - 16, 64, -8),
        (GUARD + 4, 0, 0),
        (GUARD - 32, 16, 16),
        (GUARD + 16, 4, 8),
    ],
)
def test_the_guard_gap_is_0_next_to_the_guard_and_negative_over_it(destination: int, size: int, gap: int) -> None:
    kernel = Kernel()
    kernel.copy(destination, size)
    assert read_ring(kernel).records[0].guard_gap == gap


def test_another_processs_copy_has_no_gap_to_this_guard() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 4, pid=OTHER_PID)
    assert read_ring(kernel).records[0].guard_gap is None


def test_a_copy_into_the_kernel_has_no_gap_to_the_guard() -> None:
    kernel = Kernel()
    kernel.copy(SOURCE, 8, source=GUARD)
    assert read_ring(kernel).records[0].guard_gap is None


def test_without_thread_local_storage_there_is_no_gap() -> None:
    kernel = Kernel()
    kernel.copy(0x28, 8)
    kernel.registers["fs_base"] = 0
    assert read_ring(kernel).records[0].guard_gap is None
    assert not kernel.was_read(0x28)


@pytest.mark.parametrize(
    ("destination", "source", "name"),
    [
        (0x1000, KERNEL, "to_user"),
        (KERNEL, 0x1000, "from_user"),
        (0x1000, 0x2000, "user"),
        (KERNEL, KERNEL + 64, "kernel"),
    ],
)
def test_the_direction_is_told_by_the_halves_of_the_address_space(destination: int, source: int, name: str) -> None:
    assert direction(destination, source) == name


def test_other_layouts_keep_their_extra_fields() -> None:
    target = FakeTarget()
    target.define("b", 0x1000)
    target.define("i", 0x2000)
    for slot in range(4):
        target.put(0x1000 + 24 * slot, bytes([slot, 0, 0, 0]) + bytes([9]) * 12 + b"\x34\x12" + bytes(6))
    target.put_words(0x2000, 6)
    report = read_ring(target, "buffer=b index=i capacity=4 record=24 size=0:4 destination=4:4 source=8 cookie=16:2")
    assert (report.record_size, report.lost, len(report.records)) == (24, 2, 4)
    assert [record.size for record in report.records] == [2, 3, 0, 1]
    record = report.records[0]
    assert (record.destination, record.source, record.return_address) == (0x09090909, 0x0909090909090909, 0)
    assert (record.extra, record.caller, report.enabled) == ({"cookie": 0x1234}, "", None)


def test_switching_writes_one_byte() -> None:
    kernel = Kernel()
    kernel.put(SWITCH, b"\1\2\3")
    switch_ring(kernel, "", False)
    assert kernel.peek(SWITCH, 3) == b"\0\2\3"
    switch_ring(kernel, "", True)
    assert kernel.peek(SWITCH, 3) == b"\1\2\3"


def test_a_ring_without_a_switch_cannot_be_switched() -> None:
    kernel = Kernel()
    del kernel.symbols["ucopy_trace_on"]
    with pytest.raises(SymbolNotFound, match="the ring has no switch"):
        switch_ring(kernel, "", True)


def test_clearing_forgets_the_records_and_nothing_else() -> None:
    kernel = Kernel()
    kernel.others(40)
    clear_ring(kernel, "")
    assert sequences(kernel) == []
    assert read_ring(kernel).total == 0
    assert kernel.peek(SOURCE, 16) == DATA


def test_the_tag_set_right_now_is_read_from_the_context() -> None:
    kernel = Kernel()
    assert current_tag(kernel) is None
    kernel.put(kernel.symbols["ucopy_context"].address, b"\1\0")
    assert current_tag(kernel) == "ioctl:TIOCGWINSZ"
    del kernel.symbols["ucopy_tags"]
    assert current_tag(kernel) is None
