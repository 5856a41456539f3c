"""Instructions with vectors made into functions: decoded once, carried out often.

A function works on a VectorMachine and raises Stopped before it has changed anything. Bits of a vector register beyond
the instruction's length become zero (Intel SDM vol. 1, 14.1.2 and 15.2).
"""

from __future__ import annotations

from typing import Callable, Mapping

from . import vector_forms as forms
from .vector_encoding import GENERAL_NAMES, Encoded
from .vector_forms import Form
from .vector_machine import VectorMachine
from .vector_mask_actions import MASK_COMPILERS
from .vector_operands import Action, address_of, general_value, into, place_of, source
from .vector_values import BINARY, equal_elements, extents, signs, spread

_LANE = 16
Compiler = Callable[[VectorMachine, Encoded, Form, int], Action]


def compile_action(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    """Return what carries an instruction out; `end` is the address behind it."""
    return _COMPILERS[form.action](machine, encoded, form, end)


def _load(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    if encoded.prefix.mask and encoded.memory is not None:
        return _load_masked(machine, encoded, form, end)
    return into(machine, encoded, form, source(machine, encoded, form, end))


# Elements that are masked out cannot fault, and without any the address need not be aligned either.
def _load_masked(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    address, target, size = place_of(machine, encoded, form, end), encoded.reg, encoded.length
    every = _all_elements(encoded, form)

    def run() -> None:
        mask = machine.masks[encoded.prefix.mask] & every
        result = bytearray(size if encoded.prefix.is_zeroing else machine.vector(target, size))
        if mask:
            _fill(machine, result, address(), mask, form.element)
        machine.registers[target] = bytes(result)

    return run


def _all_elements(encoded: Encoded, form: Form) -> int:
    return (1 << encoded.length // form.element) - 1


def _fill(machine: VectorMachine, result: bytearray, start: int, mask: int, element: int) -> None:
    for first, last in extents(mask, len(result) // element, element):
        result[first:last] = machine.load(start + first, last - first)


def _store(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    number, size, mask = encoded.reg, encoded.length, encoded.prefix.mask
    if encoded.memory is None:
        swapped = encoded._replace(reg=encoded.register)
        return into(machine, swapped, form, lambda: machine.vector(number, size))
    address, store, vector = place_of(machine, encoded, form, end), machine.store, machine.vector
    every = _all_elements(encoded, form)

    def whole() -> None:
        store(address(), vector(number, size))

    def some() -> None:
        chosen = machine.masks[mask] & every
        if chosen:
            _store_some(machine, address(), vector(number, size), chosen, form.element)

    return some if mask else whole


def _store_some(machine: VectorMachine, start: int, data: bytes, mask: int, element: int) -> None:
    parts = list(extents(mask, len(data) // element, element))
    if len(parts) > 1:
        for first, last in parts:
            machine.need(start + first, last - first, True)
    for first, last in parts:
        machine.store(start + first, data[first:last])


def _scalar_load(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    return into(machine, encoded, form, source(machine, encoded, form, end))


def _scalar_store(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    return _store(machine, encoded._replace(prefix=encoded.prefix._replace(length=form.memory)), form, end)


def _general_load(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    if encoded.memory is not None:
        return _scalar_load(machine, encoded, form, end)
    return into(machine, encoded, form, general_value(machine, encoded, form))


def _general_store(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    if encoded.memory is not None:
        return _scalar_store(machine, encoded, form, end)
    name, number, size = GENERAL_NAMES[encoded.register & 15], encoded.reg, form.element
    return lambda: machine.around.set_general(name, int.from_bytes(machine.vector(number, size), "little"))


def _broadcast(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    if encoded.memory is not None and encoded.prefix.mask:
        return _broadcast_masked(machine, encoded, form, end)
    one, count = source(machine, encoded, form, end), encoded.length // form.memory
    return into(machine, encoded, form, lambda: one() * count)


# Only what some element needs is read.
def _broadcast_masked(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    address, size = address_of(machine, encoded, form, end), form.memory
    lanes = size // form.element

    def value() -> bytes:
        mask, needed = machine.masks[encoded.prefix.mask] & _all_elements(encoded, form), 0
        for lane in range(0, encoded.length // form.element, lanes):
            needed |= mask >> lane & (1 << lanes) - 1
        one = bytearray(size)
        _fill(machine, one, address(), needed, form.element)
        return bytes(one) * (encoded.length // size)

    return into(machine, encoded, form, value)


def _general_broadcast(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    one, count = general_value(machine, encoded, form), encoded.length // form.element
    return into(machine, encoded, form, lambda: one() * count)


def _insert(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    lane, second = source(machine, encoded, form, end), encoded.prefix.second
    place = (encoded.immediate & 1) * _LANE

    def value() -> bytes:
        result = bytearray(machine.vector(second, encoded.length))
        result[place : place + _LANE] = lane()
        return bytes(result)

    return into(machine, encoded, form, value)


def _extract(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    number, place = encoded.reg, (encoded.immediate & 1) * _LANE

    def lane() -> bytes:
        return machine.vector(number, encoded.length)[place : place + _LANE]

    if encoded.memory is None:
        return into(machine, encoded._replace(reg=encoded.register), form, lane)
    address = address_of(machine, encoded, form, end)
    return lambda: machine.store(address(), lane())


def _binary(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    other, second, size = source(machine, encoded, form, end), encoded.prefix.second, encoded.length
    compute, vector, immediate = BINARY[form.operation], machine.vector, encoded.immediate
    return into(machine, encoded, form, lambda: compute(vector(second, size), other(), immediate))


def _equal(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Callable[[], int]:
    other, second, size = source(machine, encoded, form, end), encoded.prefix.second, encoded.length
    return lambda: equal_elements(machine.vector(second, size), other(), form.element)


def _compare(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    equal, count = _equal(machine, encoded, form, end), encoded.length // form.element
    return into(machine, encoded, form, lambda: spread(equal(), count, form.element))


def _compare_mask(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    equal, mask = _equal(machine, encoded, form, end), encoded.prefix.mask
    if mask and encoded.memory is not None:
        return _compare_mask_masked(machine, encoded, form, end)

    def run() -> None:
        machine.masks[encoded.reg] = equal() & (machine.masks[mask] if mask else -1)

    return run


def _compare_mask_masked(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    address, size = address_of(machine, encoded, form, end), encoded.length

    def run() -> None:
        mask, other = machine.masks[encoded.prefix.mask], bytearray(size)
        _fill(machine, other, address(), mask, form.element)
        vector = machine.vector(encoded.prefix.second, size)
        machine.masks[encoded.reg] = equal_elements(vector, bytes(other), form.element) & mask

    return run


def _move_mask(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    name, vector = GENERAL_NAMES[encoded.reg & 15], source(machine, encoded, form, end)
    return lambda: machine.around.set_general(name, signs(vector(), 1))


def _test(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    other, number, size = source(machine, encoded, form, end), encoded.reg, encoded.length

    def run() -> None:
        first, second = (int.from_bytes(one, "little") for one in (machine.vector(number, size), other()))
        machine.around.set_flags(not first & second, not ~first & second)

    return run


def _masked_load(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    address, size = address_of(machine, encoded, form, end), encoded.length

    def value() -> bytes:
        result = bytearray(size)
        mask = signs(machine.vector(encoded.prefix.second, size), form.element)
        _fill(machine, result, address(), mask, form.element)
        return bytes(result)

    return into(machine, encoded, form, value)


def _masked_store(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    address, size, vector = address_of(machine, encoded, form, end), encoded.length, machine.vector

    def run() -> None:
        mask = signs(vector(encoded.prefix.second, size), form.element)
        _store_some(machine, address(), vector(encoded.reg, size), mask, form.element)

    return run


# vzeroupper leaves the lower 128 bits; neither touches the registers from 16 on.
def _zero(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    kept = _LANE if encoded.length == _LANE else 0

    def run() -> None:
        machine.registers[:16] = [value[:kept] for value in machine.registers[:16]]

    return run


_COMPILERS: Mapping[str, Compiler] = {
    **MASK_COMPILERS,
    forms.LOAD: _load,
    forms.STORE: _store,
    forms.SCALAR_LOAD: _scalar_load,
    forms.SCALAR_STORE: _scalar_store,
    forms.GENERAL_LOAD: _general_load,
    forms.GENERAL_STORE: _general_store,
    forms.BROADCAST: _broadcast,
    forms.GENERAL_BROADCAST: _general_broadcast,
    forms.INSERT: _insert,
    forms.EXTRACT: _extract,
    forms.BINARY: _binary,
    forms.COMPARE: _compare,
    forms.COMPARE_MASK: _compare_mask,
    forms.MOVE_MASK: _move_mask,
    forms.TEST: _test,
    forms.MASKED_LOAD: _masked_load,
    forms.MASKED_STORE: _masked_store,
    forms.ZERO: _zero,
}
