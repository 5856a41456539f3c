"""Reading the events of a log of 200 MB, 1.6 million of them, a quarter with bare hex; beside `json.loads` and `grep`.

What counts is processor time, of which a busy machine changes less than of the time on the clock. The bars are 40 MB/s
with the standard library, 60 with orjson, and 100 MB of memory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
from typing import NamedTuple, Sequence

from .figures import Figure, Skipped, median_ratio, middle_half
from .machine import ROOT

SIZE = 200_000_000
_LOG = ROOT / "build" / "bench" / "events.log"
# What a child inherits at its start counts for ru_maxrss, but not for this.
_PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_READER = """
import sys
sys.modules.update({name: None for name in sys.argv[2:]})
from gdb_kdbg.events import read_events
print(sum(map(len, read_events(sys.argv[1]).batches())))
"""
# What one writes in five minutes; it loses the events whose texts look like hex.
_PLAIN_LOOP = """
import json, re, sys
bare = re.compile(r"([:\\[,])(0x[0-9a-f]+)")
count = 0
for line in open(sys.argv[1], encoding="utf-8"):
    if line.startswith("DBG "):
        try:
            json.loads(bare.sub(r'\\1"\\2"', line[4:]))
            count += 1
        except ValueError:
            pass
print(count)
"""


class Run(NamedTuple):
    """What a program took: seconds of a processor, MB of memory; and the number it printed."""

    seconds: float
    memory: float
    count: int


def measure(repeats: int, skipped: Skipped) -> Sequence[Figure]:
    """Make the log if it is not there, and read it with each reader in turns."""
    expected = _made()
    python = [sys.executable, "-c"]
    variants = {
        "grep": ["grep", "-c", "^DBG ", str(_LOG)],
        "json.loads": [*python, _PLAIN_LOOP + _PEAK, str(_LOG)],
        "standard library": [*python, _READER + _PEAK, str(_LOG), "orjson"],
    }
    if importlib.util.find_spec("orjson"):
        variants["orjson"] = [*python, _READER + _PEAK, str(_LOG)]
    else:
        skipped("events with orjson, which is not installed")
    runs: dict[str, list[Run]] = {name: [] for name in variants}
    for _ in range(max(1, repeats)):
        for name, command in variants.items():
            runs[name].append(processor_time(command))
    readers = [name for name in variants if name in ("standard library", "orjson")]
    for name in readers:
        if {run.count for run in runs[name]} != {expected}:
            raise RuntimeError(f"{name}: {runs[name][0].count} events of {expected}")
    return [figure for name in readers for figure in _figures(name, runs)]


def _figures(name: str, runs: dict[str, list[Run]]) -> Sequence[Figure]:
    seconds = {variant: [run.seconds for run in found] for variant, found in runs.items()}
    value, least = statistics.median(seconds[name]), 40 if name == "standard library" else 60
    ratios = [ours / base for ours, base in zip(seconds[name], seconds["json.loads"])]
    memory, grep = max(run.memory for run in runs[name]), seconds["grep"]
    return [
        Figure(f"200 MB, {name}; json.loads line by line", value, statistics.median(seconds["json.loads"]), "s",
               median_ratio(seconds[name], seconds["json.loads"]), bar=1.0,
               middle_half=middle_half(ratios)),
        Figure(f"200 MB, {name}; grep -c", value, statistics.median(grep), "s", median_ratio(seconds[name], grep),
               bar=_LOG.stat().st_size / 1e6 / least, bar_is_of="value"),
        Figure(f"memory, {name}", memory, runs["json.loads"][0].memory, "MB", memory / runs["json.loads"][0].memory,
               bar=100, bar_is_of="value"),
    ]  # fmt: skip


def event_log_file() -> pathlib.Path:
    """Make the log of events if it is not there."""
    _made()
    return _LOG


def _made() -> int:
    note = _LOG.with_suffix(".json")
    if not note.exists():
        sys.path.insert(0, str(ROOT / "tests"))
        import event_log

        _LOG.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(event_log.write(_LOG, SIZE)))
    count: int = json.loads(note.read_text())
    return count


def processor_time(command: Sequence[str]) -> Run:
    """Run a program that prints a number, and perhaps its peak of memory in KB."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{pathlib.Path(command[0]).name} ended with {process.returncode}")
    count, peak = [*map(int, printed.split()), 0][:2]
    return Run(usage.ru_utime + usage.ru_stime, peak / 1024, count)
