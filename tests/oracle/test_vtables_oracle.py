"""Rust's vtables against readelf's view of DWARF, with and without DWARF and symbols; C++ vtables against GDB."""

from __future__ import annotations

import pathlib
import random
import re
from typing import Iterator

import pytest
from support import gdb
from vtable_programs import cpp, described_tables, rust, stripped

from gdb_kdbg.cpp_vtables import cpp_table
from gdb_kdbg.elf import open_elf
from gdb_kdbg.file_target import FileTarget
from gdb_kdbg.rust_vtables import RustTable, rust_table
from gdb_kdbg.scope import Scope
from gdb_kdbg.target import Objfile
from gdb_kdbg.vtable_words import NotATable, Words

BUILDS = [
    (0, ()),
    (2, ()),
    (2, ("-Crelocation-model=static", "-Ctarget-feature=+crt-static")),
    (0, ("-Cprefer-dynamic",)),
]
SECTIONS = (".data.rel.ro", ".rodata", ".data", ".got")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("vtables")


def words_of(program: pathlib.Path) -> Words:
    target = FileTarget([Objfile(str(program), 0)])
    return Words(Scope.of(target), target)


def all_tables(program: pathlib.Path) -> dict[int, RustTable]:
    """Everything that is taken for a Rust table in the sections with data."""
    words, found = words_of(program), {}
    for section in open_elf(str(program)).sections:
        for address in range(section.address, section.end - 24, 8) if section.name in SECTIONS else ():
            try:
                found[address] = rust_table(words, address)
            except NotATable:
                continue
    return found


@pytest.mark.parametrize(("level", "flags"), BUILDS)
def test_with_dwarf_every_word_of_every_table_is_named_as_in_readelf(
    directory: pathlib.Path, level: int, flags: tuple[str, ...]
) -> None:
    program = rust(directory, level, "", *flags)
    tables = described_tables(program)
    assert len(tables) > 5
    words = words_of(program)
    for address, variables in tables.items():
        found = rust_table(words, address)
        assert found.names == max((names for _, names in variables), key=len)
        assert f"<{found.type} as {found.trait}>::{{vtable}}" in {name for name, _ in variables}
        assert found.type_from == "DWARF"


@pytest.mark.parametrize("option", ["-g", "-s"])
@pytest.mark.parametrize(("level", "flags"), BUILDS)
def test_without_dwarf_the_tables_are_the_same(
    directory: pathlib.Path, level: int, flags: tuple[str, ...], option: str
) -> None:
    words = words_of(rust(directory, level, option, *flags))
    refused = []
    for address, variables in described_tables(rust(directory, level, "", *flags)).items():
        wanted = max((names for _, names in variables), key=len)
        try:
            assert rust_table(words, address).names == wanted
        except NotATable as error:
            # Without names three words are not enough; the one way out is to be told.
            assert option == "-s" and len(wanted) == 3, error
            refused.append(address)
            assert rust_table(words, address, trusted=True).names == wanted
    assert len(refused) <= 1


@pytest.mark.parametrize("option", ["", "-g", "-s"])
@pytest.mark.parametrize(("level", "flags"), BUILDS)
def test_nothing_within_a_table_is_a_table(
    directory: pathlib.Path, level: int, flags: tuple[str, ...], option: str
) -> None:
    tables = described_tables(rust(directory, level, "", *flags))
    words = words_of(rust(directory, level, option, *flags))
    inside = [a + 8 * i for a, variables in tables.items() for i in range(1, len(variables[0][1]))]
    for address in (a for a in inside if a not in tables):
        with pytest.raises(NotATable):
            rust_table(words, address)


@pytest.mark.parametrize(("level", "flags"), BUILDS)
def test_stripping_invents_no_table(directory: pathlib.Path, level: int, flags: tuple[str, ...]) -> None:
    # With symbols each table is vouched for by the name of a function; without, nothing more may be found.
    named, bare = (all_tables(rust(directory, level, option, *flags)) for option in ("-g", "-s"))
    assert len(named) > 5
    assert bare.keys() <= named.keys()
    assert {a: len(t.names) for a, t in bare.items()} == {a: len(named[a].names) for a in bare}
    starts = sorted(named)
    assert all(start + 8 * len(named[start].names) <= after for start, after in zip(starts, starts[1:]))


def test_a_c_library_has_no_rust_tables(directory: pathlib.Path) -> None:
    for program in (cpp(directory, "-O0"), stripped(cpp(directory, "-O0"), directory / "bare")):
        assert all_tables(program) == {}


def blocks_of_gdb(text: str) -> Iterator[tuple[int, str, list[int]]]:
    """The tables `info vtbl` prints: address, class, and the functions in their order."""
    for block in re.split(r"(?m)^(?=vtable for ')", text)[1:]:
        head = re.match(r"vtable for '([^']*)' @ (0x[0-9a-f]+)", block)
        assert head is not None
        yield int(head[2], 16), head[1], [int(x, 16) for x in re.findall(r"(?m)^\[\d+\]: (0x[0-9a-f]+)", block)]


OBJECTS = [
    "dog",
    "horse",
    "bottom",
    "left",
    "holder",
    "maker",
    "animal",
    "named",
    "root",
    "right",
    "hidden",
    "anonymous",
]


@pytest.mark.parametrize("flags", [("-O0",), ("-O0", "-no-pie"), ("-O0", "-static-pie"), ("-O0", "-fno-rtti")])
def test_cpp_tables_are_those_of_info_vtbl(directory: pathlib.Path, flags: tuple[str, ...]) -> None:
    lines = ["break stop_here", "run", "up"]
    for name in OBJECTS:
        lines += [f"echo @@{name}\\n", f"info vtbl {name}", f"kdbg vtable {name}"]
    output = gdb(lines, str(cpp(directory, *flags)))
    compared = 0
    for part in output.text.split("@@")[1:]:
        name = part.split("\n", 1)[0]
        data = output.objects[OBJECTS.index(name)]["data"]
        ours = tables_of(data)
        for address, kind, functions in blocks_of_gdb(part):
            # GDB lists what the static type of the base declares; the class may have more, destructors for instance.
            assert address in ours, (name, kind, part)
            assert ours[address][: len(functions)] == functions, (name, kind)
            compared += len(functions)
    assert compared >= 39


def tables_of(data: dict[str, object]) -> dict[int, list[int]]:
    """The functions of each table in a result of kdbg, by address."""
    bases = data["bases"]
    assert isinstance(bases, list)
    return {
        int(table["address"], 16): [int(e["value"], 16) for e in table["entries"] if e["index"] >= 0]
        for table in [data, *bases]
    }


@pytest.mark.parametrize(
    "flags", [("-O0",), ("-O2",), ("-O0", "-no-pie"), ("-O0", "-static-pie"), ("-shared", "-fPIC")]
)
def test_a_stripped_cpp_file_has_the_same_tables(directory: pathlib.Path, flags: tuple[str, ...]) -> None:
    program = cpp(directory, *flags)
    bare = words_of(stripped(program, directory / ("bare" + "".join(flags))))
    words = words_of(program)
    count = 0
    for symbol in open_elf(str(program)).symbol_table().by_prefix("_ZTVN4farm"):
        table = cpp_table(words, symbol.address)
        again = cpp_table(bare, table.address)
        assert (again.type, again.offset_to_top) == (table.type, table.offset_to_top)
        # Zeros behind the last function are only known for entries where a symbol gives the table's extent.
        shared, ours = again.names.keys(), [i for i in table.names if i >= 0]
        assert all(i in shared or words.cell(table.address + 8 * i).is_zero for i in ours)
        assert all(i in table.names for i in shared)
        count += 1
    assert count >= (1 if "-O2" in flags else 8)


def test_no_cpp_table_is_where_none_can_be(directory: pathlib.Path) -> None:
    for program in (cpp(directory, "-O0"), stripped(cpp(directory, "-O0"), directory / "bare-words")):
        elf, words = open_elf(str(program)), words_of(program)
        tables = [s for s in open_elf(str(cpp(directory, "-O0"))).symbol_table() if s.name.startswith(("_ZTV", "_ZTC"))]
        places = [a for s in elf.sections if s.name in SECTIONS for a in range(s.address, s.end - 8, 8)]
        random.Random(1).shuffle(places)
        for address in places:
            if not any(s.address <= address < s.address + max(s.size, 1) for s in tables):
                with pytest.raises(NotATable):
                    cpp_table(words, address)
