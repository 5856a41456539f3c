"""Exception tables: where a kernel goes on when an instruction that touches user memory faults.

Linux keeps 32-bit distances in `__ex_table`, each relative to the field it stands in (arch/x86/include/asm/extable.h),
12 bytes an entry since 4.6 and 8 before; user-mode Linux keeps two absolute words. The probe kit's `.ucopy_faults` has
three absolute words: instruction, fixup, name of the phase.
"""

from __future__ import annotations

import struct
from typing import Callable, Iterator, Mapping, NamedTuple, Optional

from .errors import KdbgError
from .ranges import Range
from .target import Memory
from .units import ADDRESS_MASK, Address, Size

_KIT_ENTRY = struct.Struct("<QQQ")
_ABSOLUTE_ENTRY = struct.Struct("<QQ")
_HANDLER_ENTRY = struct.Struct("<iii")
_RELATIVE_ENTRIES = (struct.Struct("<iiI"), struct.Struct("<ii"))
# A Linux kernel has some thousands of entries.
_LIMIT = 4 << 20
# arch/x86/include/asm/extable_fixup_types.h, since 5.15: a type, a register, flags and a signed number, 8 + 4 + 4 + 16
# bits. No kernel has as many types yet.
_TYPES = 32
_REGISTERS = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
_CLEARED = ("rax", "rdx")
DEFAULT, FAULT, UACCESS, COPY, DEFAULT_MACHINE_CHECK, FAULT_MACHINE_CHECK, POP, SET, COPY_LENGTH = (
    1, 2, 3, 4, 14, 15, 16, 17, 19,
)  # fmt: skip


class Entry(NamedTuple):
    """What happens when an instruction faults: execution goes on at `fixup`, after what the handler of `kind` does.

    `register` and `number` are what it does it with, `cleared` names registers that are set to 0.
    """

    instruction: int
    fixup: int
    kind: int = DEFAULT
    register: str = "rax"
    number: int = 0
    cleared: tuple[str, ...] = ()


def fixups(
    memory: Memory,
    linux: Optional[Range],
    kit: Optional[Range],
    is_code: Callable[[int], bool],
) -> Mapping[int, Entry]:
    """Return the entry of each instruction that may fault, from both kinds of tables.

    `is_code` tells which addresses can hold instructions: it decides between the layouts of `__ex_table`, and entries
    it refuses are left out. Raises MemoryFault where a table cannot be read, KdbgError for one of implausible size.
    """
    found = _plausible(_kit_entries(_read(memory, kit)), is_code) if kit else ()
    found += _linux_entries(_read(memory, linux), linux.start, is_code) if linux else ()
    return {entry.instruction: entry for entry in found}


def _read(memory: Memory, table: Range) -> bytes:
    if not 0 <= table.size <= _LIMIT:
        raise KdbgError(f"implausible exception table of {table.size:#x} bytes at {table.start:#x}")
    return memory.read_memory(Address(table.start), Size(table.size))


def _linux_entries(data: bytes, start: int, is_code: Callable[[int], bool]) -> tuple[Entry, ...]:
    absolute = _plausible((Entry(row[0], row[1]) for row in _rows(_ABSOLUTE_ENTRY, data)), is_code)
    layouts = _RELATIVE_ENTRIES if _has_third_field(data, start, is_code) else _RELATIVE_ENTRIES[::-1]
    layout = next((layout for layout in layouts if len(data) % layout.size == 0), layouts[0])
    relative = _plausible(_relative_entries(data, start, layout), is_code)
    return max(relative, absolute, key=len)


# Every field is relative to itself, so that a table makes some sense in the wrong layout, too. Read as 12 bytes an
# entry a table of 8 has an instruction or a fixup in each third field, and no instruction twice. Really there is a
# type, which leads to no code, or (until 5.15) one of a handful of handlers.
def _has_third_field(data: bytes, start: int, is_code: Callable[[int], bool]) -> bool:
    thirds = [row[2] for row in _rows(_HANDLER_ENTRY, data)]
    targets = {start + 12 * index + 8 + third & ADDRESS_MASK for index, third in enumerate(thirds)}
    return 2 * len(targets) <= len(thirds) or not all(map(is_code, targets))


def _relative_entries(data: bytes, start: int, layout: struct.Struct) -> Iterator[Entry]:
    rows = list(_rows(layout, data))
    # Until 5.15 the third field is the distance to a handler, of which none that a copy uses does more than go on.
    is_typed = all(0 < third & 0xFF < _TYPES for _, _, *thirds in rows for third in thirds)
    for index, (instruction, fixup, *kind) in enumerate(rows):
        place = start + index * layout.size
        entry = Entry(place + instruction & ADDRESS_MASK, place + 4 + fixup & ADDRESS_MASK)
        yield _typed(entry, kind[0]) if kind and is_typed else entry


def _typed(entry: Entry, data: int) -> Entry:
    number = (data >> 16) - ((data >> 31) << 16)
    cleared = tuple(name for bit, name in enumerate(_CLEARED) if data >> 12 + bit & 1)
    return entry._replace(kind=data & 0xFF, register=_REGISTERS[data >> 8 & 15], number=number, cleared=cleared)


def _kit_entries(data: bytes) -> Iterator[Entry]:
    return (Entry(instruction, fixup) for instruction, fixup, _ in _rows(_KIT_ENTRY, data))


def _rows(layout: struct.Struct, data: bytes) -> Iterator[tuple[int, ...]]:
    return layout.iter_unpack(data[: len(data) // layout.size * layout.size])


def _plausible(found: Iterator[Entry], is_code: Callable[[int], bool]) -> tuple[Entry, ...]:
    return tuple(entry for entry in found if is_code(entry.instruction) and is_code(entry.fixup))
