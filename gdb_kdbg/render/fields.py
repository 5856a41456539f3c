"""What the annotations of a result say about the form of its fields.

A result or a row of one is a record: a frozen dataclass, or a NamedTuple where thousands are made (a quarter of the
time). What the type alone does not say is the field's metadata: `field(metadata={"label": "pid"})` in a dataclass, and
in a NamedTuple, which has no `field`, the same mapping behind the type: `Annotated[Optional[Count], {"label": "pid"}]`.
`Annotated` must stand outermost. The metadata that text obeys (JSON has every field under its own name):

    label   what to call the field, if not by its name; "" for nothing
    text    False leaves it to JSON
    within  a number further from 0 than this is left blank
    unless  (name of another field, value): left blank in rows where that field has that value
"""

from __future__ import annotations

import collections.abc
import functools
from typing import Annotated, Any, Mapping, NamedTuple, Sequence, Union, get_args, get_origin, get_type_hints

from ..units import Address, LinkAddress, Word

HEXADECIMAL = (Address, LinkAddress, Word)
_DATACLASS = "__dataclass_fields__"


class Field(NamedTuple):
    """One field of a record: its name, its label, whether its numbers are written in hex, whether it has records."""

    name: str
    label: str
    is_hexadecimal: bool
    has_rows: bool
    metadata: Mapping[str, Any]

    @property
    def in_text(self) -> bool:
        return self.metadata.get("text") is not False


def fields_of(cls: Any) -> Sequence[Field]:
    """Return the fields of a dataclass or NamedTuple in their order."""
    return _fields_of(cls)


def is_record(value: Any) -> bool:
    """Tell whether a value has fields of its own."""
    return _is_record_class(type(value))


@functools.lru_cache(maxsize=None)
def _fields_of(cls: Any) -> Sequence[Field]:
    hints = get_type_hints(cls, include_extras=True)
    declared: Mapping[str, Any] = dict.fromkeys(getattr(cls, "_fields", ()), {})
    if hasattr(cls, _DATACLASS):
        import dataclasses  # it takes longer to import than most results to render

        declared = {field.name: field.metadata for field in dataclasses.fields(cls)}
    return tuple(_field(name, hints[name], own) for name, own in declared.items())


def _field(name: str, hint: Any, own: Mapping[str, Any]) -> Field:
    metadata = {**_metadata(hint), **own}
    hint = hint.__origin__ if get_origin(hint) is Annotated else hint
    label = metadata.get("label", name.replace("_", " "))
    has_rows = get_origin(hint) is tuple and any(map(_is_record_class, get_args(hint)))
    return Field(name, label, _is_hexadecimal(hint), has_rows, metadata)


def _metadata(hint: Any) -> Mapping[str, Any]:
    marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return {key: value for mark in marks if isinstance(mark, collections.abc.Mapping) for key, value in mark.items()}


def _is_record_class(cls: Any) -> bool:
    return hasattr(cls, "_fields") or hasattr(cls, _DATACLASS)


def _is_hexadecimal(hint: Any) -> bool:
    if get_origin(hint) in (Union, tuple, collections.abc.Mapping):
        return any(_is_hexadecimal(argument) for argument in get_args(hint))
    return hint in HEXADECIMAL
