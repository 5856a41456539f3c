"""Ctrl-C while a breakpoint stops and goes on hundreds of times a second.

GDB 13 loses most interrupts then: its ^C reaches the stub when the target has stopped anyway, and is ignored. A
terminal sends SIGINT to every process of the foreground group, so a child of GDB's sees those that GDB loses.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from typing import Optional

_WATCHER = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"x"))
os.write(1, b"r")
sys.stdin.read()
"""


class InterruptWatcher:
    """Knows whether Ctrl-C was pressed since the target was last continued by the user."""

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> None:
        """Start watching; without a python3 to run, GDB's own way of interrupting is all there is."""
        python = shutil.which("python3")
        if self._process is not None or python is None:
            return
        self._process = subprocess.Popen([python, "-c", _WATCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._read(10.0)  # it is ready when it says so; an interrupt before that would end it

    def stop(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def pressed(self) -> bool:
        """Tell whether there was an interrupt, and forget it."""
        return self._process is not None and bool(self._read(0))

    def _read(self, seconds: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        stream = self._process.stdout
        return os.read(stream.fileno(), 64) if select.select([stream], [], [], seconds)[0] else b""
