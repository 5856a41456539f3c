"""What the tables of large ELF files cost: relocations, symbols, lookups of addresses."""

from __future__ import annotations

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
from typing import Iterator, Optional, Sequence

from .figures import Figure, Skipped, median_ratio
from .machine import ROOT, finish, start_gdb
from .programs import large_libraries

_LOOKUPS = 10_000
# The tables of a file as the commands about slots need them.
_TABLES = """
from gdb_kdbg.elf import open_elf
elf = open_elf({path!r})
elf.relocations()
elf.dynamic_symbols()
elf.symbol_table()
"""
# The same for everybody, and all over the code.
_ADDRESSES = """
import random, time
from gdb_kdbg.elf import open_elf
code = max((s for s in open_elf({path!r}).loaded if s.flags & 1), key=lambda s: s.file_size)
addresses = random.Random(1).choices(range(code.address, code.end), k={count})
"""
_LOOK_UP = """
from gdb_kdbg.symbols import Symbols
from gdb_kdbg.target import Objfile
symbols = Symbols([Objfile({path!r}, 0)])
begin = time.perf_counter()
symbols.name_at(addresses[0])
print("BENCH", time.perf_counter() - begin)
begin = time.perf_counter()
for address in addresses:
    symbols.name_at(address)
print("BENCH", time.perf_counter() - begin)
"""
_INFO_SYMBOL = """
begin = time.perf_counter()
for address in addresses:
    gdb.execute("info symbol " + str(address), to_string=True)
print("BENCH", time.perf_counter() - begin)
"""
_KERNEL = """
import time
from gdb_kdbg.elf import open_elf
for _ in range(2):
    begin = time.perf_counter()
    elf = open_elf({path!r})
    table = elf.symbol_table()
    table.name_at(elf.entry), table.by_name("_text")
    print("BENCH", time.perf_counter() - begin)
print("BENCH", next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def measure(rounds: int, skipped: Skipped) -> Iterator[Figure]:
    """Measure on the large files that this machine has."""
    libraries = large_libraries()
    for path in libraries:
        tables = [sys.executable, "-c", _TABLES.format(path=str(path))]
        yield from kept(_against_readelf(path, "its relocations and symbols", tables, 1.0, rounds), skipped)
        report = [sys.executable, "-m", "gdb_kdbg", "got", str(path)]
        yield from kept(_against_readelf(path, "kdbg got FILE", report, None, min(rounds, 3)), skipped)
    if libraries:
        yield from kept(_lookups(libraries[0], rounds), skipped)
    else:
        skipped("relocations, symbols and lookups in a large library: none of 80 to 200 MB is installed")
    kernel = os.environ.get("KDBG_BENCH_VMLINUX", "")
    if os.path.isfile(kernel):
        yield from kept(_kernel(kernel, rounds), skipped)
    else:
        skipped("a kernel's symbols: KDBG_BENCH_VMLINUX names no file")


def kept(figures: Iterator[Figure], skipped: Skipped) -> Iterator[Figure]:
    """Yield figures; if a command fails, tell `skipped` and leave out the rest."""
    try:
        yield from figures
    except RuntimeError as error:
        skipped(str(error))


def seconds_of(*commands: Sequence[str]) -> float:
    """Run processes one after the other, their output thrown away; return how long they took."""
    begin = time.perf_counter()
    done = [subprocess.run(c, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for c in commands]
    seconds = time.perf_counter() - begin
    for process in done:
        if process.returncode:
            raise RuntimeError(f"{' '.join(process.args)}: {_reason(process.stderr.decode(errors='replace'))}")
    return seconds


def figures_in(output: str) -> list[float]:
    """Return the numbers of the lines `BENCH NUMBER`."""
    found = [float(line.split()[1]) for line in output.splitlines() if line.startswith("BENCH ")]
    if not found:
        raise RuntimeError(_reason(output))
    return found


# The line that says most: the last one that names an error.
def _reason(output: str) -> str:
    lines = output.strip().splitlines() or ["no output"]
    return next((line for line in reversed(lines) if re.search(r"\w(Error|error): ", line)), lines[-1])


def _against_readelf(
    path: pathlib.Path, what: str, command: Sequence[str], bar: Optional[float], rounds: int
) -> Iterator[Figure]:
    readelf = [["readelf", "-rW", str(path)], ["readelf", "-sW", str(path)]]
    # In turns, and the first round only warms up the caches.
    turns = [(seconds_of(command), seconds_of(*readelf)) for _ in range(rounds + 1)][1:]
    times, base = zip(*turns)
    value, baseline = statistics.median(times) * 1000, statistics.median(base) * 1000
    name = f"{path.name.split('.')[0]}, {path.stat().st_size / 1e6:.0f} MB"
    yield Figure(f"{name}: {what}", value, baseline, "ms", median_ratio(times, base), bar=bar)


def _lookups(path: pathlib.Path, rounds: int) -> Iterator[Figure]:
    addresses = _ADDRESSES.format(path=str(path), count=_LOOKUPS)
    code = addresses + _LOOK_UP.format(path=str(path))
    first, all_of_them = (statistics.median(times) for times in zip(*(_python(code) for _ in range(rounds))))
    paths = f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}"
    output = finish(start_gdb([f"python {paths}", f"python exec({addresses + _INFO_SYMBOL!r})"], str(path)))
    (baseline,) = figures_in(output)
    name = path.name.split(".")[0]
    yield Figure(
        f"{name}: {_LOOKUPS:,} lookups of addresses", all_of_them * 1000, baseline * 1000, "ms", all_of_them / baseline,
        bar=50, bar_is_of="value",
    )  # fmt: skip
    yield Figure(f"{name}: the first lookup", first * 1000, baseline * 1000, "ms", first / baseline)


def _kernel(path: str, rounds: int) -> Iterator[Figure]:
    runs = [_python(_KERNEL.format(path=path)) for _ in range(rounds)]
    first, again, memory = (statistics.median(values) for values in zip(*runs))
    baseline = statistics.median(seconds_of(["readelf", "-sW", path]) for _ in range(3))
    yield Figure("vmlinux: symbols ready", first * 1000, baseline * 1000, "ms", first / baseline, 500, "value")
    yield Figure("vmlinux: a second time", again * 1000, baseline * 1000, "ms", again / baseline, 1, "value")
    size = os.path.getsize(path) / 2**20
    yield Figure("vmlinux: resident, against its size", memory, size, "MiB", memory / size, 250, "value")


def _python(code: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return figures_in(done.stdout + done.stderr)
