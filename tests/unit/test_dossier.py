"""What is collected of a stop for the page, and how the page is written."""

from __future__ import annotations

import os
import pathlib
import stat
from typing import Optional

import pytest
from dossiers import EDITOR, GUARD, copy, culprit, dossier
from fakes import FakeSession, FakeTarget
from stories import CALLER, DATA, FS_BASE, GOOD, PID, SOURCE, Kernel, damaged, scene_of
from stories import GUARD as STORY_GUARD

from gdb_kdbg.diagnosis import explain
from gdb_kdbg.dossier import Dossier, NamedRange
from gdb_kdbg.dossier_memory import COPIES_LIMIT, bounded_axis, memory_picture, near_copies, window_around
from gdb_kdbg.dossier_scene import dossier_of
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.ranges import Range
from gdb_kdbg.report_command import report_stop, write_report, write_whole
from gdb_kdbg.scene import Note, WatchedWrite
from gdb_kdbg.units import Address, Size


def of(kernel: FakeTarget, note: Optional[Note] = None, title: str = "") -> Dossier:
    scene = scene_of(kernel, seen=GOOD, note=note)
    return dossier_of(scene, explain(scene), title)


def doubled() -> Kernel:
    """A kernel whose copy of 4 bytes before the guard wrote 8."""
    kernel = Kernel()
    kernel.process()
    kernel.others(3)
    kernel.copy(STORY_GUARD - 16, 8)
    kernel.copy(STORY_GUARD - 4, 4)
    kernel.put(STORY_GUARD - 4, DATA[:4])
    kernel.set_guard(damaged(DATA[4:8]))
    return kernel


def test_the_culprit_is_marked_with_what_it_wrote() -> None:
    made = of(doubled())
    assert made.axis is not None and made.memory is not None
    (guilty,) = [c for c in made.axis.copies if c.is_marked]
    assert (guilty.sequence, guilty.size) == (4, 4) and guilty.written == Range(Address(STORY_GUARD - 4), Size(8))
    assert guilty.process == "tty (pid 7)" and guilty.context == "ioctl:TIOCGWINSZ" and guilty.function == "tty_ioctl"
    assert [c.sequence for c in made.memory.copies] == [3, 4]
    assert made.memory.victim.range.start == STORY_GUARD and made.memory.expected == GOOD.to_bytes(8, "little")
    assert made.title == "routine at fault: guard in tty"


def test_the_bytes_and_names_around_the_guard_are_read() -> None:
    memory = of(doubled()).memory
    assert memory is not None
    (piece,) = memory.contents
    assert Range(piece.start, Size(len(piece.data))) == memory.window
    assert {n.name for n in memory.surroundings} >= {"fs:0x18", "fs:0x20"}
    assert not any(n.range.overlaps(memory.victim.range) for n in memory.surroundings)


def test_a_healthy_stop_shows_its_guard_and_blames_nobody() -> None:
    kernel = Kernel()
    kernel.copy(STORY_GUARD - 8, 8)
    made = of(kernel)
    assert made.findings == () and made.title == "nothing found at this stop"
    assert made.axis is not None and made.memory is not None
    assert not any(c.is_marked for c in (*made.axis.copies, *made.memory.copies))
    assert made.memory.contents[0].data.find(GOOD.to_bytes(8, "little")) >= 0


def test_a_copy_that_met_a_missing_page_is_no_culprit() -> None:
    kernel = Kernel()
    kernel.process()
    kernel.copy(0x5000_0FF0, 64)
    kernel.define("ucopy_fault_last", 0x9000)
    kernel.put_words(0x9000, 1, 0x5000_1000, CALLER, 0x5000_0FF0, SOURCE, 64, 48, PID << 16)
    made = of(kernel)
    assert made.axis is not None and made.memory is not None
    assert [c.role for c in made.axis.copies] == ["faulted"]
    assert made.memory.victim.name == "fault address" and made.memory.copies[0].written == Range(
        Address(0x5000_0FF0), Size(16)
    )


def test_a_target_that_knows_nothing_makes_a_dossier() -> None:
    made = of(FakeTarget({"rip": 0x1000}))
    assert made.memory is None and made.axis is None and made.slots == () and made.frames == ()
    assert [(r.name, r.value) for r in made.registers] == [("rip", 0x1000), ("cr3", 0x1000)]


def test_a_watched_range_is_the_victim_in_its_full_size() -> None:
    kernel = Kernel()
    watched = WatchedWrite("line", Range(Address(FS_BASE), Size(40)), bytes(40), b"x" * 40)
    made = of(kernel, Note(watched=watched))
    assert made.memory is not None and made.memory.victim.range.size == 40 and made.memory.expected == bytes(40)


def test_frames_and_registers_are_named() -> None:
    kernel = Kernel()
    kernel.registers["rax"] = CALLER + 4
    kernel.frame(CALLER + 4, 0x7000)
    kernel.frame(CALLER + 8, 0x7010)
    made = of(kernel)
    assert [(f.function, f.line) for f in made.frames] == [("tty_ioctl+0x4", 77), ("tty_ioctl+0x8", 77)]
    assert {r.name: r.points_to for r in made.registers}["rax"] == "tty_ioctl+0x4"


def test_copies_of_other_processes_are_not_near() -> None:
    other = copy(1, GUARD.start - 8, 8, process="logger (pid 9)")
    unknown, mine, far = (
        copy(2, GUARD.start - 8, 8, process=""),
        copy(3, GUARD.start - 8, 8),
        copy(4, GUARD.start - 99, 8),
    )
    assert [c.sequence for c in near_copies([other, unknown, mine, far], GUARD, EDITOR)] == [2, 3]
    assert [c.sequence for c in near_copies([other, unknown, mine, far], GUARD)] == [1, 2, 3]


def test_the_culprit_is_near_however_far_it_began() -> None:
    long = copy(1, GUARD.start - 0x5000, 8)._replace(
        role="culprit", written=Range(Address(GUARD.start - 0x5000), Size(0x5010))
    )
    assert near_copies([long], GUARD, EDITOR) == [long]
    window = window_around(GUARD, [long])
    assert window.covers(GUARD) and window.size <= 64


@pytest.mark.parametrize("size", [0, 1, 4, 8, 16, 4096, 1 << 63])
@pytest.mark.parametrize("start", [0, 1, 8, 0x7FFF_FFFF_FFF8, (1 << 64) - 8])
def test_a_window_is_small_and_holds_the_beginning_of_the_victim(start: int, size: int) -> None:
    victim = Range(Address(start), Size(size))
    for near in ([], [culprit(1)], [copy(1, max(0, start - 20), 16), copy(2, start, 1 << 20)]):
        window = window_around(victim, near)
        assert 8 <= window.size <= 80 and window.start % 8 == 0 and window.end <= 1 << 64
        assert window.contains(start)


def test_of_many_near_copies_the_closest_are_kept() -> None:
    near = [copy(i, GUARD.start - 60 + i, 4) for i in range(30)] + [culprit(30)]
    picture = memory_picture(NamedRange(GUARD, "guard"), near)
    assert len(picture.copies) == 8 and picture.left_out == 23
    assert picture.copies[-1].is_marked and picture.copies[0].sequence == 23


def test_an_axis_keeps_the_newest_and_the_culprit() -> None:
    copies = [culprit(0), *(copy(i, 4096, 8) for i in range(1, COPIES_LIMIT + 50))]
    axis = bounded_axis("copy number", copies, len(copies), 0)
    assert len(axis.copies) == COPIES_LIMIT + 1 and axis.copies[0].is_marked and axis.left_out == 49
    assert axis.copies[-1].sequence == COPIES_LIMIT + 49


def test_the_page_is_written_whole_and_its_size_is_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    written = write_report(dossier(), str(path))
    assert written.size == path.stat().st_size > 10_000 and written.path == str(path)
    assert written.summary.startswith("routine at fault: ") and written.findings == 1
    assert os.listdir(tmp_path) == ["report.html"]
    # Readable for whom a file made by any other program would be.
    (tmp_path / "other").write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_a_command_writes_what_the_session_is_stopped_at(tmp_path: pathlib.Path) -> None:
    written = report_stop(FakeSession(doubled()), str(tmp_path / "r.html"), "my <title>")
    assert "my &lt;title&gt;" in pathlib.Path(written.path).read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is a directory"),
        ("no/such/place.html", "there is no directory"),
        ("file/x.html", "there is no directory"),
    ],
)
def test_where_nothing_can_be_written_that_is_said_first(name: str, reason: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    # No target: the place is looked at before anything else.
    with pytest.raises(KdbgError, match=reason):
        report_stop(FakeSession(None), str(tmp_path / name), None)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(KdbgError, match=r"cannot write .*report.html: No space left on device"):
        write_whole(str(path), b"new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["report.html"]


def test_a_link_is_followed_and_a_device_written_to(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    write_whole(os.devnull, b"new")
    assert not os.path.isfile(os.devnull)
