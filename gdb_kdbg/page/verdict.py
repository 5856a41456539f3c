"""The top of the page: who is at fault, in one sentence, with the facts and what to type next."""

from __future__ import annotations

from typing import Optional

from ..dossier import Dossier
from ..finding import Facts, Finding
from .html import Markup, joined, tag, text
from .words import place, size, suggestion

_SENTENCE = 700
_UNDECIDABLE = "undecidable"
_EXERCISED = {"breaks": "breaks its contract", "conforms": "keeps its contract"}


def verdict(dossier: Dossier) -> Markup:
    """Make the head of the page from the best finding."""
    if not dossier.findings:
        return _nothing(dossier)
    best = dossier.findings[0]
    sentence, rest = _sentence(best)
    return tag(
        "section",
        _badges(best),
        tag("h1", text(sentence, _SENTENCE), id="verdict-title"),
        tag("p", text(rest, _SENTENCE), class_="lead") if rest else None,
        _facts(best.facts, dossier),
        _next(best),
        id="verdict", class_=_kind(best), aria_labelledby="verdict-title",
    )  # fmt: skip


def _nothing(dossier: Dossier) -> Markup:
    return tag(
        "section",
        tag("p", tag("span", "No finding", class_="badge"), class_="badges"),
        tag("h1", f"No rule of kdbg explains this {_what(dossier)}", id="verdict-title"),
        tag("p", text(_where(dossier), _SENTENCE), class_="lead"),
        id="verdict", class_="calm", aria_labelledby="verdict-title",
    )  # fmt: skip


def _what(dossier: Dossier) -> str:
    return "log" if dossier.origin.is_log else "stop"


def _where(dossier: Dossier) -> str:
    return dossier.stop if dossier.origin.is_log else f"Stopped at {dossier.stop}."


# Sentences that begin with one of these do not begin with a name, whose case means something.
_WORDS = ("the", "a", "an", "call", "copy", "jump")


# `routine at fault: ucopy wrote …; called by …` is a badge, a sentence and what comes second to it.
def _sentence(finding: Finding) -> tuple[str, str]:
    words = finding.summary
    verdict = finding.facts.verdict
    if verdict and words.startswith(f"{verdict}: "):
        words = words[len(verdict) + 2 :]
    file = finding.facts.file or ""
    if file.startswith("/"):
        # The whole path is among the facts.
        words = words.replace(file, file.rpartition("/")[2])
    sentence, _, rest = words.partition("; ")
    if sentence.split(" ")[0] in _WORDS:
        sentence = f"{sentence[:1].upper()}{sentence[1:]}"
    return sentence, f"{rest[:1].upper()}{rest[1:]}"


def _kind(finding: Finding) -> str:
    return "unsure" if finding.facts.verdict == _UNDECIDABLE or finding.confidence == "possible" else "fault"


def _badges(finding: Finding) -> Markup:
    what = finding.facts.verdict or finding.rule.replace("-", " ")
    shown = [tag("span", f"{what[:1].upper()}{what[1:]}", class_="badge")]
    if finding.facts.verdict != _UNDECIDABLE:
        shown.append(tag("span", finding.confidence, class_="confidence"))
    return tag("p", *shown, class_="badges")


def _facts(facts: Facts, dossier: Dossier) -> Markup:
    pairs = [
        ("Asked", size(facts.asked) if facts.asked is not None else None),
        ("Wrote", size(facts.wrote) if facts.wrote is not None else None),
        ("Victim", _victim(facts)),
        ("Routine", " ".join(filter(None, (facts.routine, f"({facts.phase})" if facts.phase else "")))),
        # What the emulator says of the routine, where it was asked.
        ("Exercised", _EXERCISED.get(facts.exercised or "", facts.exercised)),
        ("Caller", facts.caller),
        ("Function", facts.function),
        ("Source line", place(facts.file, facts.line)),
        ("Slot", _slot(facts)),
        ("Should reach", facts.target),
        ("Objfile", facts.objfile),
        ("System call", facts.tag or facts.system_call or dossier.system_call),
        ("Process", f"{facts.process} (pid {facts.pid})" if facts.process else dossier.process),
        ("Fault address", f"{facts.fault_address:#x}" if facts.fault_address is not None else None),
    ]
    beyond = facts.wrote is not None and facts.asked is not None and facts.wrote > facts.asked
    shown = (_pair(label, value, beyond and label == "Wrote") for label, value in pairs if value)
    return tag("dl", *shown, class_="facts")


def _victim(facts: Facts) -> Optional[str]:
    where = "" if facts.victim_address is None else f" at {facts.victim_address:#x}"
    return f"{facts.victim}{where}" if facts.victim else None


def _slot(facts: Facts) -> Optional[str]:
    if facts.slot_address is None:
        return None
    return " ".join(filter(None, (facts.slot_name or facts.section, f"at {facts.slot_address:#x}")))


def _pair(label: str, value: str, is_wrong: bool) -> Markup:
    return tag("div", tag("dt", label), tag("dd", text(value, 200), class_="wrong" if is_wrong else None))


def _next(finding: Finding) -> Optional[Markup]:
    if not finding.next:
        return None
    return tag(
        "div",
        tag("h2", "Type next", id="next-title"),
        tag("ul", joined(map(suggestion, finding.next[:8])), class_="commands"),
        class_="next",
    )
