"""How many reads of memory kdbg's commands send to a remote stub: over a slow line they are what takes the time."""

from __future__ import annotations

import pathlib
import re
import tempfile
from dataclasses import dataclass
from typing import Optional, Sequence

from .figures import Figure, Skipped
from .machine import boot, build, finish

# A packet no stub knows, so that it has no effect but a place in the log.
MARK = "maintenance packet qkdbg.mark"
_AT_IOCTL = ("tbreak tty_ioctl", "continue")
# More copies than the largest ring has records.
_BUSY = "bench=winsize:10000"
_DAMAGED = (
    "add-symbol-file {programs}/editor",
    'hbreak __stack_chk_fail if $_streq((char *) current->probe.name, "editor")',
    "continue",
)


@dataclass(frozen=True)
class _Case:
    """A command of kdbg, the command of GDB that reads no more than it must for it, and where both are given."""

    name: str
    command: str
    baseline: str
    bar: Optional[int]
    words: str = _BUSY
    way: Sequence[str] = ("tbreak *power_off", "continue")
    ring: int = 32


def _dump(records: int) -> str:
    # The tags (4 bytes each) lie right behind the records (32 bytes each).
    return f"dump binary memory /dev/null &ucopy_trace_buf (char *) &ucopy_trace_buf + {records * 36}"


_CASES = (
    _Case("kdbg ring, 32 records", "kdbg ring", _dump(32), 4),
    _Case("kdbg ring, 4096 records", "kdbg ring", _dump(4096), 80, ring=4096),
    _Case("kdbg canary", "kdbg canary", "x/1gx $fs_base + 0x28", 3, way=_AT_IOCTL),
    _Case("kdbg why, guard damaged", "kdbg why", "backtrace", None, "fault=double_copy", _DAMAGED),
    _Case("kdbg why, nothing wrong", "kdbg why", "backtrace", None, way=_AT_IOCTL),
)


def measure(repeats: int, skipped: Skipped) -> Sequence[Figure]:
    """Count for each command, in a fresh GDB on a fresh guest; counts do not vary, so once is enough."""
    return [_compare(case) for case in _CASES]


def _compare(case: _Case) -> Figure:
    kernel = build(f"ring{case.ring}", RING=str(case.ring))
    value, baseline = (_count(kernel, case, command) for command in (case.command, case.baseline))
    return Figure(case.name, value, baseline, "reads", value / max(baseline, 1), bar=case.bar, bar_is_of="value")


def _count(kernel: pathlib.Path, case: _Case, command: str) -> int:
    way = [line.format(programs=kernel.parent / "programs") for line in case.way]
    with tempfile.TemporaryDirectory() as directory, boot(kernel, case.words, stub=True) as guest:
        log = pathlib.Path(directory) / "packets"
        output = finish(
            guest.gdb([*way, MARK, command, MARK], before=["source gdbinit.py", f"set remotelogfile {log}"])
        )
        reads = reads_between_marks(log)
    if reads is None:
        raise RuntimeError(f"{command} was not reached: {output}")
    return reads


def reads_between_marks(log: pathlib.Path) -> Optional[int]:
    """Count the reads of memory in GDB's log of a connection, from one MARK to the next; None without two of them."""
    parts = re.split(r"^w \+?\$qkdbg\.mark#.*$", log.read_text(errors="replace"), flags=re.MULTILINE)
    return len(re.findall(r"^w \+?\$[mx][0-9a-f]+,", parts[1], re.MULTILINE)) if len(parts) == 3 else None
