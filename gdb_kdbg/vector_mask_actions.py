"""Instructions with mask registers made into functions."""

from __future__ import annotations

from typing import Callable, Mapping

from . import vector_forms as forms
from .vector_encoding import GENERAL_NAMES, Encoded
from .vector_forms import Form
from .vector_machine import VectorMachine
from .vector_operands import Action, address_of, general_value, source
from .vector_values import MASKS


def _mask_load(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    masks, target, bits = machine.masks, encoded.reg, (1 << form.width) - 1

    def move() -> None:
        masks[target] = masks[encoded.register] & bits

    def load() -> None:
        masks[target] = int.from_bytes(machine.load(address(), form.memory), "little")

    if encoded.memory is None:
        return move
    address = address_of(machine, encoded, form, end)
    return load


def _mask_store(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    address, masks, size = address_of(machine, encoded, form, end), machine.masks, form.memory
    bits = (1 << form.width) - 1
    return lambda: machine.store(address(), (masks[encoded.reg] & bits).to_bytes(size, "little"))


def _mask_from(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    name, bits = GENERAL_NAMES[encoded.register & 15], (1 << form.width) - 1

    def run() -> None:
        machine.masks[encoded.reg] = machine.general[name] & bits

    return run


def _mask_to(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    name, bits = GENERAL_NAMES[encoded.reg & 15], (1 << form.width) - 1
    return lambda: machine.around.set_general(name, machine.masks[encoded.register] & bits)


def _mask_binary(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    masks, compute, bits = machine.masks, MASKS[form.operation], (1 << form.width) - 1

    def run() -> None:
        masks[encoded.reg] = compute(masks[encoded.prefix.second], masks[encoded.register]) & bits

    return run


def _mask_not(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    masks, bits = machine.masks, (1 << form.width) - 1

    def run() -> None:
        masks[encoded.reg] = ~masks[encoded.register] & bits

    return run


def _mask_shift(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    masks, compute, bits = machine.masks, MASKS[form.operation], (1 << form.width) - 1

    def run() -> None:
        masks[encoded.reg] = compute(masks[encoded.register] & bits, encoded.immediate) & bits

    return run


def _mask_or_test(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    masks, bits = machine.masks, (1 << form.width) - 1

    def run() -> None:
        together = (masks[encoded.reg] | masks[encoded.register]) & bits
        machine.around.set_flags(not together, together == bits)

    return run


def _mask_test(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    masks, bits = machine.masks, (1 << form.width) - 1

    def run() -> None:
        first, second = masks[encoded.reg] & bits, masks[encoded.register] & bits
        machine.around.set_flags(not first & second, not ~first & second)

    return run


# Intel SDM vol. 2, BZHI: of a count only 8 bits are looked at, and one that is too large keeps everything.
def _low_bits(machine: VectorMachine, encoded: Encoded, form: Form, end: int) -> Action:
    value = general_value(machine, encoded, form) if encoded.memory is None else source(machine, encoded, form, end)
    target, count = GENERAL_NAMES[encoded.reg], GENERAL_NAMES[encoded.prefix.second]
    size = 8 * form.element

    def run() -> None:
        kept = machine.general[count] & 255
        result = int.from_bytes(value(), "little") & ((1 << kept) - 1)
        machine.around.set_general(target, result)
        machine.around.set_flags(not result, kept >= size, bool(result >> size - 1))

    return run


MASK_COMPILERS: Mapping[str, Callable[[VectorMachine, Encoded, Form, int], Action]] = {
    forms.MASK_LOAD: _mask_load,
    forms.MASK_STORE: _mask_store,
    forms.MASK_FROM: _mask_from,
    forms.MASK_TO: _mask_to,
    forms.MASK_BINARY: _mask_binary,
    forms.MASK_NOT: _mask_not,
    forms.MASK_SHIFT: _mask_shift,
    forms.MASK_OR_TEST: _mask_or_test,
    forms.MASK_TEST: _mask_test,
    forms.LOW_BITS: _low_bits,
}
