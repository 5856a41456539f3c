"""`kdbg vtable` in real GDBs and outside: trait objects, C++ objects, tables by address, relocated and not."""

from __future__ import annotations

import pathlib
import re
import subprocess
from typing import Any, Iterator

import pytest
from support import gdb, kdbg, read_packets, require, run, wait_for_socket
from vtable_programs import cpp, described_tables, rust, stripped

AT_MAIN = ["break stop_here", "run", "up"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("vtables")


def table_of(program: pathlib.Path, name: str) -> int:
    """The link-time address of a Rust table."""
    wanted = f"<{name}>::{{vtable}}"
    return next(a for a, found in described_tables(program).items() if wanted in {variable for variable, _ in found})


def functions(data: Any) -> list[str]:
    return [entry["demangled"] for entry in data["entries"] if entry["demangled"]]


def statuses(data: Any) -> set[str]:
    return {entry["status"] for entry in data["entries"] if entry["relocation"]}


DOG = [
    "core::ptr::drop_in_place<shapes::Dog>",
    "<shapes::Dog as shapes::Named>::name",
    "<shapes::Dog as shapes::Counted>::legs",
    "<shapes::Dog as shapes::Animal>::speak",
    "shapes::Animal::sleep",
]


@pytest.mark.parametrize(
    ("expression", "kind", "trait"),
    [
        ("reference", "shapes::Dog", "shapes::Animal"),
        ("&reference", "shapes::Dog", "shapes::Animal"),
        ("reference.vtable", "shapes::Dog", "shapes::Animal"),
        ("boxed", "shapes::Dog", "shapes::Animal"),
        ("kennel", "shapes::Dog", "shapes::Animal"),
        ("first_supertrait", "shapes::Dog", "shapes::Animal"),
        ("second_supertrait", "shapes::Dog", "shapes::Counted"),
        ("zero_drop", "shapes::Fish", "shapes::Animal"),
        ("counted_twice", "shapes::Fish", "shapes::Animal"),
        ("shared", "shapes::Fish", "shapes::Named"),
        ("ghost", "shapes::Ghost", "shapes::Named"),
        ("aligned", "shapes::Aligned", "shapes::Counted"),
        ("empty", "shapes::Dog", "shapes::Empty"),
        ("any", "u64", "core::any::Any"),
        ("shown", "&str", "core::fmt::Display"),
    ],
)
def test_trait_objects_of_every_kind(directory: pathlib.Path, expression: str, kind: str, trait: str) -> None:
    output = gdb([*AT_MAIN, f"kdbg vtable {expression}"], str(rust(directory)))
    data = output.data("vtable")
    assert (data["kind"], data["type"], data["trait"]) == ("rust", kind, trait)
    assert [entry["name"] for entry in data["entries"][:3]] == ["drop_in_place", "size", "align"]
    assert statuses(data) <= {"resolved"}
    assert "nternal error" not in output.text
    if trait == "shapes::Animal" and kind == "shapes::Dog":
        assert [name for name in functions(data) if name.startswith(("core", "<", "shapes::A"))] == DOG


def test_a_zero_drop_entry_is_normal_and_has_no_status(directory: pathlib.Path) -> None:
    data = gdb([*AT_MAIN, "kdbg vtable ghost"], str(rust(directory))).data("vtable")
    drop = data["entries"][0]
    assert (drop["value"], drop["status"], drop["relocation"]) == ("0x0", None, "")
    assert "nothing to drop" in drop["note"]
    assert data["data_pointer"] == "0x1"


def test_a_supertrait_pointer_names_its_table(directory: pathlib.Path) -> None:
    data = gdb([*AT_MAIN, "kdbg vtable reference"], str(rust(directory))).data("vtable")
    entry = next(entry for entry in data["entries"] if entry["name"].startswith("super_trait_ptr"))
    assert "shapes::Dog as shapes::Counted" in entry["note"]


@pytest.mark.parametrize("expression", ["dog", "fish", "nothing", "*(char **)0"])
def test_what_leads_to_no_table_is_one_clear_error(directory: pathlib.Path, expression: str) -> None:
    output = gdb([*AT_MAIN, f"kdbg vtable {expression}"], str(rust(directory)))
    assert not output.objects
    assert [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
    assert "Traceback" not in output.text


def test_a_pointer_the_compiler_did_not_keep_is_no_null_table(directory: pathlib.Path) -> None:
    output = gdb(
        ["break stop_here", "run", "up 2", "kdbg vtable reference", "kdbg vtable ghost"], str(rust(directory, 2))
    )
    assert "give the table's address" in output.text
    assert output.data("vtable")["type"] == "shapes::Ghost"


@pytest.mark.parametrize("strip", ["", "-g", "-s"])
def test_before_relocation_every_entry_is_named_by_its_relocation(directory: pathlib.Path, strip: str) -> None:
    address = table_of(rust(directory), "shapes::Dog as shapes::Animal")
    data = gdb(["starti", f"kdbg vtable {address:#x}"], str(rust(directory, 0, strip))).data("vtable")
    assert statuses(data) == {"unrelocated"}
    assert all(entry["expected"] for entry in data["entries"] if entry["relocation"])
    assert data["state"].startswith("relocations not applied yet: 0 of ")
    if strip != "-s":
        assert [name for name in functions(data) if name in DOG] == DOG
    assert len(data["entries"]) == 8


def test_an_overwritten_entry_leads_elsewhere(directory: pathlib.Path) -> None:
    overwrite = "set *((unsigned long *)&_ZTVN4farm3DogE + 4) = (unsigned long)&_ZN4farm5Horse5speakEv"
    data = gdb([*AT_MAIN, overwrite, "kdbg vtable dog"], str(cpp(directory, "-O0"))).data("vtable")
    entry = data["entries"][4]
    assert entry["status"] == "elsewhere"
    assert "Horse5speak" in entry["note"] or "Horse::speak" in entry["note"]
    assert entry["demangled"] == "farm::Animal::legs() const"


def test_a_base_pointer_shows_the_class_and_all_its_tables(directory: pathlib.Path) -> None:
    data = gdb([*AT_MAIN, "kdbg vtable named"], str(cpp(directory, "-O0"))).data("vtable")
    assert (data["kind"], data["type"], data["table"]) == ("c++", "farm::Horse", "vtable for farm::Horse+0x48")
    assert int(data["data_pointer"], 16) - int(data["object"], 16) == 16
    assert "non-virtual thunk to farm::Horse::name() const" in functions(data)
    assert [base["offset_to_top"] for base in data["bases"]] == [0]


def test_virtual_bases_and_construction_tables(directory: pathlib.Path) -> None:
    program = str(cpp(directory, "-O0"))
    output = gdb([*AT_MAIN, "kdbg vtable root", "kdbg vtable _ZTCN4farm6BottomE0_NS_4LeftE"], program)
    root, construction = (output.data("vtable", index) for index in (0, 1))
    assert root["type"] == "farm::Bottom"
    assert "virtual thunk to farm::Bottom::root()" in functions(root)
    assert [base["offset_to_top"] for base in root["bases"]] == [0, -16]
    assert construction["table"].startswith("construction vtable for farm::Left-in-farm::Bottom")
    assert construction["type"] == "farm::Left"


def test_objects_by_address_and_of_stripped_programs(directory: pathlib.Path) -> None:
    program = cpp(directory, "-O0")
    found = gdb([*AT_MAIN, "kdbg vtable (long)&bottom", "p/x (long)&bottom"], str(program)).data("vtable")
    bare = stripped(program, directory / "bare-objects")
    data = gdb(["starti", f"kdbg vtable {found['link_address']}"], str(bare)).data("vtable")
    assert found["type"] == data["type"] == "farm::Bottom"
    assert len(data["entries"]) >= 8
    assert statuses(data) == {"unrelocated"}


def test_without_rtti_and_symbols_nothing_is_guessed(directory: pathlib.Path) -> None:
    program = cpp(directory, "-O0", "-fno-rtti")
    data = gdb([*AT_MAIN, "kdbg vtable horse"], str(program)).data("vtable")
    assert data["type"] == "farm::Horse"
    assert data["entries"][1]["note"] == "compiled without RTTI"
    bare = stripped(program, directory / "bare-no-rtti")
    output = gdb([f"kdbg vtable {data['link_address']}", f"kdbg vtable --kind c++ {data['link_address']}"], str(bare))
    assert "as without RTTI, and no symbol says" in output.text
    assert len(output.data("vtable")["entries"]) == len(data["entries"])


@pytest.mark.parametrize("expression", ["plain", "nobody", "stop_here", "main", "0x10", "$sp"])
def test_no_table_is_invented_in_cpp(directory: pathlib.Path, expression: str) -> None:
    output = gdb([*AT_MAIN, f"kdbg vtable {expression}"], str(cpp(directory, "-O0")))
    assert not output.objects, output.text
    assert "kdbg: " in output.text
    assert "Traceback" not in output.text


STATIC = """
struct Base { virtual int f(); long x = 1; };
int Base::f() { return 1; }
struct Derived : Base { int f() override { return 2; } };
Derived object;
Base *pointer = &object, *nobody;
int main() { return pointer->f() - 2; }
"""


def test_what_static_objects_and_pointers_are_to_lead_to(directory: pathlib.Path) -> None:
    source, program = directory / "static.cpp", directory / "static"
    source.write_text(STATIC)
    run("g++", "-g", "-O1", "-std=c++17", "-o", str(program), str(source))
    output = gdb(["starti", "kdbg vtable object", "kdbg vtable pointer", "kdbg vtable nobody"], str(program))
    through_object, through_pointer = (output.data("vtable", index) for index in (0, 1))
    assert through_object["type"] == through_pointer["type"] == "Derived"
    assert through_object["entries"] == through_pointer["entries"]
    assert statuses(through_object) == {"unrelocated"}
    assert len(through_pointer["notes"]) > len(through_object["notes"]) > 0
    assert "kdbg: a null pointer" in output.text


COPIED = """
#include <new>
int main() { std::bad_alloc error; std::exception *base = &error; base->what(); __builtin_trap(); }
"""


def test_a_table_copied_from_a_library(directory: pathlib.Path) -> None:
    source, program = directory / "copied.cpp", directory / "copied"
    source.write_text(COPIED)
    run("g++", "-g", "-O0", "-no-pie", "-fno-pic", "-o", str(program), str(source))
    lines = ["run", "kdbg vtable base", "starti", "kdbg vtable _ZTVSt9bad_alloc"]
    output = gdb(lines, str(program))
    assert len(output.objects) == 1
    assert output.data("vtable")["type"] == "std::bad_alloc"
    assert "std::bad_alloc::what() const" in functions(output.data("vtable"))
    assert "a table that is to be copied from a library (COPY), and is not yet" in output.text


def test_a_static_pie_before_its_own_relocation(directory: pathlib.Path) -> None:
    data = gdb(["starti", "kdbg vtable _ZTVN4farm5HorseE"], str(cpp(directory, "-O0", "-static-pie"))).data("vtable")
    assert data["type"] == "farm::Horse"
    assert statuses(data) == {"unrelocated"}
    assert "farm::Horse::speak()" in functions(data)


def test_a_bare_file_has_expected_values_only(directory: pathlib.Path) -> None:
    program = rust(directory)
    address = table_of(program, "shapes::Fish as shapes::Animal")
    data = kdbg("vtable", f"{address:#x}", str(program)).data("vtable")
    filled = [entry for entry in data["entries"] if entry["relocation"]]
    assert filled
    assert {entry["value"] for entry in filled} == {entry["status"] for entry in filled} == {None}
    assert all(entry["expected"] for entry in filled)
    assert data["type"] == "shapes::Fish"
    moved = kdbg("vtable", f"{address + 0x7F0000000000:#x}", "--bias", "0x7f0000000000", str(program)).data("vtable")
    assert (moved["type"], moved["link_address"]) == (data["type"], data["address"])
    within = kdbg("vtable", f"{address + 8:#x}", str(program))
    assert within.status == 1
    assert "bytes into the table of shapes::Fish as shapes::Animal" in within.problems("vtable")[0]


def test_a_shared_library_as_a_file(directory: pathlib.Path) -> None:
    data = kdbg("vtable", "_ZTVN4farm6BottomE", str(cpp(directory, "-shared", "-fPIC"))).data("vtable")
    assert data["type"] == "farm::Bottom"
    assert len(data["bases"]) == 2
    assert {entry["relocation"] for entry in data["entries"] if entry["index"] >= 0} == {"64"}


def test_a_core_dump_gives_the_same(directory: pathlib.Path) -> None:
    core, program = directory / "core", str(rust(directory))
    live = gdb([*AT_MAIN, "kdbg vtable boxed", f"gcore {core}"], program).data("vtable")
    assert gdb([f"core-file {core}", "frame 1", "kdbg vtable boxed"], program).data("vtable") == live
    outside = kdbg("vtable", live["address"], "--core", str(core), program).data("vtable")
    assert outside["entries"] == live["entries"]


@pytest.fixture
def gdbserver(directory: pathlib.Path) -> Iterator[str]:
    require("gdbserver")
    process = subprocess.Popen(
        ["gdbserver", "--once", "localhost:0", str(rust(directory))], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    port = next(found[1] for line in process.stderr if (found := re.search(r"on port (\d+)", line)))
    yield f"target remote localhost:{port}"
    process.kill()
    process.wait()


def test_few_packets_through_a_stub(directory: pathlib.Path, gdbserver: str) -> None:
    before, after = directory / "before", directory / "after"
    lines = [f"set remotelogfile {after}", gdbserver, "break stop_here", "continue", "up", f"shell cp {after} {before}"]
    output = gdb([*lines, "kdbg vtable boxed"], str(rust(directory)))
    assert output.data("vtable")["type"] == "shapes::Dog"
    assert len(read_packets(after)) - len(read_packets(before)) <= 15


def test_qemu_user_before_relocation(directory: pathlib.Path) -> None:
    require("qemu-x86_64")
    program, stub = cpp(directory, "-O0", "-static-pie"), directory / "user-stub"
    process = subprocess.Popen(["qemu-x86_64", "-g", str(stub), str(program)], stdin=subprocess.DEVNULL)
    try:
        wait_for_socket(stub, process)
        data = gdb([f"target remote {stub}", "kdbg vtable _ZTVN4farm5HorseE"], str(program)).data("vtable")
        assert statuses(data) == {"unrelocated"}
    finally:
        process.kill()
        process.wait()
