"""Slots and symbols of files that are broken, foreign, stripped or hostile, and of targets that are not what they were.

Each mistake is one clear line, no text of a file reaches the terminal raw, and what can be read is told all the same.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from typing import Any, Callable, Mapping, Sequence

import pytest
import support

COMMANDS = ("got", "reloc 0x4010", "symbol 0x1040")
SOURCE = r"""
#include <stdio.h>
#include <string.h>
static int twice(int x) { return 2 * x; }
int answer(int x) { return x + 42; }
int (*const handlers[])(int) = {twice, answer};
const char *word = "word";
__thread int counter = 3;
int main(int argc, char **argv) {
    printf("%d %s\n", handlers[argc & 1](argc), word);
    counter += argc;
    return (int) strlen(argv[0]) & 0;
}
"""
LIBRARY = r"""
__thread int counter = 3;
extern __thread int other;
static int plain(int x) { return x; }
int answer(int x) { counter += x + other; return plain(x) + counter; }
int (*const table[])(int) = {answer, plain};
void *memcpy(void *, const void *, unsigned long);
void *use(void *to, const void *from, unsigned long n) { return memcpy(to, from, n); }
"""
Compile = Callable[..., pathlib.Path]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles a C source with options, in a directory of its own; skips where that cannot be done."""

    def compile(name: str, source: str, *options: str, compiler: str = "gcc") -> pathlib.Path:
        support.require(compiler)
        directory = tmp_path_factory.mktemp(name)
        (directory / f"{name}.c").write_text(source)
        command = [compiler, "-o", name, f"{name}.c", *options]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        if done.returncode and "-m32" in options:
            pytest.skip("this gcc makes nothing for i386")
        assert done.returncode == 0, done.stderr
        return directory / name

    return compile


@pytest.fixture(scope="module")
def program(compiled: Compile) -> pathlib.Path:
    return compiled("program", SOURCE, "-g", "-O1", "-fno-builtin", "-fPIE", "-pie", "-Wl,-z,lazy")


def without_section_headers(path: pathlib.Path, output: pathlib.Path) -> pathlib.Path:
    data = bytearray(path.read_bytes())
    data[0x28:0x30], data[0x3C:0x40] = bytes(8), bytes(4)  # e_shoff; e_shnum and e_shstrndx
    output.write_bytes(data)
    output.chmod(0o755)
    return output


def complaints(output: support.GdbOutput) -> list[str]:
    """The lines kdbg complains in; a Python error would be a bug."""
    assert "Traceback" not in output.text and "Python Exception" not in output.text, output.text
    lines = [line for line in output.text.splitlines() if re.match(r"(.*Error.*: )?kdbg: ", line)]
    return lines + [str(item["problems"][0]) for item in output.objects if item["data"] is None]


def slots(output: support.GdbOutput, index: int = -1) -> list[dict[str, Any]]:
    return [slot for objfile in output.data("got", index)["objfiles"] for slot in objfile["slots"]]


# Files that are none.

BROKEN: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"#!/bin/sh\necho hello\n", "is not an ELF file"),
    "archive": (b"!<arch>\n" + b" " * 80, "is an archive: take the member out"),
    "magic": (b"\x7fELF", "malformed ELF file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_elf_file(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).write_bytes(BROKEN[name][0])
    one_line_for_each_command(tmp_path / name, BROKEN[name][1])


def one_line_for_each_command(path: pathlib.Path, expected: str) -> None:
    """Ask about the file outside GDB, and for the slots also inside."""
    for command in COMMANDS:
        name, *words = command.split()
        output = support.kdbg(name, *words, str(path))
        assert output.status == 1 and len(complaints(output)) == 1, output.text
        assert expected in complaints(output)[0] and str(path) in complaints(output)[0]
    (line,) = complaints(support.gdb([f"kdbg got {path}"], json_format=False))
    assert expected in line


def test_places_that_are_no_files(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    one_line_for_each_command(tmp_path / "fifo", "not a file")
    one_line_for_each_command(tmp_path, "not a file")
    for command in COMMANDS:
        name, *words = command.split()
        (line,) = complaints(support.kdbg(name, *words, str(tmp_path / "nothing")))
        assert "no such file" in line
    (line,) = complaints(support.gdb([f"kdbg got {tmp_path / 'nothing'}"], json_format=False))
    assert "no objfile matches" in line and "nothing" in line


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(part: float, program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data = program.read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * part)])
    one_line_for_each_command(tmp_path / "cut", "malformed ELF file")


def test_an_object_file_has_no_slots_yet(compiled: Compile) -> None:
    path = compiled("unlinked", SOURCE, "-c", "-fPIC")
    for output in (support.kdbg("got", str(path)), support.gdb([f"kdbg got {path}"])):
        (objfile,) = output.data("got")["objfiles"]
        assert not objfile["slots"] and "no slots before it is linked" in objfile["state"]


# Files with less in them, and of other machines: their slots are those that readelf shows.

LINE = re.compile(r"([0-9a-f]{8,16})  [0-9a-f]{8,16} R_(X86_64|386|AARCH64)_(\w+)(?: +(.*))?")


def by_readelf(path: pathlib.Path) -> list[tuple[int, str, str]]:
    """Address, type and symbol of each dynamic relocation."""
    support.require("readelf")
    found = []
    for line in support.run("readelf", "-rDW", str(path)).splitlines():
        match = LINE.match(re.sub(r" +", "  ", line.strip()).replace("  R_", " R_"))
        if match:
            words = re.findall(r"[^\s()]+", match[4] or "")
            names = [word.split("@")[0] for word in words if re.match(r"[A-Za-z_]", word) and word != "a0"]
            is_number = match[3].endswith("RELATIVE") or not words
            names = [] if is_number else [name for name in names if not re.fullmatch(r"[0-9a-f]{1,16}", name)]
            found.append((int(match[1], 16), match[3], names[0] if names else ""))
    return sorted(found)


def by_kdbg(output: support.GdbOutput) -> list[tuple[int, str, str]]:
    own = ("RELATIVE", "IRELATIVE", "RELR")
    rows = [(int(s["link_address"], 0), s["relocation"], s["symbol"]) for s in slots(output)]
    return sorted((address, kind, "" if kind in own else name) for address, kind, name in rows)


def test_stripped(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    stripped = tmp_path / "stripped"
    support.run("strip", "-o", str(stripped), str(program))
    for output in (support.kdbg("got", str(stripped)), support.gdb(["kdbg got"], str(stripped))):
        assert by_kdbg(output) == by_readelf(program) != []
    before, after = (support.kdbg("got", str(path)) for path in (program, stripped))
    assert [s["expected"] for s in slots(before)] == [s["expected"] for s in slots(after)]
    assert {s["section"] for s in slots(after)} == {s["section"] for s in slots(before)}


def test_without_section_headers(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    bare = without_section_headers(program, tmp_path / "bare")
    assert by_kdbg(support.kdbg("got", str(bare))) == by_readelf(program) != []
    live = support.gdb(["starti", "kdbg got bare", "catch syscall exit_group", "continue", "kdbg got bare"], str(bare))
    early, late = ({s["status"] for s in slots(live, index) if s["relocation"] == "RELATIVE"} for index in (0, 1))
    assert (early, late) == ({"unrelocated"}, {"resolved"}), live.text
    (found,) = support.kdbg("symbol", "main", str(program)).data("symbol")["symbols"]
    link = int(found["link_address"], 0)
    (inside,) = support.kdbg("symbol", hex(link + 1), str(bare)).data("symbol")["symbols"]
    assert (inside["name"], inside["offset"]) == (f"sub_{link:x}", 1)


FOREIGN = {
    "i386": ("gcc", "-m32"),
    "aarch64": ("aarch64-linux-gnu-gcc",),
}


@pytest.mark.parametrize("machine", FOREIGN)
def test_files_of_other_machines_are_decoded(machine: str, compiled: Compile) -> None:
    compiler, *options = FOREIGN[machine]
    words = ("-O1", "-fPIC", "-shared", "-fno-stack-protector", "-nostdlib", *options)
    path = compiled(machine, LIBRARY, *words, compiler=compiler)
    output = support.kdbg("got", str(path))
    assert by_kdbg(output) == by_readelf(path)
    assert {"RELATIVE", "JUMP_SLOT"} <= {slot["relocation"].replace("JMP_", "JUMP_") for slot in slots(output)}
    symbols = symbols_by_readelf(path)
    # What a word is to hold is there, for REL (i386) read from the word itself.
    table = [int(slot["expected"], 0) for slot in slots(output) if slot["symbol"] in ("plain", "answer")]
    assert sorted(table) == sorted(symbols[name] for name in ("plain", "answer"))
    for name in ("plain", "answer", "use"):
        (found,) = support.kdbg("symbol", name, str(path)).data("symbol")["symbols"]
        assert int(found["link_address"], 0) == symbols[name]
        (found,) = support.kdbg("symbol", hex(symbols[name]), str(path)).data("symbol")["symbols"]
        assert found["name"] == name and found["offset"] == 0


def symbols_by_readelf(path: pathlib.Path) -> Mapping[str, int]:
    lines = re.findall(
        r"^ *\d+: ([0-9a-f]+) +\d+ FUNC .* (\w+)$", support.run("readelf", "-sW", str(path)), re.MULTILINE
    )
    return {name: int(value, 16) for value, name in lines}


def test_a_live_program_of_another_machine_is_refused_by_name(compiled: Compile, tmp_path: pathlib.Path) -> None:
    support.require("qemu-aarch64", "gdb-multiarch")
    words = ("-O1", "-static-pie", "-fPIE", "-nostdlib", "-fno-stack-protector")
    source = "int f(void) { return 3; } int (*const p)(void) = f; void _start(void) { for (;;) p(); }"
    path = compiled("foreign", source, *words, compiler="aarch64-linux-gnu-gcc")
    lines = ["kdbg got", "kdbg reloc $pc", "kdbg got foreign --bias 0", "kdbg symbol $pc"]
    output = behind_qemu(
        "qemu-aarch64", path, tmp_path, lambda stub: [f"target remote {stub}", *lines], "gdb-multiarch"
    )
    found = complaints(output)
    assert len(found) == 3 and all("aarch64" in line and "i386:x86-64 only" in line for line in found), output.text
    # Symbols are the same on all machines.
    assert output.data("symbol")["symbols"][0]["name"] == "_start"


def behind_qemu(
    emulator: str,
    path: pathlib.Path,
    directory: pathlib.Path,
    lines: Callable[[pathlib.Path], Sequence[str]],
    debugger: str = "gdb",
) -> support.GdbOutput:
    """Run GDB on a program in QEMU's user emulation, stopped at its first instruction."""
    support.require(emulator)
    stub = directory / "stub"
    process = subprocess.Popen([emulator, "-g", str(stub), str(path)], stdin=subprocess.DEVNULL)
    try:
        support.wait_for_socket(stub, process)
        return support.gdb(lines(stub), str(path), program=debugger, may_abort=True)
    finally:
        process.kill()
        process.wait()


# Targets that are not as they should be.


def test_an_objfile_that_is_not_loaded(program: pathlib.Path) -> None:
    output = support.gdb(["break main", "run", "kdbg got nothing", "kdbg got 'no such'"], str(program))
    found = complaints(output)
    assert len(found) == 2, output.text
    assert all(
        "no objfile matches" in line and "loaded are program, " in line and "libc.so.6" in line for line in found
    )


def test_mistyped_options(program: pathlib.Path) -> None:
    lines = [
        "kdbg got program --bias",
        "kdbg got program --bias here",
        "kdbg got --bias 0x1000",
        "kdbg got --status well",
        "kdbg got a b",
        "kdbg reloc",
        "kdbg reloc nowhere",
        "kdbg reloc 0x",
        "kdbg symbol",
        "kdbg symbol nowhere",
    ]
    output = support.gdb(["break main", "run", *lines], str(program), json_format=False)
    expected = [
        "--bias", "no load bias: 'here'", "--bias needs the one OBJFILE", "invalid choice: 'well'", "arguments: b",
        "(help kdbg reloc)", "nowhere", "0x", "(help kdbg symbol)", "nowhere",
    ]  # fmt: skip
    found = complaints(output)
    assert len(found) == len(expected), output.text
    assert all(word in line for word, line in zip(expected, found)), found


HOLE = """
    #include <sys/mman.h>
    int seven(void) { return 7; }
    #define P(x) x, x, x, x, x, x, x, x
    #define Q(x) P(x), P(x), P(x), P(x), P(x), P(x), P(x), P(x)
    #define R(x) Q(x), Q(x), Q(x), Q(x), Q(x), Q(x), Q(x), Q(x)
    int (*table[2048])(void) __attribute__((aligned(4096))) = {R(seven), R(seven), R(seven), R(seven)};
    __attribute__((noinline)) void stop(void) { __asm__ volatile(""); }
    int main(void) { munmap((char *)table + 4096, 4096); stop(); return 0; }
"""


def test_a_page_that_is_gone_hides_nothing_else(compiled: Compile, tmp_path: pathlib.Path) -> None:
    path = compiled("hole", HOLE, "-g", "-O1", "-fPIE", "-pie")
    core = tmp_path / "core"
    live = support.gdb(["break stop", "run", "kdbg got hole", f"generate-core-file {core}"], str(path))
    for output in (live, support.kdbg("got", "--core", str(core), "--objfile", "hole", str(path))):
        (objfile,) = output.data("got")["objfiles"]
        table = [slot for slot in objfile["slots"] if slot["symbol"] == "seven"]
        gone = [index for index, slot in enumerate(table) if slot["status"] != "resolved"]
        assert gone == list(range(512, 1024)) and len(table) == 2048
        assert {(s["status"], s["value"], s["note"]) for s in table[512:1024]} == {
            ("undecidable", None, "cannot be read")
        }
        assert "unrelocated" not in objfile["state"] and "elsewhere" not in objfile["state"]


def test_a_running_target(compiled: Compile) -> None:
    path = compiled("endless", "int main(void) { for (;;) { } }")
    lines = ["kdbg got", "kdbg got endless", "kdbg reloc 0x4000", "kdbg symbol 0x4000"]
    output = support.gdb(["break main", "run", "continue &", *lines, "interrupt", "kill"], str(path), json_format=False)
    found = complaints(output)
    assert len(found) == len(lines) and all("the target is running" in line for line in found), output.text


@pytest.mark.parametrize("reads", [0, 1, 2])
@pytest.mark.parametrize("command", ["kdbg got", "kdbg reloc $pc"])
def test_a_stub_that_dies_in_mid_command(command: str, reads: int, compiled: Compile, tmp_path: pathlib.Path) -> None:
    source = "int f(void) { return 3; } int (*const p)(void) = f; void _start(void) { for (;;) p(); }"
    path = compiled("lone", source, "-O1", "-static-pie", "-fPIE", "-nostdlib", "-fno-stack-protector")
    proxy = support.ROOT / "tests" / "programs" / "cutting_proxy.py"
    marker = tmp_path / "now"

    def lines(stub: pathlib.Path) -> Sequence[str]:
        remote = f"target remote | {sys.executable} {proxy} {stub} {marker} {reads}"
        return [remote, "set python print-stack full", f"shell touch {marker}", command, "kdbg got lone", "kdbg got"]

    output = behind_qemu("qemu-x86_64", path, tmp_path, lines)
    assert all(re.search("target|onnection|no slot", line) for line in complaints(output)), output.text
    assert "internal to GDB" not in output.text


# Names that are not made for a terminal.

UGLY = ("\x1b]0;mine\x07\x1b[31m\n\r", "\u202egnp.exe\u2066 name", "\t%s%n{}\\x1b")
NAMES = ("evil_static_aaaaaaaaaaaaaaaa", "evil_import_bbbbbbbbbbbbbbbb", "evil_global_cccccccccccccccc")
HOSTILE = f"""
    static __attribute__((noinline)) int {NAMES[0]}(int x) {{ return x + 1; }}
    int {NAMES[2]}(int x) {{ return x + 2; }}
    int (*table[])(int) = {{{NAMES[0]}, {NAMES[2]}}};
    int main(void) {{ return table[0](-1); }}
"""
IMPORTS = (
    f"int {NAMES[1]}(int); int {NAMES[2]}(int x) {{ return x; }} int f(void) {{ return {NAMES[1]}({NAMES[2]}(3)); }}"
)


def renamed(path: pathlib.Path) -> pathlib.Path:
    data = path.read_bytes()
    for name, ugly in zip(NAMES, UGLY):
        data = data.replace(name.encode(), ugly.encode().ljust(len(name), b"!"))
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def hostile(compiled: Compile) -> pathlib.Path:
    return renamed(compiled("hostile", HOSTILE, "-O1", "-fPIE", "-pie", "-rdynamic"))


@pytest.fixture(scope="module")
def hostile_library(compiled: Compile) -> pathlib.Path:
    return renamed(compiled("imports", IMPORTS, "-O1", "-fPIC", "-shared"))


def test_names_are_escaped_in_text(hostile: pathlib.Path, hostile_library: pathlib.Path) -> None:
    inside = ["got hostile", "got hostile --symbol *!*", "symbol *!!*", "symbol *(long*)&table", "reloc &table",
              "reloc *(long*)&table", "why"]  # fmt: skip
    lines = ["break main", "run", *(f"kdbg {command}" for command in inside)]
    live = support.gdb(lines, str(hostile), json_format=False).text
    bare = in_text("got", str(hostile_library))
    for text in (live, bare, in_text("got", str(hostile)), in_text("symbol", "*!*", str(hostile_library))):
        assert "Traceback" not in text and all(line.isprintable() for line in text.split("\n")), text
    assert "\\x1b]0;mine\\x07\\x1b[31m\\x0a\\x0d!" in live and "\\x09%s%n" in live
    assert "\\u202egnp.exe\\u2066 name!" in bare


def in_text(*arguments: str) -> str:
    command = [sys.executable, "-m", "gdb_kdbg", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=support.ROOT, timeout=support.DEADLINE)
    return done.stdout + done.stderr


def test_names_of_files_are_escaped(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    ugly = tmp_path / "\x1b[31m\u202e"
    ugly.write_bytes(program.read_bytes())
    (tmp_path / "\x1b[32m\n").write_bytes(b"no ELF file")
    for path in sorted(tmp_path.iterdir()):
        for command in COMMANDS:
            name, *words = command.split()
            text = in_text(name, *words, str(path))
            assert text and all(line.isprintable() for line in text.split("\n")), text


def test_names_are_whole_in_json(hostile: pathlib.Path) -> None:
    output = support.kdbg("got", str(hostile))
    assert all(line.isprintable() for line in output.text.splitlines())
    assert any("\\x1b]0;mine" in slot["symbol"] for slot in slots(output))
    plain = [slot["symbol"] for slot in slots(output) if slot["relocation"] == "GLOB_DAT"]
    assert "__cxa_finalize" in plain


def test_a_name_of_a_megabyte(compiled: Compile) -> None:
    name = "a" * (1 << 20)
    source = f"""
        static int f(void) __asm__("{name}");
        int (*p)(void) = f;
        static int f(void) {{ return 3; }}
        int main(void) {{ return p(); }}
    """
    path = compiled("long", source, "-O0", "-fPIE", "-pie")
    for output in (support.kdbg("got", str(path)), support.gdb(["kdbg got"], str(path))):
        (found,) = [slot for slot in slots(output) if slot["symbol"].startswith("aaa")]
        assert 1000 < len(found["symbol"]) < 5000 and len(output.text) < 50_000
    link = int(found["expected"], 0)
    (symbol,) = support.kdbg("symbol", hex(link), str(path)).data("symbol")["symbols"]
    assert symbol["name"].startswith("aaa") and len(symbol["name"]) < 5000
