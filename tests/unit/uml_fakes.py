"""A user-mode Linux kernel made by hand: tasks in lists, page tables, saved registers."""

from __future__ import annotations

import struct
from typing import Optional

from fakes import FakeTarget

from gdb_kdbg.uml_kernel import REGISTERS, UmlKernel, find_kernel

PHYSICAL = 0x6000_0000
INIT_TASK, INIT_MM, CURRENT = 0x6100_0000, 0x6108_0000, 0x6109_0000
LINK, AUXV, HEAD = 0x40, 0x130, 0x10
MEMBERS = {
    ("init_task", "pid"): (0x20, 4),
    ("init_task", "tgid"): (0x24, 4),
    ("init_task", "comm"): (0x28, 16),
    ("init_task", "mm"): (0x38, 8),
    ("init_task", "tasks"): (LINK, 16),
    ("init_task", "thread_node"): (0x50, 16),
    ("init_task", "signal"): (0x60, 8),
    ("init_task", "thread.regs.regs.gp"): (0x80, 216),
    ("init_mm", "pgd"): (0x30, 8),
    ("init_mm", "saved_auxv"): (AUXV, 368),
    ("init_signals", "thread_head"): (HEAD, 16),
    ("cpu_tasks", "task"): (8, 8),
}
SIZE = 0x80 + 8 * 27
THREAD, GUARD_PLACE, GUARD = 0x4B_1380, 0x4B_13A8, 0x1122_3344_5566_7700


class FakeUml(FakeTarget):
    """The process of the kernel; `task` and `process` put more into it."""

    def __init__(self, levels: int = 3) -> None:
        super().__init__(kind="native", cr3=None)
        self.members = dict(MEMBERS)
        self.levels = levels
        self._chain: list[int] = []
        self._next_page = 0x10_0000
        words = {"uml_physmem": PHYSICAL, "task_size": 1 << 39 if levels == 3 else 1 << 47}
        for number, (name, value) in enumerate(words.items()):
            self.define(name, 0x6000_1000 + 8 * number)
            self.put_words(0x6000_1000 + 8 * number, value)
        self.define("init_task", INIT_TASK)
        self.define("cpu_tasks", CURRENT)
        self.put_words(CURRENT, 0, INIT_TASK)
        self.task(INIT_TASK, 0, "swapper")

    @property
    def kernel(self) -> UmlKernel:
        found = find_kernel(self)
        assert found is not None
        return found

    def task(self, at: int, pid: int, name: str, mm: int = 0, leader: Optional[int] = None, fs: int = 0) -> None:
        """Add a process, or a thread of a leader."""
        first = leader or at
        signal = first + 0x1000
        block = bytearray(SIZE)
        block[0x20:0x28] = struct.pack("<ii", pid, pid if leader is None else self._pid(leader))
        block[0x28:0x38] = name.encode()[:16].ljust(16, b"\0")
        struct.pack_into("<Q", block, 0x38, mm)
        struct.pack_into("<Q", block, 0x60, signal)
        struct.pack_into("<Q", block, 0x50, signal + HEAD)
        struct.pack_into("<Q", block, 0x80 + 8 * REGISTERS.index("fs_base"), fs)
        self.map(at, bytes(block))
        if leader is None:
            self._chain.append(at)
            for here, there in zip(self._chain, [*self._chain[1:], self._chain[0]]):
                self.put_words(here + LINK, there + LINK)
        else:
            self.put_words(at + 0x50, int.from_bytes(self.peek(leader + 0x50, 8), "little"))
            self.put_words(leader + 0x50, at + 0x50)

    def run(self, task: int) -> None:
        self.put_words(CURRENT + 8, task)

    def set_register(self, task: int, name: str, value: int) -> None:
        self.put_words(task + 0x80 + 8 * REGISTERS.index(name), value)

    def process(self, at: int, pid: int, name: str = "guard", guard: int = GUARD) -> int:
        """Add a process with a guard; return where the kernel has the guard."""
        mm = at + 0x2000
        self.map(mm, bytes(0x400))
        self.task(at, pid, name, mm, fs=THREAD)
        page = self.page(mm, GUARD_PLACE)
        self.put_words(page + GUARD_PLACE % 4096, guard)
        return page + GUARD_PLACE % 4096

    def page(self, mm: int, address: int, flags: int = 0x67) -> int:
        """Map a page of a guest's process; return the kernel's address of it."""
        table = int.from_bytes(self.peek(mm + 0x30, 8), "little")
        if not table:
            table = self._new()
            self.put_words(mm + 0x30, table)
        for level in range(self.levels - 1, -1, -1):
            place = table + 8 * (address >> 12 + 9 * level & 511)
            entry = int.from_bytes(self.peek(place, 8), "little")
            if not entry:
                new = self._new()
                self.put_words(place, new - PHYSICAL | (0x63 if level else flags))
                table = new
            else:
                table = PHYSICAL + (entry & ~0xFFF)
        return table

    def _new(self) -> int:
        self._next_page += 0x1000
        self.map(PHYSICAL + self._next_page, bytes(4096))
        return PHYSICAL + self._next_page

    def _pid(self, task: int) -> int:
        return int(struct.unpack("<i", self.peek(task + 0x20, 4))[0])
