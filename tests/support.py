"""What the tests share: building real programs and kernels, running real GDBs, waiting for lines with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import subprocess
import time
from typing import Any, Callable, Iterator, Mapping, NoReturn, Optional, Sequence

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNEL_SOURCE = ROOT / "examples" / "kernel"
# Far above what anything takes: it ends what hangs, and times nothing, however busy the machine is.
DEADLINE = 240.0
GDB_ABORTS = "inferior_thread: Assertion `current_thread_ != nullptr' failed"
# By itself GDB asks a stub again that has not answered within two seconds, and gives it up in the end.
PATIENT = f"set remotetimeout {DEADLINE:.0f}"
KernelBuilder = Callable[..., pathlib.Path]


def require(*tools: str) -> None:
    """Skip without a tool, or fail where KDBG_REQUIRE says that it must be there."""
    names = {"qemu": "qemu-system-x86_64"}
    for tool in tools:
        if shutil.which(names.get(tool, tool)) is None:
            lacking(tool, f"{tool} is not installed (scripts/setup --for test installs it)")


def lacking(what: str, message: str) -> NoReturn:
    """Skip because something is not here, or fail where KDBG_REQUIRE says that it must be."""
    if what in os.environ.get("KDBG_REQUIRE", "").split(","):
        pytest.fail(message)
    pytest.skip(message)


def run(*command: str, cwd: Optional[pathlib.Path] = None) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=DEADLINE, errors="replace")
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def large_host(directory: pathlib.Path) -> dict[str, str]:
    """The environment in which ptrace shows this host as one with AMX."""
    require("gcc")
    library = directory / "large_host.so"
    run("gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(ROOT / "tests" / "programs" / "large_host.c"), "-ldl")
    return {"LD_PRELOAD": str(library)}


class GdbOutput:
    """What a GDB printed: its text, and the JSON objects of kdbg in it."""

    def __init__(self, text: str, status: int) -> None:
        self.text = text
        self.status = status
        self.objects: list[dict[str, Any]] = [json.loads(x) for x in text.splitlines() if x.startswith('{"schema"')]

    def data(self, command: str, index: int = -1) -> Any:
        """The data of one result of a command, the last one if not said otherwise."""
        found = [item for item in self.objects if item["command"] == command]
        assert found, f"no result of {command} in:\n{self.text}"
        return found[index]["data"]

    def problems(self, command: str, index: int = -1) -> list[str]:
        found = [item for item in self.objects if item["command"] == command]
        assert found, f"no result of {command} in:\n{self.text}"
        return list(found[index]["problems"])


def gdb(
    lines: Sequence[str],
    *arguments: str,
    program: str = "gdb",
    json_format: bool = True,
    may_abort: bool = False,
    environment: Optional[Mapping[str, str]] = None,
    directory: Optional[pathlib.Path] = None,
    deadline: float = DEADLINE,
) -> GdbOutput:
    """Run GDB on a script of lines, each in one `-ex`, with kdbg sourced; an error does not end the script."""
    script = [f"source {ROOT / 'gdbinit.py'}", "set pagination off", "set confirm off", "set width 0"]
    script += [PATIENT]
    script += ["set kdbg format json"] if json_format else []
    words = [word for line in [*script, *lines] for word in ("-ex", line)]
    env = {**os.environ, **(environment or {})}
    done = _run_gdb([program, "-nx", "-batch", *words, *arguments], deadline, env, directory)
    if may_abort and GDB_ABORTS in done.stdout:
        pytest.xfail("this GDB aborts by itself when a stub dies under Inferior.read_memory (seen with GDB 16)")
    died = _has_died(done)
    if died and _has_died(_run_gdb([program, "-nx", "-batch", *_without_kdbg(lines), *arguments], deadline, env)):
        pytest.xfail("this GDB dies of these files without kdbg too (GDB 16 does, of some without section headers)")
    assert not died, done.stdout
    return GdbOutput(done.stdout, done.returncode)


def _run_gdb(
    command: Sequence[str], deadline: float, environment: Mapping[str, str], directory: Optional[pathlib.Path] = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", timeout=deadline, cwd=directory or ROOT, env=environment,
    )  # fmt: skip


def _has_died(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode < 0 or "internal to GDB" in done.stdout or "Recursive internal problem" in done.stdout


def _without_kdbg(lines: Sequence[str]) -> Sequence[str]:
    own = ("kdbg", "set kdbg")
    return [word for line in lines if not line.startswith(own) for word in ("-ex", line)]


def kdbg(*arguments: str) -> GdbOutput:
    """Run the outside program with JSON output."""
    done = subprocess.run(
        [str(ROOT / ".venv" / "bin" / "python"), "-m", "gdb_kdbg", arguments[0], "--format", "json", *arguments[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=DEADLINE, cwd=ROOT,
    )  # fmt: skip
    return GdbOutput(done.stdout, done.returncode)


def build_kernel(output: pathlib.Path, **options: int) -> pathlib.Path:
    """Build the example kernel with make variables (DEBUG=0, RING=4096 ...); return kernel.elf."""
    require("gcc", "make")
    words = [f"{name}={value}" for name, value in options.items()]
    run("make", "-s", "-C", str(KERNEL_SOURCE), f"O={output}", *words)
    return output / "kernel.elf"


class Guest:
    """A kernel in QEMU, stopped at its first instruction, with a gdbstub and its serial line in a file."""

    def __init__(self, kernel: pathlib.Path, directory: pathlib.Path, process: subprocess.Popen[bytes]) -> None:
        self.kernel = kernel
        self.programs = kernel.parent / "programs"
        self.directory = directory
        self.process = process

    @property
    def serial(self) -> str:
        log = self.directory / "serial.log"
        return log.read_text(errors="replace") if log.exists() else ""

    @property
    def connect(self) -> str:
        return f"target remote {self.directory / 'stub'}"

    def gdb(self, lines: Sequence[str], before: Sequence[str] = (), **options: Any) -> GdbOutput:
        """Run GDB on this guest; the lines of `before` come before it connects."""
        return gdb([*before, self.connect, *lines], str(self.kernel), **options)

    def wait(self) -> int:
        """Wait until the guest has powered off."""
        return self.process.wait(DEADLINE)


@contextlib.contextmanager
def boot(kernel: pathlib.Path, append: str, directory: pathlib.Path, stopped: bool = True) -> Iterator[Guest]:
    """Boot a kernel in QEMU; it is killed in the end."""
    require("qemu")
    directory.mkdir(parents=True, exist_ok=True)
    stub = directory / "stub"
    command = [
        "qemu-system-x86_64", "-kernel", str(kernel), "-append", append, "-display", "none", "-monitor", "none",
        "-serial", f"file:{directory / 'serial.log'}", "-no-reboot", "-m", "32M",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
        "-chardev", f"socket,path={stub},server=on,wait=off,id=stub", "-gdb", "chardev:stub",
    ]  # fmt: skip
    process = subprocess.Popen([*command, *(["-S"] if stopped else [])], stdin=subprocess.DEVNULL)
    try:
        if stopped:  # another one may have come to its end before anybody has looked
            wait_for_socket(stub, process)
        yield Guest(kernel, directory, process)
    finally:
        process.kill()
        process.wait()


def wait_for_socket(path: pathlib.Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until QEMU listens at a Unix socket: its file is there a moment earlier, when nobody can connect yet."""
    wait_until(lambda: _is_listening(path) or process.poll() is not None, "QEMU did not open its gdbstub")
    assert process.poll() is None, "QEMU ended at once"


# The fourth column are flags, one of which (include/linux/net.h, __SO_ACCEPTCON) is that of a socket that listens.
def _is_listening(path: pathlib.Path) -> bool:
    rows = (line.split(None, 7) for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:])
    return any(int(row[3], 16) & 0x10000 for row in rows if len(row) == 8 and row[7] == str(path))


def wait_until(holds: Callable[[], bool], failure: str) -> None:
    """Ask again and again until a condition holds, at most for the deadline."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, failure
        select.select([], [], [], 0.01)


def read_packets(log: pathlib.Path) -> list[str]:
    """Return the memory reads GDB sent, from its remote log."""
    return re.findall(r"^w \+?\$(m[0-9a-f]+,[0-9a-f]+)#", log.read_text(errors="replace"), re.MULTILINE)
