"""Which process is running: its page tables, its thread-local storage, the kit's record of it, its guard seen first."""

from __future__ import annotations

import pytest
from fakes import FakeTarget
from stories import CR3, FS_BASE, GOOD, GUARD, KERNEL, PROCESS, PROCESS_RECORD, USER_TEXT, Kernel

from gdb_kdbg.process import ProbeProcess, fs_base, guard_range, in_kernel, page_table_root, probe_process, process_key
from gdb_kdbg.session import Guards
from gdb_kdbg.units import Word


@pytest.mark.parametrize("cr3", [CR3, CR3 | 0xFFF, CR3 | 0x1000, CR3 | 1 << 63])
def test_page_tables_are_the_same_whatever_the_pcid_and_the_pti_half(cr3: int) -> None:
    assert page_table_root(FakeTarget(cr3=cr3)) == CR3


def test_other_page_tables_are_another_process() -> None:
    assert page_table_root(FakeTarget(cr3=CR3 + 0x2000)) != CR3


def test_a_native_process_has_no_page_tables() -> None:
    assert page_table_root(FakeTarget(cr3=None)) == 0


def test_the_guard_lies_at_0x28_of_the_thread_control_block() -> None:
    guard = guard_range(FakeTarget({"fs_base": FS_BASE}))
    assert guard is not None and (guard.start, guard.size) == (GUARD, 8)


@pytest.mark.parametrize("registers", [{}, {"fs_base": 0}])
def test_without_thread_local_storage_there_is_no_guard(registers: dict[str, int]) -> None:
    target = FakeTarget(registers)
    assert fs_base(target) == 0
    assert guard_range(target) is None


def test_a_process_is_known_by_its_page_tables_and_fs_base() -> None:
    assert process_key(Kernel()) == (CR3, FS_BASE)


def test_the_program_counter_tells_kernel_from_user_mode() -> None:
    assert in_kernel(FakeTarget({"rip": KERNEL}))
    assert not in_kernel(FakeTarget({"rip": USER_TEXT}))
    assert not in_kernel(FakeTarget())


def test_the_kits_record_tells_pid_call_guard_and_name() -> None:
    kernel = Kernel()
    kernel.process(pid=300, intact_at=5, system_call=-1)
    assert probe_process(kernel) == ProbeProcess(300, -1, Word(GOOD), 5, "tty")
    assert len(kernel.reads) == 2


def test_a_name_without_an_end_is_cut_and_escaped() -> None:
    kernel = Kernel()
    kernel.process()
    kernel.put(PROCESS_RECORD + 32, b"\x1b[2J" + b"x" * 28)
    process = probe_process(kernel)
    assert process is not None and process.name == r"\x1b[2J" + "x" * 28


@pytest.mark.parametrize("broken", ["no symbol", "null", "dangling", "unreadable"])
def test_without_a_readable_record_no_process_is_known(broken: str) -> None:
    kernel = Kernel()
    kernel.process()
    if broken == "no symbol":
        del kernel.symbols["ucopy_process"]
    elif broken == "null":
        kernel.put_words(PROCESS, 0)
    elif broken == "dangling":
        kernel.put_words(PROCESS, 0xDEAD_0000)
    else:
        kernel.unmap(PROCESS_RECORD)
    assert probe_process(kernel) is None


def test_guards_remember_the_first_value_of_each_process() -> None:
    guards = Guards()
    guards.note((1, 2), 5)
    guards.note((1, 2), 6)
    guards.note((3, 2), 7)
    assert (guards.first_seen((1, 2)), guards.first_seen((3, 2)), guards.first_seen((4, 2))) == (5, 7, None)


def test_guards_do_not_remember_zero() -> None:
    guards = Guards()
    guards.note((1, 2), 0)
    assert guards.first_seen((1, 2)) is None
    guards.note((1, 2), 5)
    assert guards.first_seen((1, 2)) == 5


def test_guards_forget_one_process_or_all() -> None:
    guards = Guards()
    for root in (1, 2, 3):
        guards.note((root, 0), 5)
    guards.forget((1, 0))
    guards.forget((9, 9))
    assert [guards.first_seen((root, 0)) for root in (1, 2, 3)] == [None, 5, 5]
    guards.forget()
    assert [guards.first_seen((root, 0)) for root in (1, 2, 3)] == [None] * 3
