"""The page of a dossier: complete in itself, all of the target's text as text, legible."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from dataclasses import replace
from typing import Any, Optional

import pytest
from dossiers import EXPECTED, GUARD, HOSTILE, HUGE, copy, culprit, dossier, hostile, large

from gdb_kdbg.dossier import Dossier, Origin
from gdb_kdbg.page.copies_plan import COLUMN, marks, plan_of, ticks
from gdb_kdbg.page.document import page
from gdb_kdbg.page.html import Markup, data, tag, text
from gdb_kdbg.page.memory_figure import caption, changed_bytes
from gdb_kdbg.page.words import suggestion

Attributes = list[tuple[str, Optional[str]]]
_VOID = {"meta", "br", "input", "link", "img", "col"}


class Reader(html.parser.HTMLParser):
    """Reads a page: its elements, its texts, and whether each element is closed where it should be."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, Optional[str]]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, name: str, attributes: Attributes) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in _VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open and self.open.pop() == name, f"</{name}> closes another element"

    def handle_data(self, words: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", words))

    def named(self, name: str) -> list[dict[str, Optional[str]]]:
        return [attributes for found, attributes in self.elements if found == name]

    @property
    def words(self) -> str:
        return " ".join(words for name, words in self.texts if name not in ("script", "style"))


def read(of: Dossier) -> Reader:
    reader = Reader(page(of))
    assert reader.open == []
    return reader


def store(of: Dossier) -> Any:
    """What the script is given."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page(of), re.DOTALL)
    assert found
    return json.loads(found.group(1))


def test_the_page_says_who_is_at_fault_first() -> None:
    reader = read(dossier())
    main = page(dossier()).index("<main>")
    assert page(dossier()).index("<h1") - main < 400
    heading = next(words for name, words in reader.texts if name == "h1")
    assert heading == "ucopy_double was asked for 4 bytes and wrote 8, over the guard in editor (pid 3)"
    assert "Routine at fault" in reader.words and "Called by x" in reader.words


@pytest.mark.parametrize(
    "part",
    ["0x7ffff7d8a768", "tty_ioctl", "guard-changed", "the asked range ends at the guard", "a line of the log", "memcpy",
     "__stack_chk_fail", "a page is missing", "partly relocated", "i386:x86-64", "8 more of this file", "3 more lines"],
)  # fmt: skip
def test_everything_of_a_dossier_is_on_its_page(part: str) -> None:
    assert part in read(dossier()).words


def test_a_dossier_of_nothing_makes_a_page_all_the_same() -> None:
    reader = read(Dossier("title", "0x1 in main", Origin("native")))
    assert "No rule of kdbg explains this stop" in reader.words
    assert [a["id"] for a in reader.named("section")] == ["verdict", "details"]
    # The links lead to sections that are there.
    assert {a["href"] for a in reader.named("a")} == {"#verdict", "#details"}


def test_the_page_names_no_address_and_loads_nothing() -> None:
    source = page(large(300))
    assert re.findall(r"(?i)\b(?:https?|ftp|file|data|blob|javascript|ws|wss):(?!:)", source) == []
    reader = Reader(source)
    asking = {"src", "srcset", "action", "poster", "background", "ping", "formaction", "xlink:href", "srcdoc"}
    assert not any(asking & set(attributes) for _, attributes in reader.elements)
    assert all((a["href"] or "").startswith("#") for a in reader.named("a"))
    assert not reader.named("link") and not reader.named("img") and not reader.named("iframe")
    assert "@import" not in source and "url(//" not in source
    assert set(re.findall(r"url\(([^)]*)\)", source)) == {"#hatch"}


def test_the_policy_allows_the_one_script_and_the_one_style() -> None:
    reader = read(dossier())
    policy = next(a["content"] or "" for a in reader.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for name in ("script", "style"):
        content = [words for found, words in reader.texts if found == name][-1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert not any(a.startswith("on") or a == "style" for _, attributes in reader.elements for a in attributes)


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_text_stays_text(words: str) -> None:
    reader = read(hostile(words))
    plain = read(hostile("plain"))
    # The same elements with the same attributes as with a harmless text.
    assert [(n, sorted(a)) for n, a in reader.elements] == [(n, sorted(a)) for n, a in plain.elements]


@pytest.mark.parametrize("words", HOSTILE)
def test_no_control_or_direction_character_gets_through(words: str) -> None:
    source = page(hostile(words))
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]", source) == []


def test_huge_texts_are_cut() -> None:
    source = page(hostile(HUGE))
    assert len(source) < 4 * len(page(hostile("plain")))
    assert max(len(run) for run in re.findall("A+", source)) <= 2000


def test_data_in_a_script_cannot_end_it() -> None:
    written = data(["</script>", "<!--", "]]>", "&", "\u2028"])
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == ["</script>", "<!--", "]]>", "&", "\u2028"]


def test_text_is_escaped_once_and_markup_not_at_all() -> None:
    assert text("<a&\"'>") == "&lt;a&amp;&quot;&#x27;&gt;"
    assert text(Markup("<b>")) == "<b>"
    assert tag("p", "<", tag("b", 1), None, class_="x", hidden=True, title=None) == (
        '<p class="x" hidden>&lt;<b>1</b></p>'
    )


def test_the_picture_marks_the_bytes_that_are_wrong() -> None:
    made = dossier()
    assert made.memory is not None
    assert changed_bytes(made.memory) == [GUARD.start + i for i in range(4)]
    classes = [a.get("class") for a in read(made).named("g")]
    assert classes.count("byte wrong") == 4 and classes.count("byte wanted") == 8 and classes.count("byte own") == 4
    assert "ends exactly where the guard begins; it wrote 4 bytes more, up to 0x7ffff7d8a76c" in caption(made.memory)


def test_an_intact_victim_is_marked_nowhere() -> None:
    made = dossier([copy(0, GUARD.start - 24, 8)])
    assert made.memory is not None
    whole = bytes(b for piece in made.memory.contents for b in piece.data).replace(b"\x17\x10\x55\x5e", EXPECTED[:4])
    memory = replace(made.memory, contents=(replace(made.memory.contents[0], data=whole),))
    assert changed_bytes(memory) == [] and "It holds what it should." in caption(memory)
    classes = [a.get("class") for a in read(replace(made, memory=memory)).named("g")]
    assert "byte wrong" not in classes and "byte wanted" not in classes


def test_memory_that_cannot_be_read_is_drawn_as_unknown() -> None:
    made = dossier()
    assert made.memory is not None
    reader = read(replace(made, memory=replace(made.memory, contents=())))
    assert reader.words.count("??") >= made.memory.window.size
    assert changed_bytes(replace(made.memory, contents=())) == []


def test_copies_of_the_picture_say_what_they_are() -> None:
    lanes = [a for a in read(dossier()).named("g") if "copy" in (a.get("class") or "").split()]
    assert len(lanes) == 5 and all(a["tabindex"] == "0" and a["role"] == "img" for a in lanes)
    assert (lanes[-1]["aria-label"] or "").startswith("Culprit. Copy 4 by tty_ioctl+0x142 (kernel/tty.c:64)")
    assert lanes[-1]["class"] == "copy culprit"


@pytest.mark.parametrize("count", [1, 2, 15, 1000, 10_000])
def test_an_axis_has_few_marks_however_many_copies(count: int) -> None:
    axis = (
        large(count).axis
        if count > 20
        else dossier([*(copy(i, 4096, 8) for i in range(count - 1)), culprit(count)]).axis
    )
    assert axis is not None
    plan = plan_of(axis)
    drawn = sum(path.count("M") for path in marks(plan, axis.copies).values())
    assert 0 < drawn <= min(count, len(plan.lanes) * (1 + plan.x(plan.last) // COLUMN))
    assert plan.lanes[0] == "tty_ioctl"
    assert 1 <= len(ticks(plan)) <= 12


def test_an_axis_of_times_has_round_ticks() -> None:
    copies = [copy(i, 4096, 8)._replace(at=12.5 + i * 0.0004) for i in range(100)]
    made = dossier([*copies, culprit(100)._replace(at=12.51)])
    assert made.axis is not None
    made = replace(made, axis=replace(made.axis, unit="seconds"))
    assert made.axis is not None
    told = ticks(plan_of(made.axis))
    assert 4 <= len(told) <= 12 and all(abs(t * 1000 - round(t * 1000)) < 1e-6 for t in told)
    assert "12.51 12.52 12.53" in read(made).words and "seconds" in read(made).words
    assert [row[1] for row in store(made)["rows"]] == sorted(row[1] for row in store(made)["rows"])


def test_the_script_is_given_every_copy() -> None:
    given = store(large(1500))
    assert len(given["rows"]) == 1500
    row = given["rows"][1250]
    assert row[0] == 1250 and row[13] & 1 and row[12] == 8 and given["texts"][row[8]] == "culprit"
    assert given["texts"][row[4]] == "tty_ioctl+0x142" and int(row[9], 16) == GUARD.start - 4
    assert store(dossier([])) is None


def test_the_table_without_script_is_around_the_culprit() -> None:
    reader = read(large(1500))
    shown = [int(a["data-sequence"] or 0) for a in reader.named("tr") if a.get("data-sequence")]
    assert len(shown) == 100 and shown[0] <= 1250 <= shown[-1] and shown == sorted(shown)


def test_suggestions_are_commands_or_advice() -> None:
    assert suggestion("kdbg watch guard, then run it again").startswith("<li><code>kdbg watch guard</code>")
    assert "then run it again" in suggestion("kdbg watch guard, then run it again")
    assert 'data-copy="x/8gx $rsp - 8"' in suggestion("x/8gx $rsp - 8")
    assert "button" not in suggestion("apply the relocations before the first call")


@pytest.mark.parametrize("count", [10, 10_000])
def test_a_page_is_small_enough_to_be_mailed(count: int) -> None:
    assert len(page(large(count)).encode()) < 60_000 + 130 * count


def colours(scheme: str) -> dict[str, str]:
    style = next(words for name, words in read(dossier()).texts if name == "style")
    part = style.partition("prefers-color-scheme: dark")[2 if scheme == "dark" else 0]
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", part.partition("@media")[0]))


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, 1.4.3."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        *[(ink, ground) for ink in ("ink", "soft", "link") for ground in ("paper", "ground", "byte", "band")],
        ("fault", "fault-tint"), ("unsure", "unsure-tint"), ("calm", "calm-tint"), ("fault-ink", "fault"),
        ("fault", "paper"), ("ink", "fault-tint"), *[(f"p{i}", "paper") for i in range(6)],
    ],
)  # fmt: skip
def test_colours_have_enough_contrast(scheme: str, ink: str, ground: str) -> None:
    known = colours(scheme)
    assert contrast(known[ink], known[ground]) >= 4.5
