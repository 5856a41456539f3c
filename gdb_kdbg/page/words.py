"""Phrases and small elements that several parts of the page use."""

from __future__ import annotations

from typing import Optional

from ..dossier import CopyNote
from ..ranges import Range
from ..units import counted
from .html import Markup, joined, tag, text

# What the rules suggest to type; all else that they suggest is advice in words.
_COMMANDS = frozenset(("kdbg", "disassemble", "list", "backtrace", "info", "x", "print", "break", "frame", "up"))


def code(value: object) -> Markup:
    """Return a text in the typewriter face, kept apart from the direction of the text around it."""
    return tag("code", text(value))


def size(count: int) -> str:
    """Say a number of bytes."""
    return counted(count, "byte", ",")


def place(file: Optional[str], line: Optional[int]) -> str:
    """Say a place in the source, `` without a file."""
    return f"{file}:{line}" if file and line else file or ""


def address(value: int) -> str:
    """Say an address; a log does not tell both of every copy."""
    return f"{value:#x}" if value else "?"


def span(area: Range) -> str:
    """Say a half-open range."""
    if not area.start:
        return "at an unknown address"
    return f"{area.start:#x} – {area.end:#x}"


def what_it_did(copy: CopyNote) -> str:
    """Say what was asked and, where it is known, written."""
    asked = f"asked {copy.size:,}"
    return asked if copy.written is None else f"{asked}, wrote {copy.written.size:,}"


def label(copy: CopyNote) -> str:
    """Describe a copy in one line."""
    parts = [f"#{copy.sequence}", copy.caller, what_it_did(copy)]
    return " · ".join([*parts, *filter(None, (copy.context,))])


def described(copy: CopyNote) -> str:
    """Describe a copy in a sentence, as a screen reader says it."""
    role = f"{copy.role.capitalize()}. " if copy.role else ""
    line = place(copy.file, copy.line)
    who = f"{copy.caller}{f' ({line})' if line else ''}"
    for_whom = ", ".join(filter(None, (copy.context, copy.process)))
    wrote = "" if copy.written is None else f" Written: {size(copy.written.size)}, {span(copy.written)}."
    return (
        f"{role}Copy {copy.sequence} by {who}{f', {for_whom}' if for_whom else ''}. "
        f"Asked: {size(copy.size)}, {span(copy.asked)}.{wrote}"
    )


def detail(copy: Optional[CopyNote], is_live: bool) -> Markup:
    """Make the line below a figure that tells of the copy chosen in it."""
    words = text(described(copy), 1200) if copy else None
    return tag("p", words, class_="detail", role="status" if is_live else None, data_detail=True, hidden=not words)


def section(name: str, heading: str, *content: Optional[Markup], note: str = "") -> Markup:
    """Make a section of the page with its heading."""
    title = tag("h2", heading, id=f"{name}-title")
    lead = tag("p", text(note, 1200), class_="note") if note else None
    return tag("section", title, lead, *content, id=name, aria_labelledby=f"{name}-title")


def folded(summary: str, count: str, *content: Markup, is_open: bool = False) -> Markup:
    """Make a part that unfolds."""
    head = tag("summary", tag("span", summary), tag("span", count, class_="count") if count else None)
    return tag("details", head, joined([tag("div", *content, class_="inside")]), open=is_open)


def suggestion(line: str) -> Markup:
    """Make what to do next: a command has a button that copies it (with JavaScript only), advice is a sentence."""
    typed, comma, rest = line.partition(", then ")
    if typed.split(" ")[0].partition("/")[0] not in _COMMANDS:
        return tag("li", text(line, 1000), class_="advice")
    return _command(typed, f"then {rest}" if comma else "")


def _command(line: str, then: str) -> Markup:
    button = tag("button", "Copy", type="button", class_="copy-button", data_copy=line, hidden=True,
                 aria_label=f"Copy the command {line}")  # fmt: skip
    after = tag("span", text(then, 1000), class_="then") if then else None
    return tag("li", tag("code", text(line, 1000)), after, button)
