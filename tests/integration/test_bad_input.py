"""What users do wrong and targets do unexpectedly: one clear line each, and nothing is left armed or switched."""

from __future__ import annotations

import pathlib
import re
import struct
import subprocess
from typing import Sequence

import pytest
import support
from support import KernelBuilder

COMMANDS = (
    "kdbg ring",
    "kdbg canary",
    "kdbg canary --frames",
    "kdbg canary --syscalls",
    "kdbg watch guard",
    "kdbg why",
)


def complaints(output: support.GdbOutput) -> list[str]:
    """The lines kdbg complains in; a Python error would be a bug."""
    assert "Traceback" not in output.text and "Python Exception" not in output.text, output.text
    return [line for line in output.text.splitlines() if re.match(r"(.*Error.*: )?kdbg: ", line)]


def one_line_each(lines: Sequence[str], expected: str, *arguments: str, program: str = "gdb") -> None:
    """Run every command that needs a target; each must say `expected` in one line and arm nothing."""
    output = support.gdb([*lines, *COMMANDS, "info breakpoints"], *arguments, program=program, json_format=False)
    found = complaints(output)
    assert len(found) == len(COMMANDS), output.text
    assert all(expected in line for line in found), found
    assert "No breakpoints" in output.text


def test_no_target() -> None:
    one_line_each([], "no target: run a program")


def test_no_target_but_a_program(runtime: KernelBuilder) -> None:
    one_line_each([], "no target: run a program", str(runtime()))


def test_bare_kdbg_without_a_target_lists_the_commands() -> None:
    output = support.gdb(["kdbg"], json_format=False)
    assert "no target" in output.text and "kdbg ring" in output.text
    assert not complaints(output)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kdbg rign", "no command 'rign'"),
        ("kdbg ring --lats 3", "unrecognized arguments: --lats 3 (help kdbg ring)"),
        ("kdbg ring --last many", "not a count: 'many'"),
        ("kdbg ring --last -1", "(help kdbg ring)"),
        ("set kdbg ring-layout capacity=x", "'capacity=x' needs a number of at least 1"),
        ("set kdbg ring-layout nonsense", "'nonsense' is not NAME=VALUE"),
        ("set kdbg expected-guard 12z", "not a number: '12z'"),
        ("set kdbg colour red", "no kdbg setting 'colour'"),
    ],
)
def test_mistyped(line: str, expected: str) -> None:
    output = support.gdb([line], json_format=False)
    assert expected in output.text and "Traceback" not in output.text, output.text
    assert len(output.text.strip().splitlines()) == 1, output.text


def test_bad_setting_keeps_the_old_value() -> None:
    output = support.gdb(
        ["set kdbg ring-layout capacity=64", "set kdbg ring-layout nonsense", "show kdbg ring-layout"],
        json_format=False,
    )
    assert "capacity=64" in output.text.splitlines()[-1]


def test_mistakes_on_a_live_program(runtime: KernelBuilder) -> None:
    output = support.gdb(
        ["break run", "run none", "kdbg watch no_such_thing", "kdbg watch guard,x", "kdbg watch &tty,0",
         "kdbg watch 0x10,8", "kdbg ring --around nowhere", "kdbg ring --on --off", "kdbg watch &tty,64",
         "delete 1", "info breakpoints", "continue"],
        str(runtime()), json_format=False,
    )  # fmt: skip
    found = complaints(output)
    expected = ["no_such_thing", "not a size: 'x'", "size must be 1 to", "cannot access 8 bytes at 0x10", "nowhere",
                "exclude each other", "no hardware watchpoint for 64 bytes"]  # fmt: skip
    assert len(found) == len(expected), output.text
    assert all(word in line for word, line in zip(expected, found)), found
    assert "No breakpoints" in output.text and "exited normally" in output.text


def test_program_without_a_ring(tmp_path: pathlib.Path) -> None:
    program = compiled(tmp_path, "int main(void) { return 0; }")
    output = support.gdb(["break main", "run", "kdbg ring", "kdbg ring --off", "kdbg ring --clear"], program)
    found = complaints(output)
    assert len(found) == 3 and all("no symbol 'ucopy_trace_buf': the target has no trace ring" in x for x in found)


def test_no_thread_local_storage_yet(tmp_path: pathlib.Path) -> None:
    program = compiled(tmp_path, "int main(void) { return 0; }")
    output = support.gdb(["starti", "kdbg canary", "kdbg watch guard", "kdbg why", "info breakpoints"], program)
    assert output.data("canary")["verdict"] == "unset" and output.data("canary")["guard_address"] is None
    assert output.problems("canary") == ["fs_base is 0: no thread-local storage yet, so there is no guard"]
    assert len(complaints(output)) == 1 and "no guard to watch" in complaints(output)[0]
    assert output.data("why")["findings"] == [] and "No breakpoints" in output.text


def test_stripped_program(tmp_path: pathlib.Path) -> None:
    program = compiled(tmp_path, "int main(void) { return 0; }", "-s", "-static")
    output = support.gdb(["starti", "kdbg", "kdbg ring", "kdbg canary", "kdbg why"], program)
    assert len(complaints(output)) == 1 and "no symbol 'ucopy_trace_buf'" in complaints(output)[0]
    assert output.data("status")["ring"] is None


def test_garbage_index_and_switch(runtime: KernelBuilder) -> None:
    output = support.gdb(
        ["break finished", "run none", "set var *(unsigned long*)&ucopy_trace_idx = 0xdeadbeefdeadbeef", "kdbg ring",
         "kdbg why", "kdbg ring --off", "kdbg ring --clear", "set var *(unsigned long*)&ucopy_trace_idx = 3",
          "kdbg ring"],
        str(runtime()),
    )  # fmt: skip
    assert not complaints(output)
    assert "index 0xdeadbeefdeadbeef is not plausible" in output.problems("ring", 0)[0]
    assert len(output.data("ring", 0)["records"]) == 3 and output.data("ring", 0)["lost"] == 0
    assert output.data("why")["findings"] == []
    assert output.data("ring", 1)["enabled"] is False and output.data("ring", 2)["total"] == 0
    assert [record["size"] for record in output.data("ring", 3)["records"]] == [0, 0, 0]


def test_unreadable_page_of_the_ring(tmp_path: pathlib.Path) -> None:
    source = """
        #include <sys/mman.h>
        struct record { unsigned long dst, src, len, ret; };
        struct record ucopy_trace_buf[256] __attribute__((aligned(4096)));
        unsigned long ucopy_trace_idx = 256; char ucopy_trace_on = 1;
        __attribute__((noinline)) void stop(void) { __asm__ volatile(""); }
        int main(void) {
            for (int i = 0; i < 256; i++) ucopy_trace_buf[i].len = i;
            munmap((char *)ucopy_trace_buf + 4096, 4096);
            stop();
            return 0; }"""
    program = compiled(tmp_path, source, "-g", "-O1")
    core = tmp_path / "core"
    live = support.gdb(["break stop", "run", "kdbg ring", f"generate-core-file {core}"], program)
    outside = support.kdbg("ring", "--core", str(core), program)
    for output in (live, outside):
        ring = output.data("ring")
        assert ring["capacity_from"] == "DWARF type" and ring["capacity"] == 256
        assert [record["size"] for record in ring["records"]] == list(range(128)), output.text
        assert "only 4096 of 8192 bytes" in output.problems("ring")[0]


def compiled(directory: pathlib.Path, source: str, *options: str) -> str:
    """Compile a C program."""
    support.require("gcc")
    path = directory / "program.c"
    path.write_text(source)
    support.run("gcc", "-o", str(directory / "program"), str(path), *options)
    return str(directory / "program")


def test_i386_machine(tmp_path: pathlib.Path) -> None:
    """A stub of another architecture is refused by name, where the answer depends on it."""
    support.require("qemu-system-i386")
    stub = tmp_path / "stub"
    process = subprocess.Popen(
        ["qemu-system-i386", "-S", "-display", "none", "-monitor", "none", "-serial", "none",
         "-chardev", f"socket,path={stub},server=on,wait=off,id=stub", "-gdb", "chardev:stub"],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        support.wait_for_socket(stub, process)
        refused_by_name(["set architecture i386", f"target remote {stub}"], "i386")
    finally:
        process.kill()
        process.wait()


def test_aarch64_program(tmp_path: pathlib.Path) -> None:
    support.require("qemu-aarch64", "gdb-multiarch")
    program = tmp_path / "aarch64"
    program.write_bytes(aarch64_program())
    program.chmod(0o755)
    stub = tmp_path / "stub"
    process = subprocess.Popen(["qemu-aarch64", "-g", str(stub), str(program)], stdin=subprocess.DEVNULL)
    try:
        support.wait_for_socket(stub, process)
        refused_by_name([f"target remote {stub}"], "aarch64", str(program), program="gdb-multiarch")
    finally:
        process.kill()
        process.wait()


def refused_by_name(lines: Sequence[str], architecture: str, *arguments: str, program: str = "gdb") -> None:
    commands = ("kdbg canary", "kdbg canary --syscalls", "kdbg watch guard", "kdbg why")
    output = support.gdb([*lines, *commands, "kdbg", "info breakpoints"], *arguments, program=program)
    found = complaints(output)
    assert len(found) == 4, output.text
    assert all(f"architecture {architecture}" in line and "not supported" in line for line in found), found
    assert architecture in output.data("status")["architecture"]
    assert "No breakpoints" in output.text


def aarch64_program() -> bytes:
    """An ELF file of one page that loops: `b .`."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 183, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 0x7C, 0x7C, 0x1000)
    return header + segment + struct.pack("<I", 0x14000000)
