"""How much slower system calls of the guest become: by the probe, and by what kdbg arms."""

from __future__ import annotations

import pathlib
import statistics
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

from .figures import Figure, Skipped, middle_half
from .machine import boot, build, finish

# System calls in one run: a copy of 390 bytes, a copy of 8 bytes, and no copy at all. A run is a tenth of a second
# long: on a shared machine the moments without disturbance are short, and many short runs find more of them.
CALLS = {"uname": 200_000, "winsize": 250_000, "getpid": 300_000}
# The emulator runs one and the same program up to 10 % faster or slower by where its functions happen to lie. So each
# variant is built with several alignments, and what is compared is compared in all of them.
ALIGNMENTS = (1, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class _Variant:
    name: str
    probe: int
    words: str = ""
    command: str = ""
    alignments: Sequence[int] = ALIGNMENTS


BASELINE = _Variant("no probe", 0)
OFF = _Variant("probe off", 1, words="ring=off ")
ON = _Variant("probe on", 1)
# Not in all alignments, since each run starts a GDB.
WATCHED = _Variant("probe on, kdbg watch guard", 1, command="kdbg watch guard", alignments=ALIGNMENTS[::2])
_VARIANTS = (BASELINE, OFF, ON, WATCHED)
# Two stops a call take milliseconds, so there is no need of many calls, nor of exactness.
CHECKED = _Variant("probe on, kdbg canary --syscalls", 1, command="kdbg canary --syscalls")
_CHECKED_SHARE = 500
# The first write is that of the line "BENCH start": by then the program has its guard, and nothing is measured yet.
_TO_PROGRAM = ("tbreak sys_write", "continue")

Kernels = Mapping[tuple[int, int], pathlib.Path]
# The best time for one call, of each variant in each of its alignments.
Times = Mapping[_Variant, Mapping[int, float]]


def measure(repeats: int, skipped: Skipped) -> Sequence[Figure]:
    """Measure every call in every variant."""
    kernels = {(alignment, probe): _build(alignment, probe) for alignment in ALIGNMENTS for probe in (0, 1)}
    return [figure for call in CALLS for figure in _measure_call(call, kernels, repeats)]


def _build(alignment: int, probe: int) -> pathlib.Path:
    return build(f"align{alignment}-probe{probe}", PROBE=str(probe), CC=f"gcc -falign-functions={alignment}")


def _measure_call(call: str, kernels: Kernels, repeats: int) -> Sequence[Figure]:
    best = _best_times(call, kernels, repeats)
    builds = list(best[BASELINE].values())
    plain = statistics.median(builds)
    low, high = middle_half(builds) or (plain, plain)
    # How far builds of one and the same kernel are apart.
    noise = (high - low) / plain
    few = CALLS[call] // _CHECKED_SHARE
    checked = min(_run(kernels[16, 1], CHECKED, call, few) for _ in range(3)) / few
    return [
        _figure(call, OFF, best, 1 + noise),
        _figure(call, ON, best, 1.05),
        _figure(call, WATCHED, best, None),
        Figure(f"{call}: {CHECKED.name}", 1 / checked, 1 / plain, "calls/s", checked / plain),
    ]


def _best_times(call: str, kernels: Kernels, repeats: int) -> Times:
    """Measure all variants.

    Whatever else the machine does can only make a run slower, so the best run is the one that was disturbed least.
    The variants take turns, and the order changes, so that a slow minute hits all of them.
    """
    best: dict[_Variant, dict[int, float]] = {variant: {} for variant in _VARIANTS}
    for turn in range(repeats):
        for alignment in ALIGNMENTS:
            for variant in (*_VARIANTS[turn % 4 :], *_VARIANTS[: turn % 4]):
                if alignment in variant.alignments:
                    time = _run(kernels[alignment, variant.probe], variant, call, CALLS[call]) / CALLS[call]
                    best[variant][alignment] = min(time, best[variant].get(alignment, time))
    return best


def _figure(call: str, variant: _Variant, best: Times, bar: Optional[float]) -> Figure:
    times = [best[variant][alignment] for alignment in variant.alignments]
    plain = [best[BASELINE][alignment] for alignment in variant.alignments]
    ratios = [time / base for time, base in zip(times, plain)]
    ratio, spread = statistics.median(ratios), middle_half(ratios)
    rate, base_rate = 1 / statistics.median(times), 1 / statistics.median(plain)
    return Figure(f"{call}: {variant.name}", rate, base_rate, "calls/s", ratio, bar, middle_half=spread)


def _run(kernel: pathlib.Path, variant: _Variant, call: str, count: int) -> float:
    with boot(kernel, f"{variant.words}bench={call}:{count}", stub=bool(variant.command)) as guest:
        if not variant.command:
            return guest.measure()
        gdb = guest.gdb([*_TO_PROGRAM, variant.command, "continue"], before=["source gdbinit.py"])
        try:
            return guest.measure()
        finally:
            gdb.kill()
            output = finish(gdb)
            if "armed" not in output:
                raise RuntimeError(f"{variant.command}: {output}")
