"""A target made of dictionaries, which counts what is asked of it, and the session around it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping, Optional, Sequence

from gdb_kdbg.connect_command import Connected
from gdb_kdbg.errors import MemoryFault, NotSupported, SymbolNotFound, TargetUnavailable
from gdb_kdbg.ranges import Range
from gdb_kdbg.scene import Note, Scene
from gdb_kdbg.session import Guards
from gdb_kdbg.symbols import Symbols
from gdb_kdbg.target import ArrayType, Frame, LiveTarget, Location, Objfile, Signal, Symbol, Target
from gdb_kdbg.uml_processes import KernelProcess
from gdb_kdbg.units import Address, Count, Size
from gdb_kdbg.vtable_words import ADDRESS, VtablePointer


class FakeMemory:
    """Mapped ranges by their start; ranges that touch are read as one. `reads` keeps each read that was asked for."""

    def __init__(self, contents: Mapping[int, bytes] = MappingProxyType({})) -> None:
        self._ranges = {start: bytearray(data) for start, data in contents.items()}
        self.reads: list[tuple[int, int]] = []

    def map(self, start: int, data: bytes) -> None:
        self._ranges[start] = bytearray(data)

    def unmap(self, start: int) -> None:
        del self._ranges[start]

    def put(self, address: int, data: bytes) -> None:
        """Write into what is mapped already, else map it."""
        for start, content in self._ranges.items():
            if start <= address and address + len(data) <= start + len(content):
                content[address - start : address - start + len(data)] = data
                return
        self.map(address, data)

    def put_words(self, address: int, *words: int) -> None:
        self.put(address, b"".join((word & (1 << 64) - 1).to_bytes(8, "little") for word in words))

    def peek(self, address: int, size: int) -> bytes:
        """Read without being counted."""
        data = b""
        while len(data) < size:
            data += self._piece(address + len(data), size - len(data)) or self._fault(address, size)
        return data

    def read_memory(self, address: Address, size: Size) -> bytes:
        self.reads.append((address, size))
        return self.peek(address, size)

    def was_read(self, address: int) -> bool:
        return any(start <= address < start + size for start, size in self.reads)

    def _piece(self, address: int, size: int) -> bytes:
        for start, content in self._ranges.items():
            if start <= address < start + len(content):
                return bytes(content[address - start : address - start + size])
        return b""

    def _fault(self, address: int, size: int) -> bytes:
        raise MemoryFault(address, size)


class FakeTarget(FakeMemory):
    """A stopped program: all it knows is what the test told it."""

    def __init__(
        self, registers: Optional[Mapping[str, int]] = None, kind: str = "system emulator", cr3: Optional[int] = 0x1000
    ) -> None:
        super().__init__()
        self.kind = kind
        self.problems: Sequence[str] = ()
        self.architecture = "i386:x86-64"
        self.registers = dict(registers or {})
        if cr3 is not None:
            self.registers.setdefault("cr3", cr3)
        self.symbols: dict[str, Symbol] = {}
        self.functions: list[tuple[Range, Location]] = []
        self.labels: dict[str, int] = {}
        self.label_sizes: dict[str, int] = {}
        self.types: dict[str, ArrayType] = {}
        self.members: dict[tuple[str, str], tuple[int, int]] = {}
        self.stack: list[Frame] = []
        self.files: list[Objfile] = []
        self.auxiliary: dict[int, int] = {}
        self.signal: Optional[Signal] = None

    def define(self, name: str, address: int, size: int = 0, limit: int = 0) -> None:
        self.symbols[name] = Symbol(name, Address(address), Size(size), "kernel.elf", Address(limit))

    def place(self, name: str, start: int, size: int, file: Optional[str] = None, line: Optional[int] = None) -> None:
        """Let a function stand at `start`; its name is a label too."""
        self.functions.append((Range(Address(start), Size(size)), Location(name, Size(0), file, line)))
        self.labels[name] = start

    def frame(self, pc: int, sp: int, **registers: int) -> None:
        """Add the next outer frame."""
        self.stack.append(Frame(len(self.stack), Address(pc), Address(sp), {"rsp": sp, **registers}))

    @property
    def is_system(self) -> bool:
        return "cr3" in self.registers

    def register(self, name: str) -> Optional[int]:
        return self.registers.get(name)

    def symbol(self, name: str) -> Optional[Symbol]:
        return self.symbols.get(name)

    def location(self, address: Address) -> Optional[Location]:
        for where, place in reversed(self.functions):
            if where.contains(address):
                return Location(place.function, Size(address - where.start), place.file, place.line)
        return None

    def label(self, address: Address) -> Optional[Symbol]:
        below = [(start, name) for name, start in self.labels.items() if start <= address]
        if not below:
            return None
        start, name = max(below)
        return Symbol(name, Address(start), Size(self.label_sizes.get(name, 0)), "kernel.elf")

    def objfiles(self) -> Sequence[Objfile]:
        return self.files

    def variable_type(self, name: str) -> Optional[ArrayType]:
        return self.types.get(name)

    def member(self, of: str, path: str) -> Optional[tuple[int, int]]:
        return self.members.get((of, path))

    def frames(self, limit: int) -> Sequence[Frame]:
        return self.stack[:limit]

    def auxiliary_vector(self) -> Mapping[int, int]:
        return self.auxiliary

    def stop_signal(self) -> Optional[Signal]:
        return self.signal

    def write_memory(self, address: Address, data: bytes) -> None:
        self.peek(address, len(data))
        self.put(address, data)


def array_type(count: int, element_size: int, **fields: tuple[int, int]) -> ArrayType:
    """The DWARF type of a ring: its members as (offset, size)."""
    return ArrayType(Count(count), Size(element_size), fields)


class FakeSession:
    """A session over one fake target; `evaluate` knows numbers and symbols."""

    def __init__(self, target: Optional[FakeTarget], settings: Optional[Mapping[str, str]] = None) -> None:
        self._target = target
        self.settings: Mapping[str, str] = settings or {}
        self.guards = Guards()
        self.note: Optional[Note] = None
        self.is_live = True
        self.watched: list[tuple[str, Range, bool]] = []
        self.checked: list[tuple[str, str]] = []
        self.process: Optional[int] = None
        self.connected: list[str] = []
        self.pointers: dict[str, VtablePointer] = {}

    @property
    def target(self) -> Target:
        if self._target is None:
            raise TargetUnavailable("no target: run a program first")
        return self._target

    def files_target(self) -> Target:
        return self.target

    def loaded_symbols(self) -> Optional[Symbols]:
        return None

    def processes(self) -> int:
        return 0

    def standard_input(self) -> int:
        raise NotSupported("standard input is GDB's own here: name a file, a socket or a terminal")

    def progress(self, text: str) -> None:
        pass

    def live_target(self) -> LiveTarget:
        if not self.is_live or self._target is None:
            raise NotSupported("a core dump cannot be changed or run: this needs a live target")
        return self._target

    def evaluate(self, expression: str) -> Address:
        try:
            return Address(int(expression, 0))
        except ValueError:
            symbol = self.target.symbol(expression)
        if symbol is None:
            raise SymbolNotFound(f"no symbol {expression!r}")
        return symbol.address

    def vtable_pointer(self, expression: str) -> VtablePointer:
        return self.pointers.get(expression) or VtablePointer(ADDRESS, self.evaluate(expression))

    def scene(self) -> Scene:
        return Scene(self.target, self.settings, self.guards, self.note)

    def watch(self, what: str, range: Range, any_process: bool) -> str:
        self.watched.append((what, range, any_process))
        return f"watchpoint on {what}"

    def check_system_calls(self, entry: str, exit: str) -> str:
        self.checked.append((entry, exit))
        return "guard check"

    def connected_process(self) -> Optional[int]:
        return self.process

    def connect_kernel(self, kernel: KernelProcess) -> Connected:
        self.connected.append(str(kernel.pid))
        return Connected(str(kernel), None, None, None, None)

    def connect_stub(self, place: str) -> Connected:
        self.connected.append(place)
        return Connected(place, None, None, None, None)

    def disarm(self) -> int:
        count = len(self.watched) + len(self.checked)
        self.watched.clear()
        self.checked.clear()
        return count

    def armed(self) -> tuple[str, ...]:
        return tuple(what for what, _, _ in self.watched)
