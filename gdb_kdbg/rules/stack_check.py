"""The program is about to fail, or failed, in __stack_chk_fail."""

from __future__ import annotations

from typing import Optional

from ..aftermath import attribute_afterwards
from ..canary import CORRUPTED, CanaryFrame, frame_canary
from ..copies import Attribution, Victim
from ..finding import Finding
from ..scene import Scene
from ..units import safe_text
from .story import finding_of, word_victim

RULE = "stack-check-failed"
FAILURES = ("__stack_chk_fail", "__stack_chk_fail_local", "__stack_smash_handler")


def stack_check_failed(scene: Scene) -> Optional[Finding]:
    """Explain a failed check by the canary of the function that failed it.

    A guard that was changed makes every check fail; then the rule for the guard tells the story and this one is silent.
    """
    index = scene.frame_in(FAILURES)
    if index is None or index + 1 >= len(scene.frames):
        return None
    canary = frame_canary(scene.target, scene.frames[index + 1])
    guard = scene.canary
    if canary is None or canary.value is None or guard.guard is None or guard.verdict == CORRUPTED:
        return None
    if canary.value == guard.guard:
        return None
    return _smashed(scene, canary, guard.guard)


def _smashed(scene: Scene, canary: CanaryFrame, guard: int) -> Optional[Finding]:
    assert canary.value is not None
    others = {frame.value for frame in scene.canary.frames if frame.level != canary.level}
    if guard not in others and canary.value in others:
        return None  # all frames agree against the guard: it is the guard that was changed
    victim = word_victim(f"canary of {canary.function}", canary.slot_address, canary.value, guard)
    process = scene.process.pid if scene.process else None
    attribution = attribute_afterwards(scene.target, scene.records, victim, process, scene.coverage)
    return finding_of(scene, RULE, victim, attribution, _evidence(scene, canary, victim, attribution), None)


def _evidence(scene: Scene, canary: CanaryFrame, victim: Victim, attribution: Attribution) -> tuple[str, ...]:
    text = victim.found if all(32 <= byte < 127 for byte in victim.found.rstrip(b"\0")) else b""
    spelled = f' (text "{safe_text(text)}")' if text.strip(b"\0") else ""
    return (
        f"{canary.function} (frame {canary.level}) keeps its canary at {canary.slot_address:#x}: "
        f"{canary.value:#018x}{spelled}, the guard is {scene.canary.guard:#018x}",
    )
