"""How much slower a user-mode Linux guest becomes by what is attached to its kernel."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Sequence

from .figures import Figure, middle_half
from .machine import ROOT

# A run is a tenth of a second, and the best of some counts: whatever else the machine does only makes a run slower.
_CALLS, _SLOW_CALLS, _FILES, _RUNS = 10_000, 500, 200, 8
_BUILD = ROOT / "examples" / "uml"
_DEADLINE = 120.0
# What GDB echoes stays in its buffer while the program runs.
_GOING_ON = 'python gdb.write("GOING ON\\n"); gdb.flush()'
_OVERLAPS = "$rdi != $rsi && ($rdi > $rsi ? $rdi - $rsi : $rsi - $rdi) < $rdx"
_PYTHON = """python
class Overlap(gdb.Breakpoint):
    def stop(self):
        to, of, size = (int(gdb.newest_frame().read_register(name)) for name in ("rdi", "rsi", "rdx"))
        return 0 < abs(to - of) < size
Overlap("*__memcpy")
end"""
_SIGNALS = "SIGSEGV SIGUSR1 SIGALRM SIGIO SIGWINCH SIGCHLD SIGVTALRM SIGPROF SIGBUS SIGFPE"


@dataclass(frozen=True)
class Variant:
    """What GDB is told before it lets the kernel run; no lines stand for no GDB. `PID` is the kernel's process."""

    name: str
    lines: Sequence[str] = ()
    bar: Optional[float] = None
    is_slow: bool = False


BARE = Variant("nothing attached")
VARIANTS = (
    BARE,
    Variant("attached without kdbg", ("attach PID", f"handle {_SIGNALS} nostop noprint pass")),
    Variant("kdbg connect uml", ("kdbg connect uml PID",), bar=1.10),
    Variant("kdbg overlap", ("kdbg connect uml PID", "kdbg overlap"), bar=1.10),
    Variant("GDB condition breakpoint", ("kdbg connect uml PID", f"break *__memcpy if {_OVERLAPS}"), is_slow=True),
    Variant("Python breakpoint", ("kdbg connect uml PID", _PYTHON), is_slow=True),
)
# What the guest does, and where it says how long that took.
WORK = {
    "system call": ("calls {calls}", re.compile(r"calls, ([\d.]+) us each"), "us"),
    "files": (f"files {_FILES}", re.compile(r"all right, ([\d.]+) s"), "s"),
}


def measure(repeats: int, skipped: Callable[[str], None]) -> Sequence[Figure]:
    """Measure each kind of work under each variant, in turns: the best of all runs, and how the rounds' bests vary."""
    done = subprocess.run([str(_BUILD / "build")], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        skipped(done.stderr.strip().splitlines()[-1])
        return ()
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory, booted(pathlib.Path(directory)) as guest:
        for _ in range(repeats):
            for variant in VARIANTS:
                with attached(guest, variant):
                    for work in WORK:
                        runs = [guest.time(work, variant) for _ in range(1 if variant.is_slow else _RUNS)]
                        found.setdefault((work, variant.name), []).append(min(runs))
    return [_figure(work, variant, found) for work in WORK for variant in VARIANTS[1:]]


def _figure(work: str, variant: Variant, found: dict[tuple[str, str], list[float]]) -> Figure:
    values, base = found[work, variant.name], found[work, BARE.name]
    ratios = [value / other for value, other in zip(values, base)]
    return Figure(
        f"{work}, {variant.name}", min(values), min(base), WORK[work][2], min(values) / min(base), variant.bar,
        middle_half=middle_half(ratios),
    )  # fmt: skip


class Guest:
    """A running kernel that takes commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def time(self, work: str, variant: Variant = BARE) -> float:
        """Let the guest do a kind of work; return the figure that it prints."""
        command, pattern, _ = WORK[work]
        text = self.do(command.format(calls=_SLOW_CALLS if variant.is_slow else _CALLS))
        found = pattern.search(text)
        if found is None:
            raise RuntimeError(f"no figure of {command!r} in:\n{text}")
        return float(found[1])

    def do(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.until(f"guest: {command.split()[0]} ended with")

    def until(self, end: str) -> str:
        """Read the console up to a line that begins so."""
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith(end):
                return "".join(lines)
        raise RuntimeError(f"the kernel ended:\n{''.join(lines)}")


@contextlib.contextmanager
def booted(directory: pathlib.Path) -> Iterator[Guest]:
    """Boot the kernel on one processor; it is killed in the end."""
    process = subprocess.Popen(
        [str(_BUILD / "boot")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True, env={**os.environ, "KDBG_UML_RUN": str(directory)},
    )  # fmt: skip
    try:
        guest = Guest(process)
        guest.until("guest: ready")
        yield guest
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def attached(guest: Guest, variant: Variant) -> Iterator[None]:
    """Have a GDB that has done the variant's lines and lets the kernel run; it detaches in the end."""
    if not variant.lines:
        yield
        return
    lines = [line.replace("PID", str(guest.process.pid)) for line in variant.lines]
    script = [f"source {ROOT / 'gdbinit.py'}", "set confirm off", *lines, _GOING_ON, "continue", "detach"]
    words = [word for line in script for word in ("-ex", line)]
    with subprocess.Popen(
        ["gdb", "-nx", "-batch", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as gdb:  # fmt: skip
        assert gdb.stdout is not None
        shown = []
        for line in gdb.stdout:
            shown.append(line)
            if line.startswith("GOING ON"):
                break
        if gdb.poll() is not None:
            raise RuntimeError(f"GDB ended:\n{''.join(shown)}")
        yield
        gdb.send_signal(signal.SIGINT)
        gdb.communicate(timeout=_DEADLINE)
