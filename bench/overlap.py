"""What it costs to see every overlapping copy: a threaded program on glibc, bare and with what catches them."""

from __future__ import annotations

import os
import pathlib
import subprocess
from dataclasses import dataclass
from typing import Optional, Sequence

from .figures import Figure
from .machine import DEADLINE, ROOT, finish, start_gdb

CALLS, SLOW_CALLS, ROUNDS, THREADS = 100_000_000, 4000, 200, 2
_BAR = 1.3
_OVERLAPS = "$rdi != $rsi && ($rdi > $rsi ? $rdi - $rsi : $rsi - $rdi) < $rdx"
_PYTHON = """python
class Overlap(gdb.Breakpoint):
    def stop(self):
        to, of, size = (int(gdb.newest_frame().read_register(name)) for name in ("rdi", "rsi", "rdx"))
        return 0 < abs(to - of) < size
"""


@dataclass(frozen=True)
class _Variant:
    """What is set before the program goes on from its main function; `is_slow` gets few calls, all of which count."""

    name: str
    lines: Optional[Sequence[str]]
    is_slow: bool = False
    bar: Optional[float] = None


# The variant of memcpy in use: what the slot of the program leads to.
_FIND_VARIANT = (
    "python rows = gdb.execute('with kdbg format json -- kdbg got copies', to_string=True)",
    "python import json",
    "python slots = [s for o in json.loads(rows)['data']['objfiles'] for s in o['slots'] if s['symbol'] == 'memcpy']",
    "python gdb.set_convenience_variable('variant', int(slots[0]['value'], 16))",
)
_VARIANTS = (
    _Variant("attached, nothing set", ()),
    _Variant("kdbg overlap", ("kdbg overlap --log",), bar=_BAR),
    _Variant("kdbg overlap --exact", ("kdbg overlap --exact --log",), True),
    _Variant("GDB condition breakpoint", (f"break *$variant if {_OVERLAPS}",), True),
    _Variant("Python breakpoint", (f"{_PYTHON}Overlap('*$variant')\nend",), True),
)


def measure(repeats: int) -> Sequence[Figure]:
    """Measure the time of one copy natively, in each variant; the best of some runs, each on one processor."""
    program = _build()
    rounds = max(1, repeats // 4)
    bare: list[float] = []
    found: dict[str, list[float]] = {variant.name: [] for variant in _VARIANTS}
    for _ in range(rounds):
        bare.append(_time(_finished([*_pinned(), str(program), *_arguments(False)]), False))
        for variant in _VARIANTS:
            found[variant.name].append(_run(program, variant))
    base = min(bare)
    return [
        Figure(f"one of 10^8 copies: {v.name}", min(found[v.name]), base, "ns", min(found[v.name]) / base, v.bar)
        for v in _VARIANTS
    ]


def _build() -> pathlib.Path:
    directory = ROOT / "build" / "bench" / "overlap"
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "copies"
    source = pathlib.Path(__file__).with_name("copies.c")
    words = ["gcc", "-O2", "-g", "-fno-builtin", "-Wl,-z,now", str(source), "-o", str(program), "-pthread"]
    subprocess.run(words, check=True)
    return program


def _arguments(is_slow: bool) -> Sequence[str]:
    return [str(word) for word in ((THREADS, SLOW_CALLS, 2) if is_slow else (THREADS, CALLS, ROUNDS))]


# Threads that run on two processors at once of a shared machine are disturbed twice as often.
def _pinned() -> Sequence[str]:
    return ["taskset", "-c", str(max(os.sched_getaffinity(0)))]


def _finished(words: Sequence[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout


def _run(program: pathlib.Path, variant: _Variant) -> float:
    script = [
        "set confirm off", "set pagination off", f"source {ROOT / 'gdbinit.py'}",
        f"set exec-wrapper {' '.join(_pinned())}", "break main", f"run {' '.join(_arguments(variant.is_slow))}",
        *(_FIND_VARIANT if variant.is_slow else ()), *(variant.lines or ()), "continue", "continue",
    ]  # fmt: skip
    output = finish(start_gdb(script, str(program)))
    if "kdbg" in variant.name and "memcpy overlap: 171 bytes" not in output:
        raise RuntimeError(f"the overlap was not found: {output}")
    return _time(output, variant.is_slow)


def _time(output: str, is_slow: bool) -> float:
    """Return the nanoseconds of one call: of the quickest round by the processor's time, of all by the clock."""
    for line in output.splitlines():
        if "BENCH " in line:
            best, all_ = line.split("BENCH ")[1].split()[:2]
            return float(all_ if is_slow else best)
    raise RuntimeError(f"the program did not end: {output}")
