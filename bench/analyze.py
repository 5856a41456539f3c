"""`kdbg analyze`, all of it: a log of 200 MB with events, and a plain kernel log of 60 MB with an oops here and there.

What counts is processor time of the whole program, Python's start included. The baselines are reading the events alone,
and looking at each line of the plain log. The bar is 10 MB/s, and 100 MB of memory.
"""

from __future__ import annotations

import pathlib
import random
import statistics
import sys
from typing import Callable, Sequence

from .events import event_log_file, processor_time
from .figures import Figure, median_ratio
from .machine import ROOT

_PLAIN_SIZE, _SPEED, _MEMORY = 60_000_000, 10, 100
_PLAIN = ROOT / "build" / "bench" / "kernel.log"
_PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_ANALYSIS = """
import sys
from gdb_kdbg.analysis import read_log
from gdb_kdbg.log_files import open_named
from gdb_kdbg.log_symbols import Symbolic
made = read_log(sys.argv[1], lambda: open_named(sys.argv[1]), Symbolic()).analysis
print(made.events.total or len(made.crashes) + made.crashes_left_out)
"""
_EVENTS = """
import sys
from gdb_kdbg.events import read_events
print(sum(map(len, read_events(sys.argv[1]).batches())))
"""
_LINES = """
import sys
print(sum("BUG: " in line for line in open(sys.argv[1])))
"""
_BOOT = (
    "usb 1-{0}: new high-speed USB device number {1} using xhci_hcd", "eth0: link up, {1} Mbps, full duplex",
    "EXT4-fs (vda{0}): mounted filesystem with ordered data mode", "systemd[1]: Started Session {1} of user root.",
    "random: crng init done after {1} ms", "pci 0000:00:{0}.0: BAR 0: assigned [mem 0xfebd{0}000-0xfebd{0}fff]",
)  # fmt: skip
_OOPS = (
    "BUG: kernel NULL pointer dereference, address: 0000000000000{1:03x}", "#PF: supervisor read access in kernel mode",
    "Oops: 0000 [#1] PREEMPT SMP", "CPU: 1 PID: {1} Comm: tool Not tainted 6.1.0-bench #1",
    "RIP: 0010:driver_poke_{0}+0x12/0x40", "RAX: 0000000000000000 RBX: ffff888003a1c000 RCX: 0000000000000001",
    "Call Trace:", " <TASK>", " driver_ioctl_{0}+0x22/0x80", " vfs_ioctl+0x1e/0x30", " __x64_sys_ioctl+0x8c/0xd0",
    " do_syscall_64+0x3b/0x90", " entry_SYSCALL_64_after_hwframe+0x63/0xcd", " </TASK>", "Modules linked in: bench",
    "---[ end trace 0000000000000000 ]---",
)  # fmt: skip


def measure(repeats: int, skipped: Callable[[str], object]) -> Sequence[Figure]:
    """Make the logs if they are not there, and analyse each in turns with its baseline."""
    rounds = max(1, min(repeats, 3))
    return [
        *_figures("events", event_log_file(), _EVENTS, "reading the events", rounds),
        *_figures("plain log", _plain(), _LINES, "a look at each line", rounds),
    ]


def _figures(name: str, log: pathlib.Path, baseline: str, words: str, rounds: int) -> Sequence[Figure]:
    ours, others = [], []
    for _ in range(rounds):
        ours.append(processor_time([sys.executable, "-c", _ANALYSIS + _PEAK, str(log)]))
        others.append(processor_time([sys.executable, "-c", baseline + _PEAK, str(log)]))
    if ours[0].count != others[0].count:
        raise RuntimeError(f"{name}: {ours[0].count} found of {others[0].count}")
    size = log.stat().st_size / 1e6
    times, base = [run.seconds for run in ours], [run.seconds for run in others]
    memory, least = max(run.memory for run in ours), max(run.memory for run in others)
    return [
        Figure(f"{name}, {size:.0f} MB; {words}", statistics.median(times), statistics.median(base), "s",
               median_ratio(times, base), bar=size / _SPEED, bar_is_of="value"),
        Figure(f"memory, {name}", memory, least, "MB", memory / least, bar=_MEMORY, bar_is_of="value"),
    ]  # fmt: skip


def _plain() -> pathlib.Path:
    if not _PLAIN.exists():
        chance = random.Random(7)
        _PLAIN.parent.mkdir(parents=True, exist_ok=True)
        with open(_PLAIN, "w") as file:
            while file.tell() < _PLAIN_SIZE:
                file.write("".join(_page(chance, file.tell() / 1e5)))
    return _PLAIN


def _page(chance: random.Random, time: float) -> list[str]:
    texts = [chance.choice(_BOOT) for _ in range(4000)] + list(_OOPS)
    number, other = chance.randrange(9), chance.randrange(999)
    return [f"[{time + index / 1e4:12.6f}] {text.format(number, other)}\n" for index, text in enumerate(texts)]
