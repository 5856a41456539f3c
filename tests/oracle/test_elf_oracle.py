"""elf.py, symbol_table.py and dwarf.py against readelf and GDB, on the binaries of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from elftools.elf import elffile, enums
from support import DEADLINE

from gdb_kdbg.demangle import demangle
from gdb_kdbg.dwarf import line_at, variable_type
from gdb_kdbg.elf import ElfFile, open_elf
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.function_starts import function_at
from gdb_kdbg.symbol_table import KINDS


def need(*tools: str) -> None:
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        required = set(os.environ.get("KDBG_REQUIRE", "").split(","))
        (pytest.fail if required & set(missing) else pytest.skip)(f"missing: {', '.join(missing)}")


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environment}, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace")


def binaries() -> list[str]:
    shared = Path(sysconfig.get_config_var("LIBDIR") or "/") / (sysconfig.get_config_var("LDLIBRARY") or "none")
    found = [sys.executable, str(shared), shutil.which("bash"), shutil.which("gdb")]
    with open("/proc/self/maps") as maps:
        found += sorted({match[0] for match in re.findall(r"(/\S*/(libc\.so\.6|ld-linux\S*))", maps.read())})
    return sorted({os.path.realpath(path) for path in found if path and os.path.isfile(path)})


SYMBOL = re.compile(r"\s*\d+: ([0-9a-f]+)\s+(\d+|0x[0-9a-f]+)\s+(\w+)\s+(\w+)\s+\w+\s+(?:\[.*?\] +)?(\w+) (.*)")


def readelf_symbols(elf: ElfFile, table: str) -> list[tuple[str, int, int, str]]:
    found, wanted = [], False
    for line in run("readelf", "-sW", elf.path).splitlines():
        if line.startswith("Symbol table"):
            wanted = f"'{table}'" in line
        match = SYMBOL.match(line) if wanted else None
        if match and match[3] in KINDS.values() and match[5] not in ("UND", "COM") and match[6]:
            # readelf appends the version to the names of .dynsym.
            name = match[6].split(" ")[0]
            found.append((name.split("@")[0], int(match[1], 16), int(match[2], 0), match[3]))
    return sorted(found)


@pytest.mark.parametrize("path", binaries())
def test_symbols_equal_readelf(path: str) -> None:
    need("readelf")
    elf = open_elf(path).debug_file
    name = ".symtab" if elf.section(".symtab") else ".dynsym"
    ours = sorted((s.name.split("@")[0], s.address, s.size, s.kind) for s in elf.symbol_table())
    assert ours == readelf_symbols(elf, name)
    assert ours


@pytest.mark.parametrize("path", binaries())
def test_headers_equal_readelf(path: str) -> None:
    need("readelf")
    elf = open_elf(path)
    text = run("readelf", "-lSnW", path)
    sections = re.findall(r"^  \[ *(\d+)\] (\S*) +(\S+) +([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+)", text, re.MULTILINE)
    assert [(s.number, s.name, s.address, s.offset, s.size) for s in elf.sections[1:]] == [
        (int(i), name, *(int(v, 16) for v in values)) for i, name, _, *values in sections if int(i)
    ]
    segments = re.findall(r"^  ([A-Z_]+) +(0x\w+) (0x\w+) (0x\w+) (0x\w+) (0x\w+)", text, re.MULTILINE)
    assert [(s.type, s.offset, s.address, s.file_size, s.memory_size) for s in elf.segments] == [
        (kind, *(int(values[i], 16) for i in (0, 1, 3, 4))) for kind, *values in segments
    ]
    assert (elf.build_id() or "") == "".join(re.findall(r"Build ID: (\w+)", text))


def test_without_section_headers_the_dynamic_symbols_are_found(tmp_path: Path) -> None:
    need("readelf")
    path = next(path for path in binaries() if "libc" in os.path.basename(path))
    data = bytearray(Path(path).read_bytes())
    expected = readelf_symbols(open_elf(path), ".dynsym")
    data[0x28:0x30], data[0x3C:0x40] = bytes(8), bytes(4)  # e_shoff; e_shnum and e_shstrndx
    # Another build id, or the separate file with its symbols is found by it.
    build_id = bytes.fromhex(open_elf(path).build_id() or "")
    stripped = tmp_path / "stripped.so"
    stripped.write_bytes(bytes(data).replace(build_id, bytes(len(build_id))) if build_id else bytes(data))
    elf = open_elf(str(stripped))
    assert elf.sections == ()
    assert sorted((s.name, s.address, s.size, s.kind) for s in elf.symbol_table()) == expected
    assert expected


@pytest.mark.parametrize("path", binaries())
def test_function_bounds_equal_readelf(path: str) -> None:
    need("readelf")
    elf = open_elf(path)
    text = run("readelf", "-wfN", "-W", elf.path)
    text = text.split("Contents of the .debug_frame", 1)[0]
    found = re.findall(r" FDE cie=\S+ pc=([0-9a-f]+)\.\.([0-9a-f]+)$", text, re.MULTILINE)
    functions = sorted({(int(start, 16), int(end, 16)) for start, end in found})
    assert functions
    for start, end in functions:
        if start < end:
            assert function_at(elf, start) == function_at(elf, end - 1) == (start, end)
    gaps = [end for (_, end), (start, _) in zip(functions, functions[1:]) if end < start]
    assert not any(function_at(elf, place) for place in gaps)


@pytest.mark.parametrize("path", binaries())
def test_the_quick_way_to_a_name_agrees(path: str) -> None:
    table = open_elf(path).symbol_table()
    symbols = [symbol for symbol in table if symbol.kind != "TLS"]
    places = {symbol.address + shift for symbol in symbols for shift in (-1, 0, 1, symbol.size)}
    for place in sorted(places)[::7]:
        found = table.at(place)
        assert table.name_at(place) == (found and (found.name, place - found.address))


def mangled_names() -> list[str]:
    """C++ and Rust names of this machine's binaries; of its Rust compilers every so many."""
    rust = [] if not shutil.which("rustc") else run("rustc", "--print", "sysroot").split()
    libraries = [path for root in rust for path in Path(root).glob("lib/**/lib*.so") if path.is_file()]
    cxx = [p for p in Path("/usr/lib").glob("*/lib*.so*") if re.match(r"lib(stdc\+\+|LLVM|icu|z3|gtest|boost)", p.name)]
    found: set[str] = set()
    for path in dict.fromkeys(str(p.resolve()) for p in (*libraries, *cxx)):
        with contextlib.suppress(KdbgError):
            names = [name for name in open_elf(path).symbol_table().names() if name.startswith(("_Z", "_R"))]
            found.update(names[:: len(names) // 4000 + 1])
    return sorted(found)


def spelled(text: str) -> str:
    """Make two demanglers comparable: no hashes of crates, no types of constants, no marks of copies."""
    text = re.sub(r"(\w)\[[0-9a-f]{1,16}\]", r"\1", text)
    text = re.sub(r"(\d|true|false|'): (?:[ui](?:8|16|32|64|128|size)|bool|char)\b", r"\1", text)
    return re.sub(r"( \[clone [^]]*\])+|@.*", "", text)


def test_demangled_names_equal_those_of_the_binary_utilities() -> None:
    need("c++filt")
    names = mangled_names()
    if not names:
        pytest.skip("no C++ or Rust library here")
    stripped = [re.sub(r"(@.*|\.(?!\.|_|[A-Z$]).*)", "", name) if name.startswith("_R") else name for name in names]
    # Without -i it says `std::basic_ostream<...>` where __cxa_demangle says `std::ostream`.
    done = subprocess.run(
        ["c++filt", "-i"], input="\n".join(stripped), capture_output=True, text=True, timeout=DEADLINE
    )
    theirs = done.stdout.splitlines()
    differing = [
        (name, demangle(name), other)
        for name, other in zip(names, theirs)
        if spelled(demangle(name)) != spelled(other) and not _is_known(name, other)
    ]
    assert not differing, differing[:5]
    left_alone = [name for name, other in zip(names, theirs) if demangle(name) == name != other]
    assert len(left_alone) <= len(names) // 1000


# The binary utilities write 128-bit constants without their first digit, and kdbg leaves alone what may unfold too far.
def _is_known(name: str, other: str) -> bool:
    return bool(re.search(r"K[on]n?[0-9a-f]{17,}_", name)) or demangle(name) == name


SOURCES = {
    "include/head.h": """
struct record { unsigned long sequence, destination; int size; char name[10]; struct { int a; union { long b; }; }; };
static inline int twice(int x) {
  int y = x * 2;
  return y + 1;
}
""",
    "kernel/near.h": """
static int __attribute__((noinline)) local(int x) {
  return x ^ 5 * x;
}
""",
    "kernel/tty.c": """
#include "../include/head.h"
#include "near.h"
struct record ring[16];
unsigned long words[8][4];
typedef unsigned long four[4];
const volatile four typed[5];
static struct record one;
int tty(int x) {
  static int inner[7];
  for (int i = 0; i < x; i++) {
    x += twice(i) + local(i);
    inner[i & 3]++;
    one.size++;
  }
  return x + (int)words[1][2] + (int)typed[1][1] + (int)ring[3].sequence;
}
""",
    "kernel/copy.S": """
  .text
  .globl copy_to_user
  .type copy_to_user, @function
copy_to_user:
  mov %rdx, %rcx
  rep movsb
  jmp 1f
byte_copy:
  nop
1: ret
  .size copy_to_user, . - copy_to_user
  .section .note.GNU-stack, "", @progbits
""",
    "main.c": """
int tty(int);
int main(int argc, char **argv) {
  (void)argv;
  return tty(argc);
}
""",
}

LINES = """
import gdb, json
def line(pc):
    found = gdb.find_pc_line(pc)
    return [found.symtab.filename, found.line] if found.symtab else None
start, end = RANGE
print("LINES" + json.dumps([line(pc) for pc in range(start, end)]))
"""


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name, text in SOURCES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


# main.c by its absolute path, the others as a kernel's makefile names them; `mapped` as distributions build.
VARIANTS = [
    (f"-gdwarf-{version}", optimize, *more)
    for version in (4, 5)
    for optimize in ("-O0", "-O2")
    for more in ((), ("-fdebug-prefix-map={folder}=.",), ("-gz", "-static"))
]


@pytest.fixture(scope="session", params=VARIANTS, ids="_".join)
def compiled(request: pytest.FixtureRequest, sources: Path) -> Path:
    need("gcc")
    options = [option.format(folder=sources) for option in request.param]
    target = sources / f"program{VARIANTS.index(request.param)}"
    files = [str(sources / "main.c"), "kernel/tty.c", "kernel/copy.S"]
    subprocess.run(["gcc", *options, "-no-pie", "-o", target.name, *files], cwd=sources, check=True)
    return target


def test_lines_equal_gdb(compiled: Path, tmp_path: Path) -> None:
    need("gdb")
    elf = open_elf(str(compiled))
    table = elf.symbol_table()
    places = [symbol.address for name in ("main", "tty", "copy_to_user") if (symbol := table.by_name(name))]
    for start in places:
        # Some bytes more than the function, to see where its lines end.
        span = (start - 16, start + 160)
        script = tmp_path / "lines.py"
        script.write_text(LINES.replace("RANGE", repr(span)))
        out = run("gdb", "-nx", "-batch", "-x", str(script), str(compiled))
        expected = json.loads(out.split("LINES", 1)[1])
        ours = [list(found) if (found := line_at(elf, pc)) else None for pc in range(*span)]
        assert ours == expected


def test_variable_types(compiled: Path) -> None:
    elf = open_elf(str(compiled))
    ring = variable_type(elf, "ring")
    assert ring is not None
    assert (ring.elements, ring.element_size) == (16, 48)
    assert ring.fields == {
        "sequence": (0, 8), "destination": (8, 8), "size": (16, 4), "name": (20, 10), "a": (32, 4), "b": (40, 8),
    }  # fmt: skip
    shapes = {name: variable_type(elf, name) for name in ("words", "typed", "one", "inner.0", "nothing")}
    assert {name: kind and (kind.elements, kind.element_size) for name, kind in shapes.items()} == {
        "words": (8, 32), "typed": (5, 32), "one": (1, 48), "inner.0": (7, 4), "nothing": None,
    }  # fmt: skip


def test_no_debugging_information() -> None:
    elf = open_elf(shutil.which("true") or sys.executable)
    if elf.dwarf() is None:
        assert line_at(elf, elf.entry) is None
        assert variable_type(elf, "environ") is None


def test_names_of_machines_and_relocations_are_those_of_pyelftools(tmp_path: Path) -> None:
    plain = bytearray(Path(os.path.realpath(sys.executable)).read_bytes()[:64])
    plain[32:48] = bytes(16)  # no tables
    own = {"EM_X86_64": "x86-64", "EM_386": "i386"}
    for number in (*range(1, 260), 0x9026, 0xFFFF):
        plain[18:20] = number.to_bytes(2, "little")
        path = tmp_path / f"{number}.elf"
        path.write_bytes(plain)
        with path.open("rb") as stream:
            name = str(elffile.ELFFile(stream).header["e_machine"])
        assert ElfFile(str(path)).machine == own.get(name, name.replace("EM_", "").lower())
    elf = open_elf(str(tmp_path / "62.elf"))
    names = {n: name for name, n in enums.ENUM_RELOC_TYPE_x64.items() if isinstance(n, int)}
    assert [f"R_X86_64_{elf.relocation_name(number)}" for number in names] == list(names.values())
