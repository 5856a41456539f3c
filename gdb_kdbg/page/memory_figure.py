"""The picture of memory: the victim's bytes as they should be and as they are, and below them the copies near it."""

from __future__ import annotations

import re
from typing import Iterable, Optional

from ..dossier import CopyNote, MemoryPicture
from ..ranges import Range
from ..units import Size
from .html import Markup, joined, number, tag, text
from .words import described, detail, label, section, size

_WIDTH, _GUTTER, _RIGHT = 1040, 76, 12
# Narrower no byte is legible, wider none looks right.
_CELLS = (17, 24)
_NAMES, _ROWS, _ROW, _LANE = 24, 52, 26, 46
_BAR, _LETTER = 18, 6.7
_WORD = 8
# Fewer letters in a row than this come about by chance.
_TEXT = re.compile(rb"[ -~]{5,}")


class Plan:
    """Where things stand in the picture, in pixels."""

    def __init__(self, picture: MemoryPicture) -> None:
        self.window = picture.window
        least, most = _CELLS
        self.cell = min(most, max(least, (_WIDTH - _GUTTER - _RIGHT) // picture.window.size))
        self.width = _GUTTER + self.cell * picture.window.size + _RIGHT
        # The row of what should be there is only drawn where that is not what is there.
        self.found = _ROWS + (_ROW if changed_bytes(picture) else 0)
        self.text = spelled(picture)
        self.lanes = self.found + 2 * _ROW - 10 + (_ROW - 8 if self.text else 0)
        self.height = self.lanes + _LANE * len(picture.copies)

    def x(self, address: int) -> int:
        """The left edge of a byte, or the edge of the window where it lies beyond."""
        return _GUTTER + self.cell * (min(max(address, self.window.start), self.window.end) - self.window.start)

    def box(self, area: Range, y: int, height: int, class_: str, inset: float = 0) -> Optional[Markup]:
        """A rectangle over a range of bytes, None if it is out of sight."""
        left, right = self.x(area.start), self.x(area.end)
        if left >= right:
            return None
        return tag("rect", x=left + inset, y=y + inset, width=right - left - 2 * inset, height=height - 2 * inset,
                   class_=class_)  # fmt: skip


def memory_section(picture: Optional[MemoryPicture]) -> Optional[Markup]:
    """Make the section with the picture and its legend."""
    if picture is None:
        return None
    scroll = tag("div", _drawing(picture), class_="scroll", tabindex=0, role="region",
                 aria_label="Picture of memory, scrolls sideways", data_scroll=True)  # fmt: skip
    more = f"{picture.left_out:,} more copies lie near; all are in the table below." if picture.left_out else None
    figure = tag(
        "figure", scroll, _legend(picture), tag("figcaption", text(caption(picture), 1500)),
        tag("p", more, class_="note") if more else None, detail(None, False) if picture.copies else None,
    )  # fmt: skip
    return section("memory", f"Memory around the {picture.victim.name}", figure)


def caption(picture: MemoryPicture) -> str:
    """Say in words what the picture shows."""
    victim = picture.victim
    parts = [f"The {victim.name} is {size(victim.range.size)} at {victim.range.start:#x}."]
    changed = changed_bytes(picture)
    if changed:
        parts.append(f"{len(changed)} of its bytes {'is' if len(changed) == 1 else 'are'} not what should be there.")
    elif picture.expected is not None and _bytes_of(picture, victim.range) == picture.expected:
        parts.append("It holds what it should.")
    parts += [_sentence(copy, victim.range, victim.name) for copy in picture.copies if copy.is_marked]
    if not picture.copies:
        parts.append("No copy is known that was asked to go near it.")
    return " ".join(parts)


def _sentence(copy: CopyNote, victim: Range, name: str) -> str:
    asked, gap = copy.asked, victim.start - copy.asked.end
    if asked.covers(victim):
        where = f"covers the {name}"
    elif asked.overlaps(victim):
        common = asked.intersection(victim).size
        where = f"reaches {size(common)} into the {name}" if asked.start < victim.start else f"lies in the {name}"
    elif gap >= 0:
        where = f"ends {'exactly where' if gap == 0 else f'{size(gap)} before'} the {name} begins"
    else:
        where = f"begins {size(asked.start - victim.end)} behind the {name}"
    beyond = copy.touched.end - asked.end
    on = f"; it wrote {size(beyond)} more, up to {copy.touched.end:#x}" if beyond > 0 else ""
    return f"What copy {copy.sequence} was asked for {where}{on}."


def changed_bytes(picture: MemoryPicture) -> list[int]:
    """Return the addresses of the victim's bytes that differ from what should be there."""
    start, expected = picture.victim.range.start, picture.expected or b""
    known = _known(picture)
    return [start + i for i, byte in enumerate(expected) if known.get(start + i, byte) != byte]


def spelled(picture: MemoryPicture) -> dict[int, str]:
    """Return the letters of the texts in the window by address: runs of printable characters, as an overrun leaves."""
    return {
        piece.start + found.start() + i: chr(byte)
        for piece in picture.contents
        for found in _TEXT.finditer(piece.data)
        for i, byte in enumerate(found.group())
    }


def _known(picture: MemoryPicture) -> dict[int, int]:
    return {piece.start + i: byte for piece in picture.contents for i, byte in enumerate(piece.data)}


def _bytes_of(picture: MemoryPicture, area: Range) -> bytes:
    known = _known(picture)
    return bytes(known[a] for a in range(area.start, area.end) if a in known)


def _drawing(picture: MemoryPicture) -> Markup:
    plan = Plan(picture)
    victim = picture.victim.range
    return tag(
        "svg",
        tag("title", text(f"Memory around the {picture.victim.name}")),
        _patterns(),
        plan.box(victim, _NAMES - 6, plan.height - _NAMES + 6, "band"),
        *_ruler(plan), *_names(plan, picture), *_expected(plan, picture), *_found(plan, picture),
        *_spelled(plan),
        tag("g", *(_lane(plan, copy, i, victim) for i, copy in enumerate(picture.copies)), class_="lanes"),
        viewBox=f"0 0 {plan.width} {plan.height}", width=plan.width, height=plan.height, class_="memory",
        role="group", aria_label=caption(picture), data_victim=plan.x(victim.start),
    )  # fmt: skip


def _patterns() -> Markup:
    line = tag("path", d="M-2,2l4,-4M0,8l8,-8M6,10l4,-4", class_="hatch-line")
    pattern = tag("pattern", tag("rect", width=8, height=8, class_="hatch-ground"), line, id="hatch", width=8, height=8,
                  patternUnits="userSpaceOnUse")  # fmt: skip
    return tag("defs", pattern)


def _ruler(plan: Plan) -> Iterable[Markup]:
    window = plan.window
    for address in range(window.start, window.end + 1, _WORD):
        x = plan.x(address)
        yield tag("line", x1=x, y1=_NAMES - 8, x2=x, y2=plan.height, class_="grid")
        if address < window.end:
            yield tag("text", f"{address:#x}", x=x, y=11, class_="address")


def _names(plan: Plan, picture: MemoryPicture) -> Iterable[Optional[Markup]]:
    for named in (*picture.surroundings, picture.victim):
        left, right = plan.x(named.range.start), plan.x(named.range.end)
        if right <= left:
            continue
        is_victim = named is picture.victim
        room = max(8, int((right - left) / _LETTER)) if not is_victim else 40
        yield tag("text", _cut(named.name, room), x=(left + right) / 2, y=_NAMES + 12,
                  class_="name victim" if is_victim else "name")  # fmt: skip


def _expected(plan: Plan, picture: MemoryPicture) -> Iterable[Markup]:
    if not picture.expected or not changed_bytes(picture):
        return
    start = picture.victim.range.start
    yield _row_name("should be", _ROWS)
    for i, byte in enumerate(picture.expected):
        if plan.window.contains(start + i):
            yield _byte(plan, start + i, _ROWS, f"{byte:02x}", "byte wanted")


def _found(plan: Plan, picture: MemoryPicture) -> Iterable[Markup]:
    known, changed = _known(picture), set(changed_bytes(picture))
    yield _row_name("is", plan.found)
    for address in range(plan.window.start, plan.window.end):
        byte = known.get(address)
        kind = "wrong" if address in changed else "own" if picture.victim.range.contains(address) else ""
        yield _byte(plan, address, plan.found, "??" if byte is None else f"{byte:02x}", f"byte {kind}".strip())


def _spelled(plan: Plan) -> Iterable[Markup]:
    if plan.text:
        yield _row_name("text", plan.found + 20)
    for address, letter in plan.text.items():
        yield tag("text", letter, x=plan.x(address) + plan.cell / 2, y=plan.found + 37, class_="spelled")


def _row_name(name: str, y: int) -> Markup:
    return tag("text", name, x=_GUTTER - 10, y=y + 16, class_="row-name")


def _byte(plan: Plan, address: int, y: int, shown: str, class_: str) -> Markup:
    x = plan.x(address)
    box = tag("rect", x=x + 1, y=y, width=plan.cell - 2, height=23, rx=2)
    return tag("g", box, tag("text", shown, x=x + plan.cell / 2, y=y + 16), class_=class_)


def _lane(plan: Plan, copy: CopyNote, index: int, victim: Range) -> Markup:
    top = plan.lanes + _LANE * index
    words = described(copy)
    parts = [
        tag("title", text(words, 1200)),
        tag("rect", x=0, y=top - 6, width=plan.width, height=_LANE - 2, rx=4, class_="hit"),
        tag("text", f"#{copy.sequence}", x=_GUTTER - 10, y=top + 13, class_="row-name"),
        *_bars(plan, copy, top),
        *_beyond_the_window(plan, copy, top),
        _lane_label(plan, copy, top),
    ]
    class_ = "copy culprit" if copy.is_marked else "copy"
    return tag("g", *parts, class_=class_, tabindex=0, role="img", aria_label=words, data_sequence=copy.sequence)


def _bars(plan: Plan, copy: CopyNote, top: int) -> Iterable[Optional[Markup]]:
    written, asked = copy.written, copy.asked
    if written is not None and written.size:
        yield plan.box(written.intersection(asked), top, _BAR, "written", 2)
        if written.end > asked.end:
            start = max(asked.end, written.start)
            yield plan.box(Range(start, Size(written.end - start)), top, _BAR, "overrun")
        if written.start < asked.start:
            yield plan.box(Range(written.start, Size(min(asked.start, written.end) - written.start)), top, _BAR,
                           "overrun")  # fmt: skip
    yield plan.box(asked, top, _BAR, "asked")


def _beyond_the_window(plan: Plan, copy: CopyNote, top: int) -> Iterable[Markup]:
    y = top + 13
    if copy.touched.start < plan.window.start:
        yield tag("text", "◂", x=_GUTTER + 1, y=y, class_="more")
    if copy.touched.end > plan.window.end:
        yield tag("text", "▸", x=plan.width - _RIGHT - 10, y=y, class_="more")


def _lane_label(plan: Plan, copy: CopyNote, top: int) -> Markup:
    words = _cut(label(copy).split(" · ", 1)[1], 110)
    left, right = plan.x(copy.touched.start), plan.x(copy.touched.end)
    fits = left + len(words) * _LETTER <= plan.width
    at, anchor = (left, "start") if fits else (min(plan.width - 2, max(right, len(words) * _LETTER)), "end")
    return tag("text", words, x=number(at), y=top + _BAR + 14, class_="lane-label", text_anchor=anchor)


def _legend(picture: MemoryPicture) -> Markup:
    kinds = [("asked", "asked")]
    if any(copy.written for copy in picture.copies):
        kinds.append(("written", "written"))
    if any(copy.touched.size > copy.size for copy in picture.copies):
        kinds.append(("overrun", "written beyond what was asked"))
    items = [_key(class_, words) for class_, words in kinds] if picture.copies else []
    items += [_key("band", picture.victim.name)]
    items += [_key("wrong-key", "not what should be there")] if changed_bytes(picture) else []
    return tag("ul", joined(items), class_="legend")


def _key(class_: str, words: str) -> Markup:
    sample = tag("svg", tag("rect", x=2, y=2, width=24, height=12, class_=class_), width=28, height=16,
                 aria_hidden="true")  # fmt: skip
    return tag("li", sample, tag("span", words))


def _cut(words: str, room: int) -> str:
    return words if len(words) <= room else f"{words[: max(1, room - 1)]}…"
