"""Registers of the emulator by the short way, and by the long one where there is no other."""

from __future__ import annotations

from typing import Any

import pytest
import unicorn
from unicorn import x86_const as x86

from gdb_kdbg.emulated_registers import reader, writer

RAX = x86.UC_X86_REG_RAX


class _Long:
    """A processor with the documented functions; the short ones are missing, or fail."""

    def __init__(self, processor: Any) -> None:
        self.reg_read, self.reg_write = processor.reg_read, processor.reg_write


class _Failing(_Long):
    def _do_reg_read(self, number: int, place: object) -> int:
        return 1

    _do_reg_write = _do_reg_read


@pytest.mark.parametrize("kind", [lambda processor: processor, _Long, _Failing], ids=["short", "long", "failing"])
@pytest.mark.parametrize("value", [0, 5, 1 << 63, (1 << 64) - 1])
def test_a_register_is_written_and_read(kind: Any, value: int) -> None:
    processor = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    read, write = reader(kind(processor), RAX), writer(kind(processor), RAX, value)
    processor.reg_write(RAX, 77)
    assert read() == 77
    write()
    assert read() == value == processor.reg_read(RAX)
