"""What the annotations of a result dataclass say about the form of its fields."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
from typing import Any, Sequence, Union, get_args, get_origin, get_type_hints

from ..units import Address, LinkAddress, Word

HEXADECIMAL = (Address, LinkAddress, Word)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a result: its name, its label, and whether its numbers are written in hex."""

    name: str
    label: str
    is_hexadecimal: bool
    metadata: Any


def fields_of(cls: Any) -> Sequence[Field]:
    """Return the fields of a result dataclass in their order."""
    return _fields_of(cls)


@functools.lru_cache(maxsize=None)
def _fields_of(cls: Any) -> Sequence[Field]:
    hints = get_type_hints(cls)
    return tuple(
        Field(
            field.name,
            field.metadata.get("label", field.name.replace("_", " ")),
            _is_hexadecimal(hints[field.name]),
            field.metadata,
        )
        for field in dataclasses.fields(cls)
    )


def _is_hexadecimal(hint: Any) -> bool:
    if get_origin(hint) in (Union, tuple, collections.abc.Mapping):
        return any(_is_hexadecimal(argument) for argument in get_args(hint))
    return hint in HEXADECIMAL
