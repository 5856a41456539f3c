"""A range the user watches was written."""

from __future__ import annotations

from typing import Optional

from ..copies import CALLER, CERTAIN, PROGRAM, Victim, attribute_writer
from ..finding import Facts, Finding
from ..scene import Scene, WatchedWrite
from .story import finding_of

RULE = "watched-write"


def watched_write(scene: Scene) -> Optional[Finding]:
    """Tell which write hit a watched range, and from which copy.

    Unlike a guard the range may be written by anyone: only a routine that wrote beyond what was asked is at fault.
    """
    watched = scene.note.watched if scene.note else None
    if watched is None:
        return None
    victim = Victim(watched.what, watched.range, watched.after)
    writer = scene.writer_to(watched.range)
    change = (f"{watched.what} was {_bytes(watched.before)}, is {_bytes(watched.after)}",)
    if writer is None:
        return Finding(f"{watched.what} was written", RULE, CERTAIN, change, ("backtrace",), _facts(watched))
    attribution = attribute_writer(writer, victim)
    is_plain = attribution.verdict in (CALLER, PROGRAM)
    finding = finding_of(scene, RULE, victim, attribution, change, writer, may_exercise=not is_plain)
    if not is_plain:
        return finding
    facts = finding.facts._replace(verdict=None)
    return finding._replace(facts=facts, summary=_plain_summary(watched, facts), next=("backtrace",))


def _plain_summary(watched: WatchedWrite, facts: Facts) -> str:
    if facts.asked is None:
        return f"{watched.what} was written by the program, in {facts.function or f'{facts.instruction:#x}'}"
    line = f" ({facts.file}:{facts.line})" if facts.file else ""
    tag = f", {facts.tag}" if facts.tag else ""
    return f"{watched.what} was written by {facts.routine}, as asked: {facts.asked} bytes, by {facts.caller}{line}{tag}"


def _facts(watched: WatchedWrite) -> Facts:
    return Facts(victim=watched.what, victim_address=watched.range.start)


def _bytes(data: bytes) -> str:
    return data[:16].hex(" ") + (" ..." if len(data) > 16 else "")
