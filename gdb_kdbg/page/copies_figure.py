"""The copies on their axis by caller and process, and the table of them.

The drawing is complete as it stands; the script zooms into it from the same numbers.
"""

from __future__ import annotations

from typing import Any, Iterable, Optional, Sequence

from ..dossier import CopyAxis, CopyNote, MemoryPicture
from ..units import safe_text
from .copies_plan import (
    BOTTOM,
    COLUMN,
    GUTTER,
    LANE,
    RIGHT,
    WIDTH,
    Plan,
    is_crowded,
    marks,
    plan_of,
    shape,
    sizes,
    ticks,
)  # fmt: skip
from .html import Markup, joined, number, tag, text
from .tables import table
from .words import code, detail, folded, place, section

_ROWS = 100
_LABEL = 27
# Of each of thousands of copies; names of more letters are for the table of symbols.
_TEXT = 160


def copies_section(axis: Optional[CopyAxis], picture: Optional[MemoryPicture]) -> Optional[Markup]:
    """Make the section with the axis, its controls and the table."""
    if axis is None or not axis.copies:
        return None
    plan = plan_of(axis)
    marked = next((copy for copy in axis.copies if copy.is_marked), None)
    role = safe_text(marked.role, 20) if marked else ""
    chart = tag("div", _drawing(plan, axis, _near(picture)), class_="scroll chart", tabindex=0, role="group",
                aria_label=_spoken(plan, axis), aria_describedby="copies-keys", id="chart")  # fmt: skip
    figure = tag("figure", _controls(role), chart, _legend(plan, axis, bool(_near(picture))), _crowd(plan, axis),
                 detail(marked, True), _keys(role))  # fmt: skip
    return section("copies", "Copies by caller and process", figure, _listing(axis), note=_note(axis))


def _near(picture: Optional[MemoryPicture]) -> frozenset[int]:
    return frozenset(copy.sequence for copy in picture.copies) if picture else frozenset()


def _note(axis: CopyAxis) -> str:
    if len(axis.copies) == axis.total == 1:
        return "The only copy there was."
    of = f"{len(axis.copies):,} of {axis.total:,}" if len(axis.copies) < axis.total else f"All {axis.total:,}"
    lost = f"; {axis.lost:,} older ones were overwritten in the ring" if axis.lost else ""
    left = f"; {axis.left_out:,} are too many for a page" if axis.left_out else ""
    return f"{of} copies, oldest at the left{lost}{left}."


def _spoken(plan: Plan, axis: CopyAxis) -> str:
    callers = "caller" if len(plan.lanes) == 1 else "callers"
    return f"{len(axis.copies)} copies of {len(plan.lanes)} {callers} on an axis by {axis.unit}"


def _crowd(plan: Plan, axis: CopyAxis) -> Markup:
    words = "A mark may stand for several copies: then it is larger, and has the shape of the process with the most."
    return tag("p", words, id="crowd", class_="keys", hidden=not is_crowded(plan, axis))


def _keys(role: str) -> Markup:
    words = "Keys in the chart: ← → the copy before and after, ↑ ↓ the lane, Home and End, + − zoom, 0 fit"
    words += f", c {role}. Drag to zoom." if role else ". Drag to zoom."
    return tag("p", words, id="copies-keys", class_="keys", hidden=True)


def _controls(role: str) -> Markup:
    names = [("out", "−", "Zoom out"), ("in", "+", "Zoom in"), ("fit", "Fit", "Fit: show all copies")]
    names += [("marked", role.capitalize(), f"{role.capitalize()}: go to it")] if role else []
    buttons = (tag("button", sign, type="button", data_zoom=name, aria_label=words) for name, sign, words in names)
    return tag("div", *buttons, class_="controls", role="group", aria_label="Zoom", hidden=True)


def _drawing(plan: Plan, axis: CopyAxis, near: frozenset[int]) -> Markup:
    return tag(
        "svg",
        *_lanes(plan), tag("g", *_ticks(plan), id="ticks"), *_moments(plan, axis),
        tag("g", *_marks(plan, axis, near), id="marks"), tag("g", *_rings(plan, axis, near), id="rings"),
        tag("rect", x=0, y=plan.top, width=0, height=LANE * len(plan.lanes), id="brush", class_="brush"),
        tag("text", axis.unit, x=WIDTH - RIGHT, y=plan.height - 2, class_="unit"),
        viewBox=f"0 0 {WIDTH} {plan.height}", width=WIDTH, height=plan.height, class_="axis", aria_hidden="true",
    )  # fmt: skip


def _marks(plan: Plan, axis: CopyAxis, near: frozenset[int]) -> Iterable[Markup]:
    special = [copy for copy in axis.copies if copy.is_marked or copy.sequence in near]
    chosen = {copy.sequence for copy in special}
    many = marks(plan, (copy for copy in axis.copies if copy.sequence not in chosen))
    alone = (marks(plan, [copy]) for copy in special)
    for paths in (many, *alone):
        for (_, process), path in paths.items():
            yield tag("path", d=Markup(path), class_=f"mark p{process}")


def _lanes(plan: Plan) -> Iterable[Markup]:
    for lane, name in enumerate(plan.lanes):
        top = plan.top + LANE * lane
        yield tag("rect", x=0, y=top, width=WIDTH, height=LANE, class_=f"lane {'odd' if lane % 2 else 'even'}")
        shown = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
        yield tag("text", tag("title", text(name)), text(shown), x=12, y=plan.y(lane) + 4, class_="caller")


def _ticks(plan: Plan) -> Iterable[Markup]:
    foot = plan.height - BOTTOM
    for value in ticks(plan):
        x = number(plan.x(value))
        yield tag("line", x1=x, x2=x, y1=plan.top, y2=foot + 4, class_="grid")
        yield tag("text", f"{value:,.10g}", x=x, y=foot + 17, class_="tick")


def _moments(plan: Plan, axis: CopyAxis) -> Iterable[Markup]:
    """Lines across all lanes: copies with a role, and moments that the builder named."""
    foot = plan.height - BOTTOM
    for mark in axis.marks:
        yield _moment(plan, mark.at, foot, safe_text(mark.text, 40), "moment", 26)
    for copy in axis.copies:
        if copy.is_marked:
            words = f"{copy.role} #{copy.sequence}"
            yield _moment(plan, copy.at, foot, words, "moment culprit", 12)


def _moment(plan: Plan, at: float, foot: int, words: str, class_: str, y: int) -> Markup:
    # The words stand on the side where there is room.
    right = plan.x(at) > WIDTH - 160
    line = tag("line", x1=0, x2=0, y1=y - 9, y2=foot)
    said = tag("text", text(words), x=-5 if right else 5, y=y, text_anchor="end" if right else "start")
    return tag("g", line, said, transform=f"translate({number(plan.x(at))},0)",
               class_=class_, data_at=at)  # fmt: skip


def _rings(plan: Plan, axis: CopyAxis, near: frozenset[int]) -> Iterable[Markup]:
    for copy in axis.copies:
        if copy.is_marked or copy.sequence in near:
            class_ = "ring culprit" if copy.is_marked else "ring"
            yield tag(
                "circle", cx=number(plan.x(copy.at)), cy=plan.y(plan.lane(copy)), r=9, class_=class_, data_at=copy.at
            )


def _legend(plan: Plan, axis: CopyAxis, has_near: bool) -> Markup:
    items = [_key(index, name) for index, name in enumerate(plan.processes)]
    items += [_ring("ring", "near the victim")] if has_near else []
    for role in dict.fromkeys(copy.role for copy in axis.copies if copy.is_marked):
        items.append(_ring("ring culprit", text(role, 20)))
    return tag("ul", joined(items), class_="legend")


def _ring(class_: str, words: str) -> Markup:
    ring = tag("svg", tag("circle", cx=8, cy=8, r=6, class_=class_), width=16, height=16, aria_hidden="true")
    return tag("li", ring, tag("span", words))


def _key(index: int, name: str) -> Markup:
    mark = tag("path", d=Markup(f"M8,8{shape(index, 4)}"), class_=f"mark p{index}")
    return tag("li", tag("svg", mark, width=16, height=16, aria_hidden="true"), tag("span", text(name, 60)))


def _listing(axis: CopyAxis) -> Markup:
    copies = _around_marked(axis.copies)
    filtering = tag("label", "Filter ", tag("input", type="search", id="filter", autocomplete="off"))
    pager = tag(
        "div", filtering, tag("button", "Earlier", type="button", id="earlier"), tag("output", "", id="page"),
        tag("button", "Later", type="button", id="later"), class_="controls", id="pager", hidden=True,
    )  # fmt: skip
    rest = tag("p", f"{len(copies)} of {len(axis.copies):,}, the marked ones among them; JavaScript shows all.",
               class_="note", id="some") if len(copies) < len(axis.copies) else None  # fmt: skip
    heads = ("#", "Caller", "Line", "Process", "Context", "Destination", "Source", "Size")
    rows = (_row(copy) for copy in copies)
    return folded(
        "All copies as a table",
        f"{len(axis.copies):,}",
        joined([pager, rest]),
        table("All copies", heads, rows, ("right", "", "", "", "", "", "", "right"), "copies-rows"),
    )


def _around_marked(copies: Sequence[CopyNote]) -> Sequence[CopyNote]:
    if len(copies) <= _ROWS:
        return copies
    index = next((i for i, copy in enumerate(copies) if copy.is_marked), len(copies))
    start = max(0, min(index - _ROWS // 2, len(copies) - _ROWS))
    return copies[start : start + _ROWS]


def _row(copy: CopyNote) -> Markup:
    cells = (
        copy.sequence, code(copy.caller), place(copy.file, copy.line), copy.process, copy.context,
        code(f"{copy.destination:#x}"), code(f"{copy.source:#x}"), _size(copy),
    )  # fmt: skip
    return tag("tr", *(tag("td", cell) for cell in cells), class_="culprit" if copy.is_marked else None,
               data_sequence=copy.sequence)  # fmt: skip


def _size(copy: CopyNote) -> str:
    wrote = "" if copy.written is None else f", wrote {copy.written.size:,}"
    return f"{copy.size:,}{wrote}{f' ({copy.role})' if copy.is_marked else ''}{', torn' if copy.is_torn else ''}"


def copies_data(axis: CopyAxis, picture: Optional[MemoryPicture]) -> dict[str, Any]:
    """Return what the script draws from: texts once each, and a short row for every copy."""
    plan, near = plan_of(axis), _near(picture)
    texts: dict[str, int] = {}

    def known(value: str) -> int:
        return texts.setdefault(safe_text(value, _TEXT), len(texts))

    rows = [
        [
            copy.sequence, copy.at, plan.lane(copy), plan.process(copy), known(copy.caller),
            known(place(copy.file, copy.line)), known(copy.process), known(copy.context), known(copy.role),
            f"{copy.destination:x}", f"{copy.source:x}", copy.size,
            None if copy.written is None else copy.written.size,
            copy.is_marked + 2 * (copy.sequence in near) + 4 * copy.is_torn,
        ]
        for copy in axis.copies
    ]  # fmt: skip
    return {
        "first": plan.first, "last": plan.last, "width": WIDTH, "gutter": GUTTER, "right": RIGHT, "top": plan.top,
        "lane": LANE, "bottom": BOTTOM, "column": COLUMN, "step": plan.least_step, "height": plan.height,
        "shapes": [sizes(index) for index in range(len(plan.processes))], "texts": list(texts), "rows": rows,
    }  # fmt: skip
