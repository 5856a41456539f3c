"""A write to a range the user watches: who wrote what, and at fault only who wrote what was not asked."""

from __future__ import annotations

import pytest
from stories import GUARD, USER_TEXT, Kernel, only, scene_of

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.finding import Finding
from gdb_kdbg.ranges import Range
from gdb_kdbg.scene import Note, WatchedWrite
from gdb_kdbg.units import Address, Size

# Far enough from the guard to have nothing to do with it.
PLACE = GUARD + 0x200


def find(kernel: Kernel, before: bytes = bytes(8), size: int = 8) -> Finding:
    after = kernel.peek(PLACE, size)
    watched = WatchedWrite("&tty.session,8", Range(Address(PLACE), Size(size)), before, after)
    return only(explain(scene_of(kernel, note=Note(watched=watched))).findings)


def copying(destination: int, asked: int) -> Kernel:
    kernel = Kernel()
    kernel.copy(destination, asked)
    kernel.put(PLACE, b"\x55")
    kernel.stop_in_copy(PLACE + 1, 3)
    return kernel


def test_a_copy_that_was_asked_to_is_told_and_nobody_is_at_fault() -> None:
    finding = find(copying(PLACE, 4))
    assert (finding.rule, finding.confidence, finding.facts.verdict) == ("watched-write", "certain", None)
    assert finding.summary == (
        "&tty.session,8 was written by copy_to_user, as asked: 4 bytes, by tty_ioctl+0x5 (tty.c:77), ioctl:TIOCGWINSZ"
    )
    assert finding.evidence[0] == "&tty.session,8 was 00 00 00 00 00 00 00 00, is 55 00 00 00 00 00 00 00"
    assert (finding.facts.asked, finding.facts.victim_address) == (4, PLACE)


def test_a_copy_that_was_not_asked_to_is_the_routines_fault() -> None:
    facts = find(copying(PLACE - 4, 4)).facts
    assert (facts.verdict, facts.asked, facts.wrote) == ("routine at fault", 4, 8)


def test_a_store_of_the_program_is_told_and_nobody_is_at_fault() -> None:
    kernel = Kernel()
    kernel.put(USER_TEXT, bytes.fromhex("488907"))  # mov [rdi], rax
    kernel.registers.update(rip=USER_TEXT + 3, rdi=PLACE)
    finding = find(kernel)
    assert (finding.facts.verdict, finding.next) == (None, ("backtrace",))
    assert finding.summary == "&tty.session,8 was written by the program, in main"


def test_a_store_of_nameless_code_is_told_by_its_address() -> None:
    kernel = Kernel()
    kernel.functions.clear()
    kernel.put(USER_TEXT, bytes.fromhex("488907"))
    kernel.registers.update(rip=USER_TEXT + 3, rdi=PLACE)
    assert find(kernel).summary == f"&tty.session,8 was written by the program, in {USER_TEXT:#x}"


def test_a_write_by_an_unknown_instruction_is_still_told() -> None:
    finding = find(Kernel())
    assert (finding.summary, finding.facts.victim) == ("&tty.session,8 was written", "&tty.session,8")


@pytest.mark.parametrize(("size", "shown"), [(16, "00" + " 00" * 15), (17, "00" + " 00" * 15 + " ...")])
def test_only_the_first_bytes_of_a_large_range_are_shown(size: int, shown: str) -> None:
    assert find(Kernel(), bytes(size), size).evidence[0] == f"&tty.session,8 was {shown}, is {shown}"


def test_without_a_watched_write_there_is_nothing_to_tell() -> None:
    assert explain(scene_of(copying(PLACE, 4))).findings == ()
    assert explain(scene_of(copying(PLACE, 4), note=Note(("seen",)))).findings == ()
