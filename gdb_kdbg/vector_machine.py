"""The state that instructions with vectors work on: registers, masks, and memory behind the same checks as all else."""

from __future__ import annotations

from typing import Callable, Optional, Protocol, Sequence

from .units import ADDRESS_MASK

VECTORS, MASKS = 32, 8
# Nobody sets a mask for a routine; whoever uses one that is not set shall be seen.
_MASK_NOISE = 0x5A5A_A5A5_5A5A_A5A5


class Stopped(Exception):
    """An instruction cannot be carried out: what it accesses is missing or, with `alignment`, not aligned."""

    def __init__(self, address: int, is_write: bool, alignment: int = 0) -> None:
        super().__init__(address, is_write, alignment)
        self.address, self.is_write, self.alignment = address, is_write, alignment

    @property
    def text(self) -> str:
        if not self.alignment:
            return ""
        return f"needs an address aligned to {self.alignment} bytes, got {self.address % self.alignment} above one"


class Surroundings(Protocol):
    """The processor around: what is no vector."""

    def set_general(self, name: str, value: int) -> None:
        """Set a general register, all 64 bits."""

    def set_flags(self, is_zero: bool, is_carry: bool, is_sign: bool = False) -> None:
        """Set ZF, CF and SF, and clear the other flags of results."""

    def read(self, address: int, size: int) -> bytes:
        """Read memory that is there."""

    def write(self, address: int, data: bytes) -> None:
        """Write memory that is there."""

    def reach(self, address: int, size: int, is_write: bool) -> Optional[int]:
        """See to it that memory is there; return the first address that is not."""


Area = tuple[int, int, memoryview]
Watcher = Callable[[int, int, int, bool], None]


class VectorMachine:
    """Registers of vectors, as bytes whose upper zeros may be left out, and mask registers.

    `areas` are addresses, from the first to behind the last, whose content is at hand; whatever else is accessed goes
    through `around`. `general` has the general registers that the current instructions use, `pc` where they are.
    """

    def __init__(self, around: Surroundings, areas: Sequence[Area]) -> None:
        self.around = around
        self._first, self._second = areas
        self.general: dict[str, int] = {}
        self.registers: list[bytes] = []
        self.masks: list[int] = []
        self.pc = 0
        # Is told of each access: pc, address, size and whether it is a write.
        self.watcher: Optional[Watcher] = None
        self.reset()

    def reset(self) -> None:
        """Forget what a routine left."""
        self.registers[:] = [b""] * VECTORS
        self.masks[:] = [_MASK_NOISE] * MASKS

    def vector(self, number: int, size: int) -> bytes:
        """Return the lower bytes of a register."""
        value = self.registers[number]
        return value if len(value) == size else value[:size].ljust(size, b"\0")

    def load(self, address: int, size: int) -> bytes:
        """Read memory; raise Stopped where it is missing."""
        for start, end, content in (self._first, self._second):
            if start <= address <= end - size:
                if self.watcher is not None:
                    self.watcher(self.pc, address, size, False)
                return bytes(content[address - start : address - start + size])
        return self._load(address & ADDRESS_MASK, size)

    def _load(self, address: int, size: int) -> bytes:
        self.need(address, size, False)
        if self.watcher is not None:
            self.watcher(self.pc, address, size, False)
        return self.around.read(address, size)

    def store(self, address: int, data: bytes) -> None:
        """Write memory, all of it or nothing; raise Stopped where it is missing."""
        size = len(data)
        for start, end, content in (self._first, self._second):
            if start <= address <= end - size:
                if self.watcher is not None:
                    self.watcher(self.pc, address, size, True)
                content[address - start : address - start + size] = data
                return
        self._store(address & ADDRESS_MASK, data)

    def _store(self, address: int, data: bytes) -> None:
        self.need(address, len(data), True)
        if self.watcher is not None:
            self.watcher(self.pc, address, len(data), True)
        self.around.write(address, data)

    def need(self, address: int, size: int, is_write: bool) -> None:
        """Raise Stopped unless memory is there."""
        missing = self.around.reach(address & ADDRESS_MASK, size, is_write)
        if missing is not None:
            raise Stopped(missing, is_write)
