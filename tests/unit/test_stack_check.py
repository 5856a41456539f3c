"""A failed stack check: whose canary, overwritten by whom; silent where the guard itself is the victim."""

from __future__ import annotations

from typing import Optional

import pytest
from stories import DATA, GOOD, KERNEL, SOURCE, USER_TEXT, Kernel, damaged, only, scene_of

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding

STACK = 0x7FFF_FFFF_0000
FAIL, VICTIM, OUTER = USER_TEXT + 0x1000, USER_TEXT + 0x1100, USER_TEXT + 0x1200
SLOT, OUTER_SLOT = STACK + 0x28, STACK + 0x68
# sub rsp, 0x18; mov rax, fs:[0x28]; mov [rsp + 8], rax
PROLOGUE = bytes.fromhex("4883ec1864488b0425280000004889442408")


def failed(canary: int, outer: int = GOOD, function: str = "__stack_chk_fail") -> Kernel:
    """Stopped in a failed check of `parse`, which `run` called."""
    kernel = Kernel()
    kernel.map(STACK, bytes(0x1000))
    kernel.map(FAIL, b"\x06" * 0x1000)  # no instructions
    for start, name in ((FAIL, function), (VICTIM, "parse"), (OUTER, "run")):
        kernel.place(name, start, 0x100)
    for start in (VICTIM, OUTER):
        kernel.put(start, PROLOGUE)
    kernel.put_words(SLOT, canary)
    kernel.put_words(OUTER_SLOT, outer)
    kernel.registers["rip"] = FAIL + 4
    for pc, sp in ((FAIL + 4, STACK), (VICTIM + 0x40, STACK + 0x20), (OUTER + 0x40, STACK + 0x60)):
        kernel.frame(pc, sp)
    return kernel


def findings(kernel: Kernel, seen: Optional[int] = GOOD) -> tuple[Finding, ...]:
    return explain(scene_of(kernel, seen)).findings


@pytest.mark.parametrize("function", ["__stack_chk_fail", "__stack_chk_fail_local", "__stack_smash_handler"])
def test_an_overflow_of_the_program_is_the_programs_fault(function: str) -> None:
    finding = only(findings(failed(damaged(b"AAAAAA"), function=function)))
    facts = finding.facts
    assert (finding.rule, facts.verdict) == ("stack-check-failed", "program at fault")
    assert (facts.victim, facts.victim_address) == ("canary of parse", SLOT)
    assert (facts.expected, facts.found) == (GOOD, damaged(b"AAAAAA"))


def test_the_evidence_spells_out_text() -> None:
    evidence = only(findings(failed(int.from_bytes(b"long nam", "little")))).evidence
    assert f"parse (frame 1) keeps its canary at {SLOT:#x}" in evidence[0]
    assert '(text "long nam")' in evidence[0]


def test_bytes_that_are_no_text_are_not_spelled_out() -> None:
    assert "text" not in only(findings(failed(damaged(b"\xd1\xd2\xd3")))).evidence[0]
    assert "text" not in only(findings(failed(0))).evidence[0]


def test_a_doubled_copy_into_a_stack_buffer_is_the_routines_fault() -> None:
    kernel = failed(damaged(DATA[4:8]))
    kernel.copy(SLOT - 4, 4)
    kernel.put(SLOT - 4, DATA[:8])
    facts = only(findings(kernel)).facts
    assert (facts.verdict, facts.asked, facts.wrote) == ("routine at fault", 4, 8)


def test_a_copy_asked_over_the_canary_is_the_callers_fault() -> None:
    kernel = failed(damaged(DATA[4:8]))
    kernel.copy(SLOT - 4, 8)
    kernel.put(SLOT - 4, DATA[:8])
    finding = only(findings(kernel))
    assert (finding.facts.verdict, finding.confidence) == ("caller at fault", "certain")
    assert "the asked range reaches 4 bytes into the canary of parse" in "\n".join(finding.evidence)


def test_a_copy_to_the_other_half_of_the_address_space_is_not_accused() -> None:
    kernel = failed(damaged(DATA[4:8]))
    kernel.copy(KERNEL + 0x40_0000, 8, source=SOURCE)
    assert only(findings(kernel)).facts.verdict == "program at fault"


def test_lost_records_leave_it_undecidable() -> None:
    kernel = failed(damaged(b"AAAAAA"))
    kernel.others(40)
    finding = only(findings(kernel))
    assert finding.facts.verdict == "undecidable"
    assert finding.next[0] == f"kdbg watch {SLOT:#x},8, then run it again"


def test_a_stop_outside_a_failed_check_is_not_judged() -> None:
    assert findings(failed(damaged(b"AAAAAA"), function="puts")) == ()


def test_a_changed_guard_is_told_by_its_own_rule_alone() -> None:
    kernel = failed(GOOD)
    kernel.set_guard(damaged(b"AAAAAA"))
    assert only(findings(kernel)).rule == "guard-changed"


def test_frames_that_agree_against_an_unknown_guard_convict_the_guard() -> None:
    kernel = failed(GOOD)
    kernel.set_guard(damaged(b"AAAAAA"))
    assert only(findings(kernel, seen=None)).rule == "guard-changed"


def test_a_canary_that_equals_the_guard_is_not_accused() -> None:
    assert findings(failed(GOOD)) == ()


def test_a_failed_function_without_a_canary_is_not_judged() -> None:
    kernel = failed(damaged(b"AAAAAA"))
    kernel.put(VICTIM, b"\x90" * len(PROLOGUE))
    assert findings(kernel) == ()


def test_an_unreadable_canary_is_not_judged() -> None:
    kernel = failed(damaged(b"AAAAAA"))
    kernel.unmap(STACK)
    assert findings(kernel) == ()


def test_a_check_that_failed_with_no_frame_below_is_not_judged() -> None:
    kernel = failed(damaged(b"AAAAAA"))
    del kernel.stack[1:]
    assert findings(kernel) == ()
