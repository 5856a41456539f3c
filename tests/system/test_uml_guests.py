"""The guards of a user-mode Linux guest's processes: what they are, and who writes over them."""

from __future__ import annotations

import pathlib
import re
import subprocess
from typing import Iterator, NamedTuple, Sequence

import pytest
import support
import uml
from support import GdbOutput

SMASHED = 0x4141414141414141


class Printed(NamedTuple):
    """A guard as the guest's program prints it."""

    guard: int
    address: int
    pid: int


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[uml.Guest]:
    with uml.boot(tmp_path_factory.mktemp("uml")) as booted:
        yield booted


def printed(text: str) -> Sequence[Printed]:
    found = re.findall(r"^guard 0x(\w+) at 0x(\w+) pid (\d+)$", text, re.MULTILINE)
    return [Printed(int(guard, 16), int(address, 16), int(pid)) for guard, address, pid in found]


def session(guest: uml.Guest, *lines: str, last: str = "") -> tuple[GdbOutput, str]:
    """Run GDB connected to the kernel; return what it printed, and the console up to the end of the last command."""
    position = len(guest.console)
    output = support.gdb([f"kdbg connect uml {guest.pid}", *lines, "detach"])
    if last:
        guest.wait_for(rf"^guest: {last} ended with \d+$", position)
    return output, guest.console[position:]


def at_read(guest: uml.Guest) -> list[str]:
    """GDB lines that stop where the program is about to read over its guard."""
    (before,) = printed(guest.do("guard"))
    condition = f"r->gp[15] == 0 && r->gp[13] == {before.address:#x}"
    return [f"break handle_syscall if {condition}", uml.typed(guest, "guard_over"), "continue", "delete"]


def test_the_guard_is_what_the_program_prints(guest: uml.Guest) -> None:
    output, console = session(guest, *at_read(guest), "kdbg canary", "kdbg", last="guard_over")
    (shown,) = printed(console)
    canary = output.data("canary")
    assert int(canary["guard"], 16) == shown.guard
    assert int(canary["guard_address"], 16) == shown.address == int(output.data("status")["guard_address"], 16)
    assert canary["process"] == f"guard (pid {shown.pid})"
    assert (canary["verdict"], canary["expected"]) == ("intact", canary["guard"])
    status = output.data("status")
    assert status["current_task"] == f"guard (pid {shown.pid})"
    assert (status["mode"], status["kernel"][:14]) == ("user-mode Linux", "Linux version ")


def test_all_guards_of_six_processes(guest: uml.Guest) -> None:
    shown = {one.pid: one for one in printed(guest.do("guards 6"))}
    output, _ = session(guest, "kdbg canary --all")
    rows = {row["pid"]: row for row in output.data("canary")["tasks"]}
    assert len(shown) == 6 and output.problems("canary") == []
    for pid, one in shown.items():
        assert (int(rows[pid]["guard"], 16), int(rows[pid]["guard_address"], 16)) == (one.guard, one.address)
        assert (rows[pid]["task"], rows[pid]["verdict"]) == ("guard", "intact")
    assert rows[1]["task"] == "init"
    assert not {0, 2} & rows.keys(), "threads of the kernel have no guard"


def test_a_system_call_over_the_guard_is_told_at_once(guest: uml.Guest) -> None:
    lines = [uml.typed(guest, "guard", "calls 20", "guard_frame", "guard_over"), "kdbg canary --syscalls", "continue"]
    output, console = session(guest, *lines, "kdbg canary", "backtrace", last="guard_over")
    shown = printed(console)[-1]
    assert len([item for item in output.objects if item["command"] == "why"]) == 1, "and nothing while healthy"
    (finding,) = output.data("why")["findings"]
    facts = finding["facts"]
    assert finding["summary"] == (
        f"caller at fault: guard (pid {shown.pid}) let read(0x3, {shown.address:#x}, 0x8) write over its guard"
    )
    assert (finding["confidence"], facts["system_call"], facts["process"]) == ("certain", "read", "guard")
    assert (int(facts["expected"], 16), int(facts["found"], 16)) == (shown.guard, SMASHED)
    canary = output.data("canary")
    assert (canary["verdict"], int(canary["guard"], 16)) == ("corrupted", SMASHED)
    assert "userspace" in output.text
    # At the very call: the program says afterwards what it has read.
    stopped = console.index(f"guard 0x{shown.guard:016x}")
    assert "guard: read 8 bytes over it" in console[stopped:]


def test_a_system_call_that_began_before_the_check_is_told(guest: uml.Guest) -> None:
    output, console = session(guest, *at_read(guest), "kdbg canary --syscalls", "continue", last="guard_over")
    (shown,) = printed(console)
    assert f"guard (pid {shown.pid}) let read(0x3," in output.data("why")["findings"][0]["summary"]


def test_a_copy_over_the_guard_is_caught_in_the_act(guest: uml.Guest) -> None:
    output, console = session(guest, *at_read(guest), "kdbg watch guard", "continue", last="guard_over")
    (shown,) = printed(console)
    (finding,) = output.data("why")["findings"]
    assert f"guard (pid {shown.pid}) let read(0x3, {shown.address:#x}, 0x8)" in finding["summary"]
    assert finding["facts"]["routine"] == "raw_copy_to_user"
    assert (int(finding["facts"]["expected"], 16), int(finding["facts"]["found"], 16)) == (shown.guard, SMASHED)
    evidence = "\n".join(finding["evidence"])
    assert "memcpy" in evidence and "handle_syscall" in evidence
    assert "kdbg canary --syscalls" in output.problems("watch")[0], "what is not seen is said"


def test_nothing_is_told_of_a_healthy_guest(guest: uml.Guest) -> None:
    # The last one makes the kernel stop for another reason.
    commands = ["guard", "calls 50", "files 5", "guards 3", "guard_frame", "overlap nothing"]
    lines = ["kdbg canary --syscalls", "tbreak do_init_module", uml.typed(guest, *commands), "continue"]
    output, console = session(guest, *lines, "kdbg why", "kdbg canary --all", "kdbg canary --off", last="overlap")
    assert output.data("why")["findings"] == [] and len(printed(console)) == 5
    assert {row["verdict"] for row in output.data("canary", -2)["tasks"]} == {"intact"}
    assert "guard_frame ended with 134" in console, "a canary in a frame is not the guard"


def test_a_watched_process_that_is_gone_is_not_confused_with_others(guest: uml.Guest) -> None:
    lines = [*at_read(guest), "kdbg watch guard"]
    after = [uml.typed(guest, "guards 4", "calls 10", "guard_over"), "kdbg canary --syscalls", "continue", "continue"]
    output, console = session(guest, *lines, *after, last="guards")
    told = [item["data"]["findings"][0]["summary"] for item in output.objects if item["command"] == "why"]
    first, second = printed(console)[0], printed(console)[-1]
    assert len(told) == 2 and all(f"(pid {first.pid})" in text for text in told)
    assert second.pid != first.pid


def test_a_thread_of_the_kernel_has_no_guard(guest: uml.Guest) -> None:
    output, _ = session(guest, "kdbg canary", "kdbg watch guard", "kdbg canary --syscalls")
    assert output.text.count("is a thread of its own and no guest process: kdbg canary --all") == 2
    assert len(output.data("canary")["armed"]) == 2, "the checks do not need a process"


def test_guards_in_a_core_dump_of_the_kernel(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    core = tmp_path / "core"
    guest.do("guards 4")
    live, _ = session(guest, "kdbg canary --all", f"generate-core-file {core}")
    rows = live.data("canary")["tasks"]
    assert len(rows) >= 5
    vmlinux = str(guest.kernel.vmlinux)
    inside = support.gdb(["kdbg canary --all", "kdbg", "kdbg canary --syscalls"], vmlinux, str(core))
    assert inside.data("canary")["tasks"] == rows
    assert inside.data("status")["mode"] == "user-mode Linux"
    assert "a core dump cannot be changed or run" in inside.text
    outside = support.kdbg("canary", "--all", "--core", str(core), vmlinux)
    assert outside.data("canary")["tasks"] == rows


def test_tasks_of_other_targets_are_not_known(tmp_path: pathlib.Path) -> None:
    output = support.gdb(["starti", "kdbg canary --all"], "/bin/true")
    assert "the tasks of this target (native) are not known: this needs a user-mode Linux kernel" in output.text


SLOW = """python
import time
from gdb_kdbg.syscalls import SystemCallChecker
quick = SystemCallChecker.check
def slow(*arguments):
    end = time.monotonic() + 0.025
    while time.monotonic() < end:
        pass
    return quick(*arguments)
SystemCallChecker.check = slow
end
"""


def test_a_check_that_takes_longer_than_a_tick_gets_on(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "slow.gdb"
    script.write_text(SLOW)
    lines = [f"source {script}", "kdbg canary --syscalls", uml.typed(guest, "guard_over"), "continue"]
    output, console = session(guest, *lines, last="guard_over")
    (shown,) = printed(console)
    (finding,) = output.data("why")["findings"]
    assert f"guard (pid {shown.pid}) let read(" in finding["summary"]


def test_guards_over_gdbserver(guest: uml.Guest) -> None:
    support.require("gdbserver")
    words = ["gdbserver", "--once", "--attach", "localhost:0", str(guest.pid)]
    position = len(guest.console)
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        port = next(found[1] for line in server.stderr if (found := re.search(r"on port (\d+)", line)))
        lines = [
            f"target remote localhost:{port}", "handle SIGSEGV SIGUSR1 SIGALRM SIGIO SIGCHLD nostop noprint pass",
            "kdbg canary --all", "kdbg canary --syscalls", uml.typed(guest, "guard_over"), "continue",
            f"kdbg connect uml {guest.pid}", "kdbg canary --off", "detach",
        ]  # fmt: skip
        output = support.gdb(lines, str(guest.kernel.vmlinux))
    guest.wait_for(r"^guest: guard_over ended with \d+$", position)
    (shown,) = printed(guest.console[position:])
    assert 1 in {row["pid"] for row in output.data("canary", 0)["tasks"]}
    assert f"guard (pid {shown.pid}) let read(0x3," in output.data("why")["findings"][0]["summary"]
    assert "kdbg: " in output.text, "what connect does needs a native process"
