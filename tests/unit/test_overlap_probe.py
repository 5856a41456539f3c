"""Putting a probe in and taking it out, on a program made of bytes: what is refused, and that everything is undone."""

from __future__ import annotations

import struct
from typing import Container, Mapping, Optional, Sequence

import pytest
from fakes import FakeMemory

from gdb_kdbg.assembly import CannotPlace
from gdb_kdbg.errors import KdbgError, MemoryFault
from gdb_kdbg.mappings import HIGHEST, LOWEST
from gdb_kdbg.mappings import Mapping as Mapped
from gdb_kdbg.overlap_plan import EntryPlan, Plan, SlotPlan
from gdb_kdbg.overlap_probe import Installed, extend, find_areas, install, is_active, remove
from gdb_kdbg.probe_area import AREA_SIZE, LISTENING, SWITCH, Area, read_counts, read_header
from gdb_kdbg.ranges import Range
from gdb_kdbg.units import Address, Size

TEXT, SLOTS, LIBRARY = 0x40_0000, 0x60_0000, 0x50_0000
CODE = bytes.fromhex("4889f8 4889d1 f3a4 c3")  # mov rax, rdi; mov rcx, rdx; rep movsb; ret
SIGNAL = 23
# A thread that the user knows nothing of.
UNSEEN = 99


class FakeHost(FakeMemory):
    """A program with text, slots and threads; what it is asked to do may fail at any step."""

    def __init__(self) -> None:
        super().__init__()
        self.map_at(TEXT, CODE.ljust(64, b"\x90"))
        self.map_at(SLOTS, struct.pack("<2Q", LIBRARY, LIBRARY))
        self.before = {start: bytes(data) for start, data in self._ranges.items()}
        self.counters: dict[int, int] = {1: 0x1234}
        self.words: dict[int, int] = {}
        self.taken: set[int] = set()
        self.steps_left: Optional[int] = None
        self.stepped: list[Range] = []

    def map_at(self, start: int, data: bytes) -> None:
        FakeMemory.map(self, start, data)

    def write_code(self, address: int, data: bytes) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                self.steps_left = None
                raise MemoryFault(address, len(data), "it cannot be written")
        self.peek(address, len(data))
        self.put(address, data)

    def mappings(self) -> Sequence[Mapped]:
        found = [Mapped(TEXT, TEXT + 0x1000, "r-xp", 0, "text"), Mapped(SLOTS, SLOTS + 0x1000, "rw-p", 0, "slots")]
        found.append(Mapped(LIBRARY, LIBRARY + 0x1000, "r-xp", 0, "library"))
        for start in self._ranges:
            if start not in (TEXT, SLOTS):
                middle = Area(start).header
                found += [Mapped(start, middle, "r-xp", 0, ""), Mapped(middle, start + AREA_SIZE, "rw-p", 0, "")]
        return sorted(found)

    def map(self, address: int, size: int, code_size: int) -> bool:  # type: ignore[override]
        if not self.taken or address not in self.taken:
            self.map_at(address, bytes(size))
            return True
        return False

    def unmap(self, address: int, size: int) -> None:  # type: ignore[override]
        assert size == AREA_SIZE
        FakeMemory.unmap(self, address)

    def program_counters(self) -> Mapping[int, int]:
        return self.counters

    def words_within(self, ranges: Sequence[Range]) -> Sequence[int]:
        return [at for at, word in self.words.items() if any(range.contains(word) for range in ranges)]

    def step_out(self, range: Range) -> None:
        self.stepped.append(range)

    def step_unseen_out(self, places: Container[int]) -> None:
        if self.counters.get(UNSEEN) in places:
            self.counters[UNSEEN] = 0x1234

    @property
    def is_untouched(self) -> bool:
        return {start: bytes(data) for start, data in self._ranges.items()} == self.before


def entry_plan(code: bytes = CODE, size: int = len(CODE)) -> Plan:
    return Plan("copy", (EntryPlan("copy", TEXT, size, code.ljust(size + 16, b"\x90")),), ())


def slot_plan(*routines: int) -> Plan:
    slots = [SlotPlan(SLOTS + 8 * n, LIBRARY, routine, "copy in a file") for n, routine in enumerate(routines)]
    return Plan("copy", (), tuple(slots))


def put_in(host: FakeHost, plan: Plan) -> Installed:
    return install(host, [plan], SIGNAL, True, {"mode": "stop", "routines": ["copy"]})


def test_an_entry_is_patched_and_restored() -> None:
    host = FakeHost()
    probe = put_in(host, entry_plan())
    assert host.peek(TEXT, 1) == b"\xe9" and host.peek(TEXT + 5, 59) == CODE.ljust(64, b"\x90")[5:]
    target = TEXT + 5 + struct.unpack("<i", host.peek(TEXT + 1, 4))[0]
    assert target == probe.ways[0].stub and probe.ways[0].is_patched
    assert remove(host, probe.area).is_gone and host.is_untouched


def test_slots_are_redirected_and_restored() -> None:
    host = FakeHost()
    probe = put_in(host, slot_plan(LIBRARY, LIBRARY + 64))
    stubs = {way.routine: way.stub for way in probe.ways}
    assert struct.unpack("<2Q", host.peek(SLOTS, 16)) == (stubs[LIBRARY], stubs[LIBRARY + 64])
    assert probe.way(stubs[LIBRARY + 64] + 40).routine == LIBRARY + 64 and host.peek(TEXT, 9) == CODE
    assert remove(host, probe.area).is_gone and host.is_untouched


def test_an_area_tells_what_it_is() -> None:
    host = FakeHost()
    assert find_areas(host) == []
    probe = put_in(host, entry_plan())
    assert find_areas(host) == [probe.area]
    header = read_header(host, probe.area)
    assert header is not None and header.patches == probe.header.patches and header.about["routines"] == ["copy"]
    assert host.peek(probe.area.control + SWITCH, 1) == b"\1" == host.peek(probe.area.control + LISTENING, 1)
    assert read_counts(host, probe.area).calls == 0


@pytest.mark.parametrize("damage", [b"{", b'{"patches": 5}', b'{"patches": [[1]], "about": {}}', b"\xff\xfe"])
def test_an_area_that_was_written_over_is_none(damage: bytes) -> None:
    host = FakeHost()
    probe = put_in(host, entry_plan())
    host.put(probe.area.header + 21, damage.ljust(400, b"\0"))
    assert read_header(host, probe.area) is None and find_areas(host) == []


@pytest.mark.parametrize("plan", [entry_plan(), slot_plan(LIBRARY, LIBRARY)])
def test_an_error_at_any_step_leaves_nothing_behind(plan: Plan) -> None:
    for steps in range(1, 20):
        host = FakeHost()
        host.steps_left = steps
        try:
            put_in(host, plan)
        except KdbgError:
            assert host.is_untouched, f"after {steps} writes"
        else:
            assert steps > 5
            return
    pytest.fail("it always fails")


def test_a_place_that_is_taken_meanwhile_is_left_for_the_next() -> None:
    host = FakeHost()
    first = put_in(host, entry_plan()).area.start
    host = FakeHost()
    host.taken = {first}
    assert put_in(host, entry_plan()).area.start != first


def test_without_room_nothing_is_done() -> None:
    host = FakeHost()
    host.mappings = lambda: [Mapped(LOWEST, HIGHEST, "rw-p", 0, "")]  # type: ignore[method-assign]
    with pytest.raises(CannotPlace, match="no free memory within reach"):
        put_in(host, entry_plan())
    assert host.is_untouched


@pytest.mark.parametrize(("pc", "is_refused"), [(TEXT, False), (TEXT + 1, True), (TEXT + 3, True), (TEXT + 6, False)])
def test_a_thread_inside_the_patched_bytes_is_a_reason(pc: int, is_refused: bool) -> None:
    host = FakeHost()
    host.counters[2] = pc
    if is_refused:
        with pytest.raises(CannotPlace, match=f"thread 2 is at {pc:#x}"):
            put_in(host, entry_plan())
        assert host.is_untouched
    else:
        assert put_in(host, entry_plan())


def test_a_thread_that_nobody_sees_there_goes_on_out_of_them() -> None:
    host = FakeHost()
    host.counters[UNSEEN] = TEXT + 3
    assert put_in(host, entry_plan()) and host.counters[UNSEEN] == 0x1234


@pytest.mark.parametrize(("word", "is_refused"), [(TEXT, False), (TEXT + 3, True), (TEXT + 6, False)])
def test_a_return_into_the_patched_bytes_is_a_reason(word: int, is_refused: bool) -> None:
    host = FakeHost()
    host.words = {0x7000: word}
    if is_refused:
        with pytest.raises(CannotPlace, match="the word at 0x7000 leads into the bytes to be patched"):
            put_in(host, entry_plan())
        assert host.is_untouched
    else:
        assert put_in(host, entry_plan())


@pytest.mark.parametrize(
    ("code", "words"),
    [("c3 4889f8 4889d1", "not its own"), ("4c01d0 4889d1 f3a4 c3", "takes r10, rax as input")],
)
def test_a_routine_that_cannot_be_patched_is_refused(code: str, words: str) -> None:
    host = FakeHost()
    data = bytes.fromhex(code)
    with pytest.raises(CannotPlace, match=words):
        put_in(host, entry_plan(data, 1 if code.startswith("c3") else len(data)))
    assert host.is_untouched


# The entry of memcpy in Linux 6.4 and later.
FIRST_JUMPS = bytes.fromhex("eb09 4889f8 4889d1 f3a4 c3")


def test_code_behind_a_first_jump_makes_room_if_nothing_leads_there() -> None:
    host = FakeHost()
    host.put(TEXT, FIRST_JUMPS)
    plan = entry_plan(FIRST_JUMPS, len(FIRST_JUMPS))
    assert put_in(host, plan) and host.peek(TEXT, 1) == b"\xe9"
    host = FakeHost()
    host.put(TEXT, FIRST_JUMPS)
    parts = plan._replace(entries=tuple(entry._replace(is_whole=False) for entry in plan.entries))
    with pytest.raises(CannotPlace, match="may be entered behind its first jump, by its other parts"):
        put_in(host, parts)
    assert host.peek(TEXT, len(FIRST_JUMPS)) == FIRST_JUMPS and find_areas(host) == []


def test_bytes_that_changed_between_planning_and_patching_are_left_alone() -> None:
    host = FakeHost()
    host.put(TEXT, b"\xcc")
    with pytest.raises(CannotPlace, match="changed meanwhile"):
        put_in(host, entry_plan())
    assert host.peek(TEXT, 9) == b"\xcc" + CODE[1:] and find_areas(host) == []


def test_bytes_that_are_not_what_kdbg_wrote_are_left_alone_and_told() -> None:
    host = FakeHost()
    probe = put_in(host, entry_plan())
    host.put(TEXT, b"\xcc")
    removal = remove(host, probe.area)
    assert not removal.is_gone and "are not what kdbg wrote (cc" in removal.problems[0]
    # The code must stay: whoever wrote there may put the jump back.
    assert find_areas(host) == [probe.area] and host.peek(TEXT, 1) == b"\xcc"


def test_code_that_something_still_leads_to_stays() -> None:
    host = FakeHost()
    probe = put_in(host, slot_plan(LIBRARY))
    assert is_active(host, probe.area)
    host.words = {0x7000: probe.ways[0].stub}
    removal = remove(host, probe.area)
    assert not removal.is_gone and "the word at 0x7000 leads there" in removal.problems[0]
    assert not is_active(host, probe.area) and find_areas(host) == [probe.area]
    assert host.peek(SLOTS, 8) == struct.pack("<Q", LIBRARY)
    host.words = {}
    assert remove(host, probe.area).is_gone and host.is_untouched


def test_threads_in_the_probe_go_on_before_it_goes() -> None:
    host = FakeHost()
    probe = put_in(host, entry_plan())
    remove(host, probe.area)
    assert host.stepped == [Range(Address(probe.area.start), Size(probe.area.code_size))]


def test_slots_of_a_file_that_was_unloaded_are_no_problem() -> None:
    host = FakeHost()
    probe = put_in(host, slot_plan(LIBRARY))
    FakeMemory.unmap(host, SLOTS)
    assert remove(host, probe.area) == (True, ())


def test_slots_that_come_later_are_redirected_too() -> None:
    host = FakeHost()
    probe = put_in(host, slot_plan(LIBRARY))
    later = slot_plan(LIBRARY, LIBRARY)
    probe, problems = extend(host, probe, [later])
    assert not problems and struct.unpack("<2Q", host.peek(SLOTS, 16)) == (probe.ways[0].stub,) * 2
    assert remove(host, probe.area).is_gone and host.is_untouched


def test_a_later_slot_to_another_variant_is_told() -> None:
    host = FakeHost()
    probe = put_in(host, slot_plan(LIBRARY))
    _, problems = extend(host, probe, [slot_plan(LIBRARY, LIBRARY + 64)])
    assert len(problems) == 1 and "so its calls are not seen" in problems[0]
    assert host.peek(SLOTS + 8, 8) == struct.pack("<Q", LIBRARY)
