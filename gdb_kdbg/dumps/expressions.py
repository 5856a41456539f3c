"""DWARF expressions, as far as call frame information uses them: PLT stubs and signal trampolines."""

from __future__ import annotations

import operator
from typing import Callable, Mapping, Sequence

from ..errors import NotSupported
from ..units import ADDRESS_MASK

# DWARF 5, 2.5.1
_BINARY: Mapping[int, Callable[[int, int], int]] = {
    0x1A: operator.and_, 0x1C: operator.sub, 0x1E: operator.mul, 0x21: operator.or_, 0x22: operator.add,
    0x24: lambda a, b: a << min(b, 64), 0x25: lambda a, b: a >> min(b, 64), 0x27: operator.xor,
    0x29: operator.eq, 0x2A: operator.ge, 0x2B: operator.gt, 0x2C: operator.le, 0x2D: operator.lt, 0x2E: operator.ne,
}  # fmt: skip
_CONSTANTS = {0x03: (8, False), 0x08: (1, False), 0x09: (1, True), 0x0A: (2, False), 0x0B: (2, True),
              0x0C: (4, False), 0x0D: (4, True), 0x0E: (8, False), 0x0F: (8, True)}  # fmt: skip
_DEREF, _DUP, _DROP, _PLUS_UCONST, _LIT0, _BREG0, _NOP = 0x06, 0x12, 0x13, 0x23, 0x30, 0x70, 0x96


def evaluate(
    code: Sequence[int], register: Callable[[int], int], word: Callable[[int], int], stack: Sequence[int] = ()
) -> int:
    """Evaluate an expression; `word` reads memory; raise NotSupported for what no unwinder table needs."""
    machine = _Machine(bytes(code), register, word, list(stack))
    try:
        while machine.position < len(machine.code):
            machine.step()
        return machine.stack[-1]
    except IndexError as error:
        raise NotSupported(f"malformed DWARF expression {bytes(code).hex()}") from error


class _Machine:
    def __init__(
        self, code: bytes, register: Callable[[int], int], word: Callable[[int], int], stack: list[int]
    ) -> None:
        self.code, self.register, self.word, self.stack = code, register, word, stack
        self.position = 0

    def step(self) -> None:
        operation = self._take(1)[0]
        if operation in _BINARY:
            right, left = self.stack.pop(), self.stack.pop()
            self._push(_BINARY[operation](left, right))
        elif operation in _CONSTANTS:
            size, signed = _CONSTANTS[operation]
            self._push(int.from_bytes(self._take(size), "little", signed=signed))
        elif _LIT0 <= operation < _LIT0 + 32:
            self._push(operation - _LIT0)
        elif _BREG0 <= operation < _BREG0 + 32:
            self._push(self.register(operation - _BREG0) + self._leb128(signed=True))
        else:
            self._step_rare(operation)

    def _step_rare(self, operation: int) -> None:
        if operation == _DEREF:
            self._push(self.word(self.stack.pop()))
        elif operation == _PLUS_UCONST:
            self._push(self.stack.pop() + self._leb128(signed=False))
        elif operation == _DUP:
            self._push(self.stack[-1])
        elif operation == _DROP:
            self.stack.pop()
        elif operation != _NOP:
            raise NotSupported(f"DWARF expression {self.code.hex()} uses operation {operation:#x}")

    def _push(self, value: int) -> None:
        self.stack.append(int(value) & ADDRESS_MASK)

    def _take(self, size: int) -> bytes:
        taken = self.code[self.position : self.position + size]
        if len(taken) < size:
            raise IndexError
        self.position += size
        return taken

    def _leb128(self, signed: bool) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift) if signed and byte & 0x40 else value
