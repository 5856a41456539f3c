"""What the sandboxes (seccomp) of a program's threads think of system calls that kdbg would have them make."""

from __future__ import annotations

import re
from typing import Optional, Sequence

from ..errors import KdbgError, NotSupported
from ..seccomp import SystemCall, is_allowed
from .ptrace import Thread

_NONE, _STRICT = 0, 1


def require_calls(process: int, threads: Sequence[int], calls: Sequence[SystemCall], place: int) -> None:
    """Raise NotSupported if a thread's sandbox would not let one of the calls, made at `place`, through.

    Where the filters may not be read, those that GDB itself lives with are taken to be the same.
    """
    own: Optional[tuple[int, int]] = None
    for number in threads:
        mode, count = _mode(f"/proc/{process}/task/{number}/status")
        if mode == _NONE:
            continue
        if mode == _STRICT:
            raise NotSupported(f"thread {number} is in a sandbox (seccomp) that ends it at any other system call")
        filters = _filters(number, count)
        if filters is None:
            own = own or _mode("/proc/self/status")
            if (mode, count) == own:
                continue
            raise NotSupported(f"thread {number} is in a sandbox (seccomp) that cannot be looked into")
        refused = next((call for call in calls if not is_allowed(filters, call, place)), None)
        if refused is not None:
            raise NotSupported(f"thread {number} is in a sandbox (seccomp) that does not allow {refused.name}")


def _mode(path: str) -> tuple[int, int]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = dict(re.findall(r"^(Seccomp\w*):\s*(\d+)$", file.read(), re.MULTILINE))
    except OSError:
        found = {}
    return int(found.get("Seccomp", 0)), int(found.get("Seccomp_filters", 0))


def _filters(number: int, count: int) -> Optional[Sequence[bytes]]:
    thread = Thread(number)
    found: list[bytes] = []
    try:
        while (program := thread.system_call_filter(len(found))) is not None:
            found.append(program)
    except KdbgError:
        return None
    return found if len(found) >= max(count, 1) else None
