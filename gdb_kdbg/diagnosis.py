"""Explains the current stop: every rule looks at the scene, the surest finding comes first."""

from __future__ import annotations

from typing import Callable, Optional

from .errors import KdbgError, NotSupported, TargetUnavailable
from .finding import RANKS, Finding, WhyReport
from .rules.bad_call import bad_call, overwritten_slot, unbound_call
from .rules.bad_jump import bad_jump
from .rules.copy_fault import copy_fault
from .rules.guard import guard_changed
from .rules.guest_guard import guest_guard
from .rules.misaligned import misaligned
from .rules.no_tls import no_tls
from .rules.null_call import null_call
from .rules.overlap import overlapping_copy
from .rules.smashed_return import smashed_return
from .rules.stack_check import stack_check_failed
from .rules.unrelocated_pointer import unrelocated_pointer
from .rules.watched import watched_write
from .scene import Scene

Rule = Callable[[Scene], Optional[Finding]]
RULES: tuple[Rule, ...] = (
    guest_guard, guard_changed, watched_write, stack_check_failed, copy_fault,
    bad_call, overwritten_slot, unbound_call, unrelocated_pointer,
    null_call, smashed_return, misaligned, no_tls, bad_jump, overlapping_copy,
)  # fmt: skip


def explain(scene: Scene) -> WhyReport:
    """Apply every rule; one that cannot be applied becomes a problem and never hides the others."""
    findings: list[Finding] = []
    problems: list[str] = []
    for rule in RULES:
        try:
            finding = rule(scene)
        except (TargetUnavailable, NotSupported):
            raise
        except KdbgError as error:
            problems.append(str(error))
        else:
            findings += [finding] if finding else []
    findings.sort(key=lambda finding: RANKS.index(finding.confidence))
    return WhyReport(scene.stop, tuple(findings), tuple(dict.fromkeys([*problems, *scene.problems])))
