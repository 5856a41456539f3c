"""Batches of logs read by processes of this machine.

A pool of the standard library hangs, or gives up all, if one of its processes is killed. Here the batch that was lost
is read again log by log, and the log that kills its reader is named.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, Deque, Dict, Iterable, Iterator, List, Optional, Sequence

from .triage_summary import Log
from .triage_work import Part, lost, work

# How long is waited for an answer before whoever asks gets a chance to say something.
_TICK, _ENDING = 1.0, 5.0


def read_serially(batches: Iterable[Sequence[Log]], keep: bool) -> Iterator[Optional[Part]]:
    """Yield the results of batches read by this process."""
    return (work(batch, keep) for batch in batches)


def read_in_pool(batches: Iterable[Sequence[Log]], jobs: int, keep: bool) -> Iterator[Optional[Part]]:
    """Yield the results of batches in the order in which they are done; None where there is none for a second.

    The processes are ended when the generator is closed or interrupted.
    """
    pool = _Pool(batches, jobs, keep)
    try:
        yield from pool.parts()
    finally:
        pool.end()


class _Pool:
    def __init__(self, batches: Iterable[Sequence[Log]], jobs: int, keep: bool) -> None:
        self._waiting: Deque[Sequence[Log]] = deque(batches)
        self._keep = keep
        # A process with threads must not be forked: whatever they hold would be held for ever in the copy.
        forks = sys.platform == "linux" and threading.active_count() == 1
        self._context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        self._busy: Dict[Connection, _Worker] = {}
        self._idle: List[_Worker] = []
        for _ in range(min(jobs, len(self._waiting))):
            self._start()

    def parts(self) -> Iterator[Optional[Part]]:
        while True:
            while self._idle and self._waiting:
                worker = self._idle.pop()
                worker.give(self._waiting.popleft())
                self._busy[worker.connection] = worker
            if not self._busy:
                return
            ready = wait(list(self._busy), _TICK)
            if not ready:
                yield None
            for connection in ready:
                yield self._taken(self._busy.pop(connection))  # type: ignore[call-overload]

    def _taken(self, worker: _Worker) -> Optional[Part]:
        try:
            part = worker.connection.recv()
        except (EOFError, OSError):
            return self._died(worker)
        self._idle.append(worker)
        return part  # type: ignore[no-any-return]

    def _died(self, worker: _Worker) -> Optional[Part]:
        batch, reason = worker.batch, f"the process that read it was ended ({worker.end()})"
        self._start()
        if len(batch) == 1:
            return lost(batch[0], reason, self._keep)
        self._waiting.extendleft([log] for log in batch)
        return None

    def _start(self) -> None:
        self._idle.append(_Worker(self._context, self._keep))

    def end(self) -> None:
        for worker in (*self._idle, *self._busy.values()):
            worker.end()


class _Worker:
    """A process and the connection over which it gets batches and gives results."""

    def __init__(self, context: Any, keep: bool) -> None:
        self.batch: Sequence[Log] = ()
        self.connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, keep), daemon=True)
        self._process.start()
        other.close()

    def give(self, batch: Sequence[Log]) -> None:
        self.batch = batch
        # If it has died, its connection is at its end, which is seen where the answer is awaited.
        with contextlib.suppress(OSError):
            self.connection.send(batch)

    def end(self) -> str:
        """End the process; return how it ended."""
        self._process.terminate()
        # One that waits for a disk which does not answer cannot be ended.
        self._process.join(_ENDING)
        self.connection.close()
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"status {code}"


# Ctrl-C reaches all processes of a terminal; this one is ended by the one that started it, or when that is gone, which
# the connection does not tell: a forked process holds the other end of it, too.
def _serve(connection: Connection, keep: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    while connection in wait([connection, parent.sentinel]) and parent.is_alive():
        connection.send(work(connection.recv(), keep))
