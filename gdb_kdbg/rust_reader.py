"""The words of Rust's v0 names (RFC 2603): letters, numbers in base 62, identifiers."""

from __future__ import annotations

import re

_DIGITS_62 = {
    c: i for i, c in enumerate("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
}  # fmt: skip
_NUMBER_62 = re.compile(r"([0-9a-zA-Z]{0,11})_")
_IDENTIFIER = re.compile(r"(u?)(0|[1-9][0-9]{0,5})_?")


class Malformed(Exception):
    """A name is no v0 name, or asks for too much."""


class Reader:
    """A position in a name."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def next(self) -> str:
        """Take the next letter; raise IndexError at the end."""
        self.position += 1
        return self.text[self.position - 1]

    def eat(self, letter: str) -> bool:
        """Take the next letter if it is this one."""
        found = self.text.startswith(letter, self.position)
        self.position += found
        return found

    def number(self) -> int:
        """Take a number in base 62: `_` is 0, `0_` is 1."""
        found = _NUMBER_62.match(self.text, self.position)
        if found is None:
            raise Malformed
        self.position = found.end()
        value = 0
        for digit in found[1]:
            value = value * 62 + _DIGITS_62[digit]
        return value + 1 if found[1] else 0

    def disambiguator(self) -> int:
        """Take what tells things of one name apart, 0 if there is nothing."""
        return self.number() + 1 if self.eat("s") else 0

    def identifier(self) -> str:
        """Take an identifier, out of Punycode if it is written so."""
        found = _IDENTIFIER.match(self.text, self.position)
        if found is None:
            raise Malformed
        self.position = found.end() + int(found[2])
        text = self.text[found.end() : self.position]
        if self.position > len(self.text):
            raise Malformed
        return _unpunycoded(text) if found[1] else text


# Python writes the last delimiter as `-`, Rust as `_`.
def _unpunycoded(text: str) -> str:
    basic, delimiter, rest = text.rpartition("_")
    return f"{basic}{'-' if delimiter else ''}{rest}".encode("ascii").decode("punycode")
