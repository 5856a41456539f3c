"""The connection to a user-mode Linux kernel: everything that is set for it, and undone before GDB lets go of it."""

from __future__ import annotations

import contextlib
import functools
import re
import struct
from typing import Callable, Iterator, Optional, Sequence

import gdb

from ..connect_command import Connected
from ..elf import open_elf
from ..errors import KdbgError, NotSupported
from ..uml_kernel import banner, is_uml
from ..uml_modules import directories_for, list_head
from ..uml_processes import KernelProcess
from ..units import safe_text
from .halting import halted
from .injection import injecting
from .leaving import Leaving
from .module_symbols import ModuleSymbols
from .settings import setting_values
from .target import GdbTarget

# The kernel's own business: page faults of its copies, its clock, its devices, its guests' stops.
SIGNALS = ("SIGSEGV", "SIGUSR1", "SIGALRM", "SIGIO", "SIGWINCH", "SIGCHLD", "SIGVTALRM", "SIGPROF", "SIGBUS", "SIGFPE")
_SIGNAL_LINE = re.compile(r"^SIG\w+\s+(Yes|No)\s+(Yes|No)\s+(Yes|No)\b", re.MULTILINE)
_SIGCHLD, _NO_STOPS = 17, 1
# struct kernel_sigaction: handler, flags, restorer, mask (Linux include/linux/signal_types.h).
_ACTION = struct.Struct("<QQQQ")
_MASK_SIZE = 8


class UmlConnection:
    """At most one at a time, in the inferior where it was made."""

    def __init__(self, target: GdbTarget, leaving: Leaving) -> None:
        self._target = target
        self._leaving = leaving
        self._undo: list[tuple[bool, Callable[[], None]]] = []
        self._kernel: Optional[KernelProcess] = None
        self._modules = ModuleSymbols(target)
        self._list_seen: Optional[tuple[int, ...]] = None

    @property
    def process(self) -> Optional[int]:
        return self._kernel.pid if self._kernel else None

    def connect(self, kernel: KernelProcess) -> Connected:
        """Attach to a kernel and set what it needs; again, to find its modules. Undoes all of it if it fails."""
        current = gdb.selected_inferior().pid
        if current and current != kernel.pid:
            raise KdbgError(f"this GDB debugs process {current} already: detach first, or use another inferior")
        if self.process == kernel.pid:
            return self._report(kernel, ("connected already",))
        problems: Sequence[str] = ()
        try:
            problems = self._set_up(kernel, attached=bool(current))
        except BaseException:
            with contextlib.suppress(KdbgError, gdb.error):
                self.leave()
            if not current and gdb.selected_inferior().pid:
                gdb.execute("detach", to_string=True)
            raise
        return self._report(kernel, problems=problems)

    def _set_up(self, kernel: KernelProcess, attached: bool) -> Sequence[str]:
        self._leaving.add(self.leave)
        if not attached:
            _load_symbols(kernel)
        self._pass_signals()
        if not attached:
            _attach(kernel)
        self._kernel = kernel
        self._stop_notifications()
        self._undo.append((False, self._modules.remove))
        return ()

    def _report(self, kernel: KernelProcess, done: Sequence[str] = (), problems: Sequence[str] = ()) -> Connected:
        from ..status import kernel_state

        loaded, missing = self._refresh()
        state = kernel_state(self._target)
        unknown = [] if is_uml(self._target) else [WITHOUT_SYMBOLS]
        return Connected(
            safe_text(f"process {kernel.pid}, {kernel.executable}", 300), banner(self._target), state.mode, state.tasks,
            state.current, (*done, *loaded), (*problems, *unknown, *missing, *state.problems),
        )  # fmt: skip

    def require_symbols(self, without: str) -> None:
        """Raise NotSupported if the connected kernel has no symbols."""
        if self._kernel is not None and not is_uml(self._target):
            raise NotSupported(f"this kernel has no symbols: {without} (file VMLINUX)")

    def refresh(self) -> None:
        """Load symbols of modules that have come since; costs one read if none has."""
        if self._kernel is None or gdb.selected_inferior().pid != self._kernel.pid:
            return
        with contextlib.suppress(KdbgError, gdb.error):
            if not self._modules.is_complete or list_head(self._target) != self._list_seen:
                self._refresh()

    def _refresh(self) -> tuple[Sequence[str], Sequence[str]]:
        assert self._kernel is not None
        self._list_seen = list_head(self._target)
        return self._modules.refresh(directories_for(self._kernel.executable, setting_values()["module-path"]))

    def leave(self) -> None:
        """Undo everything, the last first, while the process is still there."""
        self._finish(is_there=True)

    def gone(self) -> None:
        """Undo what is left to undo in GDB: the process is gone."""
        self._finish(is_there=False)

    def _finish(self, is_there: bool) -> None:
        problems: list[str] = []
        while self._undo:
            needs_process, action = self._undo[-1]
            try:
                if is_there or not needs_process:
                    action()
            except (KdbgError, gdb.error) as error:
                problems.append(str(error))
            self._undo.pop()  # not before: an interrupt leaves it to be done
        self._leaving.discard(self.leave)
        self._kernel = self._list_seen = None
        if problems:
            raise KdbgError(f"not all could be undone: {'; '.join(problems)}")

    def _pass_signals(self) -> None:
        for name in SIGNALS:
            before = _handling(name)
            self._undo.append((False, functools.partial(_quietly, f"handle {name} {before}")))
            _quietly(f"handle {name} nostop noprint pass")

    # Each trap of a guest's process stops it and sends SIGCHLD to the kernel, of which the tracer is told every time.
    def _stop_notifications(self) -> None:
        with injecting() as injection:
            place = injection.scratch(bytes(_ACTION.size))
            injection.call("rt_sigaction", _SIGCHLD, 0, place, _MASK_SIZE)
            handler, flags, restorer, mask = _ACTION.unpack(injection.read_scratch(_ACTION.size))
            if flags & _NO_STOPS and handler:
                return
            # Such a kernel never asks for that; a GDB that was killed has left it.
            before = _ACTION.pack(handler, flags & ~_NO_STOPS, restorer, mask)
            process = injection.process
            self._undo.append((True, lambda: _set_action(process, before)))
            quiet = _ACTION.pack(handler, flags | _NO_STOPS, restorer, mask)
            injection.call("rt_sigaction", _SIGCHLD, injection.scratch(quiet), 0, _MASK_SIZE)


WITHOUT_SYMBOLS = (
    "this kernel has no symbols: its tasks, guests and modules are not known; canary (of the process itself), got, "
    "reloc, symbol, vtable, watch and overlap of an address remain. Load a file with its symbols before (file VMLINUX)"
)


def _set_action(process: int, action: bytes) -> None:
    with halted(process), injecting(process) as injection:
        injection.call("rt_sigaction", _SIGCHLD, injection.scratch(action), 0, _MASK_SIZE)


def _handling(name: str) -> str:
    found = _SIGNAL_LINE.search(gdb.execute(f"info signals {name}", to_string=True) or "")
    if found is None:
        raise KdbgError(f"cannot tell how GDB handles {name}")
    words = (
        word if answer == "Yes" else f"no{word}" for word, answer in zip(("stop", "print", "pass"), found.groups())
    )
    return " ".join(words)


def _quietly(command: str) -> None:
    gdb.execute(command, to_string=True)


@contextlib.contextmanager
def _without_questions() -> Iterator[None]:
    before = gdb.parameter("confirm")
    gdb.execute("set confirm off", to_string=True)
    try:
        yield
    finally:
        gdb.execute(f"set confirm {'on' if before else 'off'}", to_string=True)


# A file that the user loaded stays if it is of the same build: it may have the symbols that the other lacks.
def _load_symbols(kernel: KernelProcess) -> None:
    space = gdb.current_progspace()
    loaded = space.filename if space is not None else None
    if loaded is not None and _build_id(loaded) == _build_id(kernel.executable):
        return
    with _without_questions():
        _quietly(f"file {kernel.executable}")


def _build_id(path: str) -> Optional[str]:
    try:
        return open_elf(path).build_id()
    except KdbgError:
        return None


def _attach(kernel: KernelProcess) -> None:
    try:
        with _without_questions():
            _quietly(f"attach {kernel.pid}")
    except gdb.error as error:
        text = str(error).strip().rstrip(".")
        if "not permitted" in text:
            text = f"no permission to trace process {kernel.pid}{_reason()}"
        raise KdbgError(f"cannot attach: {text}") from None


def _reason() -> str:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            scope = file.read().strip()
    except OSError:
        scope = "0"
    return f" (kernel.yama.ptrace_scope is {scope}: run GDB as root)" if scope != "0" else ""
