"""Reading and writing one register of the emulator often: what unicorn's Python finds out each time, only once."""

from __future__ import annotations

import ctypes
from typing import Any, Callable


def reader(uc: Any, number: int) -> Callable[[], int]:
    """Return what reads a register of 64 bits."""
    direct = getattr(uc, "_do_reg_read", None)
    if direct is None:
        return lambda: int(uc.reg_read(number))
    cell = ctypes.c_uint64()
    place = ctypes.byref(cell)

    def read() -> int:
        direct(number, place)
        return cell.value

    return read


def writer(uc: Any, number: int, value: int) -> Callable[[], object]:
    """Return what sets a register of 64 bits to this value."""
    direct = getattr(uc, "_do_reg_write", None)
    if direct is None:
        return lambda: uc.reg_write(number, value)
    place = ctypes.byref(ctypes.c_uint64(value))
    return lambda: direct(number, place)
