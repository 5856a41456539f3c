"""A user-mode Linux kernel: a process that is a kernel, its tasks, and the task that it runs now.

Where things lie in its structures comes from DWARF; everything read from them may be damaged. Source: Linux
arch/um/include/asm/processor-generic.h, arch/x86/um/shared/sysdep/ptrace_64.h, include/linux/sched.h.
"""

from __future__ import annotations

import struct
from typing import Iterator, Mapping, NamedTuple, Optional

from .blocks import read_available, read_words
from .errors import KdbgError, NotSupported
from .process import X86_64
from .target import Memory, Target
from .units import Address, Size, safe_text

# Saved registers of a guest's thread, in their order (the host's struct user_regs_struct).
REGISTERS = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base",
)  # fmt: skip
_SIGNS = ("uml_physmem", "cpu_tasks", "init_task")
_MEMBERS = {
    "pid": ("init_task", "pid"),
    "tgid": ("init_task", "tgid"),
    "comm": ("init_task", "comm"),
    "mm": ("init_task", "mm"),
    "tasks": ("init_task", "tasks"),
    "signal": ("init_task", "signal"),
    "thread_node": ("init_task", "thread_node"),
    "gp": ("init_task", "thread.regs.regs.gp"),
    "pgd": ("init_mm", "pgd"),
    "auxv": ("init_mm", "saved_auxv"),
    "thread_head": ("init_signals", "thread_head"),
    "current": ("cpu_tasks", "task"),
}
_NAME_SIZE = 16
# More than a small kernel can have (PID_MAX_DEFAULT), and of a structure than any has.
_MOST_TASKS, _MOST_BYTES = 1 << 15, 1 << 16
# Three levels of page tables reach so far; what allows more has four (since 6.13).
_THREE_LEVELS = 1 << 39
_BANNER = 512


class Task(NamedTuple):
    """One thread of the guest, or of the kernel (`mm` 0)."""

    address: int
    pid: int
    process: int
    mm: int
    signal: int
    next_task: int
    next_thread: int
    comm: bytes
    words: tuple[int, ...]

    @property
    def name(self) -> str:
        return safe_text(self.comm, _NAME_SIZE)

    @property
    def mark(self) -> int:
        """What tells its process from all others, its earlier programs too: pid and memory, of which a pid comes
        again late and a memory's address at once."""
        return self.process << 64 | self.mm

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"

    def register(self, name: str) -> Optional[int]:
        return self.words[REGISTERS.index(name)] if name in REGISTERS else None


class UmlKernel:
    """The tasks of a user-mode Linux kernel; made by `find_kernel`."""

    def __init__(self, target: Target, offsets: Mapping[str, int], memory: Optional[Memory] = None) -> None:
        """Take a target and the members' offsets; `memory` may be a faster way to the same memory.

        `current_at` is where the pointer to the running task is.
        """
        self.target = target
        self.memory: Memory = memory or target
        self.offsets = offsets
        words = {name: _word_at(target, name) for name in ("uml_physmem", "task_size")}
        self.physical_memory = words["uml_physmem"] or 0
        self.levels = 3 if (words["task_size"] or 0) <= _THREE_LEVELS else 4
        tasks, first = target.symbol("cpu_tasks"), target.symbol("init_task")
        assert tasks is not None and first is not None, "the signs of such a kernel"
        self.current_at, self._first = Address(tasks.address + offsets["current"]), first.address
        self._size = Size(max(offsets[name] for name in _MEMBERS if _MEMBERS[name][0] == "init_task") + _GP.size)

    def current(self) -> Task:
        """Read the task that the kernel runs now, or raise MemoryFault."""
        return self.task(read_words(self.memory, self.current_at, 1)[0])

    def task(self, address: int) -> Task:
        """Read a task, or raise MemoryFault."""
        at, block = self.offsets, self.memory.read_memory(Address(address), self._size)

        def word(name: str) -> int:
            return int.from_bytes(block[at[name] : at[name] + 8], "little")

        pid, process = (_PID.unpack_from(block, at[name])[0] for name in ("pid", "tgid"))
        comm = block[at["comm"] : at["comm"] + _NAME_SIZE]
        return Task(
            address, pid, process, word("mm"), word("signal"), word("tasks"), word("thread_node"), comm,
            _GP.unpack_from(block, at["gp"]),
        )  # fmt: skip

    def tasks(self) -> Iterator[Task]:
        """Yield every task, threads too; raise KdbgError where the list is damaged."""
        seen = 0
        leader = self.task(self._first)
        while True:
            for task in self._threads(leader):
                seen += 1
                if seen > _MOST_TASKS:
                    raise KdbgError(f"the list of tasks does not end: more than {_MOST_TASKS} were read")
                yield task
            following = leader.next_task - self.offsets["tasks"]
            if following == self._first:
                return
            leader = self.task(following)

    # The head of the list is in what all threads share.
    def _threads(self, leader: Task) -> Iterator[Task]:
        head = leader.signal + self.offsets["thread_head"]
        yield leader
        task = leader
        while leader.signal and task.next_thread not in (head, leader.address + self.offsets["thread_node"]):
            task = self.task(task.next_thread - self.offsets["thread_node"])
            if task.address != leader.address:
                yield task


_PID = struct.Struct("<i")
_GP = struct.Struct(f"<{len(REGISTERS)}Q")


def is_uml(target: Target) -> bool:
    """Tell whether a target is a user-mode Linux kernel with symbols."""
    return target.architecture == X86_64 and all(target.symbol(name) is not None for name in _SIGNS)


def find_kernel(target: Target, memory: Optional[Memory] = None) -> Optional[UmlKernel]:
    """Return the kernel that a process is; None for any other target. Raises NotSupported without DWARF."""
    if not is_uml(target):
        return None
    offsets: dict[str, int] = {}
    for name, (variable, path) in _MEMBERS.items():
        found = target.member(variable, path)
        if found is None or not 0 <= found[0] < _MOST_BYTES:
            raise NotSupported(f"this kernel has no debug information for {variable}.{path}: its tasks cannot be found")
        offsets[name] = found[0]
    return UmlKernel(target, offsets, memory)


def banner(target: Target) -> Optional[str]:
    """Return the first line of a Linux kernel's banner; None without the symbol."""
    symbol = target.symbol("linux_banner")
    if symbol is None:
        return None
    text = read_available(target, symbol.address, Size(_BANNER))
    return safe_text(text.split(b"\n")[0], _BANNER) if text.startswith(b"Linux version ") else None


def _word_at(target: Target, name: str) -> Optional[int]:
    symbol = target.symbol(name)
    return read_words(target, symbol.address, 1)[0] if symbol is not None else None
