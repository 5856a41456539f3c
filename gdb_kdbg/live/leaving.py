"""What is to be undone before GDB lets go of a program: while it can still be changed.

GDB 13 tells Python of a detach when it is over. A hook of the command runs before it; the end of GDB is told in time.
"""

from __future__ import annotations

from typing import Callable

import gdb

from ..errors import KdbgError

_FUNCTION = "_kdbg_leaving"
_CALL = f"set $_kdbg_left = ${_FUNCTION}()"
# (how to name the command in `define`, how its hook is called)
_HOOKS = (("hook-detach", "hook-detach"), ("detach hook-inferiors", "detach hook-inferiors"))


class _Leaving(gdb.Function):
    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__(_FUNCTION)
        self._run = run

    def invoke(self, *args: gdb.Value) -> bool:
        self._run()
        return True


class Leaving:
    """Runs what was registered, the last first, before a detach and before GDB ends."""

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []
        self._function: list[_Leaving] = []

    def add(self, action: Callable[[], None]) -> None:
        """Register what is to be undone; it is run once."""
        if not self._function:
            self._function.append(_Leaving(self.run))
        for command, hook in _HOOKS:
            _hook(command, hook)
        if action not in self._actions:
            self._actions.append(action)

    def discard(self, action: Callable[[], None]) -> None:
        """Forget an action: it has been undone already."""
        if action in self._actions:
            self._actions.remove(action)

    def run(self) -> None:
        """Undo everything; an error is told and does not keep the others from being undone."""
        while self._actions:
            action = self._actions[-1]
            try:
                action()
            except (KdbgError, gdb.error) as error:
                gdb.write(f"kdbg: {error}\n", gdb.STDERR)
            self.discard(action)  # not before: an interrupt leaves it to be done


# A hook that the user has keeps what it does.
def _hook(command: str, hook: str) -> None:
    try:
        shown = gdb.execute(f"show user {hook}", to_string=True) or ""
    except gdb.error:
        shown = ""
    lines = [line.strip() for line in shown.splitlines()[1:] if line.strip()]
    if _CALL not in lines:
        gdb.execute("\n".join((f"define {command}", _CALL, *lines, "end")), to_string=True)
