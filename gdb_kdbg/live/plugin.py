"""kdbg's entry into GDB: declares the commands and reports stops. Loading it must cost next to nothing."""

from __future__ import annotations

import contextlib
import os
import sys

import gdb

from .. import registry
from ..errors import KdbgError
from .settings import declare_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generator, Optional, Sequence, Union

    from .session import GdbSession

_PIECE = 1 << 15
_COLOURS = {"corrupted": "31;1", "intact": "32", "unset": "33", "unknown": "33"}


class _Plugin:
    """The session, made at the first command; sourcing gdbinit.py reads no file of it."""

    def __init__(self) -> None:
        self._session: Optional[GdbSession] = None

    @property
    def session(self) -> GdbSession:
        if self._session is None:
            from .session import GdbSession

            self._session = GdbSession(lambda hits: self._print("overlap", hits))
            gdb.events.cont.connect(self._on_continue)
            gdb.events.stop.connect(self._on_stop)
            gdb.events.exited.connect(self._on_exit)
            gdb.events.connection_removed.connect(self._on_disconnect)
            absorbing = _absorbing()
            next(absorbing)
            gdb.events.gdb_exiting.connect(absorbing.send)
            gdb.events.gdb_exiting.connect(self._on_gdb_exit)
            gdb.events.before_prompt.connect(self._on_prompt)
            gdb.events.new_objfile.connect(self._on_new_objfile)
        return self._session

    def run(self, command: registry.Command, argument: str) -> None:
        """Run a command line and print its result; a KdbgError becomes one line, anything else is a bug."""
        from ..collector import rare_collections

        try:
            with rare_collections():
                from ..arguments import parse

                self.session.settle()
                self._print(command.name, command.run(self.session, parse(command, gdb.string_to_argv(argument))))
        except KdbgError as error:
            raise gdb.GdbError(f"kdbg: {error}") from None
        except gdb.error as error:
            from .target import is_target_error

            if not is_target_error(error):
                raise
            raise gdb.GdbError(f"kdbg: {str(error).strip().rstrip('.')}") from None

    def _print(self, name: str, result: object) -> None:
        from ..render.stream import Stream, stream_to_json, stream_to_text

        if isinstance(result, Stream):
            is_json = gdb.parameter("kdbg format") == "json"
            for chunk in stream_to_json(name, result) if is_json else stream_to_text(result, styled):
                gdb.write(chunk)
                if not chunk:
                    gdb.flush()
        elif gdb.parameter("kdbg format") == "json":
            from ..render.json import to_json

            _write(to_json(name, result))
        else:
            from ..render.table import to_text

            _write(to_text(result, styled))

    def _on_continue(self, event: object) -> None:
        self.session.going_on()

    def _on_stop(self, event: object) -> None:
        hits = self.session.overlaps().take_hits()
        if hits is not None:
            self._print("overlap", hits)
        if not self.session.stopped():
            return
        from ..diagnosis import explain

        try:
            self._print("why", explain(self.session.scene()))
        except KdbgError as error:
            gdb.write(f"kdbg: {error}\n", gdb.STDERR)

    def _on_exit(self, event: gdb.ExitedEvent) -> None:
        self.session.ended(event.inferior.pid)

    def _on_disconnect(self, event: object) -> None:
        # The next machine may have a process with the same page tables. GDB is in the middle of taking this one down,
        # so what is armed goes a little later; not by gdb.post_event, of which GDB 13 dies if it ends before.
        self.session.connection_gone()

    def _on_new_objfile(self, event: object) -> None:
        self.session.new_objfile()

    def _on_prompt(self, *nothing: object) -> None:
        self.session.settle()

    def _on_gdb_exit(self, event: object) -> None:
        # After SIGTERM, GDB 13 begins its end anew in the first call that looks whether to quit, as this one does, and
        # does not come back from it. That must not be in the middle of what follows.
        with contextlib.suppress(KeyboardInterrupt, gdb.error):
            gdb.execute("output 0", to_string=True)
        # GDB 13 takes its connections down after Python's end, and dies of a handler that is still there.
        with contextlib.suppress(SystemError, ValueError):
            gdb.events.connection_removed.disconnect(self._on_disconnect)
        # What kdbg has put into a program must go.
        for _ in range(3):
            with contextlib.suppress(KeyboardInterrupt, SystemError):
                self.session.end()
                return


# A signal that ends GDB interrupts the first instruction of Python's that follows. A function would not come to its
# `try`; a generator is in it already.
def _absorbing() -> Generator[None, object, None]:
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            yield


def styled(text: str, role: str) -> str:
    """Colour a text by its role where GDB styles its own output and the terminal wants it."""
    if not gdb.parameter("style enabled") or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    from ..render.stream import COLOURS

    code = _COLOURS.get(text, "") if role == "verdict" else COLOURS.get(role, "")
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


# In pieces: while GDB writes, it does not heed Ctrl-C.
def _write(text: str) -> None:
    for start in range(0, len(text), _PIECE):
        gdb.write(text[start : start + _PIECE])
    gdb.write("\n")


def _files(typed: str, word: str) -> Sequence[str]:
    """Complete the name of a file, cut to what stands behind the part already typed."""
    directory, start = os.path.split(typed)
    try:
        entries = sorted(os.scandir(directory or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    before = len(typed) - len(word)
    names = (os.path.join(directory, e.name) + "/" * e.is_dir() for e in entries if e.name.startswith(start))
    return [name[before:] for name in names]


class _GdbCommand(gdb.Command):
    """One `kdbg NAME`, made from its declaration."""

    def __init__(self, plugin: _Plugin, command: registry.Command) -> None:
        self.__doc__ = command.help_text()
        self._plugin = plugin
        self._command = command
        super().__init__(f"kdbg {command.name}", gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        self.dont_repeat()
        self._plugin.run(self._command, argument)

    def complete(self, text: str, word: Optional[str]) -> Optional[Union[Sequence[str], int]]:
        kinds = {argument.kind for argument in self._command.arguments}
        if registry.asks_for_file(self._command, text):
            # GDB's own completer would take all that was typed for the file's name; it is only asked for word breaks.
            return gdb.COMPLETE_FILENAME if word is None else _files(text.rsplit(" ", 1)[-1], word)
        is_bare = not text.rsplit(" ", 1)[-1].startswith("-") and registry.awaiting_value(self._command, text) is None
        if is_bare and "address" in kinds:
            return gdb.COMPLETE_EXPRESSION
        if is_bare and "routine" in kinds:
            return gdb.COMPLETE_SYMBOL
        if "process" in kinds:
            return registry.complete(self._command, text, word, _processes(text))
        names = [os.path.basename(o.filename) for o in gdb.objfiles() if o.filename and o.is_valid()]
        return registry.complete(self._command, text, word, names)


# The second word of `kdbg connect uml`; the first one is a choice.
def _processes(text: str) -> Sequence[str]:
    if "uml" not in text.split()[: 2 if text.endswith(" ") else -1]:
        return ()
    from ..uml_processes import kernels

    return [str(kernel.pid) for kernel in kernels()]


class _Prefix(gdb.Command):
    """`kdbg` alone: what was recognised, and the commands."""

    def __init__(self, plugin: _Plugin, status: registry.Command, doc: str) -> None:
        self.__doc__ = doc
        self._plugin = plugin
        self._status = status
        super().__init__("kdbg", gdb.COMMAND_DATA, gdb.COMPLETE_COMMAND, True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        self.dont_repeat()
        if argument:
            raise gdb.GdbError(f"kdbg: no command {argument.split()[0]!r} (help kdbg lists them)")
        self._plugin.run(self._status, "")


# Without a locale (as in containers) Python takes all text for UTF-8, but GDB hands it names as ASCII: every file whose
# path has another letter would be an error.
def _agree_on_utf8() -> None:
    if sys.flags.utf8_mode and gdb.parameter("host-charset") == "auto":
        gdb.execute("set host-charset UTF-8")


def load() -> None:
    """Declare kdbg's commands and settings to this GDB."""
    _agree_on_utf8()
    plugin = _Plugin()
    commands = registry.commands()
    status = next(command for command in commands if command.name == "status")
    _Prefix(plugin, status, "Debug kernels, dynamic linkers and runtimes: which copy smashed this, and why.\n"
            "`kdbg` alone says what was recognised.")  # fmt: skip
    declare_settings()
    for command in commands:
        _GdbCommand(plugin, command)
