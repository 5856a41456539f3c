"""The parts of the page that are tables and lists: slots, backtrace, registers, evidence, log lines, the target."""

from __future__ import annotations

from typing import Iterable, Optional, Sequence

from ..dossier import Dossier, Excerpt, FrameNote, Register, SlotTable
from ..finding import Finding
from ..slot_report import Slot
from .html import Markup, joined, tag, text
from .words import code, folded, place, section

_EVIDENCE, _LINE = 2000, 1000


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Markup], align: Sequence[str] = (), body: Optional[str] = None
) -> Markup:
    """Make a table that scrolls sideways by itself where the page is narrow."""
    sides = align or [""] * len(heads)
    cells = (tag("th", head, scope="col", class_=side or None) for head, side in zip(heads, sides))
    made = tag("table", tag("caption", caption, class_="unseen"), tag("thead", tag("tr", *cells)),
               tag("tbody", joined(rows), id=body))  # fmt: skip
    return tag("div", made, class_="scroll", tabindex=0, role="region", aria_label=caption)


def slots_section(dossier: Dossier) -> Optional[Markup]:
    """Make the section of the slots: a summary of each file, and what is not as it should be."""
    if not dossier.slots:
        return None
    blamed: set[Optional[int]] = {f.facts.slot_address for f in dossier.findings if f.facts.slot_address is not None}
    wrong = [one for one in dossier.slots if one.slots]
    note = "" if wrong else "Every slot of every file holds what it should, or is bound at its first call."
    return section("slots", "Slots", _summary(dossier.slots), *(_slots(one, blamed) for one in wrong), note=note)


def _summary(slots: Sequence[SlotTable]) -> Markup:
    heads = ("Objfile", "Load bias", "State")
    rows = (tag("tr", tag("td", code(_base(one.objfile)), title=one.objfile), tag("td", code(f"{one.load_bias:#x}")),
                tag("td", text(one.state), class_="prose")) for one in slots)  # fmt: skip
    return table("The loaded files and how far they are relocated", heads, rows)


def _base(path: str) -> str:
    return path.rpartition("/")[2] or path


def _slots(one: SlotTable, blamed: set[Optional[int]]) -> Markup:
    heads = ("Slot", "Section", "Relocation", "Symbol", "Should be", "Is", "Points to", "Status")
    name = f"Slots of {_base(one.objfile)} that are not known to be resolved"
    rest = tag("p", f"{one.left_out:,} more of this file are not shown: kdbg got lists them.", class_="note")
    is_open = any(slot.slot_address in blamed for slot in one.slots)
    return folded(name, f"{len(one.slots) + one.left_out:,}", table(name, heads, (_slot(s, blamed) for s in one.slots)),
                  *([rest] if one.left_out else []), is_open=is_open)  # fmt: skip


def _slot(slot: Slot, blamed: set[Optional[int]]) -> Markup:
    status = joined([tag("strong", slot.status or ""), text(f": {slot.note}") if slot.note else None])
    cells = (
        code(f"{slot.slot_address:#x}"), code(slot.section), code(slot.relocation), code(slot.demangled),
        _word(slot.expected), _word(slot.value), code(slot.points_to) if slot.points_to else "",
    )  # fmt: skip
    shown = (*(tag("td", cell) for cell in cells), tag("td", status, class_="prose"))
    return tag("tr", *shown, class_="culprit" if slot.slot_address in blamed else None)


def _word(value: Optional[int]) -> Markup:
    return code(f"{value:#x}") if value is not None else Markup("")


def details_section(dossier: Dossier) -> Markup:
    """Make the section of what is folded: evidence, other findings, backtrace, registers, log, target, problems."""
    parts = [
        *_evidence(dossier.findings), _backtrace(dossier.frames), _registers(dossier.registers),
        *map(_excerpt, dossier.excerpts), _target(dossier), _problems(dossier.problems),
    ]  # fmt: skip
    return section("details", "Evidence and state", *parts)


def _evidence(findings: Sequence[Finding]) -> Iterable[Markup]:
    for index, finding in enumerate(findings):
        lines = tag("ol", *(tag("li", text(line, _EVIDENCE)) for line in finding.evidence), class_="evidence")
        title = "Evidence" if index == 0 else "Another finding"
        head = tag("p", text(finding.summary, 700)) if index else None
        how = tag("p", f"Rule {finding.rule}, {finding.confidence}.", class_="note")
        yield folded(title, f"{len(finding.evidence)}", joined([head, lines, how]))


def _backtrace(frames: Sequence[FrameNote]) -> Optional[Markup]:
    if not frames:
        return None
    rows = (
        tag("tr", tag("td", frame.level), tag("td", code(f"{frame.pc:#x}") if frame.pc else ""),
            tag("td", code(frame.function)), tag("td", text(place(frame.file, frame.line))), tag("td", frame.note))
        for frame in frames
    )  # fmt: skip
    shown = table(
        "Backtrace, innermost frame first", ("#", "pc", "Function", "Line", ""), rows, ("right", "", "", "", "")
    )
    return folded("Backtrace", f"{len(frames)}", shown)


def _registers(registers: Sequence[Register]) -> Optional[Markup]:
    if not registers:
        return None
    pairs = (
        tag("div", tag("dt", register.name), tag("dd", joined([code(f"{register.value:#018x}"), _where(register)])))
        for register in registers
    )
    return folded("Registers", f"{len(registers)}", tag("dl", *pairs, class_="registers"))


def _where(register: Register) -> Optional[Markup]:
    return tag("span", text(register.points_to, 80), class_="where") if register.points_to else None


def _excerpt(excerpt: Excerpt) -> Markup:
    lines = joined(
        (
            tag("mark" if line.is_marked else "span", tag("b", f"{line.number:>6} "), text(line.text, _LINE))
            for line in excerpt.lines
        ),
        "\n",
    )
    rest = tag("p", f"{excerpt.left_out:,} more lines are not shown.", class_="note") if excerpt.left_out else None
    log = tag("pre", lines, class_="log", tabindex=0, role="region", aria_label=excerpt.title)
    return folded(excerpt.title, f"{len(excerpt.lines):,}", joined([log, rest]))


def _target(dossier: Dossier) -> Markup:
    where = "Read" if dossier.origin.is_log else "Stopped at"
    pairs = [("Kind", dossier.origin.kind), (where, dossier.stop), ("Process", dossier.process),
             ("System call", dossier.system_call), *dossier.origin.facts]  # fmt: skip
    shown = (tag("div", tag("dt", label), tag("dd", text(value, _LINE))) for label, value in pairs if value)
    return folded("What was looked at", "", tag("dl", *shown, class_="target"))


def _problems(problems: Sequence[str]) -> Optional[Markup]:
    if not problems:
        return None
    lines = tag("ul", *(tag("li", text(problem, _LINE)) for problem in problems[:200]), class_="evidence")
    return folded("What could not be read", f"{len(problems):,}", lines)
