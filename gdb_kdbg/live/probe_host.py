"""A native process as something that a probe can be put into."""

from __future__ import annotations

import contextlib
import os
import struct
from array import array
from typing import Container, Iterator, Mapping, NamedTuple, Optional, Sequence

import gdb

from ..errors import KdbgError, MemoryFault
from ..mappings import PAGE
from ..mappings import Mapping as Mapped
from ..ranges import Range
from ..units import Address, Size
from .halting import halted
from .injection import injecting, mappings_of, read_process
from .ptrace import Thread
from .sharers import stopped_sharers

_READ_WRITE, _READ_EXECUTE = 3, 5
# MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
_EXACTLY_THERE = 0x02 | 0x20 | 0x100000
_RED_ZONE = 128
_CHUNK = 16 << 20
_PRESENT = 3 << 62
# Reading the tables of more address space than this would take seconds.
_LARGEST = 1 << 40
_STEPS = 10_000


class _Part(NamedTuple):
    start: int
    end: int


class NativeHost:
    """The selected process of this GDB, stopped; its memory through GDB, which knows of its own breakpoints there."""

    def __init__(self, process: int) -> None:
        self.process = process
        self._others: Sequence[Thread] = ()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the program from running, also what GDB lets run and does not know of; raise KdbgError."""
        with halted(self.process), stopped_sharers(self.process) as others:
            self._others = others
            try:
                yield
            finally:
                self._others = ()

    def read_memory(self, address: Address, size: Size) -> bytes:
        try:
            return bytes(gdb.selected_inferior().read_memory(address, size))
        except (gdb.error, OverflowError):
            raise MemoryFault(address, size) from None

    def write_code(self, address: int, data: bytes) -> None:
        try:
            gdb.selected_inferior().write_memory(address, data)
        except (gdb.error, OverflowError):
            raise MemoryFault(address, len(data), "it cannot be written") from None

    def mappings(self) -> Sequence[Mapped]:
        return mappings_of(self.process)

    def map(self, address: int, size: int, code_size: int) -> bool:
        with injecting(self.process) as inject:
            try:
                found = inject.call("mmap", address, size, _READ_WRITE, _EXACTLY_THERE, -1, 0)
            except KdbgError as error:
                if "EEXIST" in str(error):
                    return False
                raise
            if found == address:
                inject.call("mprotect", address, code_size, _READ_EXECUTE)
                return True
            inject.call("munmap", found, size)  # a kernel before 4.17, which takes the address for a wish
            return False

    def unmap(self, address: int, size: int) -> None:
        with injecting(self.process) as inject:
            inject.call("munmap", address, size)

    def threads(self) -> Mapping[int, Thread]:
        """The threads of the process by their ids, and those that share its memory."""
        ids = (thread.ptid[1] for thread in gdb.selected_inferior().threads())
        own = {number: Thread(number) for number in ids}
        return {**own, **{thread.number: thread for thread in self._others}}

    def program_counters(self) -> Mapping[int, int]:
        return {number: thread.registers()["rip"] for number, thread in self.threads().items()}

    def words_within(self, ranges: Sequence[Range]) -> Sequence[int]:
        registers = [thread.registers() for thread in self.threads().values()]
        for values in registers:
            for name, value in values.items():
                if name not in ("rip", "orig_rax") and any(range.contains(value) for range in ranges):
                    return [value]
        stacks = [values["rsp"] - _RED_ZONE for values in registers]
        mappings = [m for m in self.mappings() if m.permissions.startswith("rw") and m.end - m.start < _LARGEST]
        parts = [part for mapping in mappings for part in self._present(mapping, stacks)]
        return [place for part in parts for place in self._search(part, ranges)]

    # What lies below a stack pointer is of the past.
    def _present(self, mapping: Mapped, stacks: Sequence[int]) -> Iterator[_Part]:
        live = min((stack for stack in stacks if mapping.start <= stack < mapping.end), default=mapping.start)
        first = max(mapping.start, live) & -PAGE
        for start, end in self._runs(first, mapping.end):
            yield _Part(max(start, live & -8), end)

    # Pages that were never touched hold nothing, and reading them would make them.
    def _runs(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        with open(f"/proc/{self.process}/pagemap", "rb", buffering=0) as file:
            entries = array("Q", os.pread(file.fileno(), (end - start) // PAGE * 8, start // PAGE * 8))
        begin: Optional[int] = None
        for number, entry in enumerate([*entries, 0]):
            place = start + number * PAGE
            if entry & _PRESENT:
                begin = place if begin is None else begin
            elif begin is not None:
                yield begin, place
                begin = None

    def _search(self, part: _Part, ranges: Sequence[Range]) -> Iterator[int]:
        for start in range(part.start, part.end, _CHUNK):
            try:
                data = read_process(self.process, start, min(_CHUNK, part.end - start))
            except KdbgError:
                continue  # gone meanwhile, or a device's
            for upper, wanted in _patterns(ranges):
                yield from (start + at for at in _aligned(data, upper, wanted))

    def step_unseen_out(self, places: Container[int]) -> None:
        seen = {thread.ptid[1] for inferior in gdb.inferiors() for thread in inferior.threads()}
        for thread in self._others:
            if thread.number not in seen:
                thread.step_out(places.__contains__, _STEPS)

    def step_out(self, range: Range) -> None:
        moved = False
        for thread in self.threads().values():
            if range.contains(thread.registers()["rip"]):
                thread.step_out(range.contains, _STEPS)
                moved = True
        if moved:
            gdb.execute("maint flush register-cache", to_string=True)


# Words of a range have their upper six bytes in common; the rest is compared one by one.
def _patterns(ranges: Sequence[Range]) -> Sequence[tuple[bytes, Sequence[Range]]]:
    uppers = sorted({part >> 16 for range in ranges for part in (range.start, range.end - 1)})
    return [(struct.pack("<Q", upper)[:6], ranges) for upper in uppers]


def _aligned(data: bytes, upper: bytes, wanted: Sequence[Range]) -> Iterator[int]:
    at = data.find(upper, 2)
    while at >= 0:
        if (at - 2) % 8 == 0:
            (word,) = struct.unpack_from("<Q", data, at - 2)
            if any(range.contains(word) for range in wanted):
                yield at - 2
        at = data.find(upper, at + 1)
