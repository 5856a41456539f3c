"""What a crash in the text of a kernel's console is: its frames, registers, access, task and kernel."""

from __future__ import annotations

from typing import Annotated, Callable, NamedTuple, Optional

from .units import Address, Count, Size, Word

# What an address is called: function and offset in it; None if nothing is known. For logs without names.
NameOf = Callable[[int], Optional[tuple[str, int]]]


class Frame(NamedTuple):
    """One line of a stack trace; `reliable` is false for what the kernel marks `?`, a leftover on the stack perhaps."""

    function: str
    offset: Optional[Size] = None
    size: Optional[Size] = None
    module: str = ""
    reliable: bool = True
    inline: bool = False
    address: Optional[Address] = None
    file: str = ""
    context: str = ""


class Register(NamedTuple):
    """A register at the fault, as the kernel names it in lower case."""

    name: str
    value: Word


class Access(NamedTuple):
    """The memory access that failed: `read`, `write`, `free`, `execute` or unknown."""

    kind: str = ""
    address: Optional[Address] = None
    size: Optional[Size] = None


class Task(NamedTuple):
    """Who ran."""

    comm: str = ""
    pid: Optional[Count] = None
    cpu: Optional[Count] = None


class Kernel(NamedTuple):
    """Which kernel: its version as printed, the architecture its text shows, its taint letters (empty: not tainted)."""

    version: str = ""
    architecture: str = ""
    tainted: str = ""


class Crash(NamedTuple):
    """One report of a kernel in a log, lines counted from 1.

    `title` and `guilty` are normalised: no addresses, no compiler suffixes. `corrupted` says why the report is not to
    be trusted, and is empty if it is whole. `stack` is that of the fault, innermost first, the faulting function too;
    `allocated` and `freed` are the stacks of the object that was accessed.
    """

    title: Annotated[str, {"label": ""}]
    type: str
    guilty: str
    guilty_file: str
    headline: str
    task: Task
    kernel: Kernel
    access: Optional[Access]
    stack: tuple[Frame, ...]
    registers: tuple[Register, ...]
    allocated: tuple[Frame, ...]
    freed: tuple[Frame, ...]
    corrupted: str
    first_line: Count
    last_line: Count
