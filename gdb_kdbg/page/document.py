"""The whole page: head, sections, style, data and script in one file that asks for nothing else.

The policy in its head allows exactly the one style and the one script that are in it, by their hashes, and no request
of any kind. Source: W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import base64
import hashlib
import pkgutil
from functools import lru_cache
from typing import Optional

from ..dossier import Dossier
from .copies_figure import copies_data, copies_section
from .html import Markup, data, joined, tag, text
from .memory_figure import memory_section
from .tables import details_section, slots_section
from .verdict import verdict

_SECTIONS = (("verdict", "Verdict"), ("memory", "Memory"), ("copies", "Copies"), ("slots", "Slots"),
             ("details", "Evidence and state"))  # fmt: skip


def page(dossier: Dossier) -> str:
    """Return the page of a dossier; encode it as UTF-8."""
    sections = {
        "verdict": verdict(dossier),
        "memory": memory_section(dossier.memory),
        "copies": copies_section(dossier.axis, dossier.memory),
        "slots": slots_section(dossier),
        "details": details_section(dossier),
    }
    links = (tag("li", tag("a", words, href=f"#{name}")) for name, words in _SECTIONS if sections[name])
    body = joined([
        tag("a", "Skip to the verdict", href="#verdict", class_="skip"),
        _header(dossier, tag("nav", tag("ul", *links), aria_label="Sections")),
        tag("main", *sections.values()),
        _footer(),
        *_scripts(dossier),
    ])  # fmt: skip
    language = '<html lang="en">'
    return f"<!DOCTYPE html>\n{language}\n{_head(dossier)}\n{tag('body', body)}\n</html>\n"


def _head(dossier: Dossier) -> Markup:
    style = _part("page.css")
    policy = (
        f"default-src 'none'; script-src '{_hash(_part('page.js'))}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup('<meta name="referrer" content="no-referrer">'),
        tag("title", text(f"{dossier.title} – kdbg")),
        Markup(f"<style>{style}</style>"),
    )


def _header(dossier: Dossier, links: Markup) -> Markup:
    where = " · ".join(filter(None, (dossier.origin.kind, dossier.process, dossier.stop)))
    name = tag("p", tag("strong", "kdbg report"), tag("span", text(dossier.title, 200)), class_="name")
    return tag("header", tag("div", name, tag("p", text(where, 300), class_="where")), links)


def _footer() -> Markup:
    words = (
        "Made by kdbg. This page is complete in itself and asks the network for nothing. "
        "It contains memory of the target: look at it before you pass it on."
    )
    return tag("footer", tag("p", words))


def _scripts(dossier: Dossier) -> list[Markup]:
    values = copies_data(dossier.axis, dossier.memory) if dossier.axis and dossier.axis.copies else None
    return [
        Markup(f'<script type="application/json" id="data">{data(values)}</script>'),
        Markup(f"<script>{_part('page.js')}</script>"),
    ]


@lru_cache(maxsize=4)
def _part(name: str) -> str:
    found: Optional[bytes] = pkgutil.get_data(__package__ or "", name)
    return (found or b"").decode()


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
