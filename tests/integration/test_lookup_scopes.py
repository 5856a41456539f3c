"""Which definition a slot should lead to where files do not see each other: RTLD_LOCAL, DEEPBIND, dlmopen, auditors.

The truth is what the dynamic linker has put there: no slot is overwritten in any of these programs.
"""

from __future__ import annotations

import functools
import pathlib
from typing import Any, Mapping

import pytest
import support
from builds import cut_section_headers

SOURCES = support.ROOT / "tests" / "programs" / "scopes"
OTHER = "another definition of the symbol than a lookup finds first"


@functools.lru_cache(maxsize=None)
def built(directory: pathlib.Path) -> pathlib.Path:
    support.require("gcc")
    common = ["gcc", "-g", "-O1"]
    support.run(*common, "-o", str(directory / "program"), str(SOURCES / "program.c"))
    for name in ("first", "second", "audit"):
        command = [*common, "-shared", "-fPIC", f"-D{name.upper()}", str(SOURCES / "library.c")]
        support.run(*command, "-o", str(directory / f"{name}.so"))
    user = [*common, "-shared", "-fPIC", "-DUSER", "-Wl,-rpath,$ORIGIN", str(SOURCES / "library.c")]
    support.run(*user, "-o", str(directory / "user.so"), str(directory / "second.so"))
    (directory / "bare").write_bytes((directory / "program").read_bytes())
    (directory / "bare").chmod(0o755)
    cut_section_headers(directory / "bare")
    return directory


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return built(tmp_path_factory.mktemp("scopes"))


CASES = {
    "local": ["local:./first.so", "local:./user.so"],
    "global": ["global:./first.so", "local:./user.so"],
    "deep": ["global:./first.so", "deep:./user.so"],
    "apart": ["local:./first.so", "apart:./user.so"],
    "audit": ["local:./first.so", "local:./user.so"],
}
BOUND_TO = {name: "first.so" if name == "global" else "second.so" for name in CASES}


def start(name: str, directory: pathlib.Path) -> list[str]:
    """GDB commands that run a program to its end with all libraries loaded; it has no symbols without sections."""
    preload = [f"set environment LD_AUDIT {directory}/audit.so"] if name == "audit" else []
    return [*preload, f"cd {directory}", "catch syscall exit_group", "run"]


def files(output: support.GdbOutput, index: int = -1) -> list[Mapping[str, Any]]:
    assert output.problems("got", index) == []
    return list(output.data("got", index)["objfiles"])


def check(name: str, found: list[Mapping[str, Any]]) -> None:
    slots = [slot for file in found for slot in file["slots"]]
    assert not [slot for slot in slots if slot["status"] in ("elsewhere", "unrelocated")]
    assert not [slot for slot in slots if slot["note"] == OTHER]
    (user,) = (file for file in found if file["name"].endswith("user.so"))
    shared = [slot for slot in user["slots"] if slot["symbol"] == "shared"]
    assert len(shared) == 2 and {slot["points_to"] for slot in shared} == {f"shared ({BOUND_TO[name]})"}
    assert all(slot["expected"] == slot["value"] for slot in shared)
    own_libc = name in ("apart", "audit")
    assert sum(file["name"].endswith("/libc.so.6") for file in found) == 1 + own_libc


@pytest.mark.parametrize("program", ["program", "bare"])
@pytest.mark.parametrize("name", CASES)
def test_each_file_is_judged_by_what_it_sees(name: str, program: str, programs: pathlib.Path) -> None:
    lines = [*start(name, programs), "kdbg got"]
    check(name, files(support.gdb(lines, "--args", str(programs / program), *CASES[name])))


@pytest.mark.parametrize("program", ["program", "bare"])
@pytest.mark.parametrize("name", ["local", "apart"])
def test_the_same_on_a_core_dump(name: str, program: str, programs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    core = str(tmp_path / "core")
    path = str(programs / program)
    support.gdb([*start(name, programs), f"generate-core-file {core}"], "--args", path, *CASES[name])
    check(name, files(support.gdb(["kdbg got"], path, core, directory=programs)))
    check(name, files(support.kdbg("got", "--core", core, path)))


OF_FIRST = "int(gdb.lookup_objfile('first.so').lookup_global_symbol('shared').value().address)"


@pytest.mark.parametrize("name", ["local", "apart"])
def test_a_definition_that_the_file_does_not_see_is_told(name: str, programs: pathlib.Path) -> None:
    write = f"python gdb.execute('set {{long}}&kept = %d' % {OF_FIRST})"
    lines = [*start(name, programs), write, "kdbg got user.so --symbol shared"]
    (user,) = files(support.gdb(lines, "--args", str(programs / "program"), *CASES[name]))
    notes = {slot["points_to"]: slot["note"] for slot in user["slots"]}
    assert notes == {"shared (first.so)": OTHER, "shared (second.so)": ""}


@pytest.mark.parametrize("program", ["program", "bare"])
def test_a_function_of_a_library_that_is_not_here_any_more_is_not_an_overwritten_slot(
    program: str, programs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    core, library, path = str(tmp_path / "core"), tmp_path / "hooks.so", str(programs / program)
    source = str(SOURCES.parent / "linked" / "interposer.c")
    support.run("gcc", "-shared", "-fPIC", "-o", str(library), source)
    lines = [f"set environment LD_PRELOAD {library}", *start("local", programs), f"generate-core-file {core}"]
    support.gdb(lines, "--args", path, "local:./none.so")
    library.unlink()
    for output in (
        support.gdb(["kdbg got"], path, core, directory=programs),
        support.kdbg("got", "--core", core, path),
    ):
        slots = [slot for file in output.data("got")["objfiles"] for slot in file["slots"]]
        assert not [slot for slot in slots if slot["status"] == "elsewhere"]
        noted = {slot["symbol"] for slot in slots if "not here" in slot["note"]}
        assert noted == {"puts"}
