"""Members of structures against GDB: kdbg's own reading of DWARF, and what it asks GDB."""

from __future__ import annotations

import pathlib
import re

import pytest
import support

from gdb_kdbg.dwarf_types import member
from gdb_kdbg.elf import open_elf

SOURCE = """
typedef struct { char first; struct { long a; union { int b; char c[12]; }; } inner[3]; } part_t;
struct whole { char one; struct { short two; part_t part; }; unsigned bit : 3; const volatile part_t last; void *end; };
struct whole alone;
static const struct whole many[4];
union { long number; struct { char x; int y; }; } either;
int plain;
const void *use(void) { return many; }
int main(void) { return alone.one + plain + either.y + !use(); }
"""
PATHS = [
    ("alone", "one"), ("alone", "two"), ("alone", "part"), ("alone", "part.first"), ("alone", "part.inner"),
    ("alone", "last"), ("alone", "last.inner"), ("alone", "end"), ("many", "end"), ("many", "part.inner"),
    ("either", "y"), ("either", "number"),
]  # fmt: skip
UNKNOWN = [("alone", "none"), ("alone", "one.two"), ("plain", "x"), ("nothing", "x"), ("alone", "bit")]


@pytest.fixture(scope="module", params=["-gdwarf-4", "-gdwarf-5"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    support.require("gcc", "gdb")
    directory = tmp_path_factory.mktemp("members")
    (directory / "source.c").write_text(SOURCE)
    support.run("gcc", "-O0", str(request.param), "-o", "program", "source.c", cwd=directory)
    return directory / "program"


def test_members_are_where_gdb_says(program: pathlib.Path) -> None:
    elf = open_elf(str(program))
    lines = []
    for of, path in PATHS:
        base = f"{of}[0]" if of == "many" else of
        lines.append(f'printf "%d %d\\n", (long)&{base}.{path} - (long)&{base}, sizeof({base}.{path})')
    output = support.gdb(lines, str(program))
    told = [(int(offset), int(size)) for offset, size in re.findall(r"^(\d+) (\d+)$", output.text, re.MULTILINE)]
    assert [member(elf, of, path) for of, path in PATHS] == told


def test_gdbs_own_types_say_the_same(program: pathlib.Path) -> None:
    elf = open_elf(str(program))
    asked = [*PATHS, *UNKNOWN[:-1]]
    code = "; ".join(f"print('M', member({of!r}, {path!r}))" for of, path in asked)
    output = support.gdb([f"python from gdb_kdbg.live.types import member; {code}"], str(program))
    told = re.findall(r"^M (.*)$", output.text, re.MULTILINE)
    assert told == [str(member(elf, of, path)) for of, path in asked]


def test_what_there_is_not(program: pathlib.Path) -> None:
    elf = open_elf(str(program))
    assert [member(elf, of, path) for of, path in UNKNOWN] == [None] * len(UNKNOWN)
