"""The User-mode Linux kernel of examples/uml: built once and kept, booted with deadlines, killed with its helpers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

import support

EXAMPLE = support.ROOT / "examples" / "uml"
CANNOT_RUN = 77
# Two slow cores with other tests beside it; the kernel itself takes about three minutes.
BUILD_DEADLINE = 1500.0
READY = r"^guest: ready$"


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What examples/uml/build made."""

    directory: pathlib.Path

    @property
    def vmlinux(self) -> pathlib.Path:
        """The kernel with its debug information; the file that processes of it run."""
        return self.directory / "build" / "vmlinux"

    @property
    def modules(self) -> pathlib.Path:
        """Where overlap.ko and leaf.ko are, with debug information, next to their sources."""
        return self.directory / "modules"

    @property
    def root(self) -> pathlib.Path:
        """The root directory of the guest; its programs have debug information."""
        return self.directory / "root"


@functools.lru_cache(maxsize=None)
def built() -> tuple[int, str]:
    """The exit status of examples/uml/build and what it said."""
    done = subprocess.run(
        [str(EXAMPLE / "build")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=BUILD_DEADLINE,
    )  # fmt: skip
    return done.returncode, done.stdout


def directory() -> pathlib.Path:
    """Where examples/uml/build keeps what it makes."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("KDBG_UML") or cache / "kdbg" / "uml")


def uml_kernel() -> Kernel:
    """Build the kernel, or find it built; skips where it cannot run."""
    status, output = built()
    if status == CANNOT_RUN:
        support.lacking("uml", output.strip().splitlines()[-1])
    assert status == 0, output
    return Kernel(directory())


class Guest:
    """A running kernel: its console, and its processes on the host."""

    def __init__(self, kernel: Kernel, log: pathlib.Path, process: subprocess.Popen[bytes]) -> None:
        self.kernel = kernel
        self.log = log
        self.process = process

    @property
    def pid(self) -> int:
        """The main process, in which the kernel runs."""
        return self.process.pid

    @property
    def console(self) -> str:
        return self.log.read_text(errors="replace").replace("\r", "")

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Wait until a pattern (^ and $ match at lines) is on the console, after so many characters of it."""
        found: Optional[re.Match[str]] = None

        def there() -> bool:
            nonlocal found
            ended = self.process.poll() is not None
            found = re.compile(pattern, re.MULTILINE).search(self.console, after)
            assert found or not ended, f"the kernel ended before {pattern!r}:\n{self.console}"
            return found is not None

        with console_shown(self):
            support.wait_until(there, f"no {pattern!r} on the console")
        assert found is not None
        return found

    def send(self, command: str) -> int:
        """Give the guest a command without waiting; returns how long the console was."""
        assert self.process.stdin is not None
        position = len(self.console)
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return position

    def ended(self, command: str, position: int) -> str:
        """Wait for the end of a command that was sent; return what it printed, with how it ended."""
        name = re.escape(command.split()[0])
        begin = self.wait_for(f"^guest: {re.escape(command)}$", position)
        end = self.wait_for(rf"^guest: {name} ended with \d+$", begin.end())
        return self.console[begin.end() : end.end()].lstrip("\n")

    def do(self, command: str) -> str:
        """Let the guest do a command of examples/uml/guest/init to its end; return what it printed."""
        return self.ended(command, self.send(command))

    def halt(self) -> int:
        """Halt the guest as it wants it; return the exit status of the kernel."""
        self.send("halt")
        return self.wait()

    def wait(self) -> int:
        """Wait until the kernel has ended by itself; return its exit status."""
        return self.process.wait(support.DEADLINE)

    def processes(self) -> dict[int, str]:
        """The kernel's processes on the host and their states: the main one, helpers, one for each guest process."""
        return session(self.pid)

    def guests(self) -> set[int]:
        """Those of its processes that are guest processes, which it traces; they run or are stopped by it."""
        return {pid for pid in self.processes() if tracer(pid) == self.pid}


@contextlib.contextmanager
def console_shown(guest: Guest) -> Iterator[None]:
    """Show the console with what failed."""
    try:
        yield
    except AssertionError as failure:
        raise AssertionError(f"{failure}\n{guest.console}") from failure


def session(leader: int) -> dict[int, str]:
    """The living processes of a session and their states (`R`, `S`, `t` ...)."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = entry.read_text(errors="replace").rpartition(")")[2].split()
            if int(words[3]) == leader and words[0] not in "ZX":
                found[int(entry.parent.name)] = words[0]
    return found


def tracer(process: int) -> int:
    """Which process traces a process; 0 if none does, or if it has ended."""
    with contextlib.suppress(OSError):
        found = re.search(r"^TracerPid:\s*(\d+)", pathlib.Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a kernel with all its processes; helpers do not end by themselves when it is killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it had ended, and a command was not yet written
            process.stdin.close()
    support.wait_until(lambda: not session(process.pid), "processes of the kernel are left")


@contextlib.contextmanager
def boot(
    directory: pathlib.Path,
    run: Optional[str] = None,
    kernel: Optional[Kernel] = None,
    parameters: Sequence[str] = (),
    environment: Optional[Mapping[str, str]] = None,
) -> Iterator[Guest]:
    """Boot the kernel; it is killed in the end.

    With RUN it does these commands (`guards:5,files`) and halts. Without, it is ready for `Guest.do` when this returns.
    DIRECTORY is for its console log; ENVIRONMENT is added, see examples/uml/boot.
    """
    kernel = kernel or uml_kernel()
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "console.log"
    words: list[Any] = [EXAMPLE / "boot", *([run] if run is not None else []), *parameters]
    added = {"KDBG_UML": str(kernel.directory), "KDBG_UML_RUN": str(directory), **(environment or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **added},
        )  # fmt: skip
    try:
        guest = Guest(kernel, log, process)
        if run is None:
            guest.wait_for(READY)
        yield guest
    finally:
        kill_all(process)


class State(NamedTuple):
    """What may not change in a kernel's process by a debugger's visit."""

    mappings: str
    text: dict[str, str]  # a digest of the text of each file
    signals: tuple[str, ...]
    helpers: frozenset[int]


def state(guest: Guest) -> State:
    """Read it from outside; the kernel runs meanwhile, so only what it never changes itself."""
    root = pathlib.Path(f"/proc/{guest.pid}")
    mappings = (root / "maps").read_text()
    text = {}
    with (root / "mem").open("rb", buffering=0) as memory:
        for first, last, path in re.findall(r"^(\w+)-(\w+) r-xp .*?(/.*)", mappings, re.MULTILINE):
            start, end = int(first, 16), int(last, 16)
            text[path] = hashlib.sha256(os.pread(memory.fileno(), end - start, start)).hexdigest()
    signals = tuple(re.findall(r"^Sig(?:Ign|Cgt):.*$", (root / "status").read_text(), re.MULTILINE))
    # A guest process may run, or end just now; the helpers live on, and are traced by nobody.
    others = {pid for pid in guest.processes() if tracer(pid) != guest.pid}
    helpers = frozenset(others & guest.processes().keys())
    return State(mappings, text, signals, helpers)


def stripped() -> str:
    """Return the path of Debian's kernel, which has no symbols."""
    support.require("linux.uml")
    return shutil.which("linux.uml") or ""


def typed(guest: Guest, *commands: str) -> str:
    """A line for GDB that gives a guest commands while the kernel is stopped."""
    return f"shell printf '{''.join(f'{command}{chr(92)}n' for command in commands)}' > /proc/{guest.pid}/fd/0"
