"""The guard at fs:0x28 was changed, or is being changed right now."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from ..canary import CORRUPTED, INTACT, CanaryReport
from ..copies import LIKELY, PROGRAM, UNDECIDABLE, Attribution, Victim, attribute_writer
from ..finding import Finding
from ..scene import Scene
from ..writers import Writer
from .story import finding_of, word_victim

RULE = "guard-changed"


def guard_changed(scene: Scene) -> Optional[Finding]:
    """Find who changed the guard: the write in progress, or the ring and memory afterwards."""
    canary = scene.canary
    if canary.guard is None or canary.guard_address is None:
        return None
    victim = replace(word_victim("guard", canary.guard_address, canary.guard, canary.expected), is_guard=True)
    writer = _writer(scene, victim)
    if writer is not None:
        return finding_of(scene, RULE, victim, attribute_writer(writer, victim), _evidence(scene), writer)
    if canary.verdict == INTACT or not scene_can_tell(canary):
        return None
    attribution = scene.attribute(victim)
    if canary.verdict != CORRUPTED and not _stands_alone(attribution, victim):
        return None
    return finding_of(scene, RULE, victim, attribution, _evidence(scene), None)


def scene_can_tell(canary: CanaryReport) -> bool:
    """Tell whether there is a guard to speak of: one that is 0 and was never anything else is not set yet."""
    return bool(canary.guard) or canary.verdict == CORRUPTED


def _writer(scene: Scene, victim: Victim) -> Optional[Writer]:
    writer = scene.writer_to(victim.range)
    if writer is None:
        return None
    # Nothing is damaged yet, or the last write has put back what belongs there.
    if scene.canary.verdict == INTACT:
        return None
    return None if is_initialisation(writer, victim) else writer


def is_initialisation(writer: Writer, victim: Victim) -> bool:
    """A runtime sets its guard by one store of exactly the guard, from its own code."""
    return victim.expected is None and not writer.kernel and writer.store.done == victim.range


def _stands_alone(attribution: Attribution, victim: Victim) -> bool:
    """Without a value to compare with, only a copy that fits the bytes and is no plain initialisation is accused."""
    if attribution.verdict in (PROGRAM, UNDECIDABLE) or attribution.confidence not in ("certain", LIKELY):
        return False
    asked = attribution.asked
    return asked is not None and not asked.covers(victim.range)


def _evidence(scene: Scene) -> tuple[str, ...]:
    canary = scene.canary
    lines = [f"guard at {canary.guard_address:#x} is {canary.guard:#018x}"]
    if canary.expected is not None and canary.expected != canary.guard:
        lines[0] += f", should be {canary.expected:#018x} ({canary.expected_from})"
    return (*lines, *(scene.note.evidence if scene.note else ()))
