"""A watch over runs that may never end."""

from __future__ import annotations

import signal
import threading
import time
from typing import Callable

# A copy that takes longer than this for at most 64 KiB may never return.
PATIENCE = 1.0
_LOOK = 0.1


class Watch:
    """Ends what runs for too long; unicorn's own time limit would cost a thread a run.

    What counts is the processor time of the thread that starts it: on a busy machine others have the rest.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        """Take what ends a run."""
        self._end = end
        self._deadline = 0.0
        self._clock = 0
        self._expired = False
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="kdbg-watch", daemon=True)
        _start_without_signals(self._thread)

    def start(self, seconds: float = PATIENCE) -> None:
        """Watch a run from now on."""
        self._expired = False
        self._clock = _clock_of_this_thread()
        self._deadline = time.clock_gettime(self._clock) + seconds

    def stop(self) -> bool:
        """End the watch of a run; return whether it was ended."""
        with self._lock:
            self._deadline = 0.0
            return self._expired

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(_LOOK):
            with self._lock:
                if self._deadline and time.clock_gettime(self._clock) > self._deadline:
                    self._expired = True
                    self._end()


# macOS has no clock of one thread that another one can read.
def _clock_of_this_thread() -> int:
    find = getattr(time, "pthread_getcpuclockid", None)
    return int(find(threading.get_ident())) if find else time.CLOCK_MONOTONIC


# GDB expects its signals in its own threads; a new thread blocks what its maker blocks.
def _start_without_signals(thread: threading.Thread) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
