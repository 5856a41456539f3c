"""Where a user-mode kernel begins and ends a guest's system call, and who is told to have changed a guard."""

from __future__ import annotations

from typing import Optional

import pytest
from fakes import FakeTarget
from uml_fakes import GUARD, GUARD_PLACE, FakeUml

from gdb_kdbg.disassembly import decode
from gdb_kdbg.errors import SymbolNotFound
from gdb_kdbg.rules.guest_guard import asked_range, guest_guard
from gdb_kdbg.scene import GuestWrite, Note, Scene
from gdb_kdbg.session import Guards
from gdb_kdbg.syscalls import EXIT, SystemCall, SystemCallChecker
from gdb_kdbg.uml_guest import GuestProcess
from gdb_kdbg.uml_syscalls import Progress, call_of, note_guards, returns_from, skipping, uml_path
from gdb_kdbg.units import Address, Word

HANDLER, START = 0x6001_D0A0, 0x6002_9000
MOVABS_RAX = b"\x48\xb8" + HANDLER.to_bytes(8, "little")
CALL_RAX, CALL_RBX = b"\xff\xd0", b"\xff\xd3"
DIRECT = b"\xe8" + (HANDLER - START - 5).to_bytes(4, "little", signed=True)


@pytest.mark.parametrize(
    ("code", "returns"),
    [
        (DIRECT, [5]),
        (MOVABS_RAX + CALL_RAX, [12]),
        (MOVABS_RAX + b"\x4c\x89\xf7" + CALL_RAX, [15]),  # mov rdi, r14 between
        (MOVABS_RAX + CALL_RBX, []),
        (MOVABS_RAX + b"\x31\xc0" + CALL_RAX, []),  # xor eax, eax between
        (MOVABS_RAX + CALL_RAX + MOVABS_RAX + CALL_RAX, [12, 24]),
        (b"\x48\xb8" + bytes(8) + CALL_RAX, []),
        (b"\x90" * 8, []),
    ],
)
def test_where_the_handler_returns_to(code: bytes, returns: list[int]) -> None:
    assert list(returns_from(code, Address(START), Address(HANDLER))) == [START + offset for offset in returns]


def test_the_path_of_a_kernel() -> None:
    target = FakeUml()
    target.define("handle_syscall", HANDLER, 0x100)
    target.define("userspace", START, 12)
    target.map(START, MOVABS_RAX + CALL_RAX)
    path = uml_path(target.kernel)
    assert (path.entries, path.exits) == ((HANDLER,), (START + 12,))


def test_a_kernel_without_such_a_path() -> None:
    target = FakeUml()
    with pytest.raises(SymbolNotFound, match="no symbol handle_syscall"):
        uml_path(target.kernel)
    target.define("handle_syscall", HANDLER, 0x100)
    target.define("userspace", START, 8)
    target.map(START, b"\x90" * 8)
    with pytest.raises(SymbolNotFound, match="userspace does not call handle_syscall"):
        uml_path(target.kernel)


@pytest.mark.parametrize(
    ("code", "last"),
    [
        (b"\x55", "$rip = 0x1001"),  # push rbp
        (b"\x41\x57", "$rip = 0x1002"),  # push r15
        (b"\xe9\xb2\xfd\xff\xff", "$rip = 0xdb7"),  # jmp
        (b"\x90", "$rip = 0x1001"),
        (b"\xf3\x0f\x1e\xfa", "$rip = 0x1004"),  # endbr64
    ],
)
def test_simple_instructions_can_be_skipped(code: bytes, last: str) -> None:
    assert skipping(decode(code, Address(0x1000), 1)[0])[-1] == last


@pytest.mark.parametrize("code", [b"\x48\x89\xe5", b"\xff\xe0", b"\x68\x00\x10\x00\x00", b"\xc3", b"\xff\x30"])
def test_others_cannot(code: bytes) -> None:
    assert skipping(decode(code, Address(0x1000), 1)[0]) == ()


def test_a_push_moves_the_stack_pointer_by_what_it_stores() -> None:
    lines = skipping(decode(b"\x55", Address(0x1000), 1)[0])
    assert lines == (
        "*(unsigned long *)($rsp - 8) = (unsigned long)$rbp", "$rsp = $rsp - 8", "$rip = 0x1001",
    )  # fmt: skip
    assert skipping(None) == ()


def test_the_same_stop_again_is_no_progress() -> None:
    progress = Progress()
    assert [progress.is_repeated(*stop) for stop in (("entry", 1), ("exit", 1), ("entry", 1))] == [False] * 3
    assert progress.is_repeated("entry", 1)
    assert not progress.is_repeated("entry", 2)


def test_the_call_is_in_the_saved_registers() -> None:
    target = FakeUml()
    target.process(0x6200_0000, 26)
    for name, value in {"orig_rax": 1, "rdi": 3, "rsi": 0x1000, "rdx": 5, "rax": -38}.items():
        target.set_register(0x6200_0000, name, value)
    assert str(call_of(target.kernel.task(0x6200_0000))) == "write(0x3, 0x1000, 0x5)"


def test_calls_in_progress_are_known_when_the_check_begins() -> None:
    target = FakeUml()
    place = target.process(0x6200_0000, 26)
    other = target.process(0x6210_0000, 27)
    target.set_register(0x6210_0000, "orig_rax", (1 << 64) - 1)
    checker = SystemCallChecker(Guards())
    note_guards(target.kernel, checker)
    for changed, task, call in ((place, 0x6200_0000, SystemCall(0, (0, 0, 0))), (other, 0x6210_0000, None)):
        target.put_words(changed, 0x4141)
        change = checker.check(GuestProcess(target.kernel, target.kernel.task(task)), EXIT)
        assert change is not None and change.during == call


def write(in_call: bool = True, call: Optional[SystemCall] = None, place: int = 0) -> GuestWrite:
    previous = None if in_call else SystemCall(39, (0, 0, 0))
    return GuestWrite(
        "guard", 26, Address(GUARD_PLACE), Word(GUARD), Word(0x4141), in_call, call, previous,
        Address(place) if place else None,
    )  # fmt: skip


def told(change: GuestWrite, target: Optional[FakeTarget] = None) -> tuple[str, str, str]:
    note = Note(guest=change)
    finding = guest_guard(Scene(target or FakeTarget({}, kind="native", cr3=None), {}, Guards(), note))
    assert finding is not None
    return finding.summary, finding.confidence, "\n".join(finding.evidence)


def test_a_program_that_asks_for_its_guard_is_at_fault() -> None:
    summary, confidence, evidence = told(write(call=SystemCall(0, (3, GUARD_PLACE - 8, 16))))
    assert summary.startswith("caller at fault: guard (pid 26) let read(0x3, 0x4b13a0, 0x10) write over its guard")
    assert confidence == "certain"
    assert "16 bytes at 0x4b13a0, covers the guard" in evidence


def test_a_kernel_that_writes_beyond_is_not_said_to_be_asked() -> None:
    summary, confidence, evidence = told(write(call=SystemCall(0, (3, GUARD_PLACE - 8, 8))))
    assert summary.startswith("undecidable: the guard in guard (pid 26) was overwritten by the kernel during read(")
    assert confidence == "likely"
    assert "is not over the guard" in evidence


@pytest.mark.parametrize(
    ("change", "verdict", "told_of_it"),
    [
        (write(call=SystemCall(16, (0, 0x540F, 0x1000))), "undecidable",
         "overwritten by the kernel during ioctl(0x0, 0x540f, 0x1000)"),
        (write(), "undecidable", "overwritten by the kernel, in a system call that began before"),
        (write(in_call=False), "program at fault", "overwritten in user mode, after getpid(0x0, 0x0, 0x0)"),
    ],
)  # fmt: skip
def test_what_is_said_of_other_changes(change: GuestWrite, verdict: str, told_of_it: str) -> None:
    assert told(change)[0] == f"{verdict}: the guard in guard (pid 26) was {told_of_it}"


def test_the_copy_is_the_outermost_of_those_that_make_it() -> None:
    target = FakeTarget({"rip": 0x1010, "rsp": 0x9000}, kind="native", cr3=None)
    names = ("memcpy_orig", "copy_chunk_to_user", "raw_copy_to_user", "copy_page_to_iter", "handle_syscall")
    for number, name in enumerate(names):
        target.place(name, 0x1000 * (number + 1), 0x100, "file.c", number)
        target.frame(0x1000 * (number + 1) + 0x10, 0x9000 + number)
    _, confidence, evidence = told(write(call=SystemCall(16, (0, 0, 0)), place=0x6200_0000), target)
    assert "copy: raw_copy_to_user, called by copy_page_to_iter (file.c:3)" in evidence
    assert "on behalf of: copy_page_to_iter < handle_syscall" in evidence
    assert confidence == "certain"


def test_a_guard_that_is_found_overwritten() -> None:
    target = FakeUml()
    place = target.process(0x6200_0000, 26)
    target.run(0x6200_0000)
    guards = Guards()
    assert guest_guard(Scene(target, {}, guards)) is None
    scene = Scene(target, {"expected-guard": hex(GUARD)}, guards)
    assert guest_guard(scene) is None
    target.put_words(place, 0x4141)
    finding = guest_guard(scene)
    assert finding is not None and finding.summary.startswith("undecidable: the guard in guard (pid 26) is overwritten")


def test_nothing_is_said_of_other_targets() -> None:
    assert guest_guard(Scene(FakeTarget({}), {}, Guards())) is None
    assert guest_guard(Scene(FakeUml(), {}, Guards())) is None


def test_what_a_call_was_asked_to_fill() -> None:
    asked = asked_range(SystemCall(318, (0x1000, 16, 0)))
    assert asked is not None and (asked.start, asked.size) == (0x1000, 16)
    assert asked_range(SystemCall(1, (1, 0x1000, 16))) is None
    assert asked_range(SystemCall(9999, (1, 2, 3))) is None
    assert asked_range(SystemCall(0, (1,))) is None
