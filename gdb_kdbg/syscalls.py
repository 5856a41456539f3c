"""The guard check around system calls: where they enter and leave, and what changed between two checks."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Optional

from .blocks import read_words
from .errors import KdbgError, MemoryFault, SymbolNotFound
from .process import fs_base, guard_range, page_table_root, probe_process
from .session import Guards, ProcessKey
from .syscall_names import ARGUMENT_REGISTERS, system_call_name
from .target import Target
from .units import Address, Word, hexadecimal

# Kernels whose system-call path is known by its symbols. At an entry the user's registers are still in place; an exit
# is passed by every return to user mode, with page tables in which the guard can be read.
KNOWN_PATHS = (
    ("kdbg's example kernel", ("syscall_entry",), ("syscall_exit",)),
    (
        "Linux",
        ("entry_SYSCALL_64",),
        ("syscall_return_via_sysret", "swapgs_restore_regs_and_return_to_usermode"),
    ),
)
_EXECVE, _EXIT, _EXIT_GROUP = 59, 60, 231
ENTRY, EXIT = "entry", "exit"


@dataclass(frozen=True)
class SystemCallPath:
    """The addresses that every system call passes, and whose they are."""

    owner: str
    entries: tuple[Address, ...]
    exits: tuple[Address, ...]


@dataclass(frozen=True)
class SystemCall:
    """A system call as its registers say at the entry."""

    number: int
    arguments: tuple[int, ...]

    def __str__(self) -> str:
        return f"{system_call_name(self.number)}({', '.join(hexadecimal(a) for a in self.arguments)})"


@dataclass(frozen=True)
class GuardChange:
    """A guard that was good at one check and is another at the next."""

    before: Word
    after: Word
    in_call: bool
    during: Optional[SystemCall]
    previous: Optional[SystemCall]
    copies_before: Optional[int] = None  # in the ring when the guard was last good; None without a ring

    def lines(self) -> tuple[str, ...]:
        """Describe the change as evidence."""
        change = f"the guard changed from {self.before:#018x} to {self.after:#018x}"
        if self.in_call:
            call = self.during or "that was in progress when the check was armed"
            return (f"{change} during the system call {call}",)
        after = f" after {self.previous} had returned" if self.previous else ""
        return (f"{change} in user mode{after}, before the next system call",)


@dataclass
class _Process:
    value: Word
    pid: Optional[int]
    copies: Optional[int] = None
    call: Optional[SystemCall] = None
    previous: Optional[SystemCall] = None


def find_path(target: Target, entry: str, exit: str) -> SystemCallPath:
    """Find the system-call path: as set by the user, else by the symbols of a known kernel."""
    if bool(entry) != bool(exit):
        raise KdbgError("set both `kdbg syscall-entry` and `kdbg syscall-exit`")
    if entry:
        return SystemCallPath("settings", (_place(target, entry),), (_place(target, exit),))
    for owner, entries, exits in KNOWN_PATHS:
        found = [[s.address for n in names if (s := target.symbol(n)) is not None] for names in (entries, exits)]
        if all(found):
            return SystemCallPath(owner, tuple(found[0]), tuple(found[1]))
    raise SymbolNotFound(
        "the system-call path of this kernel is not known: "
        "name it with `set kdbg syscall-entry` and `set kdbg syscall-exit`"
    )


def _place(target: Target, text: str) -> Address:
    try:
        return Address(int(text, 0))
    except ValueError:
        symbol = target.symbol(text)
    if symbol is None:
        raise SymbolNotFound(f"no symbol {text!r} for the system-call path")
    return symbol.address


class SystemCallChecker:
    """Compares each process's guard at every entry and exit with what it was at the last check.

    One register fetch and two 8-byte reads a check (the guard, and the ring's count of copies); everything else is read
    only when a guard differs.
    """

    def __init__(self, guards: Guards, ring_index: Optional[Address] = None) -> None:
        self._guards = guards
        self._ring_index = ring_index
        self._processes: dict[ProcessKey, _Process] = {}
        self.checks = 0

    def check(self, target: Target, point: str, call: Optional[SystemCall] = None) -> Optional[GuardChange]:
        """Check the guard of the running process; return its change, once."""
        self.checks += 1
        place = guard_range(target)
        root = page_table_root(target)
        if place is None:
            self._forget(root)
            return None
        try:
            value = Word(read_words(target, place.start, 1)[0])
        except MemoryFault:
            return None
        return self._compare(target, (root, fs_base(target)), value, point, call)

    def _compare(
        self, target: Target, key: ProcessKey, value: Word, point: str, call: Optional[SystemCall]
    ) -> Optional[GuardChange]:
        process = self._processes.get(key)
        if process is None:
            process = self._first_seen(target, key, value)
        change = self._change(target, key, process, value, point) if process and process.value != value else None
        if process is not None:
            process.copies = self._copies(target)
            self._advance(process, point, call)
        if point == ENTRY and call is not None and call.number in (_EXECVE, _EXIT_GROUP):
            self._forget(key[0])
        elif point == ENTRY and call is not None and call.number == _EXIT:
            self._processes.pop(key, None)  # of this thread alone: natively all threads share root 0
            self._guards.forget(key)
        return change

    def _first_seen(self, target: Target, key: ProcessKey, value: Word) -> Optional[_Process]:
        if not value:
            return None  # not set yet; its first value is no corruption
        kit = probe_process(target)
        self._guards.note(key, value)
        self._processes[key] = _Process(value, kit.pid if kit else None)
        return self._processes[key]

    def _change(
        self, target: Target, key: ProcessKey, process: _Process, value: Word, point: str
    ) -> Optional[GuardChange]:
        kit = probe_process(target)
        if kit is not None and kit.pid != process.pid:
            # The pages of a dead process's tables serve another one now.
            self._guards.forget(key)
            self._guards.note(key, value)
            process.value, process.pid, process.call, process.previous = value, kit.pid, None, None
            return None
        in_call = point == EXIT
        during = process.call if in_call else None
        change = GuardChange(process.value, value, in_call, during, process.previous, process.copies)
        process.value = value
        return change

    def _copies(self, target: Target) -> Optional[int]:
        if self._ring_index is None:
            return None
        with contextlib.suppress(MemoryFault):
            return read_words(target, self._ring_index, 1)[0]
        return None

    @staticmethod
    def _advance(process: _Process, point: str, call: Optional[SystemCall]) -> None:
        if point == ENTRY:
            process.call = call
        elif process.call is not None:
            process.previous, process.call = process.call, None

    def _forget(self, root: int) -> None:
        for key in [key for key in self._processes if key[0] == root]:
            del self._processes[key]
            self._guards.forget(key)


def entering_call(target: Target) -> SystemCall:
    """Read the system call from the registers at an entry (psABI x86-64, A.2.1)."""
    return SystemCall(target.register("rax") or 0, tuple(target.register(name) or 0 for name in ARGUMENT_REGISTERS[:3]))
