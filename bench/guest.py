"""How much slower system calls of the guest become: by the probe, and by what kdbg arms."""

from __future__ import annotations

import pathlib
import statistics
from dataclasses import dataclass
from typing import Mapping, Sequence

from .figures import Figure, geometric_mean
from .machine import boot, build, finish

# System calls in one run, for about half a second: a copy of 390 bytes, a copy of 8 bytes, and no copy at all.
CALLS = {"uname": 800_000, "winsize": 1_000_000, "getpid": 1_200_000}
# The emulator runs one and the same program up to 8 % faster or slower by where its functions happen to lie. So each
# variant is built with several alignments, and what is compared is compared in all of them.
ALIGNMENTS = (1, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class _Variant:
    name: str
    probe: int
    words: str = ""


BASELINE = _Variant("no probe", 0)
OFF = _Variant("probe off", 1, "ring=off ")
ON = _Variant("probe on", 1)
_VARIANTS = (BASELINE, OFF, ON)
# The first write is that of the line "BENCH start": by then the program has its guard, and nothing is measured yet.
_TO_PROGRAM = ("tbreak sys_write", "continue")
# What is armed, and in how many of the calls: two stops a call take milliseconds.
_ARMED = {"kdbg watch guard": 1.0, "kdbg canary --syscalls": 0.0005}
_ARMED_ALIGNMENT = 16

Kernels = Mapping[tuple[int, int], pathlib.Path]


def measure(repeats: int) -> Sequence[Figure]:
    """Measure every call in every variant."""
    kernels = {(alignment, probe): _build(alignment, probe) for alignment in ALIGNMENTS for probe in (0, 1)}
    return [figure for call in CALLS for figure in _measure_call(call, kernels, repeats)]


def _build(alignment: int, probe: int) -> pathlib.Path:
    return build(f"align{alignment}-probe{probe}", PROBE=str(probe), CC=f"gcc -falign-functions={alignment}")


def _measure_call(call: str, kernels: Kernels, repeats: int) -> Sequence[Figure]:
    best = _best_times(call, kernels, repeats)
    plain = best[BASELINE]
    # How far two builds of one and the same kernel are apart.
    noise = statistics.stdev(plain) / statistics.mean(plain)
    figures = [_figure(call, OFF, best, 1 + noise), _figure(call, ON, best, 1.05)]
    base = plain[ALIGNMENTS.index(_ARMED_ALIGNMENT)]
    for command, share in _ARMED.items():
        count = int(CALLS[call] * share)
        kernel = kernels[_ARMED_ALIGNMENT, 1]
        armed = min(_run_armed(kernel, call, count, command) for _ in range(repeats)) / count
        figures.append(Figure(f"{call}: {command}", 1 / armed, 1 / base, "calls/s", armed / base))
    return figures


def _best_times(call: str, kernels: Kernels, repeats: int) -> Mapping[_Variant, Sequence[float]]:
    """Return for each variant its best time for one call in each alignment.

    Whatever else the machine does can only make a run slower, so the best run is the one that was disturbed least.
    The variants take turns, and the order changes, so that a slow minute hits all of them.
    """
    times: dict[tuple[_Variant, int], list[float]] = {}
    for turn in range(repeats):
        for alignment in ALIGNMENTS:
            for index in range(len(_VARIANTS)):
                variant = _VARIANTS[(index + turn) % len(_VARIANTS)]
                seconds = _run(kernels[alignment, variant.probe], variant.words, call, CALLS[call])
                times.setdefault((variant, alignment), []).append(seconds / CALLS[call])
    return {variant: [min(times[variant, alignment]) for alignment in ALIGNMENTS] for variant in _VARIANTS}


def _figure(call: str, variant: _Variant, best: Mapping[_Variant, Sequence[float]], bar: float) -> Figure:
    plain = best[BASELINE]
    ratio, error = geometric_mean([time / base for time, base in zip(best[variant], plain)])
    rate, base_rate = 1 / statistics.mean(best[variant]), 1 / statistics.mean(plain)
    return Figure(f"{call}: {variant.name}", rate, base_rate, "calls/s", ratio, bar, uncertainty=error)


def _run(kernel: pathlib.Path, words: str, call: str, count: int) -> float:
    with boot(kernel, f"{words}bench={call}:{count}") as guest:
        return guest.measure()


def _run_armed(kernel: pathlib.Path, call: str, count: int, command: str) -> float:
    with boot(kernel, f"bench={call}:{count}", stub=True) as guest:
        gdb = guest.gdb([*_TO_PROGRAM, command, "continue"], before=["source gdbinit.py"])
        try:
            return guest.measure()
        finally:
            gdb.kill()
            output = finish(gdb)
            if "armed" not in output:
                raise RuntimeError(f"{command}: {output}")
