"""The kernel among its helpers, from a /proc made by hand; and what `kdbg connect` makes of its words."""

from __future__ import annotations

import pathlib
import struct
from typing import Optional, Sequence

import pytest
from elf_builder import Builder, Sym
from fakes import FakeSession

from gdb_kdbg.connect_command import connect
from gdb_kdbg.errors import KdbgError, NotSupported
from gdb_kdbg.registry import candidates, commands
from gdb_kdbg.uml_processes import Processes, choose, kernels

CPU_TASKS = 0x6000_2000
SECTIONS = (".uml.setup.init", ".uml.exitcall", ".syscall_stub")


def kernel_file(path: pathlib.Path, machine: int = 62, sections: Sequence[str] = SECTIONS) -> pathlib.Path:
    builder = Builder()
    for number, name in enumerate(sections):
        builder.section(name, 1, 0x6000_0000 + 0x100 * number, b"x" * 16)
    builder.section(".data", 1, CPU_TASKS, bytes(16))
    builder.symbols([Sym("cpu_tasks", CPU_TASKS, 16)])
    data = bytearray(builder.build())
    struct.pack_into("<H", data, 18, machine)
    path.write_bytes(data)
    return path


class Proc:
    """A directory like /proc."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.kernel = kernel_file(root / "vmlinux")
        self.other = kernel_file(root / "sleep", sections=())

    def add(self, pid: int, parent: int, file: Optional[pathlib.Path], tracer: int = 0, main: int = 0) -> None:
        entry = self.root / str(pid)
        entry.mkdir()
        if file is not None:
            (entry / "exe").symlink_to(file)
        (entry / "status").write_text(f"Name:\tx\nPPid:\t{parent}\nTracerPid:\t{tracer}\nUid:\t7\t7\t7\t7\n")
        (entry / "cmdline").write_bytes(b"./vmlinux\0root=/dev/root\0")
        with (entry / "mem").open("wb") as memory:
            memory.seek(CPU_TASKS)
            memory.write(struct.pack("<iiQ", main or pid, 0, 0))

    @property
    def processes(self) -> Processes:
        return Processes(str(self.root))


@pytest.fixture
def proc(tmp_path: pathlib.Path) -> Proc:
    made = Proc(tmp_path)
    made.add(1, 0, made.other)
    made.add(100, 1, made.kernel)
    for helper in (101, 102):
        made.add(helper, 100, made.kernel, main=100)
    return made


def test_the_kernel_is_the_one_whose_parent_is_none(proc: Proc) -> None:
    assert [kernel.pid for kernel in kernels(proc.processes)] == [100]
    chosen = choose("", proc.processes)
    assert (chosen.pid, chosen.executable, chosen.command) == (100, str(proc.kernel), "./vmlinux root=/dev/root")


def test_a_helper_that_outlived_its_kernel_is_none(proc: Proc) -> None:
    proc.add(90, 1, proc.kernel, main=80)
    assert [kernel.pid for kernel in kernels(proc.processes)] == [100]


def test_a_kernel_of_linux_6_11_holds_a_pointer_there(proc: Proc) -> None:
    proc.add(200, 1, proc.kernel, main=0x6038_CAC0)
    assert [kernel.pid for kernel in kernels(proc.processes)] == [100, 200]


def test_a_helper_leads_to_its_kernel(proc: Proc) -> None:
    proc.add(103, 102, proc.kernel, main=100)
    assert choose("103", proc.processes).pid == 100


def test_an_executable_that_was_removed_is_opened_by_its_process(proc: Proc) -> None:
    proc.add(300, 1, kernel_file(proc.root / "gone"))
    held = proc.root / "held"
    (proc.root / "gone").rename(held)
    (proc.root / "300" / "exe").unlink()
    (proc.root / "300" / "exe").symlink_to(held)
    assert choose("300", proc.processes).executable == str(held)


def test_several_kernels_are_named(proc: Proc) -> None:
    proc.add(200, 1, proc.kernel)
    with pytest.raises(
        KdbgError, match=r"several kernels run: 100 \(.*\), 200 \(.*\); say which: kdbg connect uml PID"
    ):
        choose("", proc.processes)
    assert choose("200", proc.processes).pid == 200


def test_no_kernel_runs(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KdbgError, match="no user-mode Linux kernel runs here"):
        choose("", Processes(str(tmp_path)))


@pytest.mark.parametrize("word", ["x", "-1", "0x64", "1 2", "٣"])
def test_what_is_no_process_id(word: str, proc: Proc) -> None:
    with pytest.raises(KdbgError, match="not a process id|no process"):
        choose(word, proc.processes)


def test_what_is_no_kernel(proc: Proc) -> None:
    with pytest.raises(KdbgError, match="there is no process 555"):
        choose("555", proc.processes)
    with pytest.raises(NotSupported, match=r"process 1 \(.*sleep\) is no user-mode Linux kernel"):
        choose("1", proc.processes)
    proc.add(2, 0, None)
    with pytest.raises(KdbgError, match="process 2 has no executable"):
        choose("2", proc.processes)
    (proc.root / "script").write_text("#!/bin/sh")
    proc.add(3, 1, proc.root / "script")
    with pytest.raises(NotSupported, match="is no user-mode Linux kernel"):
        choose("3", proc.processes)


def test_a_kernel_for_another_processor(proc: Proc) -> None:
    proc.add(400, 1, kernel_file(proc.root / "other", machine=183))
    with pytest.raises(
        NotSupported, match="process 400 is a user-mode Linux kernel for aarch64: kdbg knows x86-64 only"
    ):
        choose("400", proc.processes)


def test_a_kernel_that_is_traced(proc: Proc) -> None:
    proc.add(500, 1, proc.kernel, tracer=1)
    with pytest.raises(KdbgError, match=r"process 500 is traced already, by process 1 \(x\): detach that first"):
        choose("500", proc.processes)


def test_without_permission(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Processes, pid: int) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Processes, "executable", refuse)
    with pytest.raises(KdbgError, match="no permission to look at process 100, which belongs to user 7"):
        choose("100", proc.processes)
    monkeypatch.setattr("os.getuid", lambda: 7)
    with pytest.raises(KdbgError, match="process 100, although it belongs to the same user .*CAP_SYS_PTRACE"):
        choose("100", proc.processes)


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("", "localhost:1234"), ("1235", "localhost:1235"), (":7", "localhost:7"), ("box:99", "box:99"),
        ("[::1]:99", "[::1]:99"), ("/tmp/stub", "/tmp/stub"),
    ],
)  # fmt: skip
def test_the_place_of_a_stub(where: str, place: str) -> None:
    session = FakeSession(None)
    connect(session, "qemu", where)
    assert session.connected == [place]


@pytest.mark.parametrize("where", ["box", "box:", "box:0", "box:65536", "1:2:3", "box:-1", "box:x"])
def test_what_is_no_place_of_a_stub(where: str) -> None:
    session = FakeSession(None)
    with pytest.raises(KdbgError, match="not a place of a stub"):
        connect(session, "qemu", where)
    assert session.connected == []


def test_process_ids_are_completed() -> None:
    command = next(command for command in commands() if command.name == "connect")
    assert list(candidates(command, [])) == ["uml", "qemu"]
    assert list(candidates(command, ["uml"], ["4711"])) == ["4711"]
    assert list(candidates(command, ["qemu"])) == []
