"""The example kernel, built in variants and booted in QEMU, and GDBs to go with it."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import tempfile
import time
from typing import IO, Iterator, Optional, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEADLINE = 120.0


def build(name: str, **options: str) -> pathlib.Path:
    """Build the example kernel with make variables into a place of its own; return kernel.elf."""
    words = [f"{key}={value}" for key, value in options.items()]
    output = ROOT / "build" / "bench" / name
    command = ["make", "-s", "-C", "examples/kernel", f"O={output}", *words]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return output / "kernel.elf"


class Guest:
    """A kernel in QEMU with its serial line on a pipe and, if asked for, a stub that waits for GDB."""

    def __init__(self, kernel: pathlib.Path, process: subprocess.Popen[str], stub: Optional[pathlib.Path]) -> None:
        self.kernel = kernel
        self.stub = stub
        self._process = process

    def time_of_line(self, start: str) -> float:
        """Wait for a serial line that begins so; return when it came."""
        serial: Optional[IO[str]] = self._process.stdout
        assert serial is not None
        for line in serial:
            if line.startswith(start):
                return time.monotonic()
        raise RuntimeError(f"the kernel ended without a line {start!r}")

    def measure(self) -> float:
        """Return the seconds between the two lines of the kernel's measuring program."""
        start = self.time_of_line("BENCH start")
        return self.time_of_line("BENCH end") - start

    def gdb(self, lines: Sequence[str], before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a GDB that attaches to this guest and executes the lines; those of `before` come before it attaches."""
        script = ["set confirm off", "set pagination off", *before, f"target remote {self.stub}", *lines]
        return start_gdb(script, str(self.kernel))


@contextlib.contextmanager
def boot(kernel: pathlib.Path, words: str, stub: bool = False) -> Iterator[Guest]:
    """Boot a kernel, stopped at its first instruction if it has a stub; QEMU is ended at the end."""
    command = [
        "qemu-system-x86_64", "-kernel", str(kernel), "-append", words, "-m", "32M", "-no-reboot", "-display", "none",
        "-monitor", "none", "-nic", "none", "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        socket = pathlib.Path(directory) / "gdb"
        command += ["-S", "-gdb", f"unix:{socket},server=on,wait=off"] if stub else []
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            if stub:
                _wait_for(socket, process)
            yield Guest(kernel, process, socket if stub else None)
        finally:
            process.kill()
            process.communicate()


def _wait_for(socket: pathlib.Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("QEMU did not open its gdbstub")
        time.sleep(0.005)


def start_gdb(lines: Sequence[str], *arguments: str) -> subprocess.Popen[str]:
    """Start a fresh GDB on some lines; its output is a pipe."""
    words = [word for line in lines for word in ("-ex", line)]
    return subprocess.Popen(
        ["gdb", "-nx", "-batch", *words, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
    )


def finish(gdb: subprocess.Popen[str]) -> str:
    """Wait for a GDB to end; return what it printed."""
    try:
        return gdb.communicate(timeout=DEADLINE)[0]
    except subprocess.TimeoutExpired:
        gdb.kill()
        raise RuntimeError(f"GDB did not end: {gdb.communicate()[0]}") from None
