"""Who changed a stack guard, by a log alone. Each accusation has its twin in which one thing less is known."""

from __future__ import annotations

from typing import Any

import pytest
from log_lines import (
    GUARD,
    INTACT,
    KERNEL,
    analyse,
    check,
    damaged,
    dump,
    entry,
    exec_of,
    finding,
    findings,
    killed,
    signal,
    usercopy,
)

BEFORE, AFTER = check(when="pre_syscall"), "post_syscall"
DOUBLED = check(damaged(b"\x17\x10\x55\x5e"), AFTER)
WHOLE = check(0x0190028000500019, AFTER)
SMALL = entry(GUARD - 4, 4)


def test_a_doubled_copy_is_the_routines_fault() -> None:
    found = finding(BEFORE, DOUBLED, dump(entry(GUARD - 0x18, 8), SMALL))
    facts = found.facts
    assert (found.rule, found.confidence) == ("guard-changed", "likely")
    assert found.summary == "routine at fault: the copy routine was asked for 4 bytes and wrote 8, over the guard" + (
        f"; called by {facts.caller}" if facts.caller else ""
    )
    assert (facts.verdict, facts.asked, facts.wrote) == ("routine at fault", 4, 8)
    assert (facts.victim_address, facts.expected, facts.system_call) == (GUARD, INTACT, "ioctl")
    assert found.evidence[0].startswith("line 2: guard at 0x410028 is 0x41941cb35e551017")


def test_the_copy_may_be_known_by_its_event_alone() -> None:
    found = finding(BEFORE, usercopy(GUARD - 4, 4), DOUBLED)
    assert (found.facts.verdict, found.facts.asked, found.facts.wrote) == ("routine at fault", 4, 8)
    assert found.facts.tag == "ioctl:TIOCGPGRP"


@pytest.mark.parametrize(
    "parts",
    [
        # It is not known when it was done.
        [DOUBLED, dump(SMALL)],
        # Another process, another check of the guard, events lost in between.
        [check(pid=4), DOUBLED, dump(SMALL)],
        [{**BEFORE, "seq": 7}, {**DOUBLED, "seq": 9}, {**dump(SMALL), "seq": 10}],
        # The program ran in between as well.
        [check(when="pre_syscall", syscall="read"), DOUBLED, dump(SMALL)],
        # A newer copy stands in the ring, and nothing tells for whom this one was made.
        [BEFORE, DOUBLED, dump(SMALL, entry(0x7FFF0000, 8))],
        # Not what a second copy would have written: too far away, too much, too little.
        [BEFORE, DOUBLED, dump(entry(GUARD - 6, 4))],
        [BEFORE, check(damaged(b"\x17\x10\x55\x5e\x01\x02"), AFTER), dump(SMALL)],
        [BEFORE, check(damaged(b"\x17"), AFTER), dump(SMALL)],
        # The damage begins behind the copy's end.
        [BEFORE, check(damaged(b"\x17\x10\x55", 2), AFTER), dump(SMALL)],
        # Two copies that might both have done it.
        [BEFORE, usercopy(GUARD - 4, 4), usercopy(GUARD - 4, 4), DOUBLED, dump(SMALL, SMALL)],
        # No copy is known at all.
        [BEFORE, DOUBLED],
    ],
)
def test_no_routine_is_accused_with_less(parts: list[Any]) -> None:
    (found,) = analyse(*parts).findings
    assert found.facts.verdict == "undecidable" and found.confidence == "possible"


@pytest.mark.parametrize(
    ("check_after", "copy"),
    [(DOUBLED, entry(GUARD - 4, 8)), (WHOLE, entry(GUARD, 8)), (WHOLE, entry(GUARD - 64, 512))],
)
def test_a_copy_that_was_asked_to_go_there_is_its_callers_fault(check_after: Any, copy: Any) -> None:
    facts = finding(BEFORE, check_after, dump(copy)).facts
    assert (facts.verdict, facts.asked, facts.wrote) == ("caller at fault", copy["len"], copy["len"])


@pytest.mark.parametrize(
    "parts",
    [
        # From the program, not to it.
        [BEFORE, WHOLE, dump(entry(KERNEL, 8, source=GUARD))],
        # Another process's, whose guard is elsewhere.
        [BEFORE, WHOLE, dump({**entry(GUARD, 8), "pid": 4})],
        # Made for another system call than the one in which it happened.
        [BEFORE, WHOLE, dump({**entry(GUARD, 8), "pid": 3, "ctx": "read:buffer"})],
        # Made before the guard was seen intact, by its event.
        [usercopy(GUARD, 8), BEFORE, WHOLE, dump(entry(GUARD, 8))],
        # It covers a part only of what was changed.
        [BEFORE, WHOLE, dump(entry(GUARD + 16, 8))],
    ],
)
def test_no_caller_is_accused_with_less(parts: list[Any]) -> None:
    assert finding(*parts).facts.verdict == "undecidable"


def test_damage_while_the_program_ran_is_its_own() -> None:
    found = finding(check(when=AFTER), check(damaged(b"edg\0"), "pre_syscall", "write"), dump(entry(GUARD - 0x18, 8)))
    assert found.facts.verdict == "program at fault" and found.confidence == "likely"
    assert "while the program itself ran" in " ".join(found.evidence)


@pytest.mark.parametrize(
    "parts",
    [
        # A copy ends at the guard, and nothing tells when it was made.
        [check(when=AFTER), check(damaged(b"edg\0"), "pre_syscall", "write"), dump(SMALL)],
        [check(damaged(b"edg\0"), "pre_syscall", "write"), dump(SMALL, total=40)],
        [BEFORE, check(damaged(b"edg\0"), AFTER), dump(entry(GUARD - 0x18, 8))],
    ],
)
def test_no_program_is_accused_with_less(parts: list[Any]) -> None:
    assert finding(*parts).facts.verdict == "undecidable"


def test_a_copy_known_to_be_older_clears_the_kernel() -> None:
    before = [check(when="pre_syscall"), usercopy(GUARD - 4, 4), check(when=AFTER)]
    found = finding(*before, check(damaged(b"edg\0"), "pre_syscall", "write"), dump(SMALL))
    assert found.facts.verdict == "program at fault"


def test_what_became_of_the_process_is_evidence_and_no_finding_of_its_own() -> None:
    found = finding(exec_of("/bin/editor"), BEFORE, DOUBLED, dump(SMALL), signal(6), killed(6))
    assert "over the guard in editor (pid 3)" in found.summary
    assert "killed by SIGABRT" in " ".join(found.evidence)


def test_damage_that_is_seen_again_is_told_once() -> None:
    found = finding(BEFORE, DOUBLED, dump(SMALL), check(damaged(b"\x17\x10\x55\x5e"), "pre_syscall", "write"), DOUBLED)
    assert "and 2 times again" in found.evidence[0]


def test_another_program_in_the_same_process_has_another_guard() -> None:
    assert len(findings(BEFORE, DOUBLED, exec_of("/bin/sh"), check(1, AFTER))) == 2


@pytest.mark.parametrize(
    "part",
    [
        {**DOUBLED, "fsbase": 0},
        {**DOUBLED, "found": DOUBLED["expected"]},
        {name: value for name, value in DOUBLED.items() if name != "found"},
        {**DOUBLED, "corrupted": False},
        {**DOUBLED, "corrupted": "true"},
    ],
)
def test_a_check_that_tells_nothing_tells_nothing(part: Any) -> None:
    assert findings(BEFORE, part, dump(SMALL)) == ()


def test_a_machine_that_starts_again_is_another_one() -> None:
    parts = [{**check(), "seq": 100}, {**DOUBLED, "seq": 0}, {**dump(SMALL), "seq": 1}]
    found = analyse(*parts).findings[0]
    assert found.facts.verdict == "undecidable" and "no earlier check" in " ".join(found.evidence)


def test_many_damaged_guards_are_bounded() -> None:
    found = analyse(*(check(damaged(b"\1\2"), AFTER, pid=pid) for pid in range(1, 101)))
    assert len(found.findings) == 32
    assert found.problems == ("68 more guards were changed, which are not told one by one",)
