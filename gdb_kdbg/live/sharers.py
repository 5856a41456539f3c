"""Processes that share the memory of a program without being threads of it, as the helpers of user-mode Linux do.

GDB knows nothing of them. While code that they may be in is changed, they are stopped by ptrace, of which their parents
are not told. Sources: kcmp(2), clone(2) on CLONE_VM, ptrace(2) on PTRACE_SEIZE.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterator, Sequence

from ..errors import KdbgError
from .halting import is_stopped
from .ptrace import Thread, is_same_memory, tracer_of


@contextlib.contextmanager
def stopped_sharers(process: int) -> Iterator[Sequence[Thread]]:
    """Stop all threads of other processes that share the memory of `process`; raise KdbgError if one cannot be."""
    seized: list[Thread] = []
    stopped: list[Thread] = []
    try:
        for other in _sharers(process):
            for number in sorted(int(name) for name in os.listdir(f"/proc/{other}/task")):
                thread = Thread(number)
                if tracer_of(number) == os.getpid() and is_stopped(number):
                    stopped.append(thread)
                    continue
                try:
                    thread.seize()
                    seized.append(thread)
                    thread.interrupt()
                except KdbgError as error:
                    text = f"process {other} shares the program's memory and cannot be stopped: {error}"
                    raise KdbgError(text) from None
        yield [*stopped, *seized]
    except FileNotFoundError as error:
        raise KdbgError(f"a process that shares the memory of {process} ended meanwhile: {error.filename}") from None
    finally:
        for thread in seized:
            with contextlib.suppress(KdbgError):  # it ended
                thread.detach()


def _sharers(process: int) -> Sequence[int]:
    others = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {process, os.getpid()}
    return sorted(other for other in others if is_same_memory(process, other))
