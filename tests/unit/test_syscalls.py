"""The guard check around system calls: what changed, when, and during which call."""

from __future__ import annotations

from typing import Optional

import pytest
from fakes import FakeTarget
from stories import CR3, FS_BASE, GOOD, GUARD, OTHER_CR3, OTHER_PID, Kernel, damaged

from gdb_kdbg.errors import KdbgError, SymbolNotFound
from gdb_kdbg.session import Guards
from gdb_kdbg.syscalls import ENTRY, EXIT, GuardChange, SystemCall, SystemCallChecker, entering_call, find_path

IOCTL, READ, EXECVE, LEAVE, EXIT_GROUP = (SystemCall(number, (1, 2, 3)) for number in (16, 0, 59, 60, 231))
BAD = damaged(b"\xd1\xd2\xd3")


class Machine:
    """A kernel and the checker that watches it."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.guards = Guards()
        self.checker = SystemCallChecker(self.guards)

    def enter(self, call: SystemCall = IOCTL) -> Optional[GuardChange]:
        return self.checker.check(self.kernel, ENTRY, call)

    def leave(self) -> Optional[GuardChange]:
        return self.checker.check(self.kernel, EXIT)

    def switch(self, cr3: int, guard: int) -> None:
        self.kernel.registers["cr3"] = cr3
        self.kernel.set_guard(guard)


def must(change: Optional[GuardChange]) -> GuardChange:
    assert change is not None
    return change


def test_a_healthy_program_is_never_reported() -> None:
    machine = Machine()
    assert [machine.enter(), machine.leave(), machine.enter(READ), machine.leave()] == [None] * 4
    assert machine.checker.checks == 4


def test_a_change_within_a_call_names_the_call() -> None:
    machine = Machine()
    machine.enter()
    machine.kernel.set_guard(BAD)
    change = must(machine.leave())
    assert (change.before, change.after, change.in_call, change.during) == (GOOD, BAD, True, IOCTL)
    assert change.lines() == (
        f"the guard changed from {GOOD:#018x} to {BAD:#018x} during the system call ioctl(0x1, 0x2, 0x3)",
    )


def test_a_change_between_calls_names_the_call_before() -> None:
    machine = Machine()
    machine.enter()
    machine.leave()
    machine.kernel.set_guard(BAD)
    change = must(machine.enter(READ))
    assert (change.in_call, change.during, change.previous) == (False, None, IOCTL)
    assert change.lines()[0].endswith(
        "in user mode after ioctl(0x1, 0x2, 0x3) had returned, before the next system call"
    )


def test_a_change_is_told_once() -> None:
    machine = Machine()
    machine.enter()
    machine.kernel.set_guard(BAD)
    assert machine.leave() is not None
    assert machine.enter() is None
    machine.kernel.set_guard(GOOD)
    assert machine.leave() is not None


def test_a_guard_overwritten_with_zeros_is_reported() -> None:
    machine = Machine()
    machine.enter()
    machine.kernel.set_guard(0)
    assert must(machine.leave()).after == 0


def test_the_first_value_of_an_unset_guard_is_no_change() -> None:
    machine = Machine()
    machine.kernel.set_guard(0)
    machine.enter()
    machine.kernel.set_guard(GOOD)
    assert machine.leave() is None
    machine.kernel.set_guard(BAD)
    assert machine.enter() is not None


def test_processes_at_the_same_fs_base_are_kept_apart_by_their_page_tables() -> None:
    machine = Machine()
    machine.enter()
    machine.switch(OTHER_CR3, GOOD + 0x100)
    assert machine.enter(READ) is None
    machine.switch(CR3, GOOD)
    assert machine.leave() is None
    machine.switch(OTHER_CR3, BAD)
    assert must(machine.leave()).during == READ


def test_the_kernels_own_page_tables_of_a_process_are_its_own() -> None:
    machine = Machine()
    machine.enter()
    machine.switch(CR3 | 0x1803, BAD)  # the other half of a PTI pair, and a PCID
    assert must(machine.leave()).during == IOCTL


def test_threads_have_guards_of_their_own() -> None:
    machine = Machine()
    machine.enter()
    machine.kernel.registers["fs_base"] = FS_BASE + 0x100
    machine.kernel.put_words(GUARD + 0x100, BAD)
    assert machine.enter() is None


@pytest.mark.parametrize("call", [EXECVE, LEAVE, EXIT_GROUP])
def test_after_execve_and_exit_another_guard_is_no_change(call: SystemCall) -> None:
    machine = Machine()
    machine.enter()
    machine.leave()
    machine.enter(call)
    machine.kernel.set_guard(BAD)
    assert machine.leave() is None
    assert machine.guards.first_seen((CR3, FS_BASE)) == BAD


def test_a_change_before_execve_is_still_told() -> None:
    machine = Machine()
    machine.enter()
    machine.leave()
    machine.kernel.set_guard(BAD)
    assert machine.enter(EXECVE) is not None


def test_a_process_that_got_page_tables_of_a_dead_one_starts_anew() -> None:
    machine = Machine()
    machine.kernel.process()
    machine.enter()
    machine.kernel.process(pid=OTHER_PID)
    machine.kernel.set_guard(BAD)
    assert machine.enter(READ) is None
    assert machine.guards.first_seen((CR3, FS_BASE)) == BAD
    machine.kernel.set_guard(GOOD)
    assert must(machine.leave()).during == READ


def test_the_same_process_with_another_guard_does_not_start_anew() -> None:
    machine = Machine()
    machine.kernel.process()
    machine.enter()
    machine.kernel.set_guard(BAD)
    assert machine.leave() is not None


def test_a_process_without_thread_local_storage_is_forgotten() -> None:
    machine = Machine()
    machine.enter()
    machine.kernel.registers["fs_base"] = 0
    assert machine.leave() is None
    assert machine.guards.first_seen((CR3, FS_BASE)) is None


def test_a_guard_that_cannot_be_read_is_no_change() -> None:
    machine = Machine()
    machine.enter()
    machine.kernel.registers["fs_base"] = 0xDEAD_0000
    assert machine.leave() is None


def test_a_check_reads_eight_bytes() -> None:
    machine = Machine()
    machine.enter()
    machine.kernel.reads.clear()
    machine.leave()
    assert machine.kernel.reads == [(GUARD, 8)]


def test_a_change_in_a_call_that_was_entered_before_arming_is_not_blamed_on_user_mode() -> None:
    machine = Machine()
    machine.leave()  # armed inside a system call
    machine.kernel.set_guard(BAD)
    change = must(machine.leave())
    assert (change.in_call, change.during) == (True, None)
    assert change.lines()[0].endswith("during the system call that was in progress when the check was armed")


def test_the_call_is_read_from_the_registers_at_the_entry() -> None:
    target = FakeTarget({"rax": 16, "rdi": 1, "rsi": 0x5413, "rdx": 0x7FFF_0000})
    assert str(entering_call(target)) == "ioctl(0x1, 0x5413, 0x7fff0000)"


def test_a_call_without_a_name_keeps_its_number() -> None:
    assert str(SystemCall(5000, ())) == "syscall_5000()"
    assert str(SystemCall(-1, ())) == "syscall_-1()"


def known(*names: str) -> FakeTarget:
    target = FakeTarget()
    for position, name in enumerate(names):
        target.define(name, 0x1000 * (position + 1))
    return target


def test_the_path_of_the_example_kernel_is_known() -> None:
    path = find_path(known("syscall_entry", "syscall_exit"), "", "")
    assert (path.owner, path.entries, path.exits) == ("kdbg's example kernel", (0x1000,), (0x2000,))


def test_linux_has_two_exits() -> None:
    names = ("entry_SYSCALL_64", "syscall_return_via_sysret", "swapgs_restore_regs_and_return_to_usermode")
    path = find_path(known(*names), "", "")
    assert (path.owner, path.entries, path.exits) == ("Linux", (0x1000,), (0x2000, 0x3000))


@pytest.mark.parametrize("names", [(), ("syscall_entry",), ("entry_SYSCALL_64", "syscall_exit")])
def test_an_unknown_path_must_be_named(names: tuple[str, ...]) -> None:
    with pytest.raises(SymbolNotFound, match="set kdbg syscall-entry"):
        find_path(known(*names), "", "")


def test_the_settings_name_the_path_by_symbol_or_address() -> None:
    path = find_path(known("syscall_entry", "syscall_exit", "my_entry"), "my_entry", "0x5000")
    assert (path.owner, path.entries, path.exits) == ("settings", (0x3000,), (0x5000,))


def test_a_path_with_one_end_is_refused() -> None:
    with pytest.raises(KdbgError, match="set both"):
        find_path(known("syscall_entry", "syscall_exit"), "0x1000", "")


def test_a_setting_that_names_no_symbol_is_refused() -> None:
    with pytest.raises(SymbolNotFound, match="no symbol 'nowhere'"):
        find_path(known("syscall_entry"), "syscall_entry", "nowhere")
