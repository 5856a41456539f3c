"""Reading and writing one register of the emulator often: what unicorn's Python finds out each time, only once."""

from __future__ import annotations

import ctypes
from typing import Any, Callable


def reader(uc: Any, number: int) -> Callable[[], int]:
    """Return what reads a register of 64 bits."""
    direct: Any = getattr(uc, "_do_reg_read", None)
    cell = ctypes.c_uint64()
    place = ctypes.byref(cell)

    # These return an error's number, 0 for none.
    def read() -> int:
        return int(uc.reg_read(number)) if direct(number, place) else cell.value

    return read if direct is not None else lambda: int(uc.reg_read(number))


def writer(uc: Any, number: int, value: int) -> Callable[[], object]:
    """Return what sets a register of 64 bits to this value."""
    direct: Any = getattr(uc, "_do_reg_write", None)
    place = ctypes.byref(ctypes.c_uint64(value))

    def write() -> None:
        if direct(number, place):
            uc.reg_write(number, value)

    return write if direct is not None else lambda: uc.reg_write(number, value)
