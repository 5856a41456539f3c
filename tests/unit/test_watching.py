"""Which hits of a watchpoint are news: one for each copy, for the watched process, and none for an initialisation."""

from __future__ import annotations

from typing import Optional

from stories import CR3, DATA, GOOD, GUARD, OTHER_CR3, OTHER_PID, PID, USER_TEXT, Kernel, scene_of

from gdb_kdbg.ranges import Range
from gdb_kdbg.units import Address, Size
from gdb_kdbg.watching import WriteFilter

VICTIM = Range(Address(GUARD), Size(8))


class Watch:
    """A watchpoint on eight bytes of a kernel's process; each hit is judged as GDB would ask."""

    def __init__(self, value: int = GOOD, root: Optional[int] = CR3, guard: bool = True) -> None:
        self.kernel = Kernel()
        self.kernel.set_guard(value)
        self.filter = WriteFilter(VICTIM, root, None, guard, lambda: scene_of(self.kernel))
        self.filter.arm(CR3, self.value())

    def value(self) -> bytes:
        return self.kernel.peek(GUARD, 8)

    def copy(self, size: int = 4) -> None:
        """A copy of `size` bytes to right before the guard begins; its record is the newest."""
        self.kernel.copy(GUARD - size, size)

    def iteration(self, offset: int, byte: int, left: int) -> bool:
        """One iteration of the running `rep movsb` stores a byte into the guard."""
        self.kernel.put(GUARD + offset, bytes([byte]))
        self.kernel.stop_in_copy(GUARD + offset + 1, left)
        return self.filter.is_news(self.value())

    def store(self, value: int, at: int = 0) -> bool:
        """The program itself stores a whole word."""
        self.kernel.put(USER_TEXT + at, bytes.fromhex("488907"))  # mov [rdi], rax
        self.kernel.registers.update(rip=USER_TEXT + at + 3, rdi=GUARD, rax=value, rcx=0)
        self.kernel.set_guard(value)
        return self.filter.is_news(self.value())


def test_a_rep_copy_is_told_once() -> None:
    watch = Watch()
    watch.copy()
    assert [watch.iteration(i, DATA[4 + i], 3 - i) for i in range(4)] == [True, False, False, False]


def test_a_second_copy_is_news_again() -> None:
    watch = Watch()
    watch.copy()
    assert watch.iteration(0, 0x55, 3)
    watch.copy()
    assert watch.iteration(0, 0x66, 3)
    assert not watch.iteration(1, 0x67, 2)


def test_a_write_of_the_program_behind_a_copy_is_news() -> None:
    watch = Watch()
    watch.copy()
    assert watch.iteration(0, 0x55, 3)
    assert watch.store(0x1234)


def test_a_store_repeated_at_the_same_place_is_news_each_time() -> None:
    watch = Watch()
    assert watch.store(0x1234)
    assert watch.store(0x1235)


def test_a_write_that_changes_nothing_is_no_news() -> None:
    watch = Watch()
    assert not watch.store(GOOD)
    assert watch.store(GOOD + 1)


def test_a_write_in_another_process_is_ignored() -> None:
    watch = Watch()
    watch.kernel.registers["cr3"] = OTHER_CR3
    assert not watch.store(0x1234)
    watch.kernel.registers["cr3"] = CR3
    assert watch.store(0x1234)


def test_a_watch_on_any_process_hears_of_each() -> None:
    watch = Watch(root=None, guard=False)
    watch.kernel.registers["cr3"] = OTHER_CR3
    assert watch.store(0x1234)


def test_a_process_that_got_the_page_tables_of_the_watched_one_is_ignored() -> None:
    watch = Watch()
    watch.filter = WriteFilter(VICTIM, CR3, PID, True, lambda: scene_of(watch.kernel))
    watch.filter.arm(CR3, watch.value())
    watch.kernel.process(OTHER_PID)
    assert not watch.store(0x1234)
    watch.kernel.process(PID)
    assert watch.store(0x1235)


def test_the_first_value_of_a_guard_is_no_news() -> None:
    watch = Watch(value=0)
    assert not watch.store(GOOD)
    assert watch.store(GOOD + 1)


def test_the_first_value_of_anything_else_is_news() -> None:
    assert Watch(value=0, guard=False).store(GOOD)


def test_a_guard_that_gets_its_first_value_by_a_copy_not_asked_to_is_news() -> None:
    watch = Watch(value=0)
    watch.copy()
    assert watch.iteration(0, 0x55, 3)


def test_a_guard_that_gets_its_first_value_by_a_copy_asked_to_is_no_news() -> None:
    watch = Watch(value=0)
    watch.kernel.copy(GUARD - 8, 16)
    assert [watch.iteration(i, DATA[i], 7 - i) for i in range(8)] == [False] * 8


def test_a_guard_overwritten_with_zeros_is_news() -> None:
    assert Watch().store(0)


def test_a_write_by_an_unknown_instruction_is_news() -> None:
    watch = Watch()
    watch.kernel.registers["rip"] = 0xDEAD_0000
    watch.kernel.set_guard(0x1234)
    assert watch.filter.is_news(watch.value())


def test_a_second_copy_is_news_in_a_kernel_without_ring() -> None:
    watch = Watch()
    del watch.kernel.symbols["ucopy_trace_buf"]
    assert watch.iteration(0, 0x55, 1)
    assert not watch.iteration(1, 0x56, 0)
    assert watch.iteration(0, 0x65, 1)
