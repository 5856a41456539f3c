"""What the emulator adds to an attribution: does the routine write beyond what it is asked for, at that very size?"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Optional

from ..aftermath import suspect_lines
from ..copies import (
    CALLER,
    CERTAIN,
    LIKELY,
    POSSIBLE,
    PROGRAM,
    ROUTINE,
    UNDECIDABLE,
    Attribution,
    Suspect,
    Victim,
    place_line,
    record_line,
)
from ..copy_report import BREAKS, CONFORMS
from ..copy_suspect import Outcome, check_command, exercise_copy
from ..errors import KdbgError, TargetUnavailable
from ..ranges import Range
from ..ring import RingRecord
from ..scene import Scene
from ..units import Size
from ..writers import Writer, called_routine

_LESS = {CERTAIN: LIKELY, LIKELY: POSSIBLE, POSSIBLE: POSSIBLE}


class Exercised(NamedTuple):
    """An attribution with what the emulator has to say: its verdict on the routine, None if that was not run."""

    attribution: Attribution
    verdict: Optional[str] = None
    routine: Optional[str] = None

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type to exercise the routine at large."""
        return (check_command(self.routine),) if self.verdict and self.routine else ()


def exercised(scene: Scene, victim: Victim, attribution: Attribution, writer: Optional[Writer]) -> Exercised:
    """Exercise the routine of the copy that is accused, or of those that are suspect.

    The emulator alone accuses nobody: it decides only where the damage is just what the routine does, and where nothing
    else was missing. Nor is the program accused where the routine runs over into what was damaged. What was seen in the
    act does not change.
    """
    if attribution.suspects:
        return _suspects(scene, victim, attribution)
    if attribution.record is None or attribution.verdict not in (CALLER, ROUTINE):
        return Exercised(attribution)
    routine, outcome = _exercise(scene, attribution.record, writer)
    if outcome is None:
        return Exercised(attribution)
    told = replace(attribution, evidence=(*attribution.evidence, outcome.text))
    if outcome.verdict == CONFORMS and attribution.verdict == ROUTINE and writer is None:
        told = replace(told, confidence=_LESS[attribution.confidence])
    return Exercised(told, outcome.verdict, routine)


def _suspects(scene: Scene, victim: Victim, attribution: Attribution) -> Exercised:
    told: list[Exercised] = []
    for suspect in attribution.suspects:
        routine, outcome = _exercise(scene, suspect.record, None)
        if outcome is None:
            continue
        if _explains(outcome, suspect, victim):
            return Exercised(_accused(outcome, suspect.record, victim), outcome.verdict, routine)
        told.append(Exercised(_told(attribution, suspect, outcome, victim), outcome.verdict, routine))
    # One that runs over says more than those that do not.
    return min(told, key=lambda one: one.attribution.verdict == PROGRAM, default=Exercised(attribution))


def _told(attribution: Attribution, suspect: Suspect, outcome: Outcome, victim: Victim) -> Attribution:
    lines = (record_line(suspect.record), place_line(suspect.record.asked, victim), outcome.text)
    evidence = tuple(dict.fromkeys((*attribution.evidence, *lines)))
    if attribution.verdict == PROGRAM and _reach(outcome, suspect, victim) > 0:
        return replace(attribution, verdict=UNDECIDABLE, confidence=POSSIBLE, evidence=evidence)
    return replace(attribution, evidence=evidence)


# How many bytes of the victim the routine writes to.
def _reach(outcome: Outcome, suspect: Suspect, victim: Victim) -> int:
    return suspect.record.asked.end + outcome.past - victim.range.start if outcome.past else 0


def _accused(outcome: Outcome, record: RingRecord, victim: Victim) -> Attribution:
    written = Range(record.destination, Size(record.size + outcome.past))
    line = f"that covers all {len(victim.changed() or ())} bytes of the {victim.name} that were changed"
    return Attribution(ROUTINE, LIKELY, record, written, (*suspect_lines(record, victim), outcome.text, line))


def _explains(outcome: Outcome, suspect: Suspect, victim: Victim) -> bool:
    """Whether the damage is what the routine does: no byte beyond its reach, and most of those within it changed."""
    reach = _reach(outcome, suspect, victim)
    changed = victim.changed()
    if outcome.verdict != BREAKS or not suspect.is_supported or not changed:
        return False
    is_behind = suspect.record.asked.end <= victim.range.start
    return is_behind and changed[-1] < reach and 2 * len(changed) >= min(reach, victim.range.size)


# What the caller called is the routine that was asked; in the act the store may be in a function it calls.
def _exercise(scene: Scene, record: RingRecord, writer: Optional[Writer]) -> tuple[Optional[str], Optional[Outcome]]:
    routine = called_routine(scene.target, record.return_address) or (writer.routine if writer else None)
    if routine is None:
        return None, None
    try:
        return routine, exercise_copy(scene.target, scene.scope, routine, record)
    except TargetUnavailable:
        raise
    except KdbgError as error:
        scene.problems.append(f"{routine} was not exercised: {error}")
        return routine, None
