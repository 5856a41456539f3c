"""GDB's current program as a kdbg target: live, remote, a system emulator or a core dump."""

from __future__ import annotations

import contextlib
import re
from typing import Iterator, Mapping, Optional, Sequence

import gdb

from ..dwarf import own_line_at
from ..errors import KdbgError, MemoryFault, TargetUnavailable
from ..symbols import Symbols
from ..target import ArrayType, Frame, Location, Objfile, Signal, Symbol
from ..units import ADDRESS_MASK, Address, Size
from .objfiles import Loaded, find_loaded, loaded_objfiles
from .types import array_type, member, word_type

_FRAME_REGISTERS = ("rbp", "rsp")
_GONE = ("Remote connection closed", "Remote communication error", "Connection", "not being run", "no process")


@contextlib.contextmanager
def gdb_errors() -> Iterator[None]:
    """Turn GDB's errors about the target into kdbg's."""
    # A stub that died in the middle of a command took its threads along; newer GDBs abort when asked for them again.
    if gdb.selected_thread() is None:
        raise TargetUnavailable("the target is gone")
    try:
        yield
    except gdb.MemoryError:
        raise
    except gdb.error as error:
        text = str(error).strip()
        if "running" in text and "not being run" not in text:
            raise TargetUnavailable("the target is running: stop it first (interrupt, or Ctrl-C)") from None
        if any(word in text for word in _GONE):
            raise TargetUnavailable(f"the target is gone: {text}") from None
        raise


def is_target_error(error: gdb.error) -> bool:
    """Tell an error about the target (gone, running, unreadable) from one that is a mistake of kdbg's."""
    text = str(error)
    return isinstance(error, gdb.MemoryError) or any(word in text for word in (*_GONE, "running", "Cannot access"))


class GdbTarget:
    """The selected inferior of GDB, as `target.LiveTarget` asks for it; raises TargetUnavailable without one."""

    def __init__(self) -> None:
        self._symbols: Optional[Symbols] = None
        self._symbols_key: object = None
        self._last_symbols: Optional[Symbols] = None
        self._loaded = Loaded(())
        self._auxiliary: Optional[Mapping[int, int]] = None
        self._locations: dict[int, Optional[Location]] = {}
        # What kdbg's own probe offers under the names that a program with a ring would have.
        self.probe_symbols: Mapping[str, Symbol] = {}

    def require_stopped(self) -> None:
        """Raise TargetUnavailable unless there is a stopped program or a core dump."""
        thread = gdb.selected_thread()
        if thread is None or not thread.is_valid():
            raise TargetUnavailable("no target: run a program, `target remote` a stub, or open a core dump first")
        if thread.is_running():
            raise TargetUnavailable("the target is running: stop it first (interrupt, or Ctrl-C)")

    @property
    def kind(self) -> str:
        connection = gdb.selected_inferior().connection
        kind = connection.type if connection is not None else "native"
        if kind == "core":
            return "core dump"
        if kind in ("remote", "extended-remote"):
            return "system emulator" if self.is_system else "gdbserver"
        return kind

    @property
    def is_system(self) -> bool:
        if _lacks_register("cr3"):
            return False
        root = self.register("cr3")
        # QEMU's user emulation has a CR3 too, which is 0; with paging on, no program of a machine could run on that.
        is_emulated_program = root == 0 and (self.register("cs") or 0) & 3 == 3
        return root is not None and not is_emulated_program

    @property
    def problems(self) -> Sequence[str]:
        return *self.symbols.problems, *self._loaded.problems

    @property
    def architecture(self) -> str:
        with gdb_errors():
            return gdb.selected_inferior().architecture().name()

    def read_memory(self, address: Address, size: Size) -> bytes:
        if size <= 0:
            return b""
        try:
            with gdb_errors():
                return bytes(gdb.selected_inferior().read_memory(address & ADDRESS_MASK, size))
        except gdb.MemoryError:
            raise MemoryFault(address, size) from None
        except (OverflowError, MemoryError):
            raise MemoryFault(address, size, "the range is too large") from None

    def write_memory(self, address: Address, data: bytes) -> None:
        try:
            with gdb_errors():
                gdb.selected_inferior().write_memory(address, data)
        except gdb.MemoryError:
            raise MemoryFault(address, len(data), "it cannot be written") from None

    def register(self, name: str) -> Optional[int]:
        if name == "idt_base":
            return _interrupt_table()
        try:
            with gdb_errors():
                value = gdb.newest_frame().read_register(name)
                # $cr3 and $eflags have flag types, which only a cast turns into numbers.
                return int(value.cast(word_type())) & ADDRESS_MASK
        except (ValueError, gdb.error):
            return None

    @property
    def symbols(self) -> Symbols:
        """The symbol tables of the loaded files; read again when GDB loads or drops one."""
        inferior = gdb.selected_inferior()
        # GDB makes new objects for files that it reads again, at another place for instance.
        key = inferior.pid, inferior.connection_num, tuple(gdb.objfiles())
        if self._symbols is None or key != self._symbols_key:
            self._symbols, self._symbols_key = None, key
            self._auxiliary = None
            self._locations.clear()
            self._loaded = find_loaded(self)
            self._symbols = Symbols(self._loaded.objfiles)
        return self._symbols

    def symbols_now(self) -> Optional[Symbols]:
        """The symbols for use while the program may run: no memory is read then, what was known last counts."""
        thread = gdb.selected_thread()
        if thread is not None and thread.is_valid() and not thread.is_running():
            return self.symbols
        if self._symbols is None and self._last_symbols is None:
            objfiles = loaded_objfiles()
            return Symbols(objfiles) if objfiles else None
        return self._symbols or self._last_symbols

    def going_on(self) -> None:
        """Forget what the program may change when it runs."""
        self._auxiliary = None
        if self._loaded.may_change:
            self._last_symbols = self._symbols or self._last_symbols
            self._symbols = None

    def symbol(self, name: str) -> Optional[Symbol]:
        return self.symbols.symbol(name) or _gdb_symbol(name) or self.probe_symbols.get(name)

    def label(self, address: Address) -> Optional[Symbol]:
        return self.symbols.nearest(address)

    def location(self, address: Address) -> Optional[Location]:
        symbols = self.symbols
        address = Address(address & ADDRESS_MASK)
        if address not in self._locations:
            self._locations[address] = _location(symbols, address)
        return self._locations[address]

    def objfiles(self) -> Sequence[Objfile]:
        return self.symbols.objfiles

    def variable_type(self, name: str) -> Optional[ArrayType]:
        with gdb_errors():
            found = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
        return array_type(found.type) if found is not None and found.type is not None else None

    def member(self, of: str, path: str) -> Optional[tuple[int, int]]:
        with gdb_errors():
            return member(of, path)

    def frames(self, limit: int) -> Sequence[Frame]:
        found: list[Frame] = []
        with gdb_errors():
            try:
                frame: Optional[gdb.Frame] = gdb.newest_frame()
                inner = -1
                while frame is not None and len(found) < limit:
                    if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
                        found.append(_frame(frame, inner in (-1, gdb.SIGTRAMP_FRAME)))
                        inner = frame.type()
                    frame = frame.older()
            except (gdb.MemoryError, ValueError):
                pass  # the stack ends where it cannot be read
        return tuple(found)

    def auxiliary_vector(self) -> Mapping[int, int]:
        if self._auxiliary is None:
            self._auxiliary = {} if self.is_system else _auxiliary_vector()
        return self._auxiliary

    def stop_signal(self) -> Optional[Signal]:
        try:
            with gdb_errors():
                told = gdb.parse_and_eval("$_siginfo")
                address = told["_sifields"]["_sigfault"]["si_addr"]
                number, code = int(told["si_signo"]), int(told["si_code"])
                return Signal(number, code, Address(int(address) & ADDRESS_MASK))
        except (gdb.error, gdb.MemoryError):
            return None  # a stub that does not know, as QEMU's


# QEMU's stub does not hand out this register, but its monitor does.
def _interrupt_table() -> Optional[int]:
    try:
        text = gdb.execute("monitor info registers", to_string=True) or ""
    except gdb.error:
        return None
    found = re.search(r"^IDT=\s*([0-9a-f]+)", text, re.MULTILINE)
    return int(found[1], 16) if found else None


def _auxiliary_vector() -> Mapping[int, int]:
    try:
        # GDB reads the texts in it to show them, piece by piece; one character each is enough.
        text = gdb.execute("with print elements 1 -- info auxv", to_string=True) or ""
    except gdb.error:
        return {}
    entries = re.findall(r'^(\d+)\s+\S+\s.*?\s(0x[0-9a-f]+|\d+)(?: ".*)?$', text, re.MULTILINE)
    return {int(number): int(value, 0) for number, value in entries if number != "0"}


def _frame(frame: gdb.Frame, interrupted: bool) -> Frame:
    registers = {name: int(frame.read_register(name)) & ADDRESS_MASK for name in _FRAME_REGISTERS}
    return Frame(frame.level(), Address(frame.pc()), Address(registers["rsp"]), registers, interrupted)


# To ask a frame for a register that is not there makes GDB unwind, which reads files the first time. Only the frame
# tells a running target, whose registers nobody can read, from one in the middle of a stop.
def _lacks_register(name: str) -> bool:
    with gdb_errors():
        thread = gdb.selected_thread()
        if thread is None or thread.is_running():
            return False
        return gdb.selected_inferior().architecture().registers().find(name) is None


def _gdb_symbol(name: str) -> Optional[Symbol]:
    """Ask GDB, for symbols that are in no file kdbg can read (separate debug files, code made at run time)."""
    if not re.fullmatch(r"[A-Za-z_.$][\w.$]*", name):
        return None
    try:
        with gdb.with_parameter("language", "c"):
            value = gdb.parse_and_eval(f"&'{name}'")
    except gdb.error:
        return None
    return Symbol(name, Address(int(value) & ADDRESS_MASK), Size(0), "")


def _location(symbols: Symbols, address: Address) -> Optional[Location]:
    found = symbols.at(address)
    if found is None:
        return _gdb_location(address)
    symbol, offset = found
    return Location(symbol.name, offset, *(_own_line(symbols, address) or _gdb_line(address)))


def _own_line(symbols: Symbols, address: Address) -> Optional[tuple[str, int]]:
    try:
        lines = (own_line_at(elf, address - objfile.load_bias) for objfile, elf in symbols.holders(address))
        return next(filter(None, lines), None)
    except KdbgError:
        return None


def _gdb_line(address: Address) -> tuple[Optional[str], Optional[int]]:
    # GDB may know lines of a file kdbg cannot read, code made at run time for instance.
    found = gdb.find_pc_line(address)
    return (found.symtab.filename, found.line) if found.symtab is not None else (None, None)


def _gdb_location(address: Address) -> Optional[Location]:
    try:
        block = gdb.block_for_pc(address)
    except (gdb.error, RuntimeError):
        return None
    while block is not None and block.function is None:
        block = block.superblock
    if block is None or block.function is None:
        return None
    return Location(block.function.name, Size(address - int(block.start)), *_gdb_line(address))


def evaluate(expression: str) -> Address:
    """Evaluate an address expression in the selected frame, or raise KdbgError with GDB's reason."""
    try:
        value: Optional[gdb.Value] = gdb.parse_and_eval(expression)
        assert value is not None
        if value.type.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_ARRAY):
            value = value.address
        elif value.type.code == gdb.TYPE_CODE_ERROR and value.address is not None:
            value = value.address  # a symbol without debug information stands for its address
        assert value is not None
        return Address(int(value.cast(word_type())) & ADDRESS_MASK)
    except gdb.error as error:
        raise KdbgError(f"cannot evaluate {expression!r}: {str(error).strip().rstrip('.')}") from None
