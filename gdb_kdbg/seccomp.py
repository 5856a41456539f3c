"""What a filter of seccomp(2) says to a system call, computed as the kernel does: classic BPF on struct seccomp_data.

Sources: Linux include/uapi/linux/seccomp.h, filter.h and bpf_common.h, kernel/seccomp.c.
"""

from __future__ import annotations

import operator
import struct
from typing import Callable, Mapping, NamedTuple, Sequence

_ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
_ALLOW, _LOG = 0x7FFF0000, 0x7FFC0000
_ACTION = 0xFFFF0000
_WORD = (1 << 32) - 1
_LOAD, _LOAD_X, _STORE, _STORE_X, _COMPUTE, _JUMP, _RETURN, _MOVE = range(8)
_IMMEDIATE, _ABSOLUTE, _MEMORY, _LENGTH = 0x00, 0x20, 0x60, 0x80
_USES_X, _TO_ACCUMULATOR = 0x08, 0x80
_OPERATIONS: Mapping[int, Callable[[int, int], int]] = {
    0x00: operator.add, 0x10: operator.sub, 0x20: operator.mul, 0x30: operator.floordiv, 0x40: operator.or_,
    0x50: operator.and_, 0x60: operator.lshift, 0x70: operator.rshift, 0x80: lambda a, _: -a, 0x90: operator.mod,
    0xA0: operator.xor,
}  # fmt: skip
_CONDITIONS: Mapping[int, Callable[[int, int], object]] = {
    0x10: operator.eq, 0x20: operator.gt, 0x30: operator.ge, 0x40: operator.and_,
}  # fmt: skip


class SystemCall(NamedTuple):
    """A system call as a filter sees it."""

    name: str
    number: int
    arguments: tuple[int, ...]

    def data(self, place: int) -> bytes:
        """Return its struct seccomp_data, with the call made at an address."""
        words = (*self.arguments, *(0,) * 6)[:6]
        return struct.pack("<IIQ6Q", self.number, _ARCHITECTURE, place, *(word & (1 << 64) - 1 for word in words))


def is_allowed(filters: Sequence[bytes], call: SystemCall, place: int) -> bool:
    """Tell whether all filters (arrays of struct sock_filter) let a call through; what cannot be computed does not."""
    data = call.data(place)
    try:
        return all(_answer(program, data) & _ACTION in (_ALLOW, _LOG) for program in filters)
    except (ValueError, KeyError, IndexError, ArithmeticError, struct.error):
        return False


def _answer(program: bytes, data: bytes) -> int:
    code = list(struct.iter_unpack("<HBBI", program))
    machine, at = _Machine(data), 0
    while True:  # jumps lead forwards only
        operation, if_true, if_false, constant = code[at]
        at += 1
        kind = operation & 7
        if kind == _RETURN:
            return machine.a if operation & 0x18 == 0x10 else int(constant)
        if kind == _JUMP:
            at += machine.jump(operation, constant, if_true, if_false)
        else:
            machine.do(operation, constant)


class _Machine:
    def __init__(self, data: bytes) -> None:
        self.a = self._x = 0
        self._data, self._memory = data, [0] * 16

    def jump(self, operation: int, constant: int, if_true: int, if_false: int) -> int:
        if not operation & 0xF0:
            return constant
        other = self._x if operation & _USES_X else constant
        return if_true if _CONDITIONS[operation & 0xF0](self.a, other) else if_false

    def do(self, operation: int, constant: int) -> None:
        kind = operation & 7
        if kind == _LOAD:
            self.a = self._loaded(operation & 0xE0, constant)
        elif kind == _LOAD_X:
            self._x = self._loaded(operation & 0xE0, constant)
        elif kind in (_STORE, _STORE_X):
            self._memory[constant] = self._x if kind == _STORE_X else self.a
        elif kind == _COMPUTE:
            other = self._x if operation & _USES_X else constant
            self.a = _OPERATIONS[operation & 0xF0](self.a, other) & _WORD
        elif operation & _TO_ACCUMULATOR:
            self.a = self._x
        else:
            self._x = self.a

    def _loaded(self, mode: int, constant: int) -> int:
        if mode == _ABSOLUTE:
            return int(struct.unpack_from("<I", self._data, constant)[0])
        return {_IMMEDIATE: constant, _MEMORY: self._memory[constant & 15], _LENGTH: len(self._data)}[mode]
