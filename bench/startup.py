"""How much longer GDB takes to start with kdbg sourced."""

from __future__ import annotations

import statistics
import time
from typing import Sequence

from .figures import Figure, Skipped, median_ratio
from .machine import finish, start_gdb


def measure(rounds: int, skipped: Skipped) -> Sequence[Figure]:
    """Start GDB plain and with kdbg, in turns; the first round only warms up the caches."""
    plain, loaded = [], []
    for _ in range(rounds + 1):
        plain.append(_start([]))
        loaded.append(_start(["source gdbinit.py"]))
    del plain[0], loaded[0]
    value, baseline = statistics.median(loaded) * 1000, statistics.median(plain) * 1000
    return [Figure("source gdbinit.py", value, baseline, "ms", median_ratio(loaded, plain), bar=1.5)]


def _start(lines: Sequence[str]) -> float:
    begin = time.perf_counter()
    output = finish(start_gdb(lines))
    if output:
        raise RuntimeError(f"GDB said: {output}")
    return time.perf_counter() - begin
