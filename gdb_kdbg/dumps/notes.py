"""The notes of x86-64 core dumps: registers of each thread, mapped files, auxiliary vector.

Layouts: Linux `struct elf_prstatus` and `struct user_regs_struct` (x86-64), `fs/binfmt_elf.c` for NT_FILE, and
QEMU `target/i386/arch_dump.c` (7.2), which writes the same status note and one of its own for each CPU.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Iterable, Mapping, Optional, Sequence

from ..elf_tables import Note, unpack_all
from ..errors import BadFile
from ..target import Signal
from ..units import Address, Size

NT_PRSTATUS, NT_AUXV, NT_FILE, NT_SIGINFO = 1, 6, 0x46494C45, 0x53494749

_USER_REGISTERS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss"
    " fs_base gs_base ds es fs gs"
).split()
_STATUS_REGISTERS = 112  # offset of pr_reg in elf_prstatus
_STATUS_THREAD = 32
# Registers that GDB shows in 32 bits although they are stored in 64.
_NARROW = frozenset({"eflags", "cs", "ss", "ds", "es", "fs", "gs"})

_QEMU_GENERAL = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags".split()
_QEMU_SEGMENTS = "cs ds es fs gs ss ldt tr gdt idt".split()
_QEMU_CONTROL = ["cr0", "cr1", "cr2", "cr3", "cr4", "k_gs_base"]
# Segment registers with the descriptor behind them: selector, limit, flags, padding, base.
_QEMU_LAYOUT = struct.Struct("<II" + "18Q" + "IIIIQ" * len(_QEMU_SEGMENTS) + "6Q")


@dataclass(frozen=True)
class Thread:
    """A thread (or the virtual CPU of a guest) and its registers under GDB's names."""

    number: int
    registers: Mapping[str, int]


@dataclass(frozen=True)
class MappedFile:
    """A part of a file that was mapped into the process."""

    start: Address
    end: Address
    offset: int
    path: str

    @property
    def size(self) -> Size:
        return Size(self.end - self.start)


def threads(notes: Sequence[Note]) -> tuple[Thread, ...]:
    """Return the threads in the order of the dump: first the one that crashed; raise BadFile."""
    statuses = [note.data for note in notes if (note.owner, note.type) == ("CORE", NT_PRSTATUS)]
    states = [_qemu_registers(note.data) for note in notes if note.owner == "QEMU"]
    if not statuses:
        raise BadFile("the core dump holds no registers (no NT_PRSTATUS note)")
    # QEMU writes both kinds for each CPU; a native core has only the first.
    return tuple(_thread(status, states[index] if index < len(states) else {}) for index, status in enumerate(statuses))


def mapped_files(notes: Iterable[Note]) -> tuple[MappedFile, ...]:
    """Return the files that were mapped (NT_FILE), by address; raise BadFile if the note contradicts itself."""
    data = _first(notes, NT_FILE)
    if len(data) < 16:
        return ()
    count, unit = struct.unpack_from("<QQ", data)
    names = data[16 + 24 * count :].split(b"\0") if 24 * count <= len(data) else []
    if len(names) <= count:
        raise BadFile(f"the NT_FILE note of the core dump claims {count} files in {len(data)} bytes")
    places = unpack_all("<QQQ", data[16 : 16 + 24 * count])
    return tuple(
        MappedFile(Address(start), Address(end), offset * unit, name.decode("utf-8", "surrogateescape"))
        for (start, end, offset), name in zip(places, names)
        if start < end
    )


def auxiliary_vector(notes: Iterable[Note]) -> Mapping[int, int]:
    """Return the auxiliary vector, AT_* type to value, without AT_NULL."""
    return {kind: value for kind, value in unpack_all("<QQ", _first(notes, NT_AUXV)) if kind}


def signal(notes: Iterable[Note]) -> Optional[Signal]:
    """Return the signal that ended the program (NT_SIGINFO); None if the dump does not tell."""
    data = _first(notes, NT_SIGINFO)
    if len(data) < 24:
        return None
    number, _, code, address = struct.unpack_from("<iii4xQ", data)
    return Signal(number, code, Address(address))


def _first(notes: Iterable[Note], kind: int) -> bytes:
    return next((note.data for note in notes if (note.owner, note.type) == ("CORE", kind)), b"")


def _thread(status: bytes, more: Mapping[str, int]) -> Thread:
    end = _STATUS_REGISTERS + 8 * len(_USER_REGISTERS)
    if len(status) < end:
        raise BadFile(f"an NT_PRSTATUS note has {len(status)} bytes, less than the {end} of an x86-64 one")
    (number,) = struct.unpack_from("<i", status, _STATUS_THREAD)
    values = struct.unpack_from(f"<{len(_USER_REGISTERS)}Q", status, _STATUS_REGISTERS)
    registers = {name: _width(name, value) for name, value in zip(_USER_REGISTERS, values)}
    return Thread(number, {**registers, **more})


def _qemu_registers(data: bytes) -> Mapping[str, int]:
    if len(data) < _QEMU_LAYOUT.size - 8:  # Before QEMU 3.1 it ended with cr4.
        raise BadFile(f"a QEMU note has {len(data)} bytes, less than a QEMUCPUState of x86-64")
    _, _, *values = _QEMU_LAYOUT.unpack(data.ljust(_QEMU_LAYOUT.size, b"\0")[: _QEMU_LAYOUT.size])
    registers = {name: _width(name, values.pop(0)) for name in _QEMU_GENERAL}
    for name in _QEMU_SEGMENTS:
        selector, _, _, _, base = (values.pop(0) for _ in range(5))
        if name in ("cs", "ds", "es", "fs", "gs", "ss"):
            registers[name] = selector
        if name in ("fs", "gs", "idt"):
            registers[f"{name}_base"] = base
    registers.update(zip(_QEMU_CONTROL, values))
    return registers


def _width(name: str, value: int) -> int:
    return value & 0xFFFFFFFF if name in _NARROW else value
