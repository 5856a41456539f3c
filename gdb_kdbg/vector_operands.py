"""The operands of instructions with vectors, made into functions that read them and that take a result."""

from __future__ import annotations

from typing import Callable

from . import vector_forms as forms
from .units import ADDRESS_MASK
from .vector_encoding import GENERAL_NAMES, Encoded
from .vector_forms import Form
from .vector_machine import Stopped, VectorMachine
from .vector_values import merged

Action = Callable[[], None]
Read = Callable[[], bytes]
_OF_GENERAL = (forms.GENERAL_LOAD, forms.GENERAL_BROADCAST, forms.MASK_FROM, forms.LOW_BITS)


def address_of(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Callable[[], int]:
    """Return what computes the address of the memory operand."""
    place, general = encoded.memory, machine.general
    assert place is not None
    scale = (form.memory or encoded.length) if encoded.prefix.is_evex and place.is_short else 1
    displacement = place.displacement * scale
    if place.is_relative:
        displacement += end
    base, index, factor = place.base, place.index_name, place.scale
    if base and index:
        return lambda: general[base] + general[index] * factor + displacement & ADDRESS_MASK
    if base:
        return lambda: general[base] + displacement & ADDRESS_MASK
    if index:
        return lambda: general[index] * factor + displacement & ADDRESS_MASK
    return lambda: displacement & ADDRESS_MASK


def registers_read(encoded: Encoded, form: Form) -> set[str]:
    """Return the general registers that an instruction reads."""
    place = encoded.memory
    second = {GENERAL_NAMES[encoded.prefix.second]} if form.action == forms.LOW_BITS else set()
    if place is not None:
        return second | {name for name in (place.base, place.index_name) if name}
    return second | ({GENERAL_NAMES[encoded.register & 15]} if form.action in _OF_GENERAL else set())


def _aligned(compute: Callable[[], int], size: int, is_write: bool) -> Callable[[], int]:
    def checked() -> int:
        address = compute()
        if address % size:
            raise Stopped(address, is_write, size)
        return address

    return checked


def place_of(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Callable[[], int]:
    """Return what computes the address of the memory operand, which may have to be aligned."""
    compute = address_of(machine, encoded, form, end)
    if not form.is_aligned:
        return compute
    return _aligned(compute, encoded.length, form.action == forms.STORE)


def source(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Read:
    """Return what reads the operand that is a register or memory."""
    size = form.memory or encoded.length
    if encoded.memory is None:
        number = encoded.register
        return lambda: machine.vector(number, size)
    address, load = place_of(machine, encoded, form, end), machine.load
    return lambda: load(address(), size)


def into(machine: VectorMachine, encoded: Encoded, form: Form, value: Read) -> Action:
    """Return what puts a result into the first register, all of it or as a mask says."""
    registers, target, mask = machine.registers, encoded.reg, encoded.prefix.mask

    def whole() -> None:
        registers[target] = value()

    def some() -> None:
        new = value()
        old = bytes(len(new)) if encoded.prefix.is_zeroing else machine.vector(target, len(new))
        registers[target] = merged(old, new, machine.masks[mask], form.element)

    return some if mask else whole


def general_value(machine: VectorMachine, encoded: Encoded, form: Form) -> Read:
    """Return what reads the operand that is a general register."""
    general, name, size = machine.general, GENERAL_NAMES[encoded.register & 15], form.element
    bits = (1 << 8 * size) - 1
    return lambda: (general[name] & bits).to_bytes(size, "little")
