"""Elements of HTML and SVG, escaped in one place.

Only `Markup` is ever written as it is; every other text passes `text`, which makes control and direction characters
visible, cuts what is too long, and escapes what means something to HTML.
"""

from __future__ import annotations

import html
import json
from typing import Any, Iterable, Union

from ..units import safe_text

LIMIT = 400
_VOID = frozenset(("meta", "br", "input", "col"))
# What may stand in JSON inside of a script element: nothing that ends it, starts a comment, or ends a line of a script.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


class Markup(str):
    """Text that is HTML already."""


Child = Union[Markup, str, int, None]
Attribute = Union[str, int, float, bool, None]


def text(value: object, limit: int = LIMIT) -> Markup:
    """Escape any text for an element's content or an attribute in double quotes."""
    return value if isinstance(value, Markup) else Markup(html.escape(safe_text(str(value), limit)))


def tag(name: str, *children: Child, **attributes: Attribute) -> Markup:
    """Make an element; `class_` stands for `class`, `aria_label` for `aria-label`, None and False for no attribute."""
    words = [_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False]
    start = " ".join([name, *words])
    if name in _VOID:
        return Markup(f"<{start}>")
    return Markup(f"<{start}>{joined(children)}</{name}>")


def joined(children: Iterable[Child], between: str = "") -> Markup:
    """Put elements and texts behind each other; None is left out."""
    return Markup(between.join(text(child) for child in children if child is not None))


def data(value: Any) -> Markup:
    """Write a value as JSON that is safe inside of a script element."""
    written = json.dumps(value, separators=(",", ":"))
    for character, escape in _UNSAFE.items():
        written = written.replace(character, escape)
    return Markup(written)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return name
    shown = f"{value:g}" if isinstance(value, float) else value
    return f'{name}="{text(shown, 4 * LIMIT)}"'


def number(value: float) -> str:
    """Write a coordinate: at most one decimal."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
