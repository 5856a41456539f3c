"""What a command is given: the target, the settings, and what only a running debugger can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional, Protocol

from .ranges import Range
from .target import LiveTarget, Target
from .units import Address, Word

if TYPE_CHECKING:
    from .connect_command import Connected
    from .overlap_command import Overlaps
    from .scene import Scene
    from .symbols import Symbols
    from .uml_processes import KernelProcess
    from .vtable_words import VtablePointer

# What tells one process from another: the root of its page tables (0 natively) and its fs_base.
ProcessKey = tuple[int, int]


class Guards:
    """Guard values seen earlier in this session, per process; the memory behind `expected_from: first seen`."""

    def __init__(self) -> None:
        self._seen: dict[ProcessKey, Word] = {}

    def first_seen(self, key: ProcessKey) -> Optional[Word]:
        return self._seen.get(key)

    def note(self, key: ProcessKey, value: int) -> None:
        """Remember the first value other than 0; a process whose guard is not set yet has none."""
        if value and key not in self._seen:
            self._seen[key] = Word(value)

    def forget(self, key: Optional[ProcessKey] = None) -> None:
        """Forget one process (it got a new program), or all of them (the target is another)."""
        if key is None:
            self._seen.clear()
        else:
            self._seen.pop(key, None)


class Session(Protocol):
    """A debugging session as commands see it: GDB's, or the outside program's over a core dump."""

    @property
    def target(self) -> Target:
        """The target, or raise TargetUnavailable."""
        ...

    def files_target(self) -> Target:
        """The target, or where no program runs the loaded files alone (kind `file`), or raise TargetUnavailable."""
        ...

    def loaded_symbols(self) -> Optional[Symbols]:
        """The symbols of the loaded files, also while the program runs; None without files."""
        ...

    def standard_input(self) -> int:
        """The descriptor of standard input, or raise NotSupported where that is not for commands."""
        ...

    def processes(self) -> int:
        """How many processes a command may read files with; 0 inside GDB, which must not be forked."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """The values of the settings by name."""
        ...

    @property
    def guards(self) -> Guards: ...

    def live_target(self) -> LiveTarget:
        """The target if it can be changed, or raise NotSupported."""
        ...

    def progress(self, text: str) -> None:
        """Tell the user what a command that takes long is at."""
        ...

    def evaluate(self, expression: str) -> Address:
        """The value of an address expression."""
        ...

    def vtable_pointer(self, expression: str) -> VtablePointer:
        """What an expression has to do with a vtable: a fat pointer, an object, or only an address."""
        ...

    def scene(self) -> Scene:
        """The scene of the current stop."""
        ...

    def watch(self, what: str, range: Range, any_process: bool) -> str:
        """Arm a watchpoint that reports as a story; return what was armed. Live only."""
        ...

    def check_system_calls(self, entry: str, exit: str) -> str:
        """Arm the guard check around system calls; return what was armed. Live only."""
        ...

    def connected_process(self) -> Optional[int]:
        """The process that GDB debugs, if it does and runs on this machine."""
        ...

    def connect_kernel(self, kernel: KernelProcess) -> Connected:
        """Attach to a user-mode Linux kernel. Live only."""
        ...

    def connect_stub(self, place: str) -> Connected:
        """Connect to the stub of a machine. Live only."""
        ...

    def overlaps(self) -> Overlaps:
        """What catches overlapping calls, or raise NotSupported. Live only."""
        ...

    def disarm(self) -> int:
        """Remove everything kdbg armed; return how many things that were."""
        ...

    def armed(self) -> tuple[str, ...]:
        """What kdbg has armed, a line each."""
        ...
