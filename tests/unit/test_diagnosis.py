"""`kdbg why`: the surest finding first, a rule that fails hides no other, a healthy target has no finding."""

from __future__ import annotations

from typing import Optional

import pytest
from stories import GOOD, GUARD, Kernel, scene_of

import gdb_kdbg.diagnosis as diagnosis
from gdb_kdbg.diagnosis import explain
from gdb_kdbg.errors import KdbgError, MemoryFault, NotSupported, TargetUnavailable
from gdb_kdbg.finding import Facts, Finding
from gdb_kdbg.scene import Note, Scene


def finding(confidence: str) -> Finding:
    return Finding(confidence, "rule", confidence, (), (), Facts())


def rules(monkeypatch: pytest.MonkeyPatch, *results: "str | Exception | None") -> None:
    def rule_of(result: "str | Exception | None") -> diagnosis.Rule:
        def rule(scene: Scene) -> Optional[Finding]:
            if isinstance(result, Exception):
                raise result
            return finding(result) if result else None

        return rule

    monkeypatch.setattr(diagnosis, "RULES", tuple(rule_of(result) for result in results))


def test_a_healthy_target_has_no_finding_and_no_problem() -> None:
    kernel = Kernel()
    kernel.process()
    kernel.others(3)
    report = explain(scene_of(kernel, GOOD))
    assert (report.findings, report.problems) == ((), ())
    assert report.stop.endswith("in main (main.c:12)")


def test_the_surest_finding_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rules(monkeypatch, "possible", None, "certain", "likely")
    assert [f.confidence for f in explain(scene_of(Kernel())).findings] == ["certain", "likely", "possible"]


def test_a_rule_that_cannot_be_applied_becomes_a_problem_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rules(monkeypatch, MemoryFault(0x1000, 8), "likely")
    report = explain(scene_of(Kernel()))
    assert [f.confidence for f in report.findings] == ["likely"]
    assert report.problems == ("cannot access 8 bytes at 0x1000: not mapped",)


def test_a_problem_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rules(monkeypatch, KdbgError("same"), KdbgError("same"), KdbgError("other"))
    assert explain(scene_of(Kernel())).problems == ("same", "other")


@pytest.mark.parametrize("error", [TargetUnavailable("gone"), NotSupported("aarch64"), ZeroDivisionError()])
def test_a_target_that_is_gone_or_foreign_and_a_bug_are_no_problems_but_errors(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    rules(monkeypatch, "certain", error)
    with pytest.raises(type(error)):
        explain(scene_of(Kernel()))


def test_a_foreign_architecture_is_refused() -> None:
    kernel = Kernel()
    kernel.architecture = "aarch64"
    with pytest.raises(NotSupported):
        explain(scene_of(kernel))


def test_what_kdbg_noted_when_it_stopped_is_evidence() -> None:
    kernel = Kernel()
    kernel.put(GUARD, b"\xd1\xd2\xd3")
    note = Note(("the guard changed during the system call ioctl(0x1)",))
    with_note, without = explain(scene_of(kernel, GOOD, note=note)), explain(scene_of(kernel, GOOD))
    assert note.evidence[0] in with_note.findings[0].evidence
    assert note.evidence[0] not in without.findings[0].evidence


def test_problems_of_the_scene_are_problems_of_the_report() -> None:
    kernel = Kernel()
    kernel.put(GUARD, b"\xd1\xd2\xd3")
    kernel.unmap(kernel.symbols["ucopy_trace_idx"].address)
    report = explain(scene_of(kernel, GOOD))
    assert [f.facts.verdict for f in report.findings] == ["undecidable"]
    assert "the ring's index cannot be read" in report.problems[0]
