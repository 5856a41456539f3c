"""Events of a log that still grows: from the writing of a line until it is shown; beside `tail --follow`."""

from __future__ import annotations

import os
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Sequence

from .figures import Figure, Skipped, median_ratio
from .machine import DEADLINE, ROOT

_LINE = 'DBG {"type":"process_fork","parent_pid":1,"child_pid":%d}\n'


def measure(repeats: int, skipped: Skipped) -> Sequence[Figure]:
    """Append lines one by one, each when the one before has been shown by both programs."""
    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(directory, "serial.log")
        log.write_text(_LINE % 1)
        kdbg = [sys.executable, "-m", "gdb_kdbg", "events", str(log), "--follow"]
        found, base = _Shown(kdbg, "forked 1"), _Shown(["tail", "--lines=+1", "--follow", str(log)], '"child_pid":1}')
        for child in range(2, 10 * max(1, repeats) + 2):
            # The time between polls is part of what is measured, so lines come at any time of their period.
            time.sleep(0.05 + child % 10 / 50)
            with log.open("a") as file:
                file.write(_LINE % child)
            start = time.monotonic()
            base.wait(f'"child_pid":{child}}}', start)
            found.wait(f"forked {child}", start)
        found.end()
        base.end()
    return [
        Figure("a line until it is shown; tail --follow", statistics.median(found.waits), statistics.median(base.waits),
               "s", median_ratio(found.waits, base.waits), bar=0.2, bar_is_of="value"),
        Figure("the slowest of them; tail --follow", max(found.waits), max(base.waits), "s",
               max(found.waits) / max(base.waits), bar=0.2, bar_is_of="value"),
    ]  # fmt: skip


class _Shown:
    """A program that follows the log, and how long each line took to be shown."""

    def __init__(self, command: Sequence[str], first: str) -> None:
        self.waits: list[float] = []
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        self._text = b""
        self.wait(first, time.monotonic())
        self.waits.clear()

    def wait(self, text: str, start: float) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while text.encode() not in self._text:
            if not select.select([descriptor], [], [], DEADLINE)[0]:
                raise TimeoutError(f"{self._process.args!r} does not show {text!r}")
            more = os.read(descriptor, 1 << 16)
            if not more:
                raise RuntimeError(f"{self._process.args!r} ended")
            self._text += more
        self._text = b""
        self.waits.append(time.monotonic() - start)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
