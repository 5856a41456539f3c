"""Where each loaded file lies, against /proc/PID/maps: builds GDB knows nothing of, stops where it knows little."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import struct
import subprocess
from typing import Callable, Iterator

import pytest
import support

from gdb_kdbg.elf import open_elf

SOURCE = support.ROOT / "tests" / "programs" / "loads.c"
FLAGS = {
    "pie": ["-pie", "-fPIE", "-DWITH_DLOPEN"],
    "no-pie": ["-no-pie", "-fno-pie", "-DWITH_DLOPEN"],
    "static-pie": ["-static-pie", "-fPIE"],
    "static": ["-static", "-no-pie", "-fno-pie"],
}
BUILDS = [*FLAGS, *(f"{name}-stripped" for name in FLAGS), *(f"{name}-sectionless" for name in FLAGS)]
DYNAMIC = [name for name in BUILDS if "static" not in name]
MAPS = "python print('MAPS', open('/proc/%d/maps' % gdb.selected_inferior().pid).read(), 'END', sep='\\n')"
END = ["catch syscall exit_group", "continue"]
Programs = Callable[[str], str]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Builds loads.c by one of the names of BUILDS, each once."""
    directory = tmp_path_factory.mktemp("loads")

    @functools.lru_cache(maxsize=None)
    def build(name: str) -> str:
        support.require("gcc", "strip")
        output = directory / name
        base, _, change = name.rpartition("-")
        if change == "stripped":
            support.run("strip", "-o", str(output), build(base))
        elif change == "sectionless":
            output.write_bytes(without_sections(pathlib.Path(build(base)).read_bytes()))
            output.chmod(0o755)
        else:
            support.run("gcc", "-g", "-O1", *FLAGS[name], "-o", str(output), str(SOURCE))
        return str(output)

    return build


def without_sections(raw: bytes) -> bytes:
    """Cut the section headers off: e_shoff, e_shnum and e_shstrndx of the ELF header, and what they lead to."""
    (offset,) = struct.unpack_from("<Q", raw, 40)
    return raw[:40] + bytes(8) + raw[48:60] + bytes(4) + raw[64:offset]


def mapped_files(text: str) -> dict[str, int]:
    """The load bias of each ELF file of the last /proc/PID/maps in GDB's output."""
    found: dict[str, int] = {}
    for line in text.rpartition("MAPS\n")[2].partition("END")[0].splitlines():
        place = re.match(r"([0-9a-f]+)-\S+ \S+ 0+ \S+ \d+ +(/.*)$", line)
        if place and place[2] not in found and pathlib.Path(place[2]).read_bytes()[:4] == b"\x7fELF":
            elf = open_elf(place[2])
            found[place[2]] = 0 if elf.type == "EXEC" else int(place[1], 16) - elf.loaded[0].address
    assert found, text
    return found


def biases(output: support.GdbOutput) -> dict[str, int]:
    """What kdbg says of the same."""
    files = output.data("status")["objfiles"]
    assert output.problems("status") == [], output.text
    assert len({os.path.realpath(file["objfile"]) for file in files}) == len(files), output.text
    return {os.path.realpath(file["objfile"]): int(file["load_bias"], 16) for file in files}


@pytest.mark.parametrize("build", BUILDS)
def test_at_the_first_instruction(build: str, programs: Programs) -> None:
    output = support.gdb(["starti", "kdbg", MAPS], programs(build))
    assert biases(output) == mapped_files(output.text)


@pytest.mark.parametrize("build", BUILDS)
def test_after_all_is_loaded(build: str, programs: Programs) -> None:
    output = support.gdb(["starti", "kdbg", *END, "kdbg", MAPS], programs(build))
    expected = mapped_files(output.text)
    assert biases(output) == expected
    assert any("libm" in path for path in expected) == ("static" not in build)


@pytest.mark.parametrize("build", DYNAMIC)
def test_while_the_dynamic_linker_works(build: str, programs: Programs) -> None:
    output = support.gdb(["starti", "stepi 20000", "kdbg", MAPS], programs(build))
    found, expected = biases(output), mapped_files(output.text)
    assert os.path.realpath(programs(build)) in found and any("ld-linux" in path for path in found)
    assert found.items() <= expected.items()


@pytest.mark.parametrize("build", DYNAMIC)
def test_when_the_libraries_are_mapped(build: str, programs: Programs) -> None:
    output = support.gdb(["starti", "catch load", "continue", "kdbg", MAPS], programs(build))
    assert biases(output) == mapped_files(output.text)
    assert any("libc" in path for path in biases(output))


@pytest.mark.parametrize("build", DYNAMIC)
def test_libraries_whose_symbols_gdb_is_not_to_read(build: str, programs: Programs) -> None:
    output = support.gdb(["set auto-solib-add off", "starti", *END, "kdbg", MAPS], programs(build))
    assert biases(output) == mapped_files(output.text)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("with_file", [True, False], ids=["file", "no file"])
def test_through_gdbserver(build: str, with_file: bool, programs: Programs) -> None:
    support.require("gdbserver")
    remote = f"target remote | gdbserver --once - {programs(build)}"
    files = [programs(build)] if with_file else []
    output = support.gdb([remote, "kdbg", *END, "kdbg", MAPS], *files)
    assert biases(output) == mapped_files(output.text)
    assert output.data("status")["target"] == "gdbserver"


def test_no_memory_is_read_where_gdb_knows_all(programs: Programs, tmp_path: pathlib.Path) -> None:
    support.require("gdbserver")
    counts = []
    for commands in ([], ["python import gdb_kdbg.live.target as t; t.GdbTarget().objfiles()"]):
        log = tmp_path / f"log{len(counts)}"
        lines = [f"set remotelogfile {log}", f"target remote | gdbserver --once - {programs('pie')}", *END, *commands]
        assert "rror" not in support.gdb(lines, programs("pie")).text
        counts.append(len(support.read_packets(log)))
    # GDB itself reads the beginnings of the two texts in the auxiliary vector.
    assert counts[1] - counts[0] <= 4


@pytest.fixture
def sleeping(programs: Programs) -> Iterator[Callable[[str], int]]:
    """Starts a program that waits for a signal; returns its process id once it waits."""
    started: list[subprocess.Popen[bytes]] = []

    def start(build: str) -> int:
        started.append(subprocess.Popen([programs(build), "wait"]))
        status = pathlib.Path(f"/proc/{started[-1].pid}/syscall")
        support.wait_until(lambda: status.read_text().startswith("34 "), "the program did not come to its pause()")
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("build", BUILDS)
def test_attached(build: str, sleeping: Callable[[str], int]) -> None:
    """With address space randomisation, which GDB switches off for what it starts itself."""
    output = support.gdb([f"attach {sleeping(build)}", "kdbg", MAPS, "detach"])
    assert biases(output) == mapped_files(output.text)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("place", ["start", "end"])
def test_core_dumps_in_gdb_and_outside(build: str, place: str, programs: Programs, tmp_path: pathlib.Path) -> None:
    core = tmp_path / "core"
    stop = ["starti"] if place == "start" else ["starti", *END]
    live = support.gdb([*stop, MAPS, f"generate-core-file {core}"], programs(build))
    expected = mapped_files(live.text)
    assert biases(support.gdb(["kdbg"], programs(build), str(core))) == expected
    assert biases(support.kdbg("status", "--core", str(core))) == expected
    assert biases(support.kdbg("status", "--core", str(core), programs(build))) == expected


@pytest.mark.parametrize("build", DYNAMIC)
def test_core_dump_without_a_list_of_files(build: str, programs: Programs, tmp_path: pathlib.Path) -> None:
    """Some writers of core dumps leave NT_FILE out: the process's own list must do."""
    core = tmp_path / "core"
    live = support.gdb(["starti", *END, MAPS, f"generate-core-file {core}"], programs(build))
    raw = core.read_bytes()
    place = raw.index(struct.pack("<I", 0x46494C45) + b"CORE\0")
    core.write_bytes(raw[:place] + struct.pack("<I", 0x7777) + raw[place + 4 :])
    assert biases(support.kdbg("status", "--core", str(core))) == mapped_files(live.text)


def test_a_program_that_the_dynamic_linker_was_told_to_run(programs: Programs) -> None:
    """`ld.so PROGRAM`: the list has no name for it, and GDB does not know it either."""
    linker = "/lib64/ld-linux-x86-64.so.2"
    arguments = f"set args {programs('pie')}"
    output = support.gdb([arguments, "starti", *END, "kdbg", MAPS], linker)
    expected = mapped_files(output.text)
    (bias,) = (bias for path, bias in expected.items() if path == os.path.realpath(programs("pie")))
    assert [f"{bias:#x}" in problem and "--bias" in problem for problem in output.problems("status")] == [True]
    found = {os.path.realpath(o["objfile"]): int(o["load_bias"], 16) for o in output.data("status")["objfiles"]}
    assert {**found, os.path.realpath(programs("pie")): bias} == expected


def test_a_given_file_that_is_another_is_refused(programs: Programs, tmp_path: pathlib.Path) -> None:
    core = tmp_path / "core"
    live = support.gdb(["starti", MAPS, f"generate-core-file {core}"], programs("pie"))
    other = tmp_path / "pie"
    other.write_bytes(pathlib.Path(programs("static-pie")).read_bytes())
    output = support.kdbg("status", "--core", str(core), str(other))
    assert any("not the file of that name" in problem for problem in output.problems("status"))
    files = {os.path.realpath(file["objfile"]) for file in output.data("status")["objfiles"]}
    assert files == set(mapped_files(live.text))


def test_a_program_that_was_built_again_is_not_taken_for_the_one_that_runs(
    programs: Programs, tmp_path: pathlib.Path
) -> None:
    program = tmp_path / "program"
    program.write_bytes(pathlib.Path(programs("pie-sectionless")).read_bytes())
    program.chmod(0o755)
    core = tmp_path / "core"
    support.gdb(["starti", *END, f"generate-core-file {core}"], str(program))
    program.write_bytes(pathlib.Path(programs("static-pie-sectionless")).read_bytes())
    output = support.gdb(["kdbg"], str(program), str(core))
    assert any("is not the file that was loaded" in problem for problem in output.problems("status")), output.text
    assert str(program) not in [file["objfile"] for file in output.data("status")["objfiles"]]


REBUILT = """
#include <stdlib.h>
static int one(int x) { return x + 1; }
static int two(int x) { return x + 2; }
int (*const table[])(int) = {FIRST, SECOND, FIRST, SECOND};
int main(int argc, char **argv) { (void)argv; if (table[argc & 3](1)) abort(); return 0; }
"""


@pytest.mark.parametrize("other", ["one", "two"])
def test_a_program_that_was_built_anew_since_is_not_judged_by_its_new_file(other: str, tmp_path: pathlib.Path) -> None:
    program, core = str(tmp_path / "program"), str(tmp_path / "core")

    def build(first: str, second: str) -> None:
        (tmp_path / "source.c").write_text(REBUILT.replace("FIRST", first).replace("SECOND", second))
        support.run("gcc", "-g", "-Wl,--build-id", "-o", program, str(tmp_path / "source.c"))

    build("one", "two")
    support.gdb(["run", f"generate-core-file {core}"], program)
    build(*(("two", "one") if other == "two" else ("one", "two")))
    inside, outside = support.gdb(["kdbg got program"], program, core), support.kdbg("got", "--core", core, program)
    if other == "one":  # the same file again
        assert inside.data("got")["objfiles"][0]["counts"].keys() <= {"resolved", "lazy"}
        assert outside.problems("got") == []
        return
    assert "program is not the file that was loaded" in inside.text and not inside.objects
    files = outside.data("got")["objfiles"]
    assert not [file for file in files if file["name"] == program]
    assert not [slot for file in files for slot in file["slots"] if slot["status"] in ("elsewhere", "unrelocated")]
    assert any("has changed since the program ran" in problem for problem in outside.problems("got"))


IMPORTS = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static int unlike(void) { return OTHER; }
int main(void) { return unlike() + puts("here"); }
"""
# What the program does not write to stays out of the dump, and its file header with it.
WITHOUT_HEADERS = "python open(f'/proc/{gdb.selected_inferior().pid}/coredump_filter', 'w').write('0x23')"


@pytest.mark.parametrize("other", ["1", 'atoi(getenv("HOME")) + (int)time(0)'])
def test_a_program_that_was_built_anew_since_shows_by_its_dynamic_section_too(
    other: str, tmp_path: pathlib.Path
) -> None:
    program, core = str(tmp_path / "program"), str(tmp_path / "core")

    def build(what: str) -> None:
        (tmp_path / "source.c").write_text(IMPORTS.replace("OTHER", what))
        support.run("gcc", "-g", "-no-pie", "-o", program, str(tmp_path / "source.c"))

    build("1")
    support.gdb(["break unlike", "run", WITHOUT_HEADERS, f"generate-core-file {core}"], program)
    build(other)
    inside, outside = support.gdb(["kdbg got program"], program, core), support.kdbg("got", "--core", core, program)
    named = [file["name"] for file in outside.data("got")["objfiles"]]
    if other == "1":  # the same file again
        assert inside.data("got")["objfiles"][0]["counts"].keys() <= {"resolved", "lazy", "undecidable"}
        assert outside.problems("got") == [] and program in named
        return
    reason = "program is not the file that was loaded"
    assert reason in inside.text and not inside.objects, inside.text
    assert [reason in problem for problem in outside.problems("got")] == [True] and program not in named
