"""What `kdbg check-copy` takes: to the first breach of a wrong routine, for all cases, and how many cases a second."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import pty
import statistics
import subprocess
import sys
import time
from typing import Callable, Iterator, Sequence

from .figures import Figure, Skipped
from .machine import ROOT, boot, build
from .tables import figures_in, kept, seconds_of

_BEGIN, _FIRST = "check begins", "first breach"
# The bars, in milliseconds.
_SOON, _LONG = 500, 10_000
# A right routine for each contract, of those that the tests are made with.
_ROUTINES = {
    "memcpy": "good_phases",
    "memmove": "good_memmove_sse2",
    "mempcpy": "good_mempcpy",
    "memset": "good_memset_sse2",
    "copy_to_user": "good_copy_to_user",
    "copy_from_user": "good_copy_from_user",
    "strncpy_from_user": "good_strncpy_from_user",
}
# Routines of vectors, which kdbg carries out itself.
_VECTORS = {
    "memcpy with AVX2": ("memcpy", "good_avx2"),
    "memmove with AVX-512": ("memmove", "good_memmove_avx512"),
}
# What nobody can do without: an interpreter with the emulator in it.
_START = (sys.executable, "-c", "import unicorn")
_COUNT = 20_000
# Calls of a routine that does nothing, nothing being prepared and nothing compared.
_CALLS = f"""
import time, unicorn
from unicorn import x86_const
processor = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
processor.mem_map(0x1000, 0x3000)
processor.mem_write(0x1000, bytes([0xC3]))
processor.mem_write(0x2FF8, (0x3000).to_bytes(8, "little"))
begin = time.perf_counter()
for _ in range({_COUNT}):
    processor.reg_write(x86_const.UC_X86_REG_RSP, 0x2FF8)
    processor.emu_start(0x1000, 0x3000)
print("BENCH", time.perf_counter() - begin)
"""
# In GDB: reads as many pages as the emulator takes of the kernel.
_READ = """
import gdb, time
start = int(gdb.parse_and_eval("(unsigned long) &ucopy_double")) & -4096
begin = time.perf_counter()
for page in range(start, start + 4 * 4096, 4096):
    gdb.selected_inferior().read_memory(page, 4096)
print("BENCH", time.perf_counter() - begin, flush=True)
"""


def measure(rounds: int, skipped: Skipped) -> Sequence[Figure]:
    """Measure on the example kernel and on a routine of each contract; tell `skipped` what is left out, and why."""
    kernel = build("ring32", RING="32")
    baseline = _median(lambda: seconds_of(_START), rounds)
    found = [*kept(_of_processes(kernel, baseline, rounds), skipped), *kept(_over_the_stub(kernel, rounds), skipped)]
    return found + [*kept(_of_contracts(kernel, baseline), skipped)]


def _median(measured: Callable[[], float], rounds: int) -> float:
    return statistics.median(measured() for _ in range(rounds))


def _milliseconds(name: str, value: float, baseline: float, bar: float) -> Figure:
    return Figure(name, value * 1000, baseline * 1000, "ms", value / baseline, bar=bar, bar_is_of="value")


def _command(file: pathlib.Path, routine: str, *options: str) -> Sequence[str]:
    return [sys.executable, "-m", "gdb_kdbg", "check-copy", str(file), routine, *options]


def _of_processes(kernel: pathlib.Path, baseline: float, rounds: int) -> Iterator[Figure]:
    first = _median(lambda: _first_breach(_command(kernel, "ucopy_double")), rounds)
    yield _milliseconds("ucopy_double in its file: to the first breach", first, baseline, _SOON)
    for routine in ("ucopy_double", "ucopy"):
        quick = _command(kernel, routine, "--quick")
        value = _median(functools.partial(seconds_of, quick), rounds)
        yield _milliseconds(f"{routine} in its file: --quick", value, baseline, _SOON)


class _Output:
    """What a process prints, with the time."""

    def __init__(self, descriptor: int) -> None:
        self.text = ""
        self._descriptor = descriptor

    def time_of(self, text: str) -> float:
        """Read until a text is there; return when it was."""
        while text not in self.text:
            try:
                piece = os.read(self._descriptor, 4096)
            except OSError:  # a terminal that nobody holds open any more
                piece = b""
            if not piece:
                raise RuntimeError(f"no {text!r} in: {self.text[-300:]}")
            self.text += piece.decode(errors="replace")
        return time.perf_counter()


# On a terminal: only there a breach is told before the rest is done.
def _first_breach(command: Sequence[str]) -> float:
    ours, its = pty.openpty()
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=its)
    os.close(its)
    try:
        return _Output(ours).time_of(_FIRST) - begin
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _over_the_stub(kernel: pathlib.Path, rounds: int) -> Iterator[Figure]:
    value, baseline = (statistics.median(times) for times in zip(*(_stub_times(kernel) for _ in range(rounds))))
    yield _milliseconds("ucopy_double over QEMU's stub, in GDB: to the first breach", value, baseline, _SOON)


def _stub_times(kernel: pathlib.Path) -> tuple[float, float]:
    begins = f"python print({_BEGIN!r}, flush=True)"
    lines = ["tbreak tty_ioctl", "continue", f"python exec({_READ!r})", begins, "kdbg check-copy ucopy_double"]
    with boot(kernel, "fault=double_copy", stub=True) as guest:
        gdb = guest.gdb(lines, before=["source gdbinit.py"])
        try:
            assert gdb.stdout is not None
            output = _Output(gdb.stdout.fileno())
            begin = output.time_of(_BEGIN)
            return output.time_of(_FIRST) - begin, figures_in(output.text)[0]
        finally:
            gdb.kill()
            gdb.wait()
            gdb.stdout.close() if gdb.stdout else None


def _of_contracts(kernel: pathlib.Path, baseline: float) -> Iterator[Figure]:
    done = subprocess.run([sys.executable, "-c", _CALLS], cwd=ROOT, capture_output=True, text=True)
    rate = _COUNT / figures_in(done.stdout + done.stderr)[0]
    for contract, command in {**_commands(), "copy_user": _command(kernel, "ucopy")}.items():
        begin = time.perf_counter()
        done = subprocess.run([*command, "--format", "json"], cwd=ROOT, capture_output=True, text=True)
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise RuntimeError(f"check-copy of {contract}: {done.stdout or done.stderr}")
        cases = json.loads(done.stdout)["data"]["cases"]
        yield _milliseconds(f"{contract}: all {cases:,} cases", seconds, baseline, _LONG)
        yield Figure(f"{contract}: cases a second", cases / seconds, rate, "", cases / seconds / rate)


def _commands() -> dict[str, Sequence[str]]:
    scalar, vector = _routines("correct"), _routines("vectors")
    commands = {name: _command(scalar, routine, "--contract", name) for name, routine in _ROUTINES.items()}
    for name, (contract, routine) in _VECTORS.items():
        commands[name] = _command(vector, routine, "--contract", contract)
    return commands


def _routines(name: str) -> pathlib.Path:
    output = ROOT / "build" / "bench" / f"{name}.o"
    output.parent.mkdir(parents=True, exist_ok=True)
    source = ROOT / "tests" / "programs" / "copies" / f"{name}.S"
    subprocess.run(["gcc", "-c", "-o", str(output), str(source)], check=True)
    return output
