"""JSON objects with bare hex numbers, by the hundred: the undamaged events of a log.

An object without objects in it has one `{`. Many of those are parsed as one array; if it has as many elements as there
were texts, and all are objects, each is that of its own text, whatever the texts were. Any doubt sends each text on
its own way, and what fails there is damaged.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from json.decoder import JSONDecoder
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

Object = Dict[str, Any]
Loads = Callable[[str], Any]

# Quoting every second piece of a split is twice as quick as a substitution. Where this meets text in a string, the
# quotes that are put in end the string, and no parser takes what follows.
_BARE_HEX = re.compile(r"(0[xX](?<=[:\[,]0[xX])[0-9a-fA-F]+)")
_STRING_OR_HEX = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|(?<=[:\[,\s])0[xX][0-9a-fA-F]+(?=[\s,}\]]|$)', re.DOTALL | re.ASCII
)
_AT_ONCE = 256
_TYPE = '"type":'
_ERRORS = (ValueError, KeyError, TypeError, RecursionError)


@lru_cache(maxsize=None)
def fast_loads() -> Loads:
    """Return orjson's parser if it is installed, except inside GDB, else the standard library's."""
    if "gdb" not in sys.modules:
        try:
            from orjson import loads

            return loads  # type: ignore[no-any-return]
        except ImportError:
            pass
    decode = JSONDecoder().raw_decode
    return lambda text: _whole(text, *decode(text))


def _whole(text: str, value: Any, end: int) -> Any:
    if text[end:].strip():
        raise ValueError("more behind the value")
    return value


class Parsed(NamedTuple):
    """Objects and their types; None twice for a line that is not quite what it should be, if not `complete`."""

    objects: List[Optional[Object]]
    kinds: List[Optional[str]]
    complete: bool


def parse_all(texts: Sequence[bytes], loads: Loads) -> Parsed:
    """Parse lines that start with `DBG {`."""
    objects: List[Optional[Object]] = []
    kinds: List[Optional[str]] = []
    complete = True
    for start in range(0, len(texts), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        parsed = _parsed_at_once(some, loads) or _parsed_in_turn(some, loads)
        objects += parsed.objects
        kinds += parsed.kinds
        complete = complete and parsed.complete
    return Parsed(objects, kinds, complete)


# With one brace a line, there is none but the one behind each mark.
def _parsed_at_once(texts: Sequence[bytes], loads: Loads) -> Optional[Parsed]:
    try:
        joined = b",\n".join(texts).decode()
        if joined.count("{") != len(texts) or joined.count(_TYPE) != len(texts):
            return None
        quoted = '"'.join(_BARE_HEX.split(joined.replace("DBG {", "{")))
        objects: List[Optional[Object]] = loads(f"[{quoted}]")
        kinds = [found["type"] for found in objects]  # type: ignore[index]
    except _ERRORS:
        return None
    return Parsed(objects, kinds, True) if len(objects) == len(texts) and set(map(type, kinds)) == {str} else None


def _parsed_in_turn(texts: Sequence[bytes], loads: Loads) -> Parsed:
    flat = [index for index, text in enumerate(texts) if text.count(b"{") == 1]
    objects: List[Optional[Object]] = [None] * len(texts)
    together = _parsed_at_once([texts[index] for index in flat], loads) if len(flat) < len(texts) else None
    for index, found in zip(flat, together.objects if together else ()):
        objects[index] = found
    objects = [_parsed(texts[index], loads) if found is None else found for index, found in enumerate(objects)]
    kinds = [None if found is None else found["type"] for found in objects]
    return Parsed(objects, kinds, all(kind is not None for kind in kinds))


def _parsed(text: bytes, loads: Loads) -> Optional[Object]:
    try:
        quoted = '"'.join(_BARE_HEX.split(text[4:].decode()))
        if quoted.count(_TYPE) > 1:
            return checked(json.loads(quoted, object_pairs_hook=first_type_counts))
        return checked(loads(quoted))
    except _ERRORS:
        return None


def checked(value: Any) -> Optional[Object]:
    """Return the value if it is an object with a type, else None."""
    return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None


def first_type_counts(pairs: Sequence[tuple[str, Any]]) -> Object:
    """Make an object of its members; its first `type` is the kernel's, another may come from a name with quotes."""
    fields = dict(pairs)
    if len(fields) < len(pairs) and "type" in fields:
        fields["type"] = next(value for name, value in pairs if name == "type")
    return fields


def hex_quoted(text: str) -> str:
    """Quote bare hex numbers outside of strings, one string after the other; for text that may be damaged."""
    return _STRING_OR_HEX.sub(lambda found: found[0] if found[0][0] == '"' else f'"{found[0]}"', text)
