"""The canaries saved in stack frames: found by the prologue, judged by the guard."""

from __future__ import annotations

from typing import Optional

from stories import GOOD, USER_TEXT, Kernel, damaged

from gdb_kdbg.canary import CanaryReport, frame_canary, read_canary
from gdb_kdbg.session import Guards

STACK = 0x7FFF_FFFF_0000
F, G, H = USER_TEXT + 0x1000, USER_TEXT + 0x1100, USER_TEXT + 0x1200
# sub rsp, 0x18; mov rax, fs:[0x28]; mov [rsp + 8], rax
PROLOGUE = bytes.fromhex("4883ec1864488b04252800000048894424" + "08")
BODY = 0x20


def deep(*values: Optional[int]) -> Kernel:
    """A process three calls deep; each function keeps its canary at its sp + 8."""
    kernel = Kernel()
    kernel.map(STACK, bytes(0x1000))
    kernel.map(F, b"\x06" * 0x1000)  # no instructions
    for level, (value, start, name) in enumerate(zip(values, (F, G, H), ("f", "g", "h"))):
        kernel.place(name, start, 0x100)
        kernel.put(start, PROLOGUE if value is not None else b"\x90" * len(PROLOGUE))
        sp = STACK + 0x20 * level
        kernel.put_words(sp + 8, value or 0)
        kernel.frame(start + BODY, sp)
    return kernel


def report(kernel: Kernel, guards: Optional[Guards] = None) -> CanaryReport:
    return read_canary(kernel, guards or Guards(), "", True)


def test_each_frame_shows_its_canary_and_where_it_is() -> None:
    frames = report(deep(GOOD, GOOD)).frames
    assert [(frame.level, frame.function, frame.slot_address, frame.value) for frame in frames] == [
        (0, "f", STACK + 8, GOOD),
        (1, "g", STACK + 0x28, GOOD),
    ]
    assert [frame.verdict for frame in frames] == ["intact", "intact"]


def test_frames_are_read_only_when_asked_for() -> None:
    kernel = deep(GOOD, GOOD)
    assert read_canary(kernel, Guards()).frames == ()
    assert not kernel.was_read(STACK + 8)


def test_the_damaged_frame_is_corrupted_and_its_neighbours_are_not() -> None:
    frames = report(deep(GOOD, damaged(b"AAAA"), GOOD)).frames
    assert [frame.verdict for frame in frames] == ["intact", "corrupted", "intact"]


def test_a_canary_that_equals_the_guard_vouches_for_it() -> None:
    result = report(deep(GOOD))
    assert (result.verdict, result.expected_from) == ("intact", "canaries saved in stack frames")


def test_two_frames_that_agree_convict_the_guard() -> None:
    kernel = deep(GOOD, GOOD)
    kernel.set_guard(damaged(b"AAAA"))
    result = report(kernel)
    assert (result.verdict, result.expected) == ("corrupted", GOOD)
    assert [frame.verdict for frame in result.frames] == ["intact", "intact"]


def test_frames_are_believed_before_what_was_seen_first() -> None:
    kernel, guards = deep(GOOD, GOOD), Guards()
    kernel.set_guard(damaged(b"AAAA"))
    read_canary(kernel, guards)  # seen first when it was damaged already
    assert read_canary(kernel, guards).verdict == "intact"
    assert report(kernel, guards).verdict == "corrupted"


def test_one_frame_alone_does_not_convict_the_guard() -> None:
    kernel = deep(GOOD)
    kernel.set_guard(damaged(b"AAAA"))
    assert report(kernel).verdict == "unknown"


def test_frames_of_zeros_vouch_for_nothing() -> None:
    kernel = deep(0, 0)
    assert report(kernel).expected is None


def test_a_function_without_canary_is_left_out() -> None:
    assert [frame.function for frame in report(deep(GOOD, None, GOOD)).frames] == ["f", "h"]


def test_a_prologue_that_has_not_saved_the_guard_yet_has_no_canary() -> None:
    kernel = deep(GOOD)
    before = kernel.stack[0].pc - BODY + len(PROLOGUE) - 5  # at the store
    kernel.stack.clear()
    kernel.frame(before, STACK)
    assert report(kernel).frames == ()


def test_right_behind_the_store_the_canary_is_there() -> None:
    kernel = deep(GOOD)
    kernel.stack.clear()
    kernel.frame(F + len(PROLOGUE), STACK)
    assert [frame.value for frame in report(kernel).frames] == [GOOD]


def test_a_return_address_belongs_to_the_function_that_called() -> None:
    # A call that never returns is the last instruction of g: its return address is the first of h.
    kernel = deep(GOOD, GOOD)
    kernel.place("h", H, 0x100)
    kernel.stack.pop()
    kernel.frame(H, STACK + 0x20)
    assert [frame.function for frame in report(kernel).frames] == ["f", "g"]


def test_a_frame_of_no_known_function_is_left_out() -> None:
    kernel = deep(GOOD)
    kernel.frame(0xDEAD_0000, STACK + 0x40)
    assert [frame.function for frame in report(kernel).frames] == ["f"]


def test_an_unreadable_slot_leaves_the_frame_undecided() -> None:
    kernel = deep(GOOD)
    kernel.unmap(STACK)
    (frame,) = report(kernel, Guards()).frames
    assert (frame.value, frame.verdict) == (None, "unknown")


def test_a_frame_by_rbp_needs_rbp() -> None:
    kernel = deep(GOOD)
    # push rbp; mov rbp, rsp; sub rsp, 0x20; mov rax, fs:[0x28]; mov [rbp - 8], rax
    kernel.put(F, bytes.fromhex("554889e54883ec2064488b042528000000488945f8"))
    assert report(kernel).frames == ()
    kernel.stack.clear()
    kernel.frame(F + BODY, STACK - 0x18, rbp=STACK + 0x10)
    assert [frame.slot_address for frame in report(kernel).frames] == [STACK + 8]


def test_a_function_at_the_end_of_its_mapping_has_its_canary_found() -> None:
    kernel = deep(GOOD)
    start = 0x50_0000 - 0x30
    kernel.map(start, PROLOGUE.ljust(0x30, b"\x90"))
    kernel.place("last", start, 0x30)
    kernel.stack.clear()
    kernel.frame(start + BODY, STACK)
    canary = frame_canary(kernel, kernel.stack[0])
    assert canary is not None and canary.value == GOOD


def test_a_function_whose_code_cannot_be_read_has_no_canary() -> None:
    kernel = deep(GOOD)
    kernel.unmap(F)
    assert report(kernel).frames == ()
