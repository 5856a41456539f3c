"""`kdbg got` on running programs: what it says of every slot against what the dynamic linker itself makes of them.

The truth comes from a second run with LD_BIND_NOW=1: what a slot holds at main is then the value it should have. Values
are read through /proc/PID/mem, the list of slots by readelf (tests/slot_truth.py).
"""

from __future__ import annotations

import os
import pathlib
from collections import Counter
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

import builds as builders
import pytest
import slot_truth
import support
from builds import Builds, builds  # noqa: F401  (a fixture)

STOPS = ("starti", "main", "used")
TESTS = support.ROOT / "tests"
PREPARE = (
    "set disable-randomization on",
    f"python import sys; sys.path.insert(0, {str(TESTS)!r}); import slot_truth; known = {{}}",
)
Row = Mapping[str, Any]


class Stop(NamedTuple):
    """One stop: what kdbg says of each file, and what is true of it, both by the file's path."""

    name: str
    told: Mapping[str, Row]
    held: Mapping[str, Mapping[int, int]]


class History(NamedTuple):
    """The stops of one run, and the value each slot should have, by file and address."""

    stops: Sequence[Stop]
    wanted: Mapping[str, Mapping[int, int]]


def look(path: pathlib.Path) -> list[str]:
    return [f"python slot_truth.record(gdb.selected_inferior().pid, {str(path)!r}, known)", "kdbg got"]


def watch_run(program: pathlib.Path, directory: pathlib.Path, *arguments: str) -> History:
    """Run a program to its stops, and once more with everything bound at once."""
    seen, bound = directory / "seen", directory / "bound"
    lines = [*PREPARE, "starti", *look(seen), "continue", *look(seen), "continue", *look(seen), "kill"]
    output = support.gdb(lines, "--args", str(program), *arguments)
    lines = [*PREPARE, "set environment LD_BIND_NOW=1", "run", look(bound)[0], "kill"]
    support.gdb(lines, "--args", str(program), *arguments, json_format=False)
    truths = slot_truth.recorded(str(seen))
    assert len(truths) == len(STOPS), output.text[-3000:]
    stops = [Stop(name, told(output, index), held(truths[index])) for index, name in enumerate(STOPS)]
    return History(stops, held(slot_truth.recorded(str(bound))[0]))


def told(output: support.GdbOutput, index: int) -> Mapping[str, Row]:
    return {os.path.realpath(file["name"]): file for file in output.data("got", index)["objfiles"]}


def held(truth: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[int, int]]:
    return {path: {int(a): word for a, word in words.items() if a != "bias"} for path, words in truth.items()}


def number(text: Optional[str]) -> Optional[int]:
    return None if text is None else int(text, 16)


class Judged(NamedTuple):
    """A slot as kdbg judged it, with the word it holds in truth and the one it should hold."""

    file: str
    row: Row
    value: int
    wanted: int

    @property
    def status(self) -> str:
        return str(self.row["status"])

    def __str__(self) -> str:
        row = self.row
        words = (os.path.basename(self.file), row["link_address"], row["relocation"], row["symbol"], self.status)
        return " ".join(map(str, words)) + f" holds {self.value:#x} wanted {self.wanted:#x}, {row['note']}"


def judged(history: History, stop: Stop) -> Iterator[Judged]:
    """Yield every slot of a stop; kdbg's list and its values must be true."""
    for path, words in stop.held.items():
        rows = stop.told.get(path, {"slots": ()})["slots"]
        assert {number(row["link_address"]) for row in rows} == set(words) - copies(path), f"{path} at {stop.name}"
        for row in rows:
            address = number(row["link_address"])
            assert address is not None and number(row["value"]) == words[address], f"{path} {row}"
            yield Judged(path, row, words[address], history.wanted[path][address])


def copies(path: str) -> set[int]:
    return {entry.address for entry in slot_truth.entries(path) if entry.relocation == "COPY"}


def faults(slots: Sequence[Judged], stop: str) -> list[str]:
    """Say which verdicts are wrong."""
    return [f"at {stop}: {slot}" for slot in slots if not is_right(slot, stop)]


def is_right(slot: Judged, stop: str) -> bool:
    # At the start the libraries are not there yet that ld.so's own functions may be taken from.
    is_known = stop != "starti" or slot.row["relocation"] != "JUMP_SLOT"
    if is_known and slot.status != "undecidable" and number(slot.row["expected"]) not in (None, slot.wanted):
        return False
    if slot.value == slot.wanted:
        # The loader has still to do it, even if it will leave a zero in the end.
        still = stop == "starti" and slot.value == 0
        return slot.status in ("resolved", "undecidable") or (still and slot.status == "unrelocated")
    if stop == "starti":
        bound_later = slot.row["relocation"] == "JUMP_SLOT" and slot.value != 0
        return slot.status == "unrelocated" or (slot.status == "lazy" and bound_later)
    if slot.row["relocation"] == "JUMP_SLOT":
        return slot.status == "lazy"
    return slot.status == "undecidable"


@pytest.mark.parametrize("name", builders.names(that_run=True))
def test_every_status_is_right_at_the_start_at_main_and_after_use(
    name: str, builds: Builds, tmp_path: pathlib.Path  # noqa: F811
) -> None:
    history = watch_run(builds.of(name), tmp_path)
    wrong: list[str] = []
    for stop in history.stops:
        slots = list(judged(history, stop))
        wrong += faults(slots, stop.name)
        print(name, stop.name, dict(Counter(slot.status for slot in slots)))
        for slot in slots:
            if slot.status == "undecidable": print("   ", slot)
    assert not wrong, "\n".join(wrong[:40])
