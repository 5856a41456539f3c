"""A write seen in the act: what was asked, what is written, and who is at fault."""

from __future__ import annotations

from stories import AGAIN, GOOD, GUARD, OTHER_PID, USER_TEXT, Kernel, only, scene_of

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding


def find(kernel: Kernel) -> Finding:
    return only(explain(scene_of(kernel, seen=GOOD)).findings)


def caught(destination: int, asked: int, written: int, left: int) -> Finding:
    """The finding on a copy caught behind its write of the byte before `written`."""
    kernel = Kernel()
    kernel.process()
    kernel.copy(destination, asked)
    kernel.put(written - 1, b"\x55")
    kernel.stop_in_copy(written, left)
    return find(kernel)


def test_a_doubled_copy_is_the_routines_fault() -> None:
    finding = caught(GUARD - 4, 4, GUARD + 1, 3)
    facts = finding.facts
    assert (finding.rule, finding.confidence, facts.verdict) == ("guard-changed", "certain", "routine at fault")
    assert (facts.asked, facts.wrote, facts.destination) == (4, 8, GUARD - 4)
    assert (facts.routine, facts.phase, facts.instruction) == ("copy_to_user", "small", AGAIN)
    assert (facts.caller, facts.file, facts.line) == ("tty_ioctl+0x5", "tty.c", 77)
    assert (facts.tag, facts.system_call, facts.process, facts.pid) == ("ioctl:TIOCGWINSZ", "ioctl", "tty", 7)
    assert (facts.victim, facts.victim_address, facts.expected) == ("guard", GUARD, GOOD)


def test_the_summary_says_asked_and_wrote_and_who_called() -> None:
    assert caught(GUARD - 4, 4, GUARD + 1, 3).summary == (
        "routine at fault: copy_to_user was asked for 4 bytes and wrote 8, over the guard in tty (pid 7); "
        "called by tty_ioctl+0x5 (tty.c:77), ioctl:TIOCGWINSZ"
    )


def test_the_evidence_says_that_the_asked_range_ends_where_the_guard_begins() -> None:
    evidence = "\n".join(caught(GUARD - 4, 4, GUARD + 1, 3).evidence)
    assert f"the asked range ends at {GUARD:#x}, exactly where the guard begins" in evidence
    assert f"wrote 1 bytes at {GUARD:#x}, 3 more to come" in evidence
    assert "ring record 0: asked 4 bytes" in evidence


def test_a_copy_asked_for_too_much_is_the_callers_fault() -> None:
    finding = caught(GUARD - 4, 8, GUARD + 1, 3)
    facts = finding.facts
    assert (facts.verdict, finding.confidence, facts.asked, facts.wrote) == ("caller at fault", "certain", 8, 8)
    assert finding.summary.startswith(f"caller at fault: tty_ioctl+0x5 (tty.c:77) asked for 8 bytes to {GUARD - 4:#x}")
    assert "the asked range reaches 4 bytes into the guard" in "\n".join(finding.evidence)
    assert finding.next[0] == "list tty.c:77"


def test_a_copy_asked_to_a_wrong_place_is_the_callers_fault() -> None:
    finding = caught(GUARD + 2, 4, GUARD + 3, 3)
    assert finding.facts.verdict == "caller at fault"
    assert f"the asked destination lies in the guard at {GUARD:#x}" in "\n".join(finding.evidence)


def test_a_routine_that_runs_on_behind_an_overlapping_copy_is_at_fault_for_the_bytes_behind_it() -> None:
    # Asked for the guard's first two bytes (the caller's fault), caught writing its third.
    finding = caught(GUARD - 2, 4, GUARD + 3, 1)
    assert (finding.facts.verdict, finding.facts.wrote) == ("routine at fault", 6)


def test_a_copy_asked_to_behind_the_guard_that_writes_it_is_the_routines_fault() -> None:
    for gap in (0, 8):
        finding = caught(GUARD + 8 + gap, 4, GUARD + 1, 0)
        assert finding.facts.verdict == "routine at fault"
        assert (
            f"the asked range begins at {GUARD + 8 + gap:#x}, {gap} bytes behind the end of the guard"
            in finding.evidence
        )


def test_a_store_of_the_program_itself_is_the_programs_fault() -> None:
    kernel = Kernel()
    kernel.put(USER_TEXT, bytes.fromhex("488907"))  # mov [rdi], rax
    kernel.registers.update(rip=USER_TEXT + 3, rdi=GUARD, rax=0)
    kernel.set_guard(0)
    finding = find(kernel)
    facts = finding.facts
    assert (facts.verdict, finding.confidence) == ("program at fault", "certain")
    assert (facts.function, facts.file, facts.line, facts.asked) == ("main", "main.c", 12, None)
    assert finding.summary == "program at fault: the guard was overwritten in main (main.c:12); no copy wrote there"


def test_a_place_without_a_line_is_told_without() -> None:
    kernel = Kernel()
    kernel.place("start", USER_TEXT, 0x100)
    kernel.put(USER_TEXT, bytes.fromhex("488907"))
    kernel.registers.update(rip=USER_TEXT + 3, rdi=GUARD, rax=0)
    kernel.set_guard(0)
    assert f"at {USER_TEXT:#x} in start wrote 8 bytes at {GUARD:#x}" in find(kernel).evidence[1]


def test_a_kernel_write_without_a_ring_record_is_undecidable() -> None:
    kernel = Kernel()
    kernel.put(GUARD, b"\x55")
    kernel.stop_in_copy(GUARD + 1, 3)
    finding = find(kernel)
    assert (finding.facts.verdict, finding.confidence) == ("undecidable", "possible")
    assert "no ring record belongs to this write" in "\n".join(finding.evidence)


def test_a_runtime_that_sets_its_guard_is_not_accused() -> None:
    kernel = Kernel()
    kernel.put(USER_TEXT, bytes.fromhex("644889042528000000"))  # mov fs:[0x28], rax
    kernel.registers.update(rip=USER_TEXT + 9, rax=GOOD)
    assert explain(scene_of(kernel)).findings == ()


def test_a_store_into_half_of_an_unset_guard_is_no_initialisation() -> None:
    kernel = Kernel()
    kernel.put(USER_TEXT, bytes.fromhex("8907"))  # mov [rdi], eax
    kernel.registers.update(rip=USER_TEXT + 2, rdi=GUARD)
    assert only(explain(scene_of(kernel)).findings).facts.verdict == "program at fault"


def test_a_write_that_puts_the_good_guard_back_is_not_accused() -> None:
    kernel = Kernel()
    kernel.put(USER_TEXT, bytes.fromhex("488907"))
    kernel.registers.update(rip=USER_TEXT + 3, rdi=GUARD, rax=GOOD)
    assert explain(scene_of(kernel, seen=GOOD)).findings == ()


def test_a_write_next_to_the_guard_is_not_accused() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 4)
    kernel.stop_in_copy(GUARD - 2, 2)
    assert explain(scene_of(kernel, seen=GOOD)).findings == ()


def test_another_processs_newest_record_is_not_taken_for_this_copy() -> None:
    kernel = Kernel()
    kernel.copy(GUARD - 4, 4, caller=0xFFFF_FFFF_8000_5555, pid=OTHER_PID)
    kernel.put(GUARD, b"\x55")
    kernel.stop_in_copy(GUARD + 1, 3)
    assert find(kernel).facts.verdict == "undecidable"


def test_the_system_call_in_progress_is_named_only_while_one_is() -> None:
    kernel = Kernel()
    kernel.process(system_call=-1)
    kernel.copy(GUARD - 4, 4, tag=0)
    kernel.put(GUARD, b"\x55")
    kernel.stop_in_copy(GUARD + 1, 3)
    assert find(kernel).facts.system_call is None
    kernel.process(system_call=0)
    assert find(kernel).facts.system_call == "read"
