"""A program in a terminal, as a person has it: what it shows, what is typed, Ctrl-C; all with a deadline."""

from __future__ import annotations

import os
import pathlib
import pty
import select
import signal
import time
from typing import Mapping, Optional, Sequence

from support import DEADLINE, ROOT

INTERRUPT = b"\x03"


class Terminal:
    """A program whose terminal this is; use it in a `with`, at whose end the program is killed."""

    def __init__(
        self, command: Sequence[str], environment: Optional[Mapping[str, str]] = None, directory: pathlib.Path = ROOT
    ) -> None:
        self.output = b""
        self._seen = 0
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            variables = {**os.environ, "TERM": "xterm", **(environment or {})}
            variables.pop("NO_COLOR", None) if "NO_COLOR" not in (environment or {}) else None
            os.execvpe(command[0], list(command), variables)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def type(self, text: bytes) -> None:
        os.write(self._terminal, text)

    def wait_for(self, text: str) -> None:
        """Wait until the program has shown a text behind the last one waited for."""
        start = time.monotonic()
        while text.encode() not in self.output[self._seen :]:
            assert time.monotonic() < start + DEADLINE, f"no {text!r} in {self.output[self._seen :]!r}"
            self._read(0.5)
        self._seen = self.output.index(text.encode(), self._seen) + len(text.encode())

    def wait_for_end(self) -> str:
        """Wait until the program has closed the terminal; return all that it has shown."""
        start = time.monotonic()
        while self._read(0.5):
            assert time.monotonic() < start + DEADLINE, self.output
        return self.output.decode(errors="replace")

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self._terminal, 1 << 16)
        except OSError:
            return False
        self.output += piece
        return bool(piece)
