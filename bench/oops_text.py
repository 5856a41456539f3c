"""What it takes to find the crashes in console text; the baseline is grep looking for the word BUG."""

from __future__ import annotations

import pathlib
import random
import subprocess
import tempfile
import time
from typing import Callable, Iterator, Sequence

from gdb_kdbg.kernel_log import crashes_in_blocks

from .figures import Figure

_MEGABYTES = 16
_BLOCK = 1 << 18
# At least 10 MB/s a core, in reports as between them.
_BAR = _MEGABYTES / 10

_WORDS = "usb device link up ready mounted filesystem with ordered data mode session root comm pid state".split()
_REPORT = """\
BUG: unable to handle page fault for address: ffffc900001230{0:02x}
#PF: supervisor write access in kernel mode
Oops: 0002 [#1] PREEMPT SMP
CPU: 1 PID: {0} Comm: worker Not tainted 7.1.0-bench #3
RIP: 0010:stage_{0}+0x25a/0x2c00
Code: c0 0f 85 0e 05 00 00 0f b6 9c 24 20 03 00 00 31 ff 89 de <80> 78 04 00
{1}
Call Trace:
 <TASK>
{2}
 do_syscall_64+0x5f/0xe0
 entry_SYSCALL_64_after_hwframe+0x77/0x7f
 </TASK>
---[ end trace 0000000000000000 ]---
"""
_REGISTERS = "\n".join("RAX: 0000000000000000 RBX: ffff888012345678 RCX: 1ffff92000024fca" for _ in range(6))


def measure(rounds: int = 3) -> Sequence[Figure]:
    """Return the figures: a log with one report in ten thousand lines, and one that is nothing but reports."""
    figures = []
    for name, lines_between in (("rare reports", 10_000), ("reports only", 0)):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "console.log")
            path.write_text(_log(lines_between))
            base = min(_seconds(_grep, path) for _ in range(rounds))
            own = min(_seconds(_count, path) for _ in range(rounds))
        figures.append(Figure(f"{name}, {_MEGABYTES} MB", own, base, "s", own / base, _BAR, "value"))
    return figures


def _log(lines_between: int) -> str:
    chance, text, size = random.Random(1), [], 0
    number = 0
    while size < _MEGABYTES * 1_000_000:
        number += 1
        frames = "\n".join(f" stage_{number}_{depth}+0x{depth:x}/0x200" for depth in range(30))
        body = [" ".join(chance.choices(_WORDS, k=9)) for _ in range(lines_between)]
        body += _REPORT.format(number % 200, _REGISTERS, frames).splitlines()
        lines = [f"[{number:5d}.{place:06d}][  T{number % 97}] {line}\n" for place, line in enumerate(body)]
        text += lines
        size += sum(map(len, lines))
    return "".join(text)


def _count(path: pathlib.Path) -> None:
    found = sum(1 for _ in crashes_in_blocks(_blocks(path)))
    assert found > 0, "the log has reports"


def _blocks(path: pathlib.Path) -> Iterator[str]:
    with path.open(errors="backslashreplace") as log:
        while lines := log.readlines(_BLOCK):
            yield "".join(lines)


def _grep(path: pathlib.Path) -> None:
    subprocess.run(["grep", "-c", "BUG", str(path)], capture_output=True, check=True)


def _seconds(work: Callable[[pathlib.Path], None], path: pathlib.Path) -> float:
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start
