"""Who is writing right now: the store, its routine and phase, and the copy it is part of."""

from __future__ import annotations

from typing import Optional

import pytest
from stories import AGAIN, CALLER, GUARD, KERNEL_STACK, RETURN, ROUTINE, USER_TEXT, Kernel

from gdb_kdbg.ranges import Range
from gdb_kdbg.units import Address, Size
from gdb_kdbg.writers import Writer, called_routine, routine_and_phase, writer_to

STORE = bytes.fromhex("488907")  # mov [rdi], rax


def of(start: int, size: int) -> Range:
    return Range(Address(start), Size(size))


NEAR = of(GUARD - 16, 32)


def writer_of(kernel: Kernel, victim: Range = NEAR) -> Optional[Writer]:
    return writer_to(kernel, kernel.records(), victim)


def must(kernel: Kernel) -> Writer:
    writer = writer_of(kernel)
    assert writer is not None
    return writer


def copying(asked: int = 4, written: int = GUARD + 1, left: int = 3) -> Kernel:
    kernel = Kernel()
    kernel.copy(GUARD - 4, asked)
    kernel.stop_in_copy(written, left)
    return kernel


def user_store(at: int = 0, rdi: int = GUARD) -> Kernel:
    """Stopped behind a store of the program's own."""
    kernel = Kernel()
    kernel.put(USER_TEXT + at, STORE)
    kernel.registers.update(rip=USER_TEXT + at + len(STORE), rdi=rdi, rax=0)
    return kernel


def test_a_running_copy_is_the_writer() -> None:
    writer = must(copying())
    assert (str(writer.store.instruction), writer.store.instruction.address) == ("rep movsb", AGAIN)
    assert (writer.routine, writer.phase, writer.kernel) == ("copy_to_user", "small", True)
    assert writer.record is not None and writer.record.size == 4


def test_a_copy_has_written_from_its_destination_to_the_end_of_the_instruction() -> None:
    assert must(copying()).written == of(GUARD - 4, 8)
    assert must(copying(written=GUARD + 4, left=0)).written == of(GUARD - 4, 8)


def test_a_writer_touches_what_it_wrote_and_what_it_will_write() -> None:
    writer = must(copying(written=GUARD - 1, left=5))
    assert writer.touches(of(GUARD, 8))
    assert writer.touches(of(GUARD - 2, 1))
    assert not writer.touches(of(GUARD - 4, 2))
    assert not writer.touches(of(GUARD + 4, 8))


def test_a_backward_copy_has_written_from_where_it_will_end_to_its_asked_end() -> None:
    kernel = copying(asked=4, written=GUARD - 6, left=2)
    kernel.registers["eflags"] |= 0x400
    assert must(kernel).written == of(GUARD - 7, 7)


def test_a_copy_caught_at_its_first_word_has_written_no_more() -> None:
    kernel = user_store(rdi=GUARD - 4)
    kernel.copy(GUARD - 4, 64)
    kernel.put_words(KERNEL_STACK, RETURN)
    writer = must(kernel)
    assert writer.record is not None and writer.written == of(GUARD - 4, 8)


def test_a_finished_store_stands_before_the_pc() -> None:
    writer = must(user_store(at=0x10))
    assert (writer.store.done, writer.store.rest) == (of(GUARD, 8), None)
    assert (writer.routine, writer.phase, writer.kernel, writer.record) == ("main", None, False, None)
    assert writer.written == of(GUARD, 8)


def test_a_store_to_elsewhere_is_no_writer_of_the_victim() -> None:
    assert writer_of(user_store(rdi=GUARD), of(GUARD, 8)) is not None
    assert writer_of(user_store(rdi=GUARD + 8), of(GUARD, 8)) is None


def test_an_instruction_that_stored_nothing_is_no_writer() -> None:
    assert writer_of(Kernel()) is None
    kernel = user_store()
    kernel.put(USER_TEXT, b"\x90" * 3)
    assert writer_of(kernel) is None


def test_decoding_starts_at_the_nearest_label_so_that_data_before_it_does_no_harm() -> None:
    kernel = user_store(at=0x20)
    kernel.put(USER_TEXT + 0x1E, b"\x48\xb8")  # would swallow the store: movabs rax, imm64
    assert must(kernel).store.done == of(GUARD, 8)
    kernel.labels["behind_data"] = USER_TEXT + 0x20
    assert must(kernel).store.done == of(GUARD, 8)


def test_without_any_label_the_store_that_ends_at_the_pc_is_found() -> None:
    kernel = user_store(at=0x20)
    kernel.labels.clear()
    assert must(kernel).store.done == of(GUARD, 8)
    kernel.registers["rdi"] = 0x1000
    assert writer_of(kernel) is None


def test_a_store_relative_to_the_pc_is_found_without_any_label() -> None:
    kernel = user_store()
    kernel.put(USER_TEXT + 0x20, bytes.fromhex("48890510000000"))  # mov [rip + 0x10], rax
    kernel.labels.clear()
    kernel.registers["rip"] = USER_TEXT + 0x27
    assert writer_of(kernel, of(USER_TEXT + 0x37, 8)) is not None
    assert writer_of(kernel, of(USER_TEXT, 8)) is None


def test_a_store_before_a_rep_that_has_not_begun_is_found() -> None:
    kernel = user_store()
    kernel.put(USER_TEXT + len(STORE), b"\xf3\xaa")  # rep stosb
    kernel.registers["rcx"] = 5
    assert must(kernel).store.done == of(GUARD + 5 - 6, 1)
    assert str(must(kernel).store.instruction) == "rep stosb"
    kernel.put(USER_TEXT, bytes.fromhex("488903"))  # mov [rbx], rax
    kernel.registers.update(rbx=GUARD, rdi=0x5000)
    assert str(must(kernel).store.instruction) == "mov qword ptr [rbx], rax"


def test_a_rep_whose_last_iteration_is_through_is_the_writer_though_the_pc_stands_on_it() -> None:
    # QEMU stops so.
    kernel = copying(written=GUARD + 4, left=0)
    assert str(must(kernel).store.instruction) == "rep movsb"
    assert writer_of(kernel, of(GUARD + 4, 4)) is None


def test_unreadable_code_has_no_writer() -> None:
    kernel = user_store()
    kernel.unmap(USER_TEXT)
    assert writer_of(kernel) is None


def test_the_record_of_a_copy_is_found_by_the_return_address_on_the_stack() -> None:
    kernel = copying()
    kernel.stack.clear()  # nothing can be unwound, the word at the stack pointer still tells
    assert must(kernel).record is not None


def test_the_record_of_a_copy_is_found_by_the_frames() -> None:
    kernel = copying()
    kernel.put_words(KERNEL_STACK, 0)  # the routine pushed something
    assert must(kernel).record is not None


def test_a_record_of_another_caller_is_not_this_copys() -> None:
    kernel = copying()
    kernel.copy(GUARD - 4, 4, caller=CALLER + 0x50)
    assert must(kernel).record is None


def test_an_older_record_of_the_same_caller_is_not_this_copys() -> None:
    kernel = copying()
    kernel.copy(0x1000, 8)
    record = must(kernel).record
    assert record is not None and record.sequence == 1


def test_without_a_ring_a_writer_has_no_record() -> None:
    writer = writer_to(copying(), (), NEAR)
    assert writer is not None and writer.record is None


@pytest.mark.parametrize(
    ("label", "named"),
    [
        ("copy_to_user_bulk", ("copy_to_user", "bulk")),
        ("copy_to_user_trailing", ("copy_to_user", "trailing")),
        ("memcpy_leading", ("memcpy", "leading")),
        ("copy_to_user_loop", ("copy_to_user", None)),
        ("_small", ("copy_to_user", None)),
        ("small", ("copy_to_user", None)),
    ],
)
def test_a_label_that_ends_in_a_phase_names_it(label: str, named: tuple[str, Optional[str]]) -> None:
    kernel = Kernel()
    kernel.labels[label] = ROUTINE + 7
    assert routine_and_phase(kernel, Address(AGAIN)) == named


def test_an_address_without_names_is_named_by_its_number() -> None:
    kernel = Kernel()
    kernel.labels.clear()
    assert routine_and_phase(kernel, Address(0x1234)) == ("0x1234", None)


def test_the_routine_behind_a_return_address_is_what_the_call_before_it_calls() -> None:
    assert called_routine(Kernel(), Address(RETURN)) == "copy_to_user"


def test_a_call_into_the_middle_of_a_function_calls_no_routine() -> None:
    kernel = Kernel()
    kernel.put(CALLER, bytes.fromhex("e8ffefffff"))  # call ROUTINE + 4
    assert called_routine(kernel, Address(RETURN)) is None


def test_a_call_through_a_pointer_in_memory_is_followed() -> None:
    kernel = Kernel()
    kernel.put(CALLER + 0x10, bytes.fromhex("ff151a000000"))  # call [rip + 0x1a]
    kernel.put_words(CALLER + 0x30, ROUTINE)
    assert called_routine(kernel, Address(CALLER + 0x16)) == "copy_to_user"
    kernel.put_words(CALLER + 0x30, 0)
    assert called_routine(kernel, Address(CALLER + 0x16)) is None


@pytest.mark.parametrize("code", ["ffd0", "90909090", "c3"])  # call rax, nop, ret
def test_a_call_that_cannot_be_followed_has_no_routine(code: str) -> None:
    kernel = Kernel()
    kernel.put(CALLER + 0x10, bytes.fromhex(code))
    assert called_routine(kernel, Address(CALLER + 0x10 + len(code) // 2)) is None


def test_a_return_address_nobody_can_read_has_no_routine() -> None:
    assert called_routine(Kernel(), Address(0xDEAD_0000)) is None
