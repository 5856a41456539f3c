"""2,000 small logs grouped, beside a bare pool of processes over the same function that gives the summaries away.

Both are whole programs: from the start of Python to its end. Memory is the most that one process ever had.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import List, NamedTuple, Sequence

from .figures import Figure, Skipped, median_ratio, middle_half
from .machine import ROOT

sys.path.append(str(ROOT / "tests"))

from oops import write_logs, write_trouble  # noqa: E402  (the path is set above)

_LOGS, _BAR = 2000, 2.0
_PLACE = ROOT / "build" / "bench" / "triage"
_MEMORY = """
import resource
print(*(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""
_BARE = """
import multiprocessing, sys
from gdb_kdbg.triage_logs import logs_of
from gdb_kdbg.triage_summary import summary_of
with multiprocessing.Pool(int(sys.argv[2])) as pool:
    assert len(pool.map(summary_of, logs_of(sys.argv[1:2]))) == len(logs_of(sys.argv[1:2]))
    pool.close()
    pool.join()
"""
_TRIAGE = """
import os, sys
from gdb_kdbg.offline.program import main
with open(os.devnull, "w") as sys.stdout:
    assert main(["triage", *sys.argv[1:]]) == 0
sys.stdout = sys.__stdout__
"""


class Run(NamedTuple):
    """What a program took: seconds on the clock, MB of its own memory and of its largest child's."""

    seconds: float
    own: float
    largest: float


def measure(repeats: int, skipped: Skipped) -> Sequence[Figure]:
    """Run each way in turns."""
    jobs, state = str(len(os.sched_getaffinity(0))), _PLACE / "state"
    good, bad = _made("good", 0), _made("bad", _LOGS // 4)
    words = {
        "a bare pool": (_BARE, good, jobs),
        "triage": (_TRIAGE, good, "--jobs", jobs),
        "triage, one process": (_TRIAGE, good, "--jobs", "1"),
        "triage, and a fifth more that cannot be read": (_TRIAGE, bad, "--jobs", jobs),
        "triage again, all of it known": (_TRIAGE, good, "--resume", str(state)),
    }
    _run(*words["triage again, all of it known"])
    runs: dict[str, List[Run]] = {name: [] for name in words}
    for _ in range(repeats):
        for name, line in words.items():
            runs[name].append(_run(*line))
    bare = runs.pop("a bare pool")
    return [*(_time(name, found, bare) for name, found in runs.items()), *_memory(runs["triage"], bare)]


def _made(name: str, trouble: int) -> str:
    directory = _PLACE / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    write_logs(directory, _LOGS)
    write_trouble(directory, trouble)
    return str(directory)


def _time(name: str, runs: Sequence[Run], bare: Sequence[Run]) -> Figure:
    values, baseline = [run.seconds for run in runs], [run.seconds for run in bare]
    ratios = [value / base for value, base in zip(values, baseline)]
    bar = _BAR if name == "triage" else None
    return Figure(
        f"{_LOGS:,} logs: {name}", sorted(values)[len(values) // 2], sorted(baseline)[len(baseline) // 2], "s",
        median_ratio(values, baseline), bar, "ratio", middle_half(ratios),
    )  # fmt: skip


def _memory(runs: Sequence[Run], bare: Sequence[Run]) -> Sequence[Figure]:
    return [
        Figure(f"{_LOGS:,} logs: resident, {what}", value, baseline, "MB", value / baseline)
        for what, value, baseline in (
            ("the process that counts", max(run.own for run in runs), max(run.own for run in bare)),
            ("a process that reads", max(run.largest for run in runs), max(run.largest for run in bare)),
        )
    ]


def _run(code: str, *words: str) -> Run:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + _MEMORY, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    own, largest = map(int, done.stdout.split())
    return Run(time.perf_counter() - begin, own / 1024, largest / 1024)
