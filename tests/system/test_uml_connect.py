"""Connecting to a user-mode Linux kernel and letting go of it: everything is as it was."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
from typing import Iterator

import pytest
import support
import uml

ROUNDS = 50
NOBODY = 65534
# Reads how the kernel's process handles SIGCHLD, by a system call of its own.
SIGCHLD = """python
from gdb_kdbg.live.injection import injecting
with injecting() as injection:
    place = injection.scratch(bytes(32))
    injection.call("rt_sigaction", 17, 0, place, 8)
    print("SIGCHLD", injection.read_scratch(32).hex())
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[uml.Guest]:
    with uml.boot(tmp_path_factory.mktemp("uml")) as booted:
        yield booted


def script(directory: pathlib.Path, text: str, name: str = "script.gdb") -> str:
    path = directory / name
    path.write_text(text)
    return f"source {path}"


def sigchld(output: support.GdbOutput) -> list[int]:
    """The flags that SIGCHLD had, each time they were read."""
    return [
        struct.unpack("<QQQQ", bytes.fromhex(text))[1] for text in re.findall(r"^SIGCHLD (\w+)$", output.text, re.M)
    ]


def said(word: str) -> str:
    """A GDB line that tells how far GDB is, at once."""
    return f"python gdb.write('{word}\\n'); gdb.flush()"


def read_to(gdb: subprocess.Popen[bytes], word: bytes) -> None:
    assert gdb.stdout is not None
    assert any(line.strip() == word for line in gdb.stdout), "GDB ended before"


def test_what_is_connected_is_told(guest: uml.Guest) -> None:
    output = support.gdb([f"kdbg connect uml {guest.pid}", "kdbg connect uml", "detach"])
    first, again = output.data("connect", 0), output.data("connect", 1)
    assert first["connected"] == f"process {guest.pid}, {guest.kernel.vmlinux}"
    assert (first["mode"], first["kernel"][:16]) == ("user-mode Linux", "Linux version 6.")
    assert first["tasks"] > 10 and output.problems("connect") == []
    assert again["done"][0] == "connected already"


def test_helpers_lead_to_their_kernel(guest: uml.Guest) -> None:
    helpers = guest.processes().keys() - {guest.pid}
    assert len(helpers) >= 2
    for helper in sorted(helpers)[:2]:
        output = support.gdb([f"kdbg connect uml {helper}", "info inferiors", "detach"])
        assert output.data("connect")["connected"].startswith(f"process {guest.pid},")
        assert f"process {guest.pid} " in output.text


def test_signals_and_notifications_are_as_before(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    read = script(tmp_path, SIGCHLD + "end\n")
    signals = ["handle SIGUSR1 stop print nopass", "info signals SIGUSR1", "info signals SIGSEGV"]
    connect = f"kdbg connect uml {guest.pid}"
    lines = [*signals, connect, *signals[1:], read, "detach", *signals[1:], f"attach {guest.pid}", read, "detach"]
    output = support.gdb(lines)
    answers = re.findall(r"^(SIGUSR1|SIGSEGV)\s+(Yes|No)\s+(Yes|No)\s+(Yes|No)\s+\w", output.text, re.MULTILINE)
    assert answers[-6:] == [
        ("SIGUSR1", "Yes", "Yes", "No"), ("SIGSEGV", "Yes", "Yes", "Yes"),
        ("SIGUSR1", "No", "No", "Yes"), ("SIGSEGV", "No", "No", "Yes"),
        ("SIGUSR1", "Yes", "Yes", "No"), ("SIGSEGV", "Yes", "Yes", "Yes"),
    ]  # fmt: skip
    connected, after = sigchld(output)
    assert (connected & 1, after & 1) == (1, 0)


@pytest.mark.parametrize("ending", ["detach", "detach inferiors 1", "quit", ""])
def test_every_way_of_leaving_undoes_it(ending: str, guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    before = uml.state(guest)
    support.gdb([f"kdbg connect uml {guest.pid}", "kdbg canary --syscalls", *([ending] if ending else [])])
    after = support.gdb([f"attach {guest.pid}", script(tmp_path, SIGCHLD + "end\n"), "detach"])
    assert sigchld(after) == [0]
    assert uml.state(guest) == before
    assert "ended with 0" in guest.do("guard")


BACKGROUND = "continue&"


# A GDB that waits for the kernel takes no commands.
@pytest.mark.parametrize(
    ("resumed", "ending"),
    [("continue", "SIGTERM"), ("continue", "SIGHUP"), *((BACKGROUND, how) for how in ("SIGTERM", "quit", "detach"))],
)
def test_a_kernel_that_runs_is_left_as_it_was_too(
    resumed: str, ending: str, guest: uml.Guest, tmp_path: pathlib.Path
) -> None:
    before = uml.state(guest)
    lines = [f"source {support.ROOT / 'gdbinit.py'}", f"kdbg connect uml {guest.pid}", "kdbg overlap", resumed]
    status, typed = pathlib.Path(f"/proc/{guest.pid}/status"), "" if ending.startswith("SIG") else f"{ending}\nquit\n"
    with subprocess.Popen(
        ["gdb", "-nx", "-q", *(word for line in lines for word in ("-ex", line))], start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as gdb:  # fmt: skip
        assert gdb.stdout is not None
        assert any("Continuing" in line for line in gdb.stdout), "it does not go on"
        support.wait_until(lambda: "tracing stop" not in status.read_text(), "the kernel does not run")
        if ending.startswith("SIG"):
            gdb.send_signal(signal.Signals[ending])
        output = gdb.communicate(typed, timeout=support.DEADLINE)[0]
    assert "TracerPid:\t0\n" in status.read_text() and "kdbg: " not in output, output
    assert uml.state(guest) == before
    after = support.gdb([f"attach {guest.pid}", script(tmp_path, SIGCHLD + "end\n"), "detach"])
    assert sigchld(after) == [0]
    assert "ended with 0" in guest.do("calls 100")


def test_fifty_rounds_leave_no_trace(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    guest.do("calls 10")
    before = uml.state(guest)
    one = [
        f"kdbg connect uml {guest.pid}", "kdbg canary --syscalls", "tbreak __do_sys_newuname",
        uml.typed(guest, "calls 10"), "continue", "kdbg watch guard", "kdbg canary --off", "detach",
    ]  # fmt: skip
    position = len(guest.console)
    output = support.gdb(
        [script(tmp_path, "\n".join(one * ROUNDS) + "\n")], json_format=False, deadline=support.DEADLINE + 10 * ROUNDS
    )
    assert output.text.count("connected: ") == ROUNDS and "kdbg: " not in output.text
    support.wait_until(lambda: guest.console[position:].count("calls ended with 0") == ROUNDS, "not all were done")
    assert uml.state(guest) == before
    after = support.gdb([f"attach {guest.pid}", script(tmp_path, SIGCHLD + "end\n"), "detach"])
    assert sigchld(after) == [0]
    assert "all right" in guest.do("files 20")


def test_a_gdb_that_is_killed_leaves_a_kernel_that_runs(tmp_path: pathlib.Path) -> None:
    # Not the kernel of the others: its SIGCHLD stays without notifications at first.
    with uml.boot(tmp_path) as guest:
        lines = [f"source {support.ROOT / 'gdbinit.py'}", f"kdbg connect uml {guest.pid}", said("ON"), "continue"]
        words = [word for line in lines for word in ("-ex", line)]
        with subprocess.Popen(
            ["gdb", "-nx", "-batch", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as gdb:
            read_to(gdb, b"ON")
            gdb.kill()
        assert "ended with 0" in guest.do("calls 100")
        assert "ended with 0" in guest.do("guard")
        read, attach = script(tmp_path, SIGCHLD + "end\n"), f"attach {guest.pid}"
        output = support.gdb([attach, read, "kdbg connect uml", "detach", attach, read, "detach"])
        assert sigchld(output) == [1, 0], "what it left is gone after the next one"


def test_frames_of_modules_unwind(guest: uml.Guest) -> None:
    guest.do("overlap nothing")
    lines = ["break order_written", uml.typed(guest, "overlap nothing"), "continue"]
    output = support.gdb([f"kdbg connect uml {guest.pid}", *lines, "backtrace", "detach", "info scope order_written"])
    assert re.search(r"module overlap: .*overlap\.ko", "\n".join(output.data("connect")["done"]))
    frames = re.findall(r"^#(\d+) +(?:0x[0-9a-f]+ in )?(\w+) \(", output.text, re.MULTILINE)
    names = [name for _, name in frames]
    assert names[0] == "order_written" and {"vfs_write", "handle_syscall", "userspace"} <= set(names), output.text
    assert "order_written" in output.text.splitlines()[-1] and "not defined" in output.text, "and they are gone again"


def test_symbols_of_a_module_that_is_loaded_later(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        lines = [
            "break do_init_module", uml.typed(guest, "leaf story"), "continue", "delete", "kdbg connect uml",
            "python print('LEAF', [o.filename for o in gdb.objfiles() if 'leaf' in o.filename])",
        ]  # fmt: skip
        output = support.gdb([f"kdbg connect uml {guest.pid}", *lines, "detach"])
        assert output.data("connect", 0)["done"] == []
        assert "leaf.ko" in "".join(output.data("connect", 1)["done"])
        assert re.search(r"LEAF \[.*leaf\.ko", output.text)


def test_modules_without_a_file_are_named(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "vmlinux"
    elsewhere.parent.mkdir()
    shutil.copy(guest.kernel.vmlinux, elsewhere)
    with uml.boot(tmp_path / "uml", environment={"KDBG_UML_KERNEL": str(elsewhere)}) as other:
        other.do("overlap nothing")
        connect, path = f"kdbg connect uml {other.pid}", f"set kdbg module-path {tmp_path}:{guest.kernel.modules}"
        output = support.gdb([connect, path, connect, "detach"])
        assert output.problems("connect", 0) == ["no file of module overlap found (set kdbg module-path DIRECTORY)"]
        assert output.problems("connect", 1) == []
        assert output.data("connect", 1)["done"][1] == f"module overlap: {guest.kernel.modules / 'overlap.ko'}"


def test_several_kernels(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path / "other") as other:
        output = support.gdb(["kdbg connect uml", "info inferiors", f"complete kdbg connect uml {other.pid}"])
        assert "several kernels run:" in output.text and "say which: kdbg connect uml PID" in output.text
        assert f"{guest.pid} (" in output.text and f"{other.pid} (" in output.text
        assert "<null>" in output.text, "nothing was attached to"
        assert f"kdbg connect uml {other.pid}" in output.text.splitlines()


def test_what_is_no_kernel(guest: uml.Guest) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        lines = ["kdbg connect uml nonsense", "kdbg connect uml 4194305", f"kdbg connect uml {process.pid}"]
        output = support.gdb([*lines, "info signals SIGUSR1", "info inferiors"])
        process.kill()
    assert "not a process id: 'nonsense'" in output.text
    assert "there is no process 4194305" in output.text
    assert f"process {process.pid} (" in output.text and "is no user-mode Linux kernel" in output.text
    assert re.search(r"^SIGUSR1\s+Yes\s+Yes\s+Yes", output.text, re.MULTILINE) and "<null>" in output.text


def test_a_program_that_is_debugged_already_is_left_alone(guest: uml.Guest) -> None:
    output = support.gdb(["starti", f"kdbg connect uml {guest.pid}", "info inferiors"], "/bin/true")
    assert re.search(r"this GDB debugs process \d+ already", output.text)
    assert "/bin/true" in output.text.splitlines()[-1]


def test_a_kernel_that_is_traced_already(guest: uml.Guest) -> None:
    with tracer(guest) as other:
        output = support.gdb([f"kdbg connect uml {guest.pid}", "info signals SIGUSR1"])
        assert f"process {guest.pid} is traced already, by process {other} (gdb): detach that first" in output.text
    assert re.search(r"^SIGUSR1\s+Yes\s+Yes\s+Yes", output.text, re.MULTILINE)
    assert "ended with 0" in guest.do("guard")


@contextlib.contextmanager
def tracer(guest: uml.Guest) -> Iterator[int]:
    """Another GDB that holds the kernel."""
    words = ["gdb", "-nx", "-q", "-p", str(guest.pid), "-ex", said("THERE")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as gdb:
        read_to(gdb, b"THERE")
        yield gdb.pid
        assert gdb.stdin is not None
        gdb.stdin.write(b"detach\nquit\n")
        gdb.stdin.close()
        gdb.wait(support.DEADLINE)


def test_without_permission(guest: uml.Guest) -> None:
    support.require("setpriv")
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    words = ["-ex", f"source {support.ROOT / 'gdbinit.py'}", "-ex", f"kdbg connect uml {guest.pid}"]
    done = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "gdb", "-nx", "-batch", *words],
        capture_output=True, text=True, cwd="/", env={**os.environ, "HOME": "/"}, timeout=support.DEADLINE,
    )  # fmt: skip
    if "No such file" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("another user cannot read this directory")
    assert f"no permission to look at process {guest.pid}, which belongs to user 0" in done.stderr


def test_a_stripped_kernel(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path, environment={"KDBG_UML_KERNEL": uml.stripped()}) as guest:
        lines = [
            f"kdbg connect uml {guest.pid}",
            "kdbg canary --all",
            "kdbg canary --syscalls",
            "kdbg canary",
            "detach",
        ]
        output = support.gdb(lines)
        (problem,) = output.problems("connect")
        assert "this kernel has no symbols" in problem and "remain" in problem and "file VMLINUX" in problem
        assert "needs a user-mode Linux kernel with symbols" in output.text
        assert "the system calls of its guests cannot be checked" in output.text
        assert output.data("canary")["verdict"] == "intact", "of the process itself"


BREAK = """python
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.live.uml import UmlConnection
def fail(self):
    raise KdbgError("this is a test")
UmlConnection._stop_notifications = fail
end
"""
HANDLED = ["info signals SIGUSR1", "info signals SIGSEGV"]
UNTOUCHED = re.compile(r"^SIG(?:USR1|SEGV)\s+Yes\s+Yes\s+Yes\b", re.MULTILINE)


def test_an_error_in_the_middle_undoes_what_was_done(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    before = uml.state(guest)
    lines = [script(tmp_path, BREAK), f"kdbg connect uml {guest.pid}", *HANDLED, "info inferiors", "kdbg connect uml"]
    output = support.gdb(lines)
    assert "kdbg: this is a test" in output.text
    assert len(UNTOUCHED.findall(output.text)) == 2 and "<null>" in output.text
    assert uml.state(guest) == before and "TracerPid:\t0" in pathlib.Path(f"/proc/{guest.pid}/status").read_text()


def test_a_hook_of_the_user_is_kept(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    hook = script(tmp_path, "define hook-detach\necho hooked\\n\nend\n", "hook.gdb")
    read = script(tmp_path, SIGCHLD + "end\n")
    connect = f"kdbg connect uml {guest.pid}"
    output = support.gdb([hook, connect, "detach", connect, "detach", f"attach {guest.pid}", read, "detach"])
    assert output.text.count("hooked") == 3 and sigchld(output) == [0]


def test_a_kernel_that_ends(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        lines = [
            f"kdbg connect uml {guest.pid}",
            "kdbg canary --syscalls",
            uml.typed(guest, "halt"),
            "continue",
            "kdbg",
        ]
        output = support.gdb([*lines, *HANDLED, "info breakpoints"])
        assert "exited normally" in output.text
        assert len(UNTOUCHED.findall(output.text)) == 2
        assert re.search(r"^No breakpoints(,| or) watchpoints", output.text, re.MULTILINE)


def test_a_kernel_that_is_attached_to_already(guest: uml.Guest, tmp_path: pathlib.Path) -> None:
    read = script(tmp_path, SIGCHLD + "end\n")
    lines = [f"attach {guest.pid}", "kdbg connect uml", read, "detach", f"attach {guest.pid}", read, "detach"]
    output = support.gdb(lines)
    assert output.data("connect")["connected"].startswith(f"process {guest.pid},")
    assert sigchld(output) == [1, 0]


def test_with_a_probe_for_overlaps(guest: uml.Guest) -> None:
    before = uml.state(guest)
    lines = [f"kdbg connect uml {guest.pid}", "kdbg overlap memcpy --count", "kdbg canary --syscalls", "detach"]
    output = support.gdb([*lines, *lines])
    assert len([item for item in output.objects if item["command"] == "overlap"]) == 2
    assert uml.state(guest) == before
    assert "all right" in guest.do("files 20")


def test_a_kernel_that_is_stopped_stays_so(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        os.kill(guest.pid, signal.SIGSTOP)
        support.wait_until(lambda: guest.processes()[guest.pid] == "T", "it does not stop")
        read, connect = script(tmp_path, SIGCHLD + "end\n"), f"kdbg connect uml {guest.pid}"
        output = support.gdb([connect, read, "detach", connect, "detach", f"attach {guest.pid}", read, "detach"])
        assert sigchld(output) == [1, 0]
        assert guest.processes()[guest.pid] == "T"
        os.kill(guest.pid, signal.SIGCONT)
        assert "ended with 0" in guest.do("guard")
