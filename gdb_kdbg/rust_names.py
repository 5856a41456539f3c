"""Rust's mangled names of the present form, v0 (`_R...`, RFC 2603), as paths.

Written without hashes of crates and without types of constants, as rustc's own alternate form is. A hostile name
can ask for gigabytes by pointing back at itself, so work, depth and output are bounded.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Callable, Iterator, Optional

from .rust_reader import Malformed, Reader

_DEPTH_LIMIT = 120
_STEP_LIMIT = 10_000
_OUTPUT_LIMIT = 1 << 15

_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_POINTERS = {"P": "*const ", "O": "*mut ", "R": "&", "Q": "&mut "}
_CONSTANT = re.compile(r"(n?)([0-9a-f]*)_")
_CHARACTERS = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"', "\0": "\\0"}


def demangle_v0(name: str) -> Optional[str]:
    """Return the path of a v0 name; None if it is no such name, or asks for too much."""
    if not name.startswith("_R") or not name.isascii():
        return None
    try:
        return _Printer(name[2:]).whole()
    except (Malformed, IndexError, ValueError, RecursionError):
        return None


class _Printer(Reader):
    """Parses and prints in one go; `silent` parses only, for what is left out."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
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
        if self.position < len(self.text):
            with self._quiet():
                self.path()
        if self.position != len(self.text):
            raise Malformed
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
            raise Malformed
        self._depth -= 1

    def _crate(self) -> None:
        self.disambiguator()
        self._print(self.identifier())

    def _nested(self, in_value: bool = False) -> None:
        space = self.next()
        self.path(in_value)
        number, name = self.disambiguator(), self.identifier()
        if space.isupper():
            kind = {"C": "closure", "S": "shim"}.get(space, space)
            self._print(f"::{{{kind}{':' if name else ''}{name}#{number}}}")
        elif not space.islower():
            raise Malformed
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
        self.disambiguator()
        with self._quiet():
            self.path()

    def _argument(self) -> None:
        if self.eat("L"):
            self._lifetime(self.number())
        elif self.eat("K"):
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
            self.position -= 1
            self.path()
        self._depth -= 1

    def _pointer(self, tag: str) -> None:
        lifetime = self.number() if tag in "RQ" and self.eat("L") else 0
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
            self._print("unsafe " if self.eat("U") else "")
            if self.eat("K"):
                abi = "C" if self.eat("C") else self.identifier().replace("_", "-")
                self._print(f'extern "{abi}" ')
            self._print("fn(")
            self._list(self.type)
            self._print(")")
            if not self.eat("u"):
                self._print(" -> ")
                self.type()

    def _dynamic(self) -> None:
        self._print("dyn ")
        with self._binder():
            self._list(self._dynamic_trait, " + ")
        if not self.eat("L"):
            raise Malformed
        lifetime = self.number()
        if lifetime:
            self._print(" + ")
            self._lifetime(lifetime)

    # Associated types are written behind the trait's own arguments: `Iterator<Item = u8>`.
    def _dynamic_trait(self) -> None:
        is_open = self._open_path()
        while self.eat("p"):
            self._print(", " if is_open else "<")
            is_open = True
            self._print(f"{self.identifier()} = ")
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
            self.position -= 1
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
        found = _CONSTANT.match(self.text, self.position)
        if found is None or tag not in "abchijlmnostxy":
            raise Malformed
        self.position = found.end()
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
            raise Malformed
        self._print("'_" if not index else f"'{chr(97 + depth)}" if depth < 26 else f"'_{depth}")

    @contextmanager
    def _binder(self) -> Iterator[None]:
        before = self._binders
        count = self.number() + 1 if self.eat("G") else 0
        if count > _DEPTH_LIMIT:
            raise Malformed
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
        while not self.eat("E"):
            self._print(separator if count else "")
            item()
            count += 1
        return count

    # A reference back, which lies before itself, so chains of them end; what is left out is not followed.
    def _back(self, read: Callable[[], object]) -> None:
        start = self.position - 1
        target = self.number()
        if target >= start:
            raise Malformed
        if not self._silent:
            self.position, behind = target, self.position
            read()
            self.position = behind

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
            raise Malformed
        return self.next()

    def _print(self, text: str) -> None:
        if not self._silent:
            self._left -= len(text)
            if self._left < 0:
                raise Malformed
            self._out.append(text)
