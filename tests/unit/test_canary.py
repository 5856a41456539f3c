"""The guard: what it should be, where that is known from, and the verdict on it."""

from __future__ import annotations

from typing import Optional

import pytest
from fakes import FakeTarget
from stories import CR3, FS_BASE, GOOD, GUARD, OTHER_CR3, PROCESS_RECORD, Kernel, damaged

from gdb_kdbg.canary import AT_RANDOM, CanaryReport, parse_guard, read_canary
from gdb_kdbg.errors import KdbgError, NotSupported
from gdb_kdbg.session import Guards

RANDOM_BYTES = 0x7FFF_FFFF_E000
RANDOM = 0x1122_3344_5566_7788
GLIBC, MUSL = 0x1122_3344_5566_7700, 0x1122_3344_5566_0088


def program(guard: int, random: Optional[int] = RANDOM) -> FakeTarget:
    """A native process with AT_RANDOM in its auxiliary vector."""
    target = FakeTarget({"fs_base": FS_BASE, "rip": 0x1000}, kind="native", cr3=None)
    target.put_words(GUARD, guard)
    if random is not None:
        target.auxiliary[AT_RANDOM] = RANDOM_BYTES
        target.put_words(RANDOM_BYTES, random)
    return target


def canary(target: FakeTarget, given: str = "", guards: Optional[Guards] = None, frames: bool = False) -> CanaryReport:
    return read_canary(target, guards or Guards(), given, frames)


@pytest.mark.parametrize(
    ("guard", "source"),
    [
        (GLIBC, "AT_RANDOM with its low byte cleared (glibc)"),
        (MUSL, "AT_RANDOM with its second byte cleared (musl)"),
        (RANDOM, "AT_RANDOM"),
    ],
)
def test_a_guard_made_from_at_random_is_intact(guard: int, source: str) -> None:
    report = canary(program(guard))
    assert (report.verdict, report.expected, report.expected_from) == ("intact", guard, source)
    assert (report.guard_address, report.fs_base, report.problems) == (GUARD, FS_BASE, ())


def test_a_partly_overwritten_guard_is_corrupted() -> None:
    report = canary(program(damaged(b"AAAA", at=0, good=GLIBC)))
    assert (report.verdict, report.expected) == ("corrupted", GLIBC)


def test_three_bytes_in_common_show_that_a_guard_was_glibcs_and_two_do_not() -> None:
    assert canary(program(0x1122_33FF_FFFF_FFFF)).verdict == "corrupted"
    assert canary(program(0x1122_FFFF_FFFF_FFFF)).verdict == "unknown"


def test_a_foreign_runtimes_guard_is_not_judged_by_at_random() -> None:
    report = canary(program(0xDEAD_BEEF_0BAD_F00D))
    assert (report.verdict, report.expected) == ("unknown", None)
    assert "nothing to compare with" in report.problems[0]


def test_in_a_glibc_process_any_other_guard_is_corrupted() -> None:
    target = program(0x4141_4141_4141_4141)
    target.define("gnu_get_libc_version", 0x5000)
    report = canary(target)
    assert (report.verdict, report.expected) == ("corrupted", GLIBC)


def test_shared_zero_bytes_do_not_make_a_guard_glibcs() -> None:
    # Four bytes agree, all of them zero.
    assert canary(program(0x0000_0000_DEAD_BE00, random=0x0000_0000_1122_3344)).verdict == "unknown"


def test_a_guard_that_glibc_has_not_set_yet_is_unset() -> None:
    target = program(0)
    target.define("gnu_get_libc_version", 0x5000)
    assert canary(target).verdict == "unset"


def test_unreadable_at_random_bytes_are_no_error() -> None:
    target = program(GLIBC)
    target.unmap(RANDOM_BYTES)
    assert canary(target).verdict == "unknown"


def test_a_guard_seen_before_and_unchanged_is_intact() -> None:
    target, guards = Kernel(), Guards()
    first, second = canary(target, guards=guards), canary(target, guards=guards)
    assert (first.verdict, second.verdict) == ("unknown", "intact")
    assert (second.expected, second.expected_from) == (GOOD, "first seen in this session")


def test_a_guard_that_differs_from_the_one_first_seen_is_corrupted() -> None:
    target, guards = Kernel(), Guards()
    canary(target, guards=guards)
    target.set_guard(0)
    assert canary(target, guards=guards).verdict == "corrupted"


def test_another_process_at_the_same_fs_base_has_a_guard_of_its_own() -> None:
    target, guards = Kernel(), Guards()
    canary(target, guards=guards)
    target.registers["cr3"] = OTHER_CR3
    target.set_guard(GOOD + 1)
    assert canary(target, guards=guards).verdict == "unknown"
    target.registers["cr3"] = CR3 | 0x1FFF  # the same page tables: PCID and the PTI bit do not count
    assert canary(target, guards=guards).verdict == "corrupted"


def test_the_given_value_is_judged_by_before_anything_else() -> None:
    report = canary(program(GLIBC), given="0x1234")
    assert (report.verdict, report.expected, report.expected_from) == ("corrupted", 0x1234, "set kdbg expected-guard")
    assert canary(program(GLIBC), given=hex(GLIBC)).verdict == "intact"


def test_a_zero_guard_is_corrupted_where_another_value_was_given() -> None:
    assert canary(Kernel(), given=hex(GOOD)).verdict == "intact"
    kernel = Kernel()
    kernel.set_guard(0)
    assert canary(kernel, given=hex(GOOD)).verdict == "corrupted"


def test_the_kernels_own_record_says_what_the_guard_should_be() -> None:
    kernel = Kernel()
    kernel.process(expected=GOOD)
    report = canary(kernel)
    assert (report.verdict, report.expected_from) == ("intact", "the kernel's own record (ucopy_process)")
    kernel.set_guard(damaged(b"A"))
    assert canary(kernel).verdict == "corrupted"


def test_a_record_that_does_not_know_the_guard_is_no_source() -> None:
    kernel = Kernel()
    kernel.process(expected=0)
    assert canary(kernel).verdict == "unknown"


def test_an_unreadable_record_is_no_source() -> None:
    kernel = Kernel()
    kernel.process(expected=GOOD + 1)
    kernel.unmap(PROCESS_RECORD)
    assert canary(kernel).verdict == "unknown"


def test_without_fs_base_the_guard_is_unset_and_nothing_is_read_at_0x28() -> None:
    target = program(GLIBC)
    target.map(0, bytes(64))
    target.registers["fs_base"] = 0
    report = canary(target)
    assert (report.verdict, report.guard_address, report.guard) == ("unset", None, None)
    assert "fs_base is 0" in report.problems[0]
    assert target.reads == []


def test_a_guard_that_cannot_be_read_is_unknown() -> None:
    target = program(GLIBC)
    target.unmap(GUARD)
    report = canary(target)
    assert (report.verdict, report.guard_address, report.guard) == ("unknown", GUARD, None)
    assert report.problems == (f"guard: cannot access 8 bytes at {GUARD:#x}: not mapped",)


def test_a_zero_guard_with_nothing_to_compare_is_unset_and_not_remembered() -> None:
    kernel, guards = Kernel(), Guards()
    kernel.set_guard(0)
    assert canary(kernel, guards=guards).verdict == "unset"
    kernel.set_guard(GOOD)
    assert canary(kernel, guards=guards).verdict == "unknown"


def test_an_architecture_other_than_x86_64_is_refused() -> None:
    target = program(GLIBC)
    target.architecture = "aarch64"
    with pytest.raises(NotSupported, match="architecture aarch64 is not supported"):
        canary(target)
    assert target.reads == []


@pytest.mark.parametrize(("text", "value"), [("0x10", 16), ("16", 16), ("-1", (1 << 64) - 1)])
def test_the_expected_guard_is_a_number_in_any_base(text: str, value: int) -> None:
    assert parse_guard(text) == value


@pytest.mark.parametrize("text", ["guard", "0x", " ", "1 2"])
def test_an_expected_guard_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(KdbgError, match="expected-guard: not a number: "):
        parse_guard(text)
