"""System calls in a log: those that the kernel does not have, and those that fail again and again."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence

from .errors_and_signals import LARGEST_ERROR, error_name
from .events import Event
from .finding import CERTAIN, LIKELY, POSSIBLE, Facts, Finding
from .log_story import MISSING, STORIES, STORM, Programs, Story, forget_oldest
from .syscall_names import system_call_name
from .units import Count, safe_text

MISSING_RULE, STORM_RULE = "missing-system-calls", "error-storm"
# A call of a process that fails so often in a row, always in the same way, is no accident.
STORM_AT = 64
# What polling, waiting and looking along a path meet in a healthy program.
_ORDINARY = frozenset(("EAGAIN", "EINTR", "ETIMEDOUT", "EINPROGRESS", "EALREADY", "EWOULDBLOCK", "ERESTART"))
_PATHS = frozenset(("ENOENT", "ENOTDIR", "EACCES"))
_PATH_CALLS = frozenset(
    """open openat openat2 stat lstat newfstatat statx access faccessat faccessat2 execve execveat readlink readlinkat
    unlink unlinkat rmdir chdir mkdir getxattr lgetxattr""".split()
)
_SHOWN, _NAME = 12, 64


class _Run:
    """A call of a process that has failed in the same way since some line."""

    def __init__(self, code: str, line: int) -> None:
        self.code = code
        self.first = self.last = line
        self.count = 1
        self.is_told = False


class _Missing:
    """A system call that the kernel does not have, and who made it."""

    def __init__(self, event: Event) -> None:
        self.first = event.line
        self.count = 0
        self.pids: Dict[Optional[int], None] = {}


class Calls:
    """Counts failures in a row, and calls that are not there."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._runs: Dict[Any, _Run] = {}
        self._storms: List[tuple[Optional[int], str, _Run, str]] = []
        self._missing: Dict[str, _Missing] = {}
        self._untold = 0
        self.handlers = {"syscall_exit": self._exit, "unimplemented_syscall": self._unimplemented}

    @property
    def problems(self) -> Sequence[str]:
        return [f"{self._untold} more system calls failed again and again"] if self._untold else ()

    def restart(self) -> None:
        """Forget the processes: the machine has started again."""
        self._runs.clear()

    def stories(self) -> Iterator[Story]:
        for pid, name, run, whose in self._storms:
            yield Story(_storm(pid, name, run, whose), (run.first, run.last), STORM)
        if self._missing:
            yield self._missing_story()

    def _exit(self, event: Event) -> None:
        fields = event.fields
        result, code = fields.get("result"), fields.get("errno")
        if code is None and not (type(result) is int and -LARGEST_ERROR <= result < 0):
            if self._runs:
                self._runs.pop((event.pid, str(fields.get("name"))), None)
            return
        name = fields.get("name")
        self._failed(event, str(name), _code(result if code is None else code))

    def _failed(self, event: Event, name: str, code: str) -> None:
        key = (event.pid, name)
        run = self._runs.get(key)
        if run is None or run.code != code:
            self._runs[key] = _Run(code, event.line)
            forget_oldest(self._runs)
            return
        run.count += 1
        run.last = event.line
        if run.count == STORM_AT and not (code in _ORDINARY or (code in _PATHS and name in _PATH_CALLS)):
            if len(self._storms) < STORIES:
                self._storms.append((event.pid, safe_text(name, _NAME), run, self._programs.whose(event.pid)))
            else:
                self._untold += 1

    def _unimplemented(self, event: Event) -> None:
        name = _call_name(event)
        if name not in self._missing and len(self._missing) >= 4 * STORIES:
            self._untold += 1
            return
        missing = self._missing.setdefault(name, _Missing(event))
        missing.count += 1
        if len(missing.pids) < _SHOWN:
            missing.pids[event.pid] = None

    def _missing_story(self) -> Story:
        ranked = sorted(self._missing.items(), key=lambda item: -item[1].count)
        names = ", ".join(name for name, _ in ranked[:_SHOWN])
        more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
        lines = [f"line {missing.first}: {name}, {_times(missing.count)}, by {self._callers(missing)}"
                 for name, missing in ranked[:_SHOWN]]  # fmt: skip
        plural = "s" if len(ranked) > 1 else ""
        summary = f"the kernel does not have {len(ranked)} system call{plural} that programs made: {names}{more}"
        facts = Facts(system_call=ranked[0][0] if len(ranked) == 1 else None)
        steps = ("kdbg events LOG --type unimplemented_syscall",)
        finding = Finding(summary, MISSING_RULE, CERTAIN, tuple(lines), steps, facts)
        return Story(finding, tuple(missing.first for _, missing in ranked[:_SHOWN]), MISSING)

    def _callers(self, missing: _Missing) -> str:
        return ", ".join(self._programs.whose(pid) or "?" for pid in list(missing.pids)[:3])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


# A kernel that does not know the name says that it is unknown.
def _call_name(event: Event) -> str:
    name, call = safe_text(str(event.fields.get("name") or ""), _NAME), event.number("nr")
    if name and name not in ("unknown", "?"):
        return name
    return system_call_name(call) if call is not None and call >= 0 else name or "unknown"


def _code(value: Any) -> str:
    return error_name(abs(value)) if type(value) is int else safe_text(str(value), _NAME)


def _storm(pid: Optional[int], name: str, run: _Run, whose: str) -> Finding:
    summary = f"{name} failed {run.count} times in a row with {run.code} in {whose or 'a process'}"
    evidence = (f"lines {run.first} to {run.last}: each call of {name} failed with {run.code}, none succeeded",)
    confidence = LIKELY if run.count >= 4 * STORM_AT else POSSIBLE
    steps = (f"kdbg events LOG --type syscall --pid {pid}",) if pid is not None else ()
    facts = Facts(pid=None if pid is None else Count(pid), system_call=name)
    return Finding(summary, STORM_RULE, confidence, evidence, steps, facts)
