"""A copy cut short by a page fault: which side, how much was done, who called; and no word of old faults."""

from __future__ import annotations

from stories import AGAIN, OTHER_PID, PID, ROUTINE, SOURCE, TAG, Kernel, only, scene_of

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding

RECORD = SOURCE + 0x1000
BAD = 0x7FFF_0000_1000


def faulted(
    address: int = BAD, destination: int = BAD - 3, size: int = 8, left: int = 5, pid: int = PID, tag: int = TAG
) -> Kernel:
    kernel = Kernel()
    kernel.process()
    kernel.define("ucopy_fault_last", RECORD)
    kernel.map(RECORD, bytes(64))
    kernel.put_words(RECORD, 1, address, AGAIN, destination, SOURCE, size, left, pid << 16 | tag)
    kernel.copy(destination, size)
    return kernel


def findings(kernel: Kernel) -> tuple[Finding, ...]:
    return explain(scene_of(kernel)).findings


def test_a_fault_of_the_running_process_is_explained() -> None:
    finding = only(findings(faulted()))
    assert (finding.rule, finding.confidence) == ("copy-fault", "possible")
    assert finding.summary == (
        f"copy fault in the small phase of copy_to_user: {BAD:#x} (destination) is not mapped; "
        "3 of 8 bytes were copied, ioctl:TIOCGWINSZ"
    )
    assert finding.evidence[1] == "called by tty_ioctl+0x5 (tty.c:77)"


def test_the_facts_say_what_was_asked_and_what_was_left() -> None:
    facts = only(findings(faulted())).facts
    assert (facts.asked, facts.wrote, facts.remaining, facts.fault_address) == (8, 3, 5, BAD)
    assert (facts.routine, facts.phase, facts.instruction) == ("copy_to_user", "small", AGAIN)
    assert (facts.caller, facts.sequence, facts.tag) == ("tty_ioctl+0x5", 0, "ioctl:TIOCGWINSZ")
    assert (facts.process, facts.pid, facts.system_call) == ("tty", PID, "ioctl")


def test_an_address_outside_the_destination_is_the_sources() -> None:
    assert "(source) is not mapped" in only(findings(faulted(address=SOURCE + 2))).summary
    assert "(destination) is not mapped" in only(findings(faulted(address=BAD - 3))).summary


def test_no_fault_yet_is_no_finding() -> None:
    kernel = faulted()
    kernel.put_words(RECORD, 0)
    assert findings(kernel) == ()


def test_a_kernel_without_fault_records_has_no_finding() -> None:
    kernel = faulted()
    del kernel.symbols["ucopy_fault_last"]
    assert findings(kernel) == ()


def test_a_fault_of_another_process_is_told_only_where_the_kernel_reports_it() -> None:
    kernel = faulted(pid=OTHER_PID)
    assert findings(kernel) == ()
    kernel.place("ucopy_fault", ROUTINE + 0x200, 16)
    kernel.frame(ROUTINE + 0x200, 0)
    facts = only(findings(kernel)).facts
    assert (facts.pid, facts.process, facts.system_call) == (OTHER_PID, None, None)


def test_a_process_id_beyond_16_bits_is_compared_by_its_low_16() -> None:
    kernel = faulted()
    kernel.process(pid=0x10000 + PID)
    assert only(findings(kernel)).facts.process == "tty"


def test_a_fault_without_a_tag_has_none() -> None:
    finding = only(findings(faulted(tag=0)))
    assert finding.facts.tag is None
    assert finding.summary.endswith("3 of 8 bytes were copied")


def test_a_fault_whose_copy_left_the_ring_has_no_caller() -> None:
    kernel = faulted()
    kernel.others(40)
    finding = only(findings(kernel))
    assert (finding.facts.caller, finding.facts.sequence, len(finding.evidence)) == (None, None, 1)


def test_an_unreadable_record_is_a_problem() -> None:
    kernel = faulted()
    kernel.unmap(RECORD)
    report = explain(scene_of(kernel))
    assert report.findings == ()
    assert report.problems == (f"ucopy_fault_last: cannot access 64 bytes at {RECORD:#x}: not mapped",)


def test_the_next_step_is_the_ring_around_the_destination() -> None:
    assert only(findings(faulted())).next == (f"kdbg ring --around {BAD - 3:#x}",)
