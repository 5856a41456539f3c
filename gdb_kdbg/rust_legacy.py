"""Rust's mangled names of the older form (`_ZN...17h<hash>E`) as paths: C++'s nested names, with escapes."""

from __future__ import annotations

import re
from typing import Optional

_LEGACY = re.compile(r"_ZN((?:[0-9]+[A-Za-z_.$].*)?)17h[0-9a-f]{16}E$", re.ASCII)
_ESCAPES = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_ESCAPE = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$|\.\.")


def demangle_legacy(name: str) -> Optional[str]:
    """Return the path of a legacy name without its hash; None if it is no such name."""
    found = _LEGACY.match(name)
    if found is None:
        return None
    rest, parts = found[1], []
    while rest:
        digits = re.match(r"[0-9]{1,5}", rest)
        end = len(digits[0]) + int(digits[0]) if digits else 0
        if digits is None or end > len(rest):
            return None
        part = rest[len(digits[0]) : end]
        parts.append(_ESCAPE.sub(_unescaped, part[1:] if part.startswith("_$") else part))
        rest = rest[end:]
    return "::".join(parts) or None


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code is None:
        return "::"
    return _ESCAPES.get(code) or (chr(int(code[1:], 16)) if int(code[1:], 16) < 0x110000 else found[0])
