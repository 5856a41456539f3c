"""One event out of a damaged text: exactly if it can be, else member by member.

Names that a kernel did not escape may hold quotes, so a text ends at a quote only where a member or the object's end
follows. A member that cannot be read is left out, and the next one is looked for.
"""

from __future__ import annotations

import re
from json.decoder import JSONDecoder
from typing import Any, List, NamedTuple, Optional, Set

from .console_time import COLOUR
from .event_json import Object, checked, first_type_counts, hex_quoted

_KEY = r'"[A-Za-z_][\w.]{0,63}"\s*:'
_MEMBER = re.compile(rf"\s*({_KEY})\s*", re.ASCII)
_NEXT = re.compile(rf",(?=\s*{_KEY})", re.ASCII)
_COMMA, _CLOSING = re.compile(r"\s*,", re.ASCII), re.compile(r"\s*\}", re.ASCII)
# Kernels put no blank behind a comma, so a quote there begins a member even if that is damaged.
_TEXT_END = re.compile(
    r'(?<!\\)"(?=,"|\s*(?:,\s*"?[A-Za-z_][\w.]{0,63}"\s*:|[}\]]+\s*(?:,\s*[{"]|$|[^\w"\s])))', re.ASCII
)
_SCALAR = re.compile(
    r"(?:-?(?:0|[1-9]\d{0,39})(?:\.\d{1,40})?|0[xX][0-9a-fA-F]{1,40}|true|false|null)(?=\s*[,}\]])", re.ASCII
)
_ENDS = {"[": re.compile(r"\](?=\s*[,}])"), "{": re.compile(r'\}(?=\s*,\s*"|\s*\})')}
_FLAT = re.compile(r"\{[^{}]*\}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")
_SURROGATE = re.compile("[\udc80-\udcff]")
# Losing more than this is no event; it bounds the work on a hostile line.
_LOSSES = 64
_DEPTH = 2
_ERRORS = (ValueError, RecursionError)
_STRICT = JSONDecoder(object_pairs_hook=first_type_counts)
_LOOSE = JSONDecoder(object_pairs_hook=first_type_counts, strict=False)


class Found(NamedTuple):
    """An object, the text behind it, and what had to be done for it; `lost` are the members that are missing.

    One that is not `closed` has lost its end.
    """

    fields: Object
    rest: str
    repair: str = ""
    lost: tuple[str, ...] = ()
    closed: bool = True


def exact(text: str) -> Optional[Found]:
    """Read the object a text starts with if it is whole, but for bare hex, wrong bytes and control characters."""
    readable = _SURROGATE.sub(_as_escape, text)
    quoted = hex_quoted(readable)
    found = _decoded(quoted, _STRICT, "bytes that are no UTF-8" if readable != text else "")
    if found is not None or quoted.isprintable():
        return found
    found = _decoded(quoted, _LOOSE, "control characters")
    if found is not None and all(map(str.isprintable, found.fields)):
        return found
    return _decoded(hex_quoted(_without_controls(readable)), _STRICT, "control characters")


def lenient(text: str) -> Found:
    """Read what can be read of the object a text starts with."""
    source = hex_quoted(_without_controls(_SURROGATE.sub(_as_escape, text)))
    return _Members(source).read(1, 0)


def _decoded(source: str, decoder: JSONDecoder, repair: str) -> Optional[Found]:
    try:
        value, end = decoder.raw_decode(source)
    except _ERRORS:
        return None
    fields = checked(value)
    return None if fields is None else Found(fields, source[end:], repair)


def _as_escape(found: re.Match[str]) -> str:
    return f"\\\\x{ord(found[0]) - 0xDC00:02x}"


def _without_controls(text: str) -> str:
    return _CONTROL.sub("", COLOUR.sub("", text))


class _Members:
    """The members of an object one by one."""

    def __init__(self, source: str, lost: Optional[List[str]] = None) -> None:
        self._source = source
        self._lost: List[str] = [] if lost is None else lost
        self._repairs: Set[str] = set()
        self._end = 0

    def read(self, place: int, depth: int) -> Found:
        """Read the members from a place behind `{` on."""
        source = self._source
        fields: Object = {}
        closed = False
        while not closed:
            closing, member = _CLOSING.match(source, place), _MEMBER.match(source, place)
            if closing is not None:
                closed, place = True, closing.end()
            elif member is not None and self._member(member, fields, depth):
                comma = _COMMA.match(source, self._end)
                place = comma.end() if comma else self._end
            else:
                following = _NEXT.search(source, member.end() if member else place)
                self._lost.append(_name(member) if member else "")
                if following is None or len(self._lost) > _LOSSES:
                    break
                place = following.end()
        # A last member that cannot be read still has the end of the object behind it.
        rest = source[place:] if closed else ""
        closed = closed or source.rstrip().endswith("}")
        return Found(fields, rest, " and ".join(sorted(self._repairs)), tuple(self._lost), closed)

    # Whether it could be read; then `_end` is behind it.
    def _member(self, member: re.Match[str], fields: Object, depth: int) -> bool:
        place, name = member.end(), _name(member)
        start = self._source[place : place + 1]
        if start == '"':
            value: Any = self._text(place, name)
        elif start and start in "[{":
            value = self._container(place, name, depth)
        else:
            return self._scalar(place, name, fields)
        if value is not None:
            fields.setdefault(name, value)
        return value is not None

    def _scalar(self, place: int, name: str, fields: Object) -> bool:
        scalar = _SCALAR.match(self._source, place)
        if scalar is None:
            return False
        # A quote too few leaves hex behind it bare.
        fields.setdefault(name, scalar[0] if scalar[0][1:2] in ("x", "X") else _STRICT.decode(scalar[0]))
        self._end = scalar.end()
        return True

    def _text(self, place: int, name: str) -> Optional[str]:
        end = _TEXT_END.search(self._source, place + 1)
        if end is None:
            return None
        inside, self._end = self._source[place + 1 : end.start()], end.end()
        try:
            text: str = _LOOSE.decode(f'"{inside}"')
            return text
        except _ERRORS:
            self._repairs.add(f"quotes in {name}")
            return inside

    def _container(self, place: int, name: str, depth: int) -> Any:
        try:
            value, self._end = _STRICT.raw_decode(self._source, place)
            return value
        except _ERRORS:
            pass
        end = _ENDS[self._source[place]].search(self._source, place)
        if depth >= _DEPTH or len(self._lost) > _LOSSES:
            return None
        self._lost.append(f"{name} in part")
        inside = self._source[place : end.end() if end else len(self._source)]
        self._end = place + len(inside)
        if inside[0] == "{":
            return _Members(inside, self._lost).read(1, depth + 1).fields
        return [value for value in map(_flat_object, _FLAT.findall(inside)) if value is not None]


def _flat_object(text: str) -> Any:
    try:
        return _STRICT.decode(text)
    except _ERRORS:
        return None


def _name(member: re.Match[str]) -> str:
    return member[1].split('"')[1]
