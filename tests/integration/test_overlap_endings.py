"""However GDB ends, and whatever the program does then: no probe stays in it, and it goes on."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
from typing import Iterator, Optional, Sequence

import pytest
from support import DEADLINE, ROOT, require, run, wait_until

SOURCE = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
char area[8][256];
// It begins with one long instruction, so no thread is in the middle of the bytes to be patched, which kdbg refuses.
__attribute__((noipa, ms_hook_prologue)) void *copy(char *to, const char *from, unsigned long size) {
  for (unsigned long at = 0; at < size; at++) to[at] = from[at];
  return to;
}
static void *work(void *which) {
  long own = (long)which;
  for (;;) copy(area[own] + 128, area[own], 40 + own);
}
int main(void) {
  pthread_t thread;
  for (long own = 0; own < THREADS - 1; own++) pthread_create(&thread, 0, work, (void *)own);
  puts("ready"); fflush(stdout);
  work((void *)7);
}
"""


@pytest.fixture(params=[1, 4], scope="module")
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A program that copies without end, in so many threads."""
    require("gcc", "gdb")
    directory = tmp_path_factory.mktemp("endings")
    (directory / "endless.c").write_text(SOURCE)
    made = directory / "endless"
    run("gcc", "-g", "-O1", f"-DTHREADS={request.param}", str(directory / "endless.c"), "-o", str(made), "-pthread")
    return made


@pytest.fixture
def endless(program: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def state_of(process: subprocess.Popen[str], running: str) -> Sequence[str]:
    """What may not change: mappings, and whether it runs and is traced."""
    root = pathlib.Path(f"/proc/{process.pid}")
    status = re.findall(r"^TracerPid:.*", (root / "status").read_text(), re.MULTILINE)
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in root.glob("task/*/stat")]
    # GDB 13 by itself leaves a program with threads stopped that it has attached to in non-stop mode.
    stopped = [state for state in states if state in "tT"] if running != "non-stop" else []
    return [*status, f"{len(stopped)} threads are stopped", (root / "maps").read_text()]


def started_gdb(
    process: subprocess.Popen[str], early: Sequence[str], lines: Sequence[str], first: str = "kdbg overlap copy --log"
) -> subprocess.Popen[str]:
    """A GDB that has put a probe in, or done another command, and some lines."""
    words = [word for line in early for word in ("-iex", line)]
    for line in (f"source {ROOT / 'gdbinit.py'}", first, *lines):
        words += ["-ex", line]
    return subprocess.Popen(
        ["gdb", "-nx", "-q", *words, "-p", str(process.pid)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


SAY = "shell echo there!"
RUNNING = {
    "stopped": ([], [SAY]),
    "running": ([], [SAY, "continue"]),
    "background": ([], ["continue&", SAY]),
    "non-stop": (["set non-stop on"], ["continue -a&", SAY]),
}


ENDINGS = [(running, ending) for running in RUNNING for ending in ("SIGTERM", "SIGHUP", "quit", "detach")]
# A GDB that waits for the program takes no commands; GDB 13 dies of SIGTERM while it still handles what threads do.
IMPOSSIBLE = [("running", "quit"), ("running", "detach"), ("non-stop", "SIGTERM")]


@pytest.mark.parametrize(("running", "ending"), [pair for pair in ENDINGS if pair not in IMPOSSIBLE])
def test_nothing_stays(endless: subprocess.Popen[str], running: str, ending: str) -> None:
    before = state_of(endless, running)
    gdb = started_gdb(endless, *RUNNING[running])
    assert gdb.stdout is not None
    shown = []
    for line in gdb.stdout:
        shown.append(line)
        if "there!" in line:
            break
    if running != "stopped":
        wait_until(lambda: "stop" not in status(endless), "it does not run")
    maps = pathlib.Path(f"/proc/{endless.pid}/maps").read_text()
    assert maps != before[-1], "it is not armed:\n" + "".join(shown)
    if ending.startswith("SIG"):
        gdb.send_signal(signal.Signals[ending])
    output = "".join(shown) + gdb.communicate(f"{ending}\nquit\n", timeout=DEADLINE)[0]
    assert state_of(endless, running) == before, output
    assert "Traceback" not in output and "kdbg: " not in output and "internal" not in output, output
    assert endless.poll() is None, "it lives"


@pytest.mark.parametrize("command", ["kdbg canary", "kdbg canary --syscalls", "kdbg watch guard"])
def test_a_program_that_runs_in_the_foreground_outlives_a_gdb_that_is_ended(
    endless: subprocess.Popen[str], command: str
) -> None:
    before = state_of(endless, "running")
    gdb = started_gdb(endless, *RUNNING["running"], command)
    assert gdb.stdout is not None
    assert any("there!" in line for line in gdb.stdout)
    wait_until(lambda: "stop" not in status(endless), "it does not run")
    gdb.send_signal(signal.SIGTERM)
    output = gdb.communicate(timeout=DEADLINE)[0]
    assert state_of(endless, "running") == before, output
    assert endless.poll() is None, "it lives"


def status(process: subprocess.Popen[str]) -> str:
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return re.findall(r"^State:.*", text, re.MULTILINE)[0]


HALTED = """
import os, subprocess, gdb
from gdb_kdbg.live.halting import halted
process = gdb.selected_inferior().pid
with halted(process):
    {interrupt}
"""
BY_GDB = "os.kill(process, 2)"
# A watchpoint that goes has GDB stop each thread, to change its debug registers: it waits for that before it detaches.
BESIDE_STOPS = "gdb.execute('delete'); os.kill(process, 2)"
BY_ANOTHER = "subprocess.run(['kill', '-INT', str(process)], check=True)"


@pytest.mark.parametrize(("interrupt", "code"), [(BY_GDB, None), (BESIDE_STOPS, None), (BY_ANOTHER, -signal.SIGINT)])
def test_only_the_interrupt_of_an_ending_gdb_is_kept_from_the_program(
    endless: subprocess.Popen[str], interrupt: str, code: Optional[int], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "halted.py").write_text(HALTED.format(interrupt=interrupt))
    lines = [f"source {ROOT / 'gdbinit.py'}", "handle SIGINT pass nostop", "watch -l area[6][200]", "continue&"]
    words = [word for line in [*lines, f"source {tmp_path}/halted.py", "detach"] for word in ("-ex", line)]
    output = run("gdb", "-nx", "-q", "-batch", *words, "-p", str(endless.pid))
    assert "Traceback" not in output and "Error" not in output, output
    if code is None:
        assert state_of(endless, "running")[:2] == ["TracerPid:\t0", "0 threads are stopped"]
        assert endless.poll() is None
    else:
        assert endless.wait(DEADLINE) == code
