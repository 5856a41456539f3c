"""A program that GDB lets run, stopped for a moment without GDB: when it is to let go, it waits for no stop any more.

Threads are stopped by SIGSTOP, as GDB does it, and go on afterwards. What GDB has stopped itself stays as it is, and so
does a thread that GDB is still to be told of (a breakpoint, a fork): GDB finds it as it would have. Source: ptrace(2).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Iterator, Optional

import gdb

from ..errors import KdbgError
from .ptrace import Thread, tracer_of

_PATIENCE, _PAUSE = 10.0, 0.0005  # seconds
_STOPPED, _ENDED = ("t", "T"), ("Z", "X", "")


@contextlib.contextmanager
def halted(process: int) -> Iterator[None]:
    """Keep all threads of a traced process from running; raise KdbgError, with all going on, if one does not stop."""
    seen: dict[int, _Halted] = {}
    try:
        # A thread may start another while it is not stopped yet.
        while new := sorted(_threads(process) - seen.keys()):
            for number in new:
                seen[number] = _Halted(Thread(number))
                seen[number].halt()
        yield
    finally:
        for action in (_Halted.drop_interrupt, _Halted.go_on):
            for halted in seen.values():
                with contextlib.suppress(KdbgError):  # it was killed
                    action(halted)


def drop_interrupt() -> None:
    """Keep the Ctrl-C that a GDB which ends by SIGTERM sends to the program from it, if it runs natively.

    GDB 13 takes SIGTERM for a Ctrl-C too, and so for the program's while that runs in the foreground. Where the
    program has not got it yet when GDB lets go, it would end it.
    """
    process = gdb.selected_inferior().pid
    if process and tracer_of(process) == os.getpid() and _waits(process, "ShdPnd", signal.SIGINT):
        with contextlib.suppress(KdbgError), halted(process):
            pass


# A signal that has not been delivered: to the process (ShdPnd), or to one thread alone (SigPnd).
def _waits(thread: int, field: str, number: int) -> bool:
    try:
        with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as file:
            waiting = next((line.split()[1] for line in file if line.startswith(f"{field}:")), "0")
    except OSError:
        return False
    return bool(int(waiting, 16) >> number - 1 & 1)


# For GDB, what a program that it runs clones is a thread, even one of another process.
def _threads(process: int) -> set[int]:
    known = {thread.ptid[1] for thread in gdb.selected_inferior().threads()}
    try:
        return known | {int(name) for name in os.listdir(f"/proc/{process}/task")}
    except OSError:
        return known


# What comes of a thread, None while there is nothing.
def _news_of(thread: Thread) -> Iterator[Optional[int]]:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        news = thread.news()
        yield news
        if news is None:
            # waitid(2) knows no time limit, and this must end if a thread does not stop: so it is asked again and
            # again, and the processor left to the thread in between.
            time.sleep(_PAUSE)


class _Halted:
    """A thread that was stopped here and is to go on, or that GDB has stopped, or is still to be told of."""

    def __init__(self, thread: Thread) -> None:
        self._thread = thread
        self._is_mine = self._is_asked_by_gdb = False

    def halt(self) -> None:
        thread, asked = self._thread, False
        for news in _news_of(thread):
            if news is None:
                state = _state(thread.number)
                if state in _ENDED or (state in _STOPPED and thread.news() is None):
                    return
                # A GDB that ends may have sent one already, and two are one.
                if not asked and not _waits(thread.number, "SigPnd", signal.SIGSTOP):
                    thread.send(signal.SIGSTOP)
                    asked = True
            elif news == signal.SIGSTOP:
                thread.take_news()
                self._is_mine, self._is_asked_by_gdb = True, not asked
                return
            elif news >= signal.SIGTRAP | 0x80 or news in (0, signal.SIGTRAP):
                return
            else:
                thread.take_news()
                # A Ctrl-C is meant for GDB; the others are the program's.
                thread.go_on(0 if news == signal.SIGINT else news)
        raise KdbgError(f"thread {thread.number} does not stop")

    # See the function of that name. A thread that is stopped executes nothing until it has got the signal.
    def drop_interrupt(self) -> None:
        thread = self._thread
        if thread.news() is not None or not thread.is_about_to_get(signal.SIGINT, os.getpid()):
            return
        thread.go_on()
        for news in _news_of(thread):
            if news == 0:
                return
            if news is not None:
                thread.take_news()
                if news == signal.SIGINT:
                    return
                # A stop is never the program's: GDB has asked for it, and where it was on its way while one was asked
                # for here, there are two. Delivered, it would stop the whole program as a job.
                self._is_asked_by_gdb |= news == signal.SIGSTOP
                thread.go_on(0 if news == signal.SIGSTOP else news)

    def go_on(self) -> None:
        if self._is_asked_by_gdb:
            self._thread.send(signal.SIGSTOP)  # it waits for it
        if self._is_mine:
            self._thread.go_on()


def is_stopped(number: int) -> bool:
    """Tell whether a thread is stopped by its tracer."""
    return _state(number) in _STOPPED


def _state(number: int) -> Optional[str]:
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
