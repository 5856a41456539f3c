"""The scene of a stop: what is read, once, and what the ring's coverage is."""

from __future__ import annotations

import pytest
from stories import GOOD, INDEX, RING, SWITCH, USER_TEXT, Kernel, scene_of

from gdb_kdbg.copies import Coverage
from gdb_kdbg.scene import Note


def test_the_stop_is_an_address_a_function_and_a_line() -> None:
    kernel = Kernel()
    kernel.registers["rip"] = USER_TEXT + 4
    assert scene_of(kernel).stop == f"{USER_TEXT + 4:#x} in main+0x4 (main.c:12)"


def test_a_stop_nowhere_known_is_an_address() -> None:
    kernel = Kernel()
    kernel.registers["rip"] = 0
    assert scene_of(kernel).stop == "0x0 in ??"


def test_nothing_is_read_before_it_is_asked_for() -> None:
    kernel = Kernel()
    scene_of(kernel)
    assert kernel.reads == []


def test_the_ring_is_read_once() -> None:
    kernel = Kernel()
    kernel.others(3)
    scene = scene_of(kernel)
    assert len(scene.records) == 3
    before = len(kernel.reads)
    assert len(scene.records) == 3 and scene.coverage.complete
    assert len(kernel.reads) == before


def test_a_target_without_ring_has_no_records_and_no_problem() -> None:
    kernel = Kernel()
    del kernel.symbols["ucopy_trace_idx"]
    scene = scene_of(kernel)
    assert (scene.ring, scene.records, scene.problems) == (None, (), [])


def test_a_ring_that_cannot_be_read_is_a_problem() -> None:
    kernel = Kernel()
    kernel.unmap(INDEX)
    scene = scene_of(kernel)
    assert scene.ring is None
    assert "the ring's index cannot be read" in scene.problems[0]


def test_a_wrong_setting_is_a_problem() -> None:
    scene = scene_of(Kernel(), settings={"ring-layout": "capacity=lots"})
    assert scene.ring is None
    assert scene.problems == ["ring-layout: 'capacity=lots' needs a number of at least 1"]


def test_problems_of_the_ring_are_problems_of_the_scene() -> None:
    kernel = Kernel()
    kernel.unmap(RING)
    scene = scene_of(kernel)
    assert scene.ring is not None and scene.problems == list(scene.ring.problems) != []


def test_problems_of_the_targets_files_are_problems_of_the_scene() -> None:
    kernel = Kernel()
    kernel.problems = ("kernel.elf: not an ELF file",)
    assert scene_of(kernel).problems == ["kernel.elf: not an ELF file"]


def test_a_ring_that_lost_nothing_covers_everything() -> None:
    kernel = Kernel()
    kernel.others(32)
    assert scene_of(kernel).coverage == Coverage(True, "it holds all 32 copies since it was switched on")


@pytest.mark.parametrize(("intact_at", "complete"), [(0, False), (7, False), (8, True), (40, True)])
def test_a_ring_that_lost_records_covers_the_time_since_the_guard_was_intact(intact_at: int, complete: bool) -> None:
    kernel = Kernel()
    kernel.others(40)
    kernel.process(intact_at=intact_at)
    assert scene_of(kernel).guard_coverage.complete is complete
    # Of other victims the kernel knows nothing.
    assert not scene_of(kernel).coverage.complete


def test_a_ring_that_is_switched_off_covers_nothing() -> None:
    kernel = Kernel()
    kernel.put(SWITCH, b"\0")
    coverage = scene_of(kernel).coverage
    assert (coverage.complete, "kdbg ring --on" in coverage.reason) == (False, True)


@pytest.mark.parametrize("damage", [1 << 48, (1 << 64) - 1])
def test_a_damaged_ring_covers_nothing(damage: int) -> None:
    kernel = Kernel()
    kernel.put_words(INDEX, damage)
    assert scene_of(kernel).coverage == Coverage(False, "the ring is damaged, so copies may be missing from it")


def test_what_kdbg_noted_at_the_stop_decides_the_coverage() -> None:
    kernel = Kernel()
    kernel.others(40)
    noted = Coverage(True, "the guard changed while no system call was in progress")
    assert scene_of(kernel, note=Note((), noted)).guard_coverage is noted
    assert not scene_of(kernel, note=Note((), noted)).coverage.complete
    assert not scene_of(kernel, note=Note(("seen",))).guard_coverage.complete


def test_without_ring_only_a_program_without_kernel_is_covered() -> None:
    kernel = Kernel()
    del kernel.symbols["ucopy_trace_buf"]
    assert not scene_of(kernel).coverage.complete
    del kernel.registers["cr3"]
    assert scene_of(kernel).coverage.complete


def test_a_frame_is_found_by_its_function_and_the_versioned_name_counts() -> None:
    kernel = Kernel()
    kernel.place("abort@plt", 0x1000, 16)
    kernel.frame(0x1000, 0)
    kernel.frame(USER_TEXT + 8, 0)
    scene = scene_of(kernel, GOOD)
    assert scene.frame_in(("abort",)) == 0
    assert scene.frame_in(("main",)) == 1
    assert scene.frame_in(("main",), among=1) is None
    assert scene.frame_in(("other",)) is None


def test_an_outer_frame_belongs_to_the_function_of_its_call() -> None:
    kernel = Kernel()
    kernel.place("next", USER_TEXT + 0x100, 16)
    kernel.frame(USER_TEXT, 0)
    kernel.frame(USER_TEXT + 0x100, 0)
    assert scene_of(kernel).frame_in(("next",)) is None
