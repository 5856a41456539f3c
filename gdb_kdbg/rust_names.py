"""Rust's mangled names, legacy (`_ZN...17h<hash>E`) and v0 (`_R...`, RFC 2603), as paths.

Written without hashes of crates and without types of constants, as rustc's own alternate form is. A hostile name
can ask for gigabytes by pointing back at itself, so work, depth and output are bounded.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Callable, Iterator, Optional

_DEPTH_LIMIT = 120
_STEP_LIMIT = 10_000
_OUTPUT_LIMIT = 1 << 16

_LEGACY = re.compile(r"_ZN((?:[0-9]+[A-Za-z_.$].*)?)17h[0-9a-f]{16}E$", re.ASCII)
_ESCAPES = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_ESCAPE = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$|\.\.")

_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_POINTERS = {"P": "*const ", "O": "*mut ", "R": "&", "Q": "&mut "}
_DIGITS_62 = {
    c: i for i, c in enumerate("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
}  # fmt: skip
_NUMBER_62 = re.compile(r"([0-9a-zA-Z]{0,11})_")
_IDENTIFIER = re.compile(r"(u?)(0|[1-9][0-9]{0,5})_?")
_CONSTANT = re.compile(r"(n?)([0-9a-f]*)_")
_CHARACTERS = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"', "\0": "\\0"}


class _Malformed(Exception):
    pass


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


def demangle_v0(name: str) -> Optional[str]:
    """Return the path of a v0 name; None if it is no such name, or asks for too much."""
    if not name.startswith("_R") or not name.isascii():
        return None
    try:
        return _Printer(name[2:]).whole()
    except (_Malformed, IndexError, ValueError, RecursionError):
        return None


class _Printer:
    """Parses and prints in one go; `silent` parses only, for what is left out."""

    def __init__(self, text: str) -> None:
        self._text, self._position = text, 0
        self._out: list[str] = []
        self._left = _OUTPUT_LIMIT
        self._steps, self._depth, self._binders = 0, 0, 0
        self._silent = False
        # What follows a letter that is not handled where it is read.
        self._paths: dict[str, Callable[[], None]] = {
            "C": self._crate, "M": self._inherent, "X": self._trait_implementation, "Y": self._trait,
        }  # fmt: skip
        self._types: dict[str, Callable[[], None]] = {
            "A": self._array, "S": self._slice, "T": self._tuple, "F": self._function, "D": self._dynamic,
            "B": lambda: self._back(self.type),
        }  # fmt: skip

    def whole(self) -> str:
        """Print the symbol; an instantiating crate may stand behind it."""
        self.path(in_value=True)
        text = "".join(self._out)
        if self._position < len(self._text):
            with self._quiet():
                self.path()
        if self._position != len(self._text):
            raise _Malformed
        return text

    def path(self, in_value: bool = False) -> None:
        """Print a path; generic arguments have `::` before them in the path of a value."""
        tag = self._go_in()
        if tag == "N":
            self._nested(in_value)
        elif tag == "B":
            self._back(lambda: self.path(in_value))
        elif tag == "I":
            self.path(in_value)
            self._print("::<" if in_value else "<")
            self._list(self._argument)
            self._print(">")
        elif tag in self._paths:
            self._paths[tag]()
        else:
            raise _Malformed
        self._depth -= 1

    def _crate(self) -> None:
        self._disambiguator()
        self._print(self._identifier())

    def _nested(self, in_value: bool = False) -> None:
        space = self._next()
        self.path(in_value)
        number, name = self._disambiguator(), self._identifier()
        if space.isupper():
            kind = {"C": "closure", "S": "shim"}.get(space, space)
            self._print(f"::{{{kind}{':' if name else ''}{name}#{number}}}")
        elif not space.islower():
            raise _Malformed
        elif name:
            self._print(f"::{name}")

    def _inherent(self) -> None:
        self._implementation_path()
        self._print("<")
        self.type()
        self._print(">")

    def _trait_implementation(self) -> None:
        self._implementation_path()
        self._trait()

    def _trait(self) -> None:
        self._print("<")
        self.type()
        self._print(" as ")
        self.path()
        self._print(">")

    # Where the `impl` stands, which is no part of the name.
    def _implementation_path(self) -> None:
        self._disambiguator()
        with self._quiet():
            self.path()

    def _argument(self) -> None:
        if self._eat("L"):
            self._lifetime(self._number())
        elif self._eat("K"):
            self.constant()
        else:
            self.type()

    def type(self) -> None:
        """Print a type."""
        tag = self._go_in()
        if tag in _BASIC:
            self._print(_BASIC[tag])
        elif tag in _POINTERS:
            self._pointer(tag)
        elif tag in self._types:
            self._types[tag]()
        else:
            self._position -= 1
            self.path()
        self._depth -= 1

    def _pointer(self, tag: str) -> None:
        lifetime = self._number() if tag in "RQ" and self._eat("L") else 0
        self._print("&" if lifetime else _POINTERS[tag])
        if lifetime:
            self._lifetime(lifetime)
            self._print(" mut " if tag == "Q" else " ")
        self.type()

    def _array(self) -> None:
        self._print("[")
        self.type()
        self._print("; ")
        self.constant()
        self._print("]")

    def _slice(self) -> None:
        self._print("[")
        self.type()
        self._print("]")

    def _tuple(self) -> None:
        self._print("(")
        self._print(",)" if self._list(self.type) == 1 else ")")

    def _function(self) -> None:
        with self._binder():
            self._print("unsafe " if self._eat("U") else "")
            if self._eat("K"):
                abi = "C" if self._eat("C") else self._identifier().replace("_", "-")
                self._print(f'extern "{abi}" ')
            self._print("fn(")
            self._list(self.type)
            self._print(")")
            if not self._eat("u"):
                self._print(" -> ")
                self.type()

    def _dynamic(self) -> None:
        self._print("dyn ")
        with self._binder():
            self._list(self._dynamic_trait, " + ")
        if not self._eat("L"):
            raise _Malformed
        lifetime = self._number()
        if lifetime:
            self._print(" + ")
            self._lifetime(lifetime)

    # Associated types are written behind the trait's own arguments: `Iterator<Item = u8>`.
    def _dynamic_trait(self) -> None:
        is_open = self._open_path()
        while self._eat("p"):
            self._print(", " if is_open else "<")
            is_open = True
            self._print(f"{self._identifier()} = ")
            self.type()
        self._print(">" if is_open else "")

    # Prints a path without the bracket that closes its arguments; returns whether there is one to close.
    def _open_path(self) -> bool:
        tag = self._go_in()
        found = [tag == "I"]
        if tag == "B":
            self._back(lambda: found.append(self._open_path()))
        elif tag == "I":
            self.path()
            self._print("<")
            self._list(self._argument)
        else:
            self._position -= 1
            self.path()
        self._depth -= 1
        return any(found)

    def constant(self) -> None:
        """Print a constant of an integer type, `bool` or `char`; others make the name malformed."""
        tag = self._go_in()
        if tag == "B":
            self._back(self.constant)
        else:
            self._print("_" if tag == "p" else self._value(tag))
        self._depth -= 1

    def _value(self, tag: str) -> str:
        found = _CONSTANT.match(self._text, self._position)
        if found is None or tag not in "abchijlmnostxy":
            raise _Malformed
        self._position = found.end()
        value = int(found[2] or "0", 16)
        if tag == "b":
            return ("false", "true")[value]
        if tag == "c":
            text = chr(value)
            return f"'{_CHARACTERS.get(text) or (text if text.isprintable() else f'{chr(92)}u{{{value:x}}}')}'"
        return f"{'-' if found[1] else ''}{value if value < 1 << 64 else hex(value)}"

    # Binders number lifetimes from the inside; they are named from the outside.
    def _lifetime(self, index: int) -> None:
        depth = self._binders - index
        if index and depth < 0:
            raise _Malformed
        self._print("'_" if not index else f"'{chr(97 + depth)}" if depth < 26 else f"'_{depth}")

    @contextmanager
    def _binder(self) -> Iterator[None]:
        before = self._binders
        count = self._number() + 1 if self._eat("G") else 0
        if count > _DEPTH_LIMIT:
            raise _Malformed
        if count:
            self._print("for<")
            for number in range(count):
                self._binders += 1
                self._print(", " if number else "")
                self._lifetime(1)
            self._print("> ")
        yield
        self._binders = before

    def _list(self, item: Callable[[], None], separator: str = ", ") -> int:
        count = 0
        while not self._eat("E"):
            self._print(separator if count else "")
            item()
            count += 1
        return count

    # A reference back, which lies before itself, so chains of them end; what is left out is not followed.
    def _back(self, read: Callable[[], object]) -> None:
        start = self._position - 1
        target = self._number()
        if target >= start:
            raise _Malformed
        if not self._silent:
            self._position, behind = target, self._position
            read()
            self._position = behind

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._silent = self._silent, True
        yield
        self._silent = before

    # Whoever goes in also takes one from `_depth` on the way out; after an error nobody looks at it any more.
    def _go_in(self) -> str:
        self._depth += 1
        self._steps += 1
        if self._depth > _DEPTH_LIMIT or self._steps > _STEP_LIMIT:
            raise _Malformed
        return self._next()

    def _print(self, text: str) -> None:
        if not self._silent:
            self._left -= len(text)
            if self._left < 0:
                raise _Malformed
            self._out.append(text)

    def _next(self) -> str:
        self._position += 1
        return self._text[self._position - 1]

    def _eat(self, letter: str) -> bool:
        found = self._text.startswith(letter, self._position)
        self._position += found
        return found

    # Base 62: `_` is 0, `0_` is 1.
    def _number(self) -> int:
        found = _NUMBER_62.match(self._text, self._position)
        if found is None:
            raise _Malformed
        self._position = found.end()
        value = 0
        for digit in found[1]:
            value = value * 62 + _DIGITS_62[digit]
        return value + 1 if found[1] else 0

    def _disambiguator(self) -> int:
        return self._number() + 1 if self._eat("s") else 0

    def _identifier(self) -> str:
        found = _IDENTIFIER.match(self._text, self._position)
        if found is None:
            raise _Malformed
        self._position = found.end() + int(found[2])
        text = self._text[found.end() : self._position]
        if self._position > len(self._text):
            raise _Malformed
        return _unpunycoded(text) if found[1] else text


# Python writes the last delimiter as `-`, Rust as `_`.
def _unpunycoded(text: str) -> str:
    basic, delimiter, rest = text.rpartition("_")
    return f"{basic}{'-' if delimiter else ''}{rest}".encode("ascii").decode("punycode")
