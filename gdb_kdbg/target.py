"""What kdbg asks of a target: Memory < Target < LiveTarget, and the values they hand out.

A live process, a QEMU guest, a core dump and a fake in a unit test all look like this. Everything else is a
free function over these few methods. Over a remote stub each read is at least one packet, so callers read
tables in one block (`blocks.py`), never slot by slot.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Protocol, Sequence

from .units import Address, Count, Size


class Symbol(NamedTuple):
    """A symbol at its runtime address; `size` is 0 where the ELF file gives none.

    `limit` is the address of the next symbol behind it in the same section (or the section's end), 0 if
    unknown: the upper bound of an object whose size nobody wrote down.
    """

    name: str
    address: Address
    size: Size
    objfile: str
    limit: Address = Address(0)


class Location(NamedTuple):
    """A code address as a person names it: function + offset, and the source line where known."""

    function: str
    offset: Size
    file: Optional[str] = None
    line: Optional[int] = None

    def __str__(self) -> str:
        return f"{self.function}+{self.offset:#x}" if self.offset else self.function


class Objfile(NamedTuple):
    """A loaded ELF file: its path and load bias (runtime minus link-time address)."""

    path: str
    load_bias: int


class Frame(NamedTuple):
    """One stack frame with the registers of that frame.

    `level` is GDB's number, which counts inlined calls and (inside GDB only) tail calls as frames of their own; those
    are not listed. `interrupted` marks a frame that is at `pc` itself (the innermost, or below a signal or exception)
    and not in a call.
    """

    level: int
    pc: Address
    sp: Address
    registers: Mapping[str, int]
    interrupted: bool = False

    @property
    def code_address(self) -> Address:
        """An address in the instruction the frame is at: a return address may begin the next function."""
        return Address(self.pc if self.level == 0 or self.interrupted else self.pc - 1)


class Signal(NamedTuple):
    """The signal a program was stopped or ended by.

    `address` is meaningful for faults (SIGSEGV, SIGBUS, SIGILL, SIGFPE), which have a `code` above 0.
    """

    number: int
    code: int
    address: Address


class ArrayType(NamedTuple):
    """Type of a variable as DWARF tells it: an array of `elements`, each of `element_size` bytes.

    `fields` maps each member of the element to (offset, size). A scalar is one element without fields.
    """

    elements: Count
    element_size: Size
    fields: Mapping[str, tuple[int, int]]


class Memory(Protocol):
    """Readable bytes."""

    def read_memory(self, address: Address, size: Size) -> bytes:
        """Return exactly `size` bytes, or raise MemoryFault."""
        ...


class Target(Memory, Protocol):
    """A stopped program, live or dead."""

    @property
    def kind(self) -> str:
        """One of `native`, `gdbserver`, `system emulator`, `core dump`."""
        ...

    @property
    def is_system(self) -> bool:
        """Whether this is a whole machine, live or dumped, with a kernel and several address spaces."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What could not be read of the files behind the target."""
        ...

    @property
    def architecture(self) -> str:
        """GDB's name of the architecture, `i386:x86-64` for instance."""
        ...

    def register(self, name: str) -> Optional[int]:
        """Return a register of the selected thread, None if the target has no such register."""
        ...

    def symbol(self, name: str) -> Optional[Symbol]:
        """Look up a symbol by its exact name."""
        ...

    def location(self, address: Address) -> Optional[Location]:
        """Name the function that holds a code address, with its line."""
        ...

    def label(self, address: Address) -> Optional[Symbol]:
        """Return the nearest symbol of any kind at or below a code address: the phase of a copy routine."""
        ...

    def objfiles(self) -> Sequence[Objfile]:
        """List the loaded ELF files."""
        ...

    def variable_type(self, name: str) -> Optional[ArrayType]:
        """Return the DWARF type of a global variable, None without debug information."""
        ...

    def member(self, of: str, path: str) -> Optional[tuple[int, int]]:
        """Return (offset, size) of `a.b.c` in the structure, or the elements, of a global variable, by DWARF.

        Inside GDB `of` may name a type as well, as `struct module`.
        """
        ...

    def frames(self, limit: int) -> Sequence[Frame]:
        """Unwind at most `limit` frames of the selected thread, innermost first."""
        ...

    def auxiliary_vector(self) -> Mapping[int, int]:
        """Return the auxiliary vector of a process (AT_* type to value); empty for a kernel."""
        ...

    def stop_signal(self) -> Optional[Signal]:
        """Return the signal the selected thread was stopped by; None where the target does not tell."""
        ...


class LiveTarget(Target, Protocol):
    """A program that can be changed."""

    def write_memory(self, address: Address, data: bytes) -> None:
        """Write all bytes or raise MemoryFault."""
        ...
