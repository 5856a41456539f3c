"""What `kdbg analyze` does: one log after the other, each told as soon as it is read."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Iterator, List, Sequence

from .analysis import Analysis, read_log
from .errors import KdbgError
from .log_files import STANDARD_INPUT, Opened, log_names, open_named, opened
from .log_symbols import Symbolic, parse_objfile
from .units import shown

if TYPE_CHECKING:
    from .analysis_text import Parts
    from .session import Session

FOUND, UNREAD = 3, 1
# Seconds until it is said how far this is, and how often then.
_PATIENCE, _EVERY = 2.0, 1.0
# What is told of a log is shown before the next one, but not more often than this, seconds, unless that one may take
# its time: it is larger than this, bytes, or no file.
_SHOWN_EVERY, _SMALL = 0.1, 1 << 20


class AnalysisStream:
    """The analyses of logs, each as soon as it is made; `status` is what a program may end with."""

    def __init__(self, session: Session, words: Sequence[str], symbols: Symbolic) -> None:
        self._session = session
        self._words = words
        self._symbols = symbols
        self._progress = Progress(session)
        self._found = self._unread = self._logs = 0
        self.rows = self._rows()

    @property
    def status(self) -> int:
        return FOUND if self._found else UNREAD if self._unread else 0

    def texts(self, rows: Sequence[Analysis]) -> Iterator[Parts]:
        """Return the story of each log as lines; for no rows nothing."""
        from .analysis_text import analysis_lines

        for row in rows:
            yield from analysis_lines(row, self._logs > 1 or len(self._words) > 1)

    def end(self) -> None:
        """There is nothing to say at the end that was not said of a log."""

    def _rows(self) -> Iterator[List[Analysis]]:
        shown_at = 0.0
        for name in log_names(self._words):
            if self._logs and (time.monotonic() >= shown_at + _SHOWN_EVERY or not _is_small(name)):
                yield []
                shown_at = time.monotonic()
            self._logs += 1
            made = self._analysis(name)
            self._found += made.tells
            self._unread += not made.kind
            yield [made]
        yield []

    def _analysis(self, name: str) -> Analysis:
        def opening() -> Opened:
            if name == STANDARD_INPUT:
                from .log_follow import of_descriptor

                return opened(of_descriptor(self._session.standard_input(), "standard input"), "standard input")
            return open_named(name)

        self._progress.begin(shown(name))
        return read_log(name, opening, self._symbols, self._progress.tick).analysis


def _is_small(name: str) -> bool:
    try:
        about = os.stat(name)
        return name != STANDARD_INPUT and stat.S_ISREG(about.st_mode) and about.st_size <= _SMALL
    except (OSError, ValueError):
        return False


class Progress:
    """Tells how far a long analysis is."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._next = time.monotonic() + _PATIENCE
        self._logs = self._size = 0
        self._name = ""

    def begin(self, name: str) -> None:
        """Take note of the next log."""
        self._logs += 1
        self._name = name

    def tick(self, size: int) -> None:
        """Take note of bytes that were read."""
        self._size += size
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            self._session.progress(f"{self._size / 1e6:.0f} MB read, log {self._logs}: {self._name}")


def analyze_logs(session: Session, words: Sequence[str], symbols: Sequence[str]) -> AnalysisStream:
    """Return the analyses of logs as a stream; raise KdbgError for symbols that cannot be read."""
    return AnalysisStream(session, words, symbolic(session, symbols))


def symbolic(session: Session, words: Sequence[str]) -> Symbolic:
    """Return the files that `--symbols` names, else those that are loaded."""
    if not words:
        loaded = session.loaded_symbols()
        return Symbolic(loaded.objfiles if loaded else ())
    found = Symbolic([parse_objfile(word) for word in words])
    if found.problems:
        raise KdbgError(found.problems[0])
    return found
