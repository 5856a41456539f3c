"""What it takes to judge the slots of a program: on files, natively in GDB, and through gdbserver."""

from __future__ import annotations

import os
import pathlib
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from typing import Iterator, Optional, Sequence

from . import tables
from .figures import Figure, Skipped
from .machine import ROOT, finish, start_gdb
from .packets import MARK, reads_between_marks
from .programs import SLOTS, slots_program
from .tables import figures_in, kept, seconds_of

# Run in GDB: how long a command takes, if it printed enough to have done its work.
_TIME = """
import gdb, time
begin = time.perf_counter()
text = gdb.execute({command!r}, to_string=True)
end = time.perf_counter()
print("BENCH", end - begin) if text.count("\\n") >= {lines} else print(text[-1000:])
"""
# The table itself: where it is, found before anything is counted, and one read of all of it.
_FIND_TABLE = """
import gdb, re
text = gdb.execute("maintenance info sections .got.plt", to_string=True)
start, end = (int(digits, 16) for digits in re.search("(0x[0-9a-f]+)->(0x[0-9a-f]+)", text).groups())
"""
_READ_TABLE = "python gdb.selected_inferior().read_memory(start, end - start)"


@dataclass(frozen=True)
class _Case:
    """A program at a stop; `lines` is the least that a command about its slots must print.

    The bars, in seconds, are those of kdbg: the first time the command is given, and when the files have been read.
    """

    name: str
    program: pathlib.Path
    way: Sequence[str]
    lines: int
    bars: tuple[Optional[float], Optional[float]] = (None, None)
    all_files: bool = False


@dataclass(frozen=True)
class _Tool:
    name: str
    script: str

    @property
    def is_kdbg(self) -> bool:
        return self.name == "kdbg"

    def command(self, case: _Case) -> str:
        words = ["kdbg", "got", *([] if case.all_files else [case.program.name])]
        return " ".join(words) if self.is_kdbg else "got"


def measure(rounds: int, skipped: Skipped) -> Sequence[Figure]:
    """Measure all that this machine has the means for; tell `skipped` what is left out, and why."""
    figures = [*tables.measure(rounds, skipped)]
    for case in _cases(skipped):
        for tool in _tools():
            if tool.is_kdbg or not case.all_files:
                figures += kept(_times(case, tool, rounds), skipped)
    return figures + [*_counts(skipped)]


def _tools() -> Iterator[_Tool]:
    yield _Tool("kdbg", str(ROOT / "gdbinit.py"))
    for word in os.environ.get("KDBG_BENCH_PLUGINS", "").split():
        name, _, script = word.partition("=")
        if os.path.exists(script):
            yield _Tool(name, script)


def _cases(skipped: Skipped) -> Iterator[_Case]:
    program = slots_program()
    yield _Case(f"{SLOTS:,} slots", program, ["break stop_here", "run"], SLOTS, (0.15, 0.15))
    if shutil.which("gdbserver"):
        yield _Case(f"{SLOTS:,} slots, gdbserver", program, _remote(program), SLOTS)
    else:
        skipped("gdbserver: not installed")
    bash = pathlib.Path(shutil.which("bash") or "/")
    if bash.is_file():
        way = ["break main", "run -c true"]
        yield _Case("bash", bash, way, 200, (None, 0.03))
        yield _Case("bash and its libraries", bash, way, 200, all_files=True)


def _remote(program: pathlib.Path) -> Sequence[str]:
    return ["set sysroot /", f"target remote | gdbserver --once - {program}", "break stop_here", "continue"]


def _times(case: _Case, tool: _Tool, rounds: int) -> Iterator[Figure]:
    command = tool.command(case)
    timing = f"python exec({_TIME.format(command=command, lines=case.lines)!r})"
    runs = [figures_in(_in_gdb(tool, case.program, [*case.way, timing, timing])) for _ in range(rounds)]
    baseline = statistics.median(seconds_of(["readelf", "-rW", str(case.program)]) for _ in range(rounds))
    for what, bar, values in zip(("first", "again"), case.bars, zip(*runs)):
        value = statistics.median(values)
        yield Figure(
            f"{case.name}: {command if tool.is_kdbg else tool.name}, {what}", value * 1000, baseline * 1000, "ms",
            value / baseline, bar=bar * 1000 if bar and tool.is_kdbg else None, bar_is_of="value",
        )  # fmt: skip


def _in_gdb(tool: _Tool, program: pathlib.Path, lines: Sequence[str]) -> str:
    before = ["set confirm off", "set pagination off", "set debuginfod enabled off", f"source {tool.script}"]
    return finish(start_gdb([*before, *lines], str(program)))


def _counts(skipped: Skipped) -> Iterator[Figure]:
    if not shutil.which("gdbserver"):
        return
    program = slots_program()
    case = _Case("", program, _remote(program), SLOTS)
    baseline = _reads(_Tool("kdbg", str(ROOT / "gdbinit.py")), case, _READ_TABLE)
    for tool in _tools():
        reads = _reads(tool, case, tool.command(case))
        if reads is None or not baseline:
            skipped(f"{tool.name}: reads through gdbserver: its command was not reached")
            continue
        yield Figure(
            f"{SLOTS:,} slots, gdbserver: {tool.name}", reads, baseline, "reads", reads / baseline,
            bar=25 if tool.is_kdbg else None, bar_is_of="value",
        )  # fmt: skip


def _reads(tool: _Tool, case: _Case, command: str) -> Optional[int]:
    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(directory) / "packets"
        find = f"python exec({_FIND_TABLE!r})"
        _in_gdb(tool, case.program, [f"set remotelogfile {log}", *case.way, find, MARK, command, MARK])
        return reads_between_marks(log)
