"""Tasks, page tables and guards of a user-mode Linux guest, on a kernel made by hand."""

from __future__ import annotations

import pytest
from fakes import FakeSession, FakeTarget
from uml_fakes import AUXV, GUARD, GUARD_PLACE, LINK, PHYSICAL, THREAD, FakeUml

from gdb_kdbg.canary import CORRUPTED, INTACT, UNKNOWN, read_canary
from gdb_kdbg.canary_command import check_all, check_once, watch
from gdb_kdbg.errors import KdbgError, MemoryFault, NotSupported
from gdb_kdbg.guest_canaries import read_all
from gdb_kdbg.process import process_key
from gdb_kdbg.session import Guards
from gdb_kdbg.status import recognise
from gdb_kdbg.syscalls import ENTRY, EXIT, SystemCall, SystemCallChecker
from gdb_kdbg.uml_guest import GuestProcess, running_process
from gdb_kdbg.uml_kernel import banner, find_kernel, is_uml
from gdb_kdbg.units import Address, Size

ONE, TWO, THREE = 0x6200_0000, 0x6210_0000, 0x6220_0000


def guest(target: FakeUml, task: int = ONE) -> GuestProcess:
    kernel = target.kernel
    return GuestProcess(kernel, kernel.task(task))


def test_every_task_is_found_with_its_threads() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    target.process(TWO, 30, "sh")
    target.task(THREE, 31, "sh", TWO + 0x2000, leader=TWO, fs=0x7000)
    target.task(THREE + 0x8000, 32, "sh", TWO + 0x2000, leader=TWO, fs=0x8000)
    found = [(task.pid, task.process, task.name) for task in target.kernel.tasks()]
    assert sorted(found) == [(0, 0, "swapper"), (26, 26, "guard"), (30, 30, "sh"), (31, 30, "sh"), (32, 30, "sh")]


def test_the_current_task() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    assert str(target.kernel.current()) == "swapper (pid 0)"
    target.run(ONE)
    assert str(target.kernel.current()) == "guard (pid 26)"


def test_a_hostile_name_is_made_safe() -> None:
    target = FakeUml()
    target.task(ONE, 5, "\x1b[2J")
    assert target.kernel.task(ONE).name == "\\x1b[2J"


def test_a_list_that_never_ends_is_an_error() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    target.put_words(ONE + LINK, ONE + LINK)
    with pytest.raises(KdbgError, match="does not end"):
        list(target.kernel.tasks())


def test_a_list_that_leads_astray_is_a_problem_and_hides_nothing() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    target.process(TWO, 27)
    target.put_words(TWO + LINK, 0xDEAD_0000)
    report = read_all(target, Guards())
    assert [row.pid for row in report.tasks] == [26, 27]
    assert "the list of tasks is damaged behind 3 of them" in report.problems[0]


@pytest.mark.parametrize("levels", [3, 4])
def test_memory_is_read_by_the_page_tables(levels: int) -> None:
    target = FakeUml(levels)
    place = target.process(ONE, 26)
    process = guest(target)
    assert process.translate(GUARD_PLACE) == place
    assert process.read_memory(Address(GUARD_PLACE), Size(8)) == GUARD.to_bytes(8, "little")


def test_a_read_over_the_end_of_a_page_goes_on_in_the_next() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    mm = ONE + 0x2000
    first, second = target.page(mm, 0x4B_1000), target.page(mm, 0x4B_2000)
    target.put(first + 0xFFC, b"abcd")
    target.put(second, b"efgh")
    assert guest(target).read_memory(Address(0x4B_1FFC), Size(8)) == b"abcdefgh"


@pytest.mark.parametrize("address", [0x4B_3000, 0x7000_0000_0000, 1 << 63, (1 << 64) - 8, 1 << 39])
def test_what_is_not_mapped_is_a_fault(address: int) -> None:
    target = FakeUml()
    target.process(ONE, 26)
    with pytest.raises(MemoryFault):
        guest(target).read_memory(Address(address), Size(16))


def test_a_page_without_access_is_there_for_the_kernel_and_a_swapped_one_is_not() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    mm = ONE + 0x2000
    none, swapped = target.page(mm, 0x50_0000, flags=0x10), target.page(mm, 0x50_1000, flags=0x04)
    assert guest(target).translate(0x50_0000) == none and swapped
    with pytest.raises(MemoryFault):
        guest(target).translate(0x50_1000)


def test_page_tables_that_lead_nowhere_are_a_fault() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    target.put_words(ONE + 0x2000 + 0x30, 0x1234_5000)
    with pytest.raises(MemoryFault):
        guest(target).translate(GUARD_PLACE)


def test_the_guard_of_the_current_process() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    target.run(ONE)
    process = running_process(target)
    report = read_canary(process, Guards())
    assert (report.fs_base, report.guard_address, report.guard) == (THREAD, GUARD_PLACE, GUARD)
    assert report.verdict == UNKNOWN


def test_the_expected_guard_is_derived_from_what_the_kernel_gave_the_program() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    stack = target.page(ONE + 0x2000, 0x7F_BFFF_F000)
    target.put_words(stack + 0x100, GUARD | 0x42)
    target.put_words(ONE + 0x2000 + AUXV, 16, 0, 25, 0x7F_BFFF_F100, 0, 0)
    report = read_canary(guest(target), Guards())
    assert (report.verdict, report.expected) == (INTACT, GUARD)
    assert guest(target).auxiliary_vector() == {16: 0, 25: 0x7F_BFFF_F100}


def test_the_guards_of_all_tasks() -> None:
    target = FakeUml()
    guards = Guards()
    for number, at in enumerate((ONE, TWO, THREE)):
        target.process(at, 26 + number, guard=GUARD + number)
    assert [row.guard for row in read_all(target, guards).tasks] == [GUARD, GUARD + 1, GUARD + 2]
    place = guest(target, TWO).translate(GUARD_PLACE)
    target.put_words(place, 0x4141)
    report = read_all(target, guards)
    assert [row.verdict for row in report.tasks] == [INTACT, CORRUPTED, INTACT]
    assert report.summary == "3 tasks with a guard of their own, 1 of them corrupted; 1 threads of the kernel"


def test_a_task_whose_guard_cannot_be_read_is_listed() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    target.put_words(ONE + 0x2000 + 0x30, 0x1234_5000)
    (row,) = read_all(target, Guards()).tasks
    assert (row.guard, row.verdict) == (None, UNKNOWN)


def test_a_thread_of_the_kernel_has_no_guard() -> None:
    with pytest.raises(KdbgError, match=r"swapper \(pid 0\), which is a thread of its own"):
        running_process(FakeUml())


def test_processes_are_told_apart_by_pid_and_memory() -> None:
    target = FakeUml()
    target.process(ONE, 26)
    target.process(TWO, 27)
    first, second = guest(target), guest(target, TWO)
    assert process_key(first) != process_key(second)
    assert process_key(guest(target)) == process_key(first)
    target.put_words(ONE + 0x38, TWO + 0x2000)  # a new program
    assert process_key(guest(target)) != process_key(first)


def test_a_process_that_takes_over_the_memory_of_a_dead_one_is_not_accused() -> None:
    target = FakeUml()
    place = target.process(ONE, 26)
    checker = SystemCallChecker(Guards())
    assert checker.check(guest(target), ENTRY, SystemCall(0, (0, 0, 0))) is None
    target.put(ONE + 0x20, (40).to_bytes(4, "little") * 2)
    target.put_words(place, GUARD + 0x100)
    assert checker.check(guest(target), ENTRY, SystemCall(0, (0, 0, 0))) is None
    target.put_words(place, 0x4141)
    change = checker.check(guest(target), EXIT)
    assert change is not None and change.during == SystemCall(0, (0, 0, 0))


def test_without_debug_information_it_is_said() -> None:
    target = FakeUml()
    del target.members["init_task", "mm"]
    assert is_uml(target)
    with pytest.raises(NotSupported, match="no debug information for init_task.mm"):
        find_kernel(target)
    assert "no debug information" in recognise(FakeSession(target)).problems[0]


def test_other_targets_are_no_kernel() -> None:
    target = FakeTarget({"fs_base": THREAD}, kind="native", cr3=None)
    assert not is_uml(target) and find_kernel(target) is None and running_process(target) is target
    with pytest.raises(NotSupported, match=r"the tasks of this target \(native\) are not known"):
        check_all(FakeSession(target))


def test_another_architecture_is_refused() -> None:
    target = FakeUml()
    target.architecture = "i386"
    with pytest.raises(NotSupported, match="architecture i386"):
        check_all(FakeSession(target))


def test_the_commands_speak_of_the_guest() -> None:
    target = FakeUml()
    place = target.process(ONE, 26)
    target.run(ONE)
    session = FakeSession(target)
    report = check_once(session, frames=True)
    assert (report.process, report.guard) == ("guard (pid 26)", GUARD)
    assert report.problems[-1] == "the frames of a guest's process are not unwound"
    armed = watch(session, "guard", False)
    assert session.watched[0][1].start == place
    assert f"at {GUARD_PLACE:#x}, where the kernel has it at {place:#x}" in armed.done
    assert "what the program itself writes there is not seen" in armed.problems[0]
    status = recognise(session)
    assert (status.mode, status.tasks, status.current_task) == ("user-mode Linux", 2, "guard (pid 26)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"Linux version 6.1 (x)\n\0", "Linux version 6.1 (x)"),
        (b"Linux version \x1b[31m\n", "Linux version \\x1b[31m"),
        (b"something else\n", None),
    ],
)
def test_the_banner(text: bytes, shown: str) -> None:
    target = FakeUml()
    target.define("linux_banner", PHYSICAL + 0x9000)
    target.map(PHYSICAL + 0x9000, text.ljust(600, b"\0"))
    assert banner(target) == shown
