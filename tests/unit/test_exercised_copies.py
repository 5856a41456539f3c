"""What exercising the routine in the emulator adds to an attribution, and what it must not."""

from __future__ import annotations

import sys
from typing import Optional

import pytest
from stories import DATA, GOOD, GUARD, PID, RIGHT, ROUTINE, SOURCE, Kernel, only, scene_of

from gdb_kdbg.copy_suspect import check_command, exercise_copy
from gdb_kdbg.diagnosis import explain
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.finding import Finding, WhyReport
from gdb_kdbg.scope import Scope

# One byte too many: mov rcx, rdx; inc rcx; rep movsb; xor eax, eax; ret
ONE_MORE = bytes.fromhex("4889d148ffc1f3a431c0c3")
# vpermq ymm0, [rsi], 0xe4; vmovdqu [rdi], ymm0
AVX = bytes.fromhex("c4e3fd0006e4c5fe7f07c3")
NOTHING = bytes.fromhex("31c0c3")
ENDLESS = bytes.fromhex("ebfe")


def report(kernel: Kernel) -> WhyReport:
    return explain(scene_of(kernel, GOOD))


def find(kernel: Kernel) -> Finding:
    return only(report(kernel).findings)


def doubled(size: int = 4, code: Optional[bytes] = None) -> Kernel:
    """A copy that ended at the guard was done twice; afterwards the routine's code may be another one."""
    kernel = Kernel()
    kernel.copy(GUARD - size, size)
    kernel.put(GUARD - size, DATA[: 2 * size])
    if code is not None:
        kernel.put(ROUTINE, code.ljust(16, b"\x90"))
    return kernel


def suspected(found: bytes, intact_at: int = 1, code: Optional[bytes] = None) -> Kernel:
    """A copy of 4 bytes ended at the guard, which holds `found` now; what was at the copy's source is gone."""
    kernel = doubled(4, code)
    kernel.total = 0
    kernel.others(1)
    kernel.copy(GUARD - 4, 4)
    kernel.set_guard(GOOD)
    kernel.put(GUARD, found)
    kernel.put(SOURCE, b"\xee" * 16)
    kernel.process(PID, intact_at=intact_at)
    return kernel


def line_of(finding: Finding) -> str:
    (line,) = [line for line in finding.evidence if line.startswith("exercised in the emulator")]
    return line


def test_a_routine_that_copies_twice_breaks_at_the_very_size() -> None:
    finding = find(doubled())
    assert (finding.facts.verdict, finding.facts.exercised) == ("routine at fault", "breaks")
    assert line_of(finding).startswith(
        "exercised in the emulator: copy_to_user with 4 bytes at this alignment writes 8 (asked 4), by copy_to_user+0x8"
    )
    assert finding.confidence == "certain"
    assert finding.next[0] == "kdbg check-copy copy_to_user"


def test_a_routine_that_does_no_such_thing_speaks_against_what_memory_says() -> None:
    finding = find(doubled(code=RIGHT))
    assert (finding.facts.verdict, finding.facts.exercised) == ("routine at fault", "conforms")
    assert finding.confidence == "likely"
    assert line_of(finding).endswith("copy_to_user with 4 bytes at this alignment writes 4, as asked")


def test_what_was_seen_in_the_act_stays_certain() -> None:
    kernel = Kernel()
    kernel.process()
    kernel.copy(GUARD - 4, 4)
    kernel.put(GUARD, b"\x55")
    kernel.stop_in_copy(GUARD + 1, 3)
    finding = find(kernel)
    assert (finding.confidence, finding.facts.exercised) == ("certain", "breaks")


def test_a_caller_that_asked_for_too_much_of_a_right_routine_is_at_fault() -> None:
    kernel = doubled(4, RIGHT)
    kernel.total = 0
    kernel.copy(GUARD - 4, 8)
    finding = find(kernel)
    facts = finding.facts
    assert (facts.verdict, finding.confidence, facts.exercised) == ("caller at fault", "certain", "conforms")
    assert line_of(finding).endswith("with 8 bytes at this alignment writes 8, as asked")
    assert not any("check-copy" in step for step in finding.next)


def test_a_suspect_whose_routine_does_just_this_damage_is_likely_at_fault() -> None:
    finding = find(suspected(b"\xd1\xd2\xd3\xd4"))
    facts = finding.facts
    assert (facts.verdict, finding.confidence, facts.exercised) == ("routine at fault", "likely", "breaks")
    assert (facts.asked, facts.wrote, facts.routine, facts.sequence) == (4, 8, "copy_to_user", 1)
    assert "that covers all 4 bytes of the guard that were changed" in finding.evidence


def test_a_single_byte_that_lies_behind_the_source_is_enough_with_the_emulator() -> None:
    finding = find(doubled(1))
    assert (finding.facts.verdict, finding.confidence, finding.facts.wrote) == ("routine at fault", "likely", 2)


@pytest.mark.parametrize(
    "found", [b"\xd1\xd2\xd3\xd4\xd5", b"\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8", b"\xd1"], ids=["more", "all", "too little"]
)
def test_damage_that_the_routine_does_not_do_accuses_nobody(found: bytes) -> None:
    finding = find(suspected(found))
    assert (finding.facts.verdict, finding.facts.exercised) == ("undecidable", "breaks")
    assert "kdbg check-copy copy_to_user" in finding.next


def test_damage_that_may_be_older_than_the_guard_accuses_nobody() -> None:
    # Nobody saw the guard intact before the copy: it may have been set afterwards, and overwritten by others.
    finding = find(suspected(b"\xd1\xd2\xd3\xd4", intact_at=0))
    assert (finding.facts.verdict, finding.facts.exercised) == ("undecidable", "breaks")


def test_a_suspect_whose_routine_is_right_is_not_accused() -> None:
    finding = find(suspected(b"\xd1\xd2\xd3\xd4", code=RIGHT))
    assert (finding.facts.verdict, finding.facts.exercised) == ("undecidable", "conforms")


def test_a_routine_that_writes_one_byte_more_does_not_explain_four() -> None:
    assert find(suspected(b"\xd1\xd2\xd3\xd4", code=ONE_MORE)).facts.verdict == "undecidable"
    finding = find(suspected(b"\xd1", code=ONE_MORE))
    assert (finding.facts.verdict, finding.confidence, finding.facts.wrote) == ("routine at fault", "likely", 5)


def cleared(found: bytes, intact_at: int, code: Optional[bytes] = None) -> Kernel:
    """A copy that memory clears: its source is a variable, and what follows that is not in the guard."""
    kernel = suspected(found, intact_at, code)
    kernel.put(SOURCE, DATA)
    return kernel


def test_a_copy_that_memory_clears_is_not_cleared_of_what_its_routine_does() -> None:
    found = b"\xd1\xd2\xd3\xd4"
    facts = find(cleared(found, 1)).facts
    assert (facts.verdict, facts.exercised, facts.wrote) == ("routine at fault", "breaks", 8)
    # It may have been made before the guard was set; but the program is not accused either.
    facts = find(cleared(found, 0)).facts
    assert (facts.verdict, facts.exercised) == ("undecidable", "breaks")
    assert find(cleared(found + b"\xd5", 1)).facts.verdict == "undecidable"


def test_a_copy_that_memory_clears_and_whose_routine_is_right_leaves_the_program() -> None:
    finding = find(cleared(b"\xd1\xd2\xd3\xd4", 1, RIGHT))
    assert (finding.facts.verdict, finding.facts.exercised) == ("program at fault", "conforms")
    assert line_of(finding).endswith("with 4 bytes at this alignment writes 4, as asked")


def test_a_routine_with_vectors_is_exercised() -> None:
    # vmovdqu ymm0, [rsi]; vmovdqu [rdi], ymm0; xor eax, eax; ret
    finding = find(suspected(b"\xd1\xd2\xd3\xd4", code=bytes.fromhex("c5fe6f06c5fe7f0731c0c3")))
    assert finding.facts.exercised == "breaks"
    assert "with 4 bytes at this alignment writes 32 (asked 4), by " in line_of(finding)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (AVX, "cannot be run to its end: vpermq"),
        (NOTHING, "copies nothing when called with destination, source and size"),
        (ENDLESS, "no return within a bound"),
        (b"\xff\x24\x25\x00\x00\x00\x00", "cannot be run to its end"),
    ],
    ids=["AVX", "another convention", "endless", "jumps to nowhere"],
)
def test_what_cannot_be_run_says_nothing(code: bytes, text: str) -> None:
    finding = find(suspected(b"\xd1\xd2\xd3\xd4", code=code))
    assert (finding.facts.verdict, finding.facts.exercised) == ("undecidable", "undecidable")
    assert text in line_of(finding)
    finding = find(doubled(code=code))
    assert (finding.confidence, finding.facts.exercised) == ("certain", "undecidable")


def test_without_unicorn_there_is_one_problem_and_the_story_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)
    told = report(doubled())
    assert only(told.findings).facts.exercised is None
    assert only(told.findings).confidence == "certain"
    assert len(told.problems) == 1 and "unicorn is missing" in told.problems[0]
    assert find(suspected(b"\xd1\xd2\xd3\xd4")).facts.verdict == "undecidable"


def test_code_that_cannot_be_read_is_one_problem() -> None:
    kernel = doubled()
    kernel.unmap(ROUTINE)
    told = report(kernel)
    assert only(told.findings).facts.exercised is None
    assert [problem for problem in told.problems if "was not exercised" in problem] == list(told.problems)


def test_the_target_is_not_written() -> None:
    kernel = suspected(b"\xd1\xd2\xd3\xd4")
    before = kernel.peek(ROUTINE, 0x100), kernel.peek(GUARD - 8, 16), kernel.peek(SOURCE, 0x100)
    assert find(kernel).facts.exercised == "breaks"
    assert before == (kernel.peek(ROUTINE, 0x100), kernel.peek(GUARD - 8, 16), kernel.peek(SOURCE, 0x100))


def test_a_copy_is_not_exercised_where_its_areas_overlap_or_it_is_too_large() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 8, source=GUARD - 2)
    kernel.copy(GUARD - 4, 1 << 20)
    for record in kernel.records():
        assert exercise_copy(kernel, Scope(()), "copy_to_user", record) is None


def test_the_routine_is_exercised_where_its_copy_lay_in_its_pages() -> None:
    # cmp to a page's end: writes a byte more only if the destination ends on one. lea rax, [rdi + rdx];
    # test eax, 0xfff; mov rcx, rdx; jne +3; inc rcx; rep movsb; xor eax, eax; ret
    code = bytes.fromhex("488d0417a9ff0f00004889d1750348ffc1f3a431c0c3")
    for destination, verdict in ((0x10_0FFC, "breaks"), (0x10_0FBC, "conforms")):
        kernel = doubled(code=code)
        kernel.copy(destination, 4)
        outcome = exercise_copy(kernel, Scope(()), "copy_to_user", kernel.records()[-1])
        assert outcome is not None and outcome.verdict == verdict


def test_the_command_to_type_names_a_contract_where_the_name_does_not_tell() -> None:
    assert check_command("copy_to_user") == "kdbg check-copy copy_to_user"
    assert check_command("transfer") == "kdbg check-copy transfer --contract copy_user"


def test_data_under_the_routines_name_is_an_error() -> None:
    kernel = doubled()
    kernel.define("copy_to_user", 0x10, 1)
    with pytest.raises(KdbgError):
        exercise_copy(kernel, Scope(()), "copy_to_user", kernel.records()[-1])
