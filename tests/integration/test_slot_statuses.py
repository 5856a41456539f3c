"""`kdbg got` on running programs: what it says of every slot against what the dynamic linker itself makes of them.

The truth comes from a second run with LD_BIND_NOW=1: what a slot holds at main is then the value it should have. Values
are read through /proc/PID/mem, the list of slots by readelf (tests/slot_truth.py).
"""

from __future__ import annotations

import functools
import os
import pathlib
import resource
import subprocess
from collections import Counter
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

import builds as builders
import pytest
import slot_truth
import support
from builds import Builds, builds  # noqa: F401  (a fixture)

from gdb_kdbg.elf import open_elf
from gdb_kdbg.slots import IRELATIVE, RELATIVE, PlannedSlot, planned_slots

STOPS = ("starti", "main", "used")
TESTS = support.ROOT / "tests"
PREPARE = (
    "set disable-randomization on",
    f"python import sys; sys.path.insert(0, {str(TESTS)!r}); import slot_truth; known = {{}}",
)
WRITABLE = "in writable data: the program may have changed it"
CONSTANT = (".got", ".data.rel.ro", ".init_array", ".fini_array")
Row = Mapping[str, Any]


class Stop(NamedTuple):
    """One stop: what kdbg says of each file, and what is true of it, both by the file's path."""

    name: str
    told: Mapping[str, Row]
    held: Mapping[str, Mapping[int, int]]
    biases: Mapping[str, int]


class History(NamedTuple):
    """The stops of one run, and the value each slot should have, by file and address."""

    stops: Sequence[Stop]
    wanted: Mapping[str, Mapping[int, int]]


def look(path: pathlib.Path) -> list[str]:
    return [f"python slot_truth.record(gdb.selected_inferior().pid, {str(path)!r}, known)", "kdbg got"]


class Steps(NamedTuple):
    """The GDB commands that bring a program from its first instruction to main, and from there behind its work."""

    to_main: Sequence[str] = ("continue",)
    to_end: Sequence[str] = ("continue",)


BY_ITSELF = Steps()
# A program of the system does not stop itself.
BY_BREAKPOINT = Steps(
    ("set breakpoint pending on", "tbreak __libc_start_main", "continue"), ("catch syscall exit_group", "continue")
)


def watch_run(directory: pathlib.Path, steps: Steps, *command: str) -> History:
    """Run a program to its stops, and once more with everything bound at once."""
    seen, bound = directory / "seen", directory / "bound"
    lines = [*PREPARE, "starti", *look(seen), *steps.to_main, *look(seen), *steps.to_end, *look(seen), "kill"]
    output = support.gdb(lines, "--args", *command)
    record = look(bound)[0]
    lines = [*PREPARE, "set environment LD_BIND_NOW=1", "starti", *steps.to_main, record, *steps.to_end, record, "kill"]
    support.gdb(lines, "--args", *command, json_format=False)
    truths = slot_truth.recorded(str(seen))
    assert len(truths) == len(STOPS), output.text[-3000:]
    stops = [stop_of(name, output, index, truths[index]) for index, name in enumerate(STOPS)]
    at_main, at_end = map(held, slot_truth.recorded(str(bound)))
    return History(stops, {**at_end, **at_main})


def stop_of(name: str, output: support.GdbOutput, index: int, truth: Mapping[str, Mapping[str, int]]) -> Stop:
    return Stop(name, told(output, index), held(truth), {path: words["bias"] for path, words in truth.items()})


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
            yield Judged(path, row, words[address], wanted(history, path, address, stop.biases[path]))


def wanted(history: History, path: str, address: int, bias: int) -> int:
    """What a slot should hold; a RELATIVE one's value needs no run, and the program may have changed it at main."""
    relative = relatives(path).get(address)
    return history.wanted[path][address] if relative is None else (bias + relative) % (1 << 64)


@functools.lru_cache(maxsize=None)
def relatives(path: str) -> Mapping[int, int]:
    return {e.address: e.addend for e in slot_truth.entries(path) if e.relocation in ("RELATIVE", "RELR")}


def copies(path: str) -> set[int]:
    return {entry.address for entry in slot_truth.entries(path) if entry.relocation == "COPY"}


def faults(history: History) -> list[str]:
    """Say which verdicts are wrong."""
    return [
        f"at {stop.name}: {slot}"
        for stop in history.stops
        for slot in judged(history, stop)
        if not is_right(slot, stop.name)
    ]


def is_right(slot: Judged, stop: str) -> bool:
    row = slot.row
    # At the start the libraries are not there yet that ld.so's own functions may be taken from.
    is_known = stop != "starti" or row["relocation"] != "JUMP_SLOT"
    if is_known and slot.status != "undecidable" and number(row["expected"]) not in (None, slot.wanted):
        return False
    if slot.value == slot.wanted:
        # The loader has still to come by, even if it will leave a zero in the end; but what nothing defines is right.
        is_next = stop in ("starti", "middle") and slot.value == 0 and row["relocation"] not in ("GLOB_DAT", "64")
        is_open = row["note"] == WRITABLE or (row["relocation"] == "IRELATIVE" and slot.value == 0)
        is_open = is_open or (stop in ("starti", "middle") and "weak" in row["note"])
        return slot.status == "resolved" or slot.status == "unrelocated" and is_next or is_undecided(slot, is_open)
    if slot.status == "lazy":
        return row["relocation"] == "JUMP_SLOT" and slot.value != 0
    if stop == "middle" and slot.value == 0:
        # A zero in data, for an IFUNC or for a weak symbol may be meant once a part of the file is relocated.
        may_be = not row["section"].startswith(CONSTANT) or row["relocation"] == "IRELATIVE" or "weak" in row["note"]
        return slot.status == "unrelocated" or is_undecided(slot, may_be)
    if stop in ("starti", "middle"):
        return slot.status == "unrelocated" or is_undecided(slot, slot.value == 0 and "weak" in row["note"])
    return is_undecided(slot, row["note"] == WRITABLE)


def is_undecided(slot: Judged, may_be: bool) -> bool:
    return slot.status == "undecidable" and may_be


@pytest.mark.parametrize("name", builders.names(that_run=True))
def test_every_status_is_right_at_the_start_at_main_and_after_use(
    name: str,
    builds: Builds,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    history = watch_run(tmp_path, BY_ITSELF, str(builds.of(name)))
    wrong = faults(history)
    assert not wrong, "\n".join(wrong[:40])
    start, main, used = (Counter(slot.status for slot in judged(history, stop)) for stop in history.stops)
    weak = [slot.status for slot in judged(history, history.stops[0]) if "weak" in slot.row["note"]]
    assert set((start - Counter(weak)).keys()) <= {"unrelocated", "lazy"} and set(weak) <= {"undecidable", "resolved"}
    assert set(main) | set(used) <= {"resolved", "lazy", "undecidable"}
    assert used["undecidable"] <= 6
    assert used["lazy"] < main["lazy"] or not main["lazy"] or name not in LAZY_BUILDS


LAZY_BUILDS = [name for name, recipe in builders.RECIPES.items() if "-z,lazy" in recipe.program]
SYSTEM = [
    ("/usr/bin/python3.11", "-c", "import json, decimal, ctypes, hashlib; print(json.dumps([1]))"),
    ("/bin/bash", "-c", "[[ abc =~ a.c ]] && printf '%s\\n' $((1 + 2))"),
]


@pytest.mark.parametrize("command", SYSTEM, ids=["python", "bash"])
def test_every_status_of_this_machines_programs_is_right(command: Sequence[str], tmp_path: pathlib.Path) -> None:
    if not os.path.exists(command[0]):
        pytest.skip(f"{command[0]} is not here")
    history = watch_run(tmp_path, BY_BREAKPOINT, *command)
    wrong = faults(history)
    assert not wrong, "\n".join(wrong[:40])
    used = list(judged(history, history.stops[2]))
    assert len(used) > 2000
    print(command[0], [Counter(slot.status for slot in judged(history, stop)) for stop in history.stops])


def entry_of(path: pathlib.Path, relocation: str, symbol: str = "", index: int = 0) -> slot_truth.Entry:
    """The n-th relocation of a kind; PIE programs are loaded at 0x555555554000 by a GDB without randomization."""
    found = [e for e in slot_truth.entries(str(path)) if e.relocation == relocation and e.symbol == symbol]
    return sorted(found)[index]


def set_bias(path: pathlib.Path) -> str:
    return f"python gdb.set_convenience_variable('bias', slot_truth.biases(gdb.selected_inferior().pid)[{str(path)!r}])"


@pytest.mark.parametrize("name", ["lazy", "lld-now", "relr"])
def test_statuses_are_right_while_the_program_is_being_relocated(
    name: str,
    builds: Builds,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    program, seen, bound = builds.of(name), tmp_path / "seen", tmp_path / "bound"
    slot = entry_of(program, "RELR" if name == "relr" else "RELATIVE", index=2)
    place = f"*(long *) ($bias + {slot.address})"
    lines = [*PREPARE, "starti", set_bias(program), f"watch {place}", "continue", *look(seen), "kill"]
    output = support.gdb(lines, str(program))
    lines = [*PREPARE, "set environment LD_BIND_NOW=1", "run", look(bound)[0], "kill"]
    support.gdb(lines, str(program), json_format=False)
    truth = slot_truth.recorded(str(seen))[0]
    stop = stop_of("middle", output, 0, truth)
    # Till all is done, ld.so uses its own copies of what libc will have to offer.
    told_of = {path: words for path, words in stop.held.items() if path in stop.told and "/ld-linux" not in path}
    stop = stop._replace(held=told_of)
    history = History([stop], held(slot_truth.recorded(str(bound))[0]))
    assert not faults(history)
    mine = stop.told[str(program)]
    assert mine["state"].startswith("partly relocated"), mine["state"]
    statuses = Counter(row["status"] for row in mine["slots"] if row["relocation"] in ("RELATIVE", "RELR"))
    assert statuses["resolved"] >= 1 and statuses["unrelocated"] >= 1, statuses


def change(*writes: tuple[str, str]) -> list[str]:
    """GDB commands that write an expression's value into each slot, given by its link-time address."""
    return [f"set {{long}}($bias + {address}) = {value}" for address, value in writes]


def changed_rows(
    program: pathlib.Path,
    writes: Sequence[tuple[slot_truth.Entry, str]],
    library: Optional[pathlib.Path] = None,
    before: Sequence[str] = (),
) -> list[Row]:
    """Run to the end of main, write into slots of the program or a library of it; return their rows in that order."""
    file = library or program
    commands = change(*((hex(entry.address), value) for entry, value in writes))
    lines = [*PREPARE, *before, "run", "continue", set_bias(file), *commands, f"kdbg got {file.name}", "kill"]
    output = support.gdb(lines, str(program))
    rows = {number(row["link_address"]): row for row in output.data("got")["objfiles"][0]["slots"]}
    return [rows[entry.address] for entry, _ in writes]


@pytest.mark.parametrize("name", ["lazy", "no-plt", "no-relro", "no-pie", "lld-now", "ibt", "stripped"])
def test_an_overwritten_slot_of_a_function_names_where_it_leads(name: str, builds: Builds) -> None:  # noqa: F811
    program = builds.of(name)
    relocation = "GLOB_DAT" if name == "no-plt" else "JUMP_SLOT"
    slots = [entry_of(program, relocation, symbol) for symbol in ("printf", "strlen", "puts", "use_library")]
    values = ["(long)&system", "(long)&system", "(long)&printf + 4", "0x4141414141414141"]
    untouched = [entry_of(program, relocation, symbol) for symbol in ("getenv", "borrowed", "perror")]
    values += [f"*(long *)($bias + {slot.address})" for slot in untouched]
    rows = changed_rows(program, list(zip([*slots, *untouched], values)))
    assert [row["status"] for row in rows[:4]] == ["elsewhere"] * 4
    assert [row["points_to"] for row in rows[:4]] == ["system (libc.so.6)"] * 2 + ["printf+0x4 (libc.so.6)", ""]
    assert rows[0]["expected"] != rows[0]["value"] and rows[0]["symbol"] == "printf"
    # The program would have called perror behind its last stop.
    last = "lazy" if "-z,lazy" in builders.RECIPES[name].program else "resolved"
    assert [row["status"] for row in rows[4:]] == ["resolved", "resolved", last]


@pytest.mark.parametrize("name", ["lazy", "no-relro", "relr"])
def test_overwritten_words_are_elsewhere_where_only_the_loader_writes(
    name: str,
    builds: Builds,  # noqa: F811
) -> None:
    program = builds.of(name)
    elf = open_elf(str(program))
    pointers = [s for s in planned_slots(elf) if s.effect == RELATIVE and s.section == ".data.rel.ro"]
    written = [s for s in planned_slots(elf) if s.effect == RELATIVE and s.section == ".data"]
    writes = [(as_entry(pointers[0]), "(long)&exported"), (as_entry(pointers[1]), "0"), (as_entry(written[-1]), "0")]
    writes += [(as_entry(written[-2]), "(long)&exported")]
    constant, zeroed, data_zeroed, data = changed_rows(program, writes)
    assert (constant["status"], constant["points_to"]) == ("elsewhere", "exported")
    assert zeroed["status"] in ("elsewhere", "unrelocated") and zeroed["value"] == "0x0"
    for row in (data_zeroed, data):
        assert (row["status"], row["note"]) == ("undecidable", WRITABLE)


def as_entry(slot: PlannedSlot) -> slot_truth.Entry:
    return slot_truth.Entry(slot.address, slot.relocation, slot.symbol.name, slot.addend)


def test_overwritten_slots_of_a_library_are_judged_like_those_of_the_program(builds: Builds) -> None:  # noqa: F811
    program = builds.of("lazy")
    library = program.parent / "libuses.so"
    table = [slot for slot in planned_slots(open_elf(str(library))) if slot.relocation == "64"]
    by_name = {slot.symbol.name: as_entry(slot) for slot in table}
    inside = [slot for slot in planned_slots(open_elf(str(library))) if slot.effect == IRELATIVE]
    of_plt, of_data = sorted(inside, key=lambda slot: slot.section == ".data")
    writes = [
        (by_name["plain"], "(long)&borrowed"),
        (by_name["chosen"], "(long)&system"),
        (by_name["borrowed"], "0"),
        (as_entry(of_plt), "(long)&system"),
        (as_entry(of_data), "(long)&system"),
        (entry_of(library, "GLOB_DAT", "shared_number"), "(long)&shared_words"),
    ]
    rows = changed_rows(program, writes, library)
    assert [(row["status"], row["points_to"]) for row in rows] == [
        ("elsewhere", "borrowed"),
        ("elsewhere", "system (libc.so.6)"),
        ("unrelocated", ""),
        ("elsewhere", "system (libc.so.6)"),
        ("undecidable", "system (libc.so.6)"),
        ("elsewhere", "shared_words"),
    ]


def test_slots_of_vtables_are_judged(builds: Builds) -> None:  # noqa: F811
    program = builds.of("c++")
    library = program.parent / "libclasses.so"
    area = "_ZNK6Square4areaEv"
    writes = [(entry_of(library, "64", area), "0"), (entry_of(library, "64", "_ZNK6Square6lengthEv"), "(long)&system")]
    zeroed, moved = changed_rows(program, writes, library)
    assert (zeroed["status"], zeroed["demangled"]) == ("unrelocated", "Square::area() const")
    assert (moved["status"], moved["points_to"]) == ("elsewhere", "system (libc.so.6)")


def test_an_interposer_is_what_the_lookup_finds_and_a_hook_is_elsewhere(builds: Builds) -> None:  # noqa: F811
    program, interposer = builds.of("lazy"), builds.interposer
    preload = [f"set environment LD_PRELOAD={interposer}"]
    puts, strlen = (entry_of(program, "JUMP_SLOT", name) for name in ("puts", "strlen"))
    writes = [(puts, f"*(long *)($bias + {puts.address})"), (strlen, "(long)&hook")]
    bound, hooked = changed_rows(program, writes, before=preload)
    assert (bound["status"], bound["points_to"]) == ("resolved", "puts (libinterposer.so)")
    assert bound["expected"] == bound["value"]
    assert (hooked["status"], hooked["points_to"]) == ("elsewhere", "hook (libinterposer.so)")
    plain = changed_rows(program, [(puts, f"*(long *)($bias + {puts.address})")])[0]
    assert (plain["status"], plain["points_to"]) == ("resolved", "puts (libc.so.6)")
    unbound = changed_rows(program, [(puts, f"$bias + {initial_of(program, puts)}")], before=preload)[0]
    assert (unbound["status"], unbound["expected"]) == ("lazy", bound["value"])


def initial_of(program: pathlib.Path, entry: slot_truth.Entry) -> int:
    return next(slot.initial for slot in planned_slots(open_elf(str(program))) if slot.address == entry.address)


def answers(data: Any) -> dict[str, list[tuple[Any, ...]]]:
    """What must not depend on how the program is looked at, nor on where it is loaded."""
    keys = ("link_address", "section", "relocation", "symbol", "addend", "points_to", "status", "note")
    return {
        os.path.basename(file["name"]): [tuple(row[key] for key in keys) for row in file["slots"]]
        for file in data["objfiles"]
    }


LOOKED_AT = ["lazy", "no-pie", "static", "static-pie", "relr", "no-sections"]


@pytest.mark.parametrize("name", LOOKED_AT)
def test_through_gdbserver_and_on_gdbs_core_dump_the_answers_are_the_same(
    name: str,
    builds: Builds,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    support.require("gdbserver")
    program, core = builds.of(name), tmp_path / "core.gdb"
    steps = ["kdbg got", "continue", "kdbg got", "continue", "kdbg got"]
    native = support.gdb(["set disable-randomization on", "starti", *steps, f"generate-core-file {core}"], str(program))
    server = f"target remote | gdbserver --once - {program}"
    remote = support.gdb([server, *steps, "kill"], str(program))
    for index in range(3):
        assert answers(remote.data("got", index)) == answers(native.data("got", index)), (name, index)
    dead = support.gdb(["kdbg got"], str(program), str(core))
    assert answers(dead.data("got")) == answers(native.data("got"))
    outside = support.kdbg("got", "--core", str(core), str(program))
    assert answers(outside.data("got")) == answers(native.data("got"))


@pytest.mark.parametrize("name", ["lazy", "no-pie", "static-pie", "no-sections"])
def test_on_a_core_dump_of_the_kernel_the_answers_are_the_same(
    name: str,
    builds: Builds,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    program = builds.of(name)
    core = kernel_core(program, tmp_path)
    native = support.gdb(["run", "kdbg got", "kill"], str(program))
    dead = support.gdb(["kdbg got"], str(program), str(core))
    assert answers(dead.data("got")) == answers(native.data("got"))


def kernel_core(program: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Let a program die by its own breakpoint in main."""
    if pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("core_pattern is not `core`: the dump goes elsewhere")
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    subprocess.run(
        [str(program)],
        cwd=directory,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (most, most)),
        check=False,
    )
    found = sorted(directory.glob("core*"))
    if not found:
        pytest.skip("the kernel wrote no core dump here")
    return found[0]
