"""What Linux's page fault handler does for an instruction of the exception table (arch/x86/mm/extable.c)."""

from __future__ import annotations

from . import exception_table as table
from .emulation import Emulator
from .exception_table import Entry

_PAGE_FAULT = 14
_PLAIN = (table.DEFAULT, table.UACCESS, table.DEFAULT_MACHINE_CHECK)
_TELLS_FAULT = (table.FAULT, table.COPY, table.FAULT_MACHINE_CHECK)


def handle(emulator: Emulator, entry: Entry) -> bool:
    """Change registers as the handler of an entry does; return whether it is one that is known."""
    if entry.kind in _TELLS_FAULT:
        emulator.set_register("rax", _PAGE_FAULT)
    elif entry.kind == table.SET:
        emulator.set_register(entry.register, entry.number)
    elif entry.kind == table.POP:
        stack = emulator.register("rsp")
        emulator.set_register(entry.register, int.from_bytes(emulator.read(stack, 8), "little"))
        emulator.set_register("rsp", stack + 8)
    elif entry.kind == table.COPY_LENGTH:
        words = emulator.register("rcx")
        emulator.set_register("rcx", entry.number * words + emulator.register(entry.register))
    elif entry.kind not in _PLAIN:
        return False
    for name in entry.cleared:
        emulator.set_register(name, 0)
    return True
