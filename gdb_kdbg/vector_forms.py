"""Which instructions of AVX, AVX2 and AVX-512 kdbg carries out itself: what copying and filling is made of.

A closed set; whatever is not in it stays undecidable. Source of opcodes: Intel SDM vol. 2, the instructions' own pages.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Iterator, Mapping, NamedTuple, Optional

from .vector_encoding import NONE, P66, PF2, PF3, Encoded, decode_vector

LOAD, STORE, SCALAR_LOAD, SCALAR_STORE = "load", "store", "scalar load", "scalar store"
GENERAL_LOAD, GENERAL_STORE = "general load", "general store"
BROADCAST, GENERAL_BROADCAST, INSERT, EXTRACT = "broadcast", "general broadcast", "insert", "extract"
BINARY, COMPARE, COMPARE_MASK, MOVE_MASK, TEST = "binary", "compare", "compare mask", "move mask", "test"
MASKED_LOAD, MASKED_STORE, ZERO, LOW_BITS = "masked load", "masked store", "zero", "low bits"
MASK_LOAD, MASK_STORE, MASK_FROM, MASK_TO = "mask load", "mask store", "mask from", "mask to"
MASK_BINARY, MASK_NOT, MASK_TEST, MASK_OR_TEST, MASK_SHIFT = (
    "mask binary", "mask not", "mask test", "mask or test", "mask shift",
)  # fmt: skip
ALL, SHORT, LONG, SINGLE = (16, 32, 64), (16, 32), (32,), (16,)
EITHER, MEMORY, REGISTER = "either", "memory", "register"
_VEX, _EVEX = False, True
_BYTE, _WORD, _DWORD, _QWORD, _LANE = 1, 2, 4, 8, 16


class Form(NamedTuple):
    """What one encoding does: the action, bytes of an element, and which operands it may have.

    `memory` is how many bytes of memory it takes, 0 if as many as a vector has; `width` that of a mask register.
    """

    action: str
    element: int = 1
    memory: int = 0
    operands: str = EITHER
    is_aligned: bool = False
    takes_mask: bool = False
    has_second: bool = False
    lengths: tuple[int, ...] = ALL
    operation: str = ""
    width: int = 0


class _Row(NamedTuple):
    is_evex: bool
    opcode_map: int
    kind: int
    opcode: int
    wide: Optional[int]
    form: Form


def form_of(code: bytes) -> Optional[tuple[Encoded, Form]]:
    """Return what an instruction does, and its operands; None for all that kdbg does not carry out."""
    encoded = decode_vector(code)
    if encoded is None:
        return None
    prefix = encoded.prefix
    form = _table().get((prefix.is_evex, prefix.opcode_map, prefix.kind, encoded.opcode, prefix.wide))
    return (encoded, form) if form is not None and _is_allowed(encoded, form) else None


def _is_allowed(encoded: Encoded, form: Form) -> bool:
    prefix = encoded.prefix
    if encoded.length not in form.lengths or (prefix.second and not form.has_second):
        return False
    if prefix.is_broadcast or (prefix.mask and not form.takes_mask):
        return False
    if prefix.is_zeroing and (not prefix.mask or form.action in (STORE, COMPARE_MASK)):
        return False
    is_memory = encoded.memory is not None
    if form.operands != EITHER and is_memory != (form.operands == MEMORY):
        return False
    return not (form.width and _has_no_mask(encoded, form))


# Mask registers are eight, and a bit that would name another is an error.
def _has_no_mask(encoded: Encoded, form: Form) -> bool:
    masks = [] if form.action == MASK_TO else [encoded.reg]
    if encoded.memory is None and form.action not in (MASK_FROM, COMPARE_MASK):
        masks.append(encoded.register)
    if form.action == MASK_BINARY:
        masks.append(encoded.prefix.second)
    return any(number > 7 for number in masks)


@lru_cache(maxsize=1)
def _table() -> Mapping[tuple[bool, int, int, int, int], Form]:
    rows = (*_moves(), *_scalars(), *_broadcasts(), *_arithmetic(), *_masked(), *_mask_registers())
    return {
        (row.is_evex, row.opcode_map, row.kind, row.opcode, wide): row.form
        for row in rows
        for wide in ((0, 1) if row.wide is None else (row.wide,))
    }


# The prefix, W (EVEX only), the opcodes of load and store, aligned or not, bytes of an element.
_MOVES = (
    (NONE, 0, 0x10, 0x11, False, _DWORD),
    (P66, 1, 0x10, 0x11, False, _QWORD),
    (NONE, 0, 0x28, 0x29, True, _DWORD),
    (P66, 1, 0x28, 0x29, True, _QWORD),
    (P66, 0, 0x6F, 0x7F, True, _DWORD),
    (P66, 1, 0x6F, 0x7F, True, _QWORD),
    (PF3, 0, 0x6F, 0x7F, False, _DWORD),
    (PF3, 1, 0x6F, 0x7F, False, _QWORD),
    (PF2, 0, 0x6F, 0x7F, False, _BYTE),
    (PF2, 1, 0x6F, 0x7F, False, _WORD),
)


def _moves() -> Iterator[_Row]:
    for kind, wide, load, store, is_aligned, element in _MOVES:
        for opcode, action in ((load, LOAD), (store, STORE)):
            form = Form(action, element, is_aligned=is_aligned, takes_mask=True)
            yield _Row(_EVEX, 1, kind, opcode, wide, form)
            if kind != PF2:
                yield _Row(_VEX, 1, kind, opcode, None, form._replace(lengths=SHORT))
    around = Form(STORE, operands=MEMORY, is_aligned=True)
    for kind, wide, opcode in ((P66, 0, 0xE7), (NONE, 0, 0x2B), (P66, 1, 0x2B)):
        yield from _both(1, kind, opcode, wide, around)
    yield from _both(2, P66, 0x2A, 0, around._replace(action=LOAD))
    yield _Row(_VEX, 1, PF2, 0xF0, None, Form(LOAD, operands=MEMORY, lengths=SHORT))
    yield _Row(_VEX, 1, NONE, 0x77, None, Form(ZERO, lengths=SHORT))


# What VEX takes with any W, EVEX may take with one of them only.
def _both(opcode_map: int, kind: int, opcode: int, wide: Optional[int], form: Form) -> Iterator[_Row]:
    yield _Row(_VEX, opcode_map, kind, opcode, None, form._replace(lengths=tuple({*form.lengths} & {*SHORT})))
    yield _Row(_EVEX, opcode_map, kind, opcode, wide, form)


def _scalars() -> Iterator[_Row]:
    for is_evex in (_VEX, _EVEX):
        for wide, size in ((0, _DWORD), (1, _QWORD)):
            yield _Row(is_evex, 1, P66, 0x6E, wide, Form(GENERAL_LOAD, size, size, lengths=SINGLE))
            yield _Row(is_evex, 1, P66, 0x7E, wide, Form(GENERAL_STORE, size, size, lengths=SINGLE))
    quadword = Form(SCALAR_LOAD, _QWORD, _QWORD, lengths=SINGLE)
    yield from _both(1, PF3, 0x7E, 1, quadword)
    yield from _both(1, P66, 0xD6, 1, quadword._replace(action=SCALAR_STORE))
    for kind, wide, size in ((PF3, 0, _DWORD), (PF2, 1, _QWORD)):
        for opcode, action in ((0x10, SCALAR_LOAD), (0x11, SCALAR_STORE)):
            yield from _both(1, kind, opcode, wide, Form(action, size, size, MEMORY, lengths=SINGLE))


def _broadcasts() -> Iterator[_Row]:
    for opcode, size in ((0x78, _BYTE), (0x79, _WORD), (0x58, _DWORD), (0x59, _QWORD), (0x18, _DWORD), (0x19, _QWORD)):
        wide = int(size == _QWORD)
        lengths = (32, 64) if opcode == 0x19 else ALL
        form = Form(BROADCAST, size, size, takes_mask=True, lengths=lengths)
        yield _Row(_VEX, 2, P66, opcode, 0, form._replace(lengths=tuple({*lengths} & {*SHORT})))
        yield _Row(_EVEX, 2, P66, opcode, wide, form)
    for opcode in (0x1A, 0x5A):
        yield _Row(_VEX, 2, P66, opcode, 0, Form(BROADCAST, _LANE, _LANE, MEMORY, lengths=LONG))
        for wide, size in ((0, _DWORD), (1, _QWORD)):
            form = Form(BROADCAST, size, _LANE, MEMORY, takes_mask=True, lengths=(32, 64))
            yield _Row(_EVEX, 2, P66, opcode, wide, form)
    for opcode, wide, size in ((0x7A, 0, _BYTE), (0x7B, 0, _WORD), (0x7C, 0, _DWORD), (0x7C, 1, _QWORD)):
        form = Form(GENERAL_BROADCAST, size, operands=REGISTER, takes_mask=True)
        yield _Row(_EVEX, 2, P66, opcode, wide, form)
    for first, action in ((0x18, INSERT), (0x19, EXTRACT)):
        for opcode in (first, first + 0x20):
            has_second = action == INSERT
            yield _Row(_VEX, 3, P66, opcode, 0, Form(action, 0, _LANE, has_second=has_second, lengths=LONG))


_LOGIC = ((0x54, "and", 0xDB), (0x55, "andn", 0xDF), (0x56, "or", 0xEB), (0x57, "xor", 0xEF))


def _arithmetic() -> Iterator[_Row]:
    for of_floats, name, opcode in _LOGIC:
        form = Form(BINARY, operation=name, has_second=True)
        yield from _both(1, P66, opcode, None, form)
        yield from _both(1, NONE, of_floats, 0, form)
        yield from _both(1, P66, of_floats, 1, form)
    for opcode_map, opcode, name in ((1, 0xDA, "minub"), (1, 0xDE, "maxub"), (2, 0x00, "shufb"), (3, 0x0F, "alignr")):
        yield from _both(opcode_map, P66, opcode, None, Form(BINARY, operation=name, has_second=True))
    for opcode, wide, size in ((0x74, None, _BYTE), (0x75, None, _WORD), (0x76, 0, _DWORD)):
        yield _Row(_VEX, 1, P66, opcode, None, Form(COMPARE, size, has_second=True, lengths=SHORT))
        form = Form(COMPARE_MASK, size, has_second=True, takes_mask=True, width=64)
        yield _Row(_EVEX, 1, P66, opcode, wide, form)
    yield _Row(_VEX, 1, P66, 0xD7, None, Form(MOVE_MASK, operands=REGISTER, lengths=SHORT))
    yield _Row(_VEX, 2, P66, 0x17, None, Form(TEST, lengths=SHORT))


# Moves of AVX and AVX2 with a vector for a mask.
def _masked() -> Iterator[_Row]:
    for opcode, wide, size in ((0x2C, 0, _DWORD), (0x2D, 0, _QWORD), (0x8C, 0, _DWORD), (0x8C, 1, _QWORD)):
        for gap, action in ((0, MASKED_LOAD), (2, MASKED_STORE)):
            form = Form(action, size, operands=MEMORY, has_second=True, lengths=SHORT)
            yield _Row(_VEX, 2, P66, opcode + gap, wide, form)


# bzhi has no vectors, but masks are made by it, and the emulator gets it wrong.
def _mask_registers() -> Iterator[_Row]:
    for wide, size in ((0, _DWORD), (1, _QWORD)):
        yield _Row(_VEX, 2, NONE, 0xF5, wide, Form(LOW_BITS, size, size, has_second=True, lengths=SINGLE))
    for kind, wide, width in ((NONE, 0, 16), (P66, 0, 8), (NONE, 1, 64), (P66, 1, 32)):
        one = Form(MASK_LOAD, memory=width // 8, width=width, lengths=SINGLE)
        yield _Row(_VEX, 1, kind, 0x90, wide, one)
        yield _Row(_VEX, 1, kind, 0x91, wide, one._replace(action=MASK_STORE, operands=MEMORY))
        only = one._replace(operands=REGISTER)
        for opcode, action in ((0x44, MASK_NOT), (0x98, MASK_OR_TEST), (0x99, MASK_TEST)):
            yield _Row(_VEX, 1, kind, opcode, wide, only._replace(action=action))
        for opcode, name in ((0x41, "and"), (0x42, "andn"), (0x45, "or"), (0x46, "xnor"), (0x47, "xor")):
            form = only._replace(action=MASK_BINARY, operation=name, has_second=True, lengths=LONG)
            yield _Row(_VEX, 1, kind, opcode, wide, form)
    for kind, wide, width in ((NONE, 0, 16), (P66, 0, 8), (PF2, 0, 32), (PF2, 1, 64)):
        form = Form(MASK_FROM, operands=REGISTER, width=width, lengths=SINGLE)
        yield _Row(_VEX, 1, kind, 0x92, wide, form)
        yield _Row(_VEX, 1, kind, 0x93, wide, form._replace(action=MASK_TO))
    for opcode, wide, width in ((0, 0, 8), (0, 1, 16), (1, 0, 32), (1, 1, 64)):
        for first, name in ((0x30, "right"), (0x32, "left")):
            form = Form(MASK_SHIFT, operands=REGISTER, width=width, lengths=SINGLE, operation=name)
            yield _Row(_VEX, 3, P66, first + opcode, wide, form)
