"""Units of the numbers kdbg handles, 64-bit arithmetic on them, and safe text.

The NewTypes cost nothing at run time; the renderers read them from the annotations of result dataclasses
and choose the format by them.
"""

from __future__ import annotations

from typing import NewType

Address = NewType("Address", int)  # runtime address
LinkAddress = NewType("LinkAddress", int)  # address as the linker wrote it, before the load bias
Word = NewType("Word", int)  # 64-bit value of unknown meaning, a guard for instance
Size = NewType("Size", int)  # bytes
Count = NewType("Count", int)  # items

WORD_SIZE = Size(8)
ADDRESS_MASK = (1 << 64) - 1
# The x86-64 kernel half: canonical addresses with the top bit set (Intel SDM vol. 1, 3.3.7.1).
KERNEL_HALF = 0x8000_0000_0000_0000
TEXT_LIMIT = 64
# Demangled names of a thousand characters are usual, and no file has names of more that anybody would read.
NAME_LIMIT, UGLY_NAME_LIMIT = 4096, 256


def address(value: int) -> Address:
    """Wrap a number into the 64-bit address space; negative numbers are taken as two's complement."""
    return Address(value & ADDRESS_MASK)


def is_kernel_half(value: int) -> bool:
    """Tell whether an address lies in the kernel's half of the x86-64 address space."""
    return value >= KERNEL_HALF


def hexadecimal(value: int) -> str:
    """Format a 64-bit number as JSON and messages want it: `0x` and no leading zeros."""
    return f"{value & ADDRESS_MASK:#x}"


def counted(count: int, noun: str, form: str = "") -> str:
    """Return a number of things: `1 line`, `2 lines`, `1,234 crashes` for the noun `crash` in the form `,`."""
    ending = "" if count == 1 else "es" if noun.endswith(("sh", "s", "x")) else "s"
    return f"{count:{form}} {noun}{ending}"


def safe_text(raw: bytes | str, limit: int = TEXT_LIMIT) -> str:
    r"""Make text of the target fit for a terminal: cut at the first NUL and at `limit` characters, and escaped.

    Everything that is not printable becomes `\xNN` or `\uNNNN`, so that no terminal escape, newline or
    direction mark of a hostile guest gets through. A cut text ends in `...`.
    """
    if isinstance(raw, bytes):
        raw = raw[: 4 * limit + 1].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    text = raw.split("\0", 1)[0]
    shown = text[:limit]
    escaped = shown if shown.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in shown)
    return escaped + ("..." if len(text) > limit else "")


def shown(name: str) -> str:
    """Return a name fit for a terminal: as it is if it can be printed, else as `safe_text`; both are cut somewhere."""
    if not name.isprintable():
        return safe_text(name, UGLY_NAME_LIMIT)
    return name if len(name) <= NAME_LIMIT else name[:NAME_LIMIT] + "..."


def decoded(name: bytes) -> str:
    r"""Decode a name; bytes that are no UTF-8 become `\xNN`, and such a name is cut: no compiler made it."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name[:UGLY_NAME_LIMIT].decode("utf-8", "backslashreplace")


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
