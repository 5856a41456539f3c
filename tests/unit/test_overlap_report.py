"""What overlap probes tell, and calls judged one by one."""

from __future__ import annotations

import argparse

import pytest
from fakes import FakeSession, FakeTarget
from uml_fakes import CURRENT, FakeUml

from gdb_kdbg.commands.overlap import overlap
from gdb_kdbg.errors import KdbgError, NotSupported
from gdb_kdbg.overlap_command import COUNT, LOG, STOP, mode_of
from gdb_kdbg.overlap_exact import CallTally
from gdb_kdbg.overlap_plan import EntryPlan, Plan, SlotPlan
from gdb_kdbg.overlap_report import PROBE_RING, Call, describe_hit, summed_up
from gdb_kdbg.probe_area import Counts, Tally
from gdb_kdbg.render.table import to_text
from gdb_kdbg.rules.overlap import overlapping_copy
from gdb_kdbg.scope import Scope
from gdb_kdbg.target import Symbol
from gdb_kdbg.units import Address, Size

ROUTINE, CALLER, OUTER = 0x40_1000, 0x40_2000, 0x40_3000


def target_with_code() -> FakeTarget:
    target = FakeTarget(kind="native", cr3=None)
    target.place("memcpy", ROUTINE, 64)
    target.place("shift_items", CALLER, 64, "leaf.c", 12)
    target.place("main", OUTER, 64, "main.c", 7)
    return target


def call(destination: int = 0x2031, source: int = 0x2000, size: int = 171, back: int = CALLER + 8) -> Call:
    return Call("memcpy", Address(destination), Address(source), Size(size), Address(back))


def test_a_hit_names_the_call_and_the_frames() -> None:
    target = target_with_code()
    target.frame(ROUTINE, 0x7000)
    target.frame(CALLER + 8, 0x7008)
    target.frame(OUTER + 9, 0x7100)
    target.frame(0x1234, 0x7200)
    hit = describe_hit(target, call(), "1 (LWP 7, leaf)", target.frames(9))
    assert hit.backtrace == ("#0 memcpy", "#1 shift_items (leaf.c:12)", "#2 main (main.c:7)", "#3 0x1234")
    assert (hit.caller, hit.file, hit.line, hit.distance) == ("shift_items", "leaf.c", 12, 49)
    assert hit.summary == "memcpy overlap: 171 bytes to 0x2031, 49 above the source 0x2000; 122 bytes belong to both"
    below = describe_hit(target, call(destination=0x1FE1), "", ())
    assert "31 below the source" in below.summary and below.distance == -31
    assert (hit.thread, hit.task) == ("1 (LWP 7, leaf)", None)


def test_in_a_kernel_the_task_stands_for_the_thread() -> None:
    kernel = FakeUml()
    kernel.task(0x6200_0000, 57, "mount")
    kernel.put_words(CURRENT + 8, 0x6200_0000)
    kernel.frame(ROUTINE, 0x7000)
    kernel.frame(0x1234, 0x7008)
    kernel.frame(0, 0x7100)
    hit = describe_hit(kernel, call(), "1 (LWP 7, vmlinux)", kernel.frames(9))
    assert (hit.task, hit.thread) == ("mount (pid 57)", None)
    assert hit.backtrace == ("#0 memcpy", "#1 0x1234")
    kernel.put_words(CURRENT + 8, 0x10)
    lost = describe_hit(kernel, call(), "1 (LWP 7, vmlinux)", ())
    assert (lost.task, lost.thread) == (None, "1 (LWP 7, vmlinux)")


@pytest.mark.parametrize(
    ("destination", "size", "is_overlap"),
    [
        (0x2000, 9, False),
        (0x2008, 8, False),
        (0x2007, 8, True),
        (0x1FF8, 8, False),
        (0x1FF9, 8, True),
        (0x2001, 0, False),
    ],
)
def test_what_an_overlap_is(destination: int, size: int, is_overlap: bool) -> None:
    assert call(destination, 0x2000, size).is_overlap is is_overlap


def test_the_report_sums_up_by_call_site() -> None:
    target = target_with_code()
    kinds = (
        Tally(CALLER + 8, 31, 171, 5),
        Tally(CALLER + 8, -31, 170, 2),
        Tally(OUTER + 3, 1, 8, 9),
        Tally(0x99, 1, 8, 1),
    )
    report = summed_up(target, "memcpy", [Counts(1000, 17, 3, 0, kinds), Counts(10, 2, 0, 2, ())], ("odd",))
    assert (report.calls, report.overlaps, report.equal_addresses, report.unlisted) == (1010, 19, 3, 2)
    assert [(s.caller, s.count, s.kinds, s.sizes, s.distances) for s in report.sites] == [
        ("main", 9, 1, "8", "1"),
        ("shift_items", 7, 2, "170 to 171", "-31 to 31"),
        ("0x99", 1, 1, "8", "1"),
    ]
    assert "leaf.c:12" in to_text(report) and "problem: odd" in to_text(report)


def tally(plan: Plan) -> CallTally:
    target = target_with_code()
    return CallTally(target, Scope.of(target), [plan])


def test_calls_of_an_own_routine_are_counted_and_told_once() -> None:
    counts = tally(Plan("memcpy", (EntryPlan("memcpy", ROUTINE, 0, b""),), ()))
    told = [counts.note(ROUTINE, c, {}) for c in (call(), call(), call(size=172), call(0x2000), call(0x9000))]
    assert told == [True, False, True, False, False]
    found = counts.counts()
    assert (found.calls, found.overlaps, found.same, len(found.kinds)) == (5, 3, 1, 2)


def test_a_call_of_shared_code_whose_slot_is_not_found_is_not_accused() -> None:
    counts = tally(Plan("memcpy", (), (SlotPlan(0x5000, ROUTINE, ROUTINE, "memcpy in a"),)))
    assert counts.note(ROUTINE, call(), {}) is False
    assert list(counts.undecided) == [CALLER + 8] and counts.counts().overlaps == 0


@pytest.mark.parametrize(
    ("flags", "mode"), [((0, 0, 0), STOP), ((1, 0, 0), STOP), ((0, 1, 0), LOG), ((0, 0, 1), COUNT)]
)
def test_modes(flags: tuple[bool, bool, bool], mode: str) -> None:
    assert mode_of(*flags) == mode


def test_two_modes_exclude_each_other() -> None:
    with pytest.raises(KdbgError, match="--stop and --count exclude each other"):
        mode_of(True, False, True)


def test_a_dump_cannot_be_probed() -> None:
    session = FakeSession(target_with_code())
    session.is_live = False
    options = argparse.Namespace(routine=[], stop=False, log=False, count=False, exact=False, off=False)
    with pytest.raises(NotSupported, match="a core dump cannot be changed"):
        overlap(session, options)  # type: ignore[arg-type]


def ring_target(symbol: str) -> FakeTarget:
    target = target_with_code()
    target.registers.update(rip=ROUTINE, rsp=0x7000, rdi=0x2031, rsi=0x2000, rdx=171, fs_base=0)
    target.put_words(0x7000, CALLER + 8)
    target.put_words(0x9000, 0x2031, 0x2000, 171, CALLER + 8, *[0] * 4)
    target.put_words(0xA000, 1)
    target.define("ucopy_trace_idx", 0xA000, 8)
    target.symbols["ucopy_trace_buf"] = Symbol(symbol, Address(0x9000), Size(64), "")
    return target


def test_why_explains_a_recorded_overlap() -> None:
    finding = overlapping_copy(FakeSession(ring_target(PROBE_RING)).scene())
    assert finding is not None and finding.facts.caller == "shift_items+0x8" and finding.facts.asked == 171
    assert finding.summary.endswith("copies 171 bytes onto themselves, 49 bytes apart")


def test_other_rings_and_other_calls_are_no_overlap() -> None:
    assert overlapping_copy(FakeSession(ring_target("ucopy_trace_buf")).scene()) is None
    target = ring_target(PROBE_RING)
    target.registers["rdx"] = 170
    assert overlapping_copy(FakeSession(target).scene()) is None


def test_a_ring_of_overlaps_does_not_count_as_all_copies() -> None:
    with_probe, without = FakeSession(ring_target(PROBE_RING)).scene(), FakeSession(target_with_code()).scene()
    assert with_probe.coverage == without.coverage
