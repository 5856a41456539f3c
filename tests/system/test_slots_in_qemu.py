"""Slots behind QEMU's stubs: a PIE kernel and a program that relocate themselves, and programs in user emulation."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import subprocess
from typing import Any, Callable, Iterator, Sequence

import pytest
import support
from support import KernelBuilder

from gdb_kdbg.elf import open_elf

PROGRAMS = support.ROOT / "tests" / "programs"
COMPILE = [
    "gcc", "-c", "-O1", "-g", "-fPIE", "-ffreestanding", "-fno-stack-protector", "-fcf-protection=none", "-mno-sse",
    "-fno-asynchronous-unwind-tables", "-Wa,-mrelax-relocations=no",
]  # fmt: skip
LINK = ["ld", "-pie", "--no-dynamic-linker", "--no-relax", "-z", "norelro", "--no-warn-rwx-segments"]
BASE, SHIFT = 0xFFFFFFFF80100000, 0x6000000
PROGRAM_BIAS = 0x40120000
SLOTS = 7
Moved = Callable[[int], pathlib.Path]


@pytest.fixture(scope="session")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Moved:
    """Builds moved.c as a kernel that maps itself so far above where it is linked, with moved.elf beside it."""

    @functools.lru_cache(maxsize=None)
    def build(shift: int) -> pathlib.Path:
        support.require("gcc", "ld")
        folder = tmp_path_factory.mktemp("moved")
        source = str(PROGRAMS / "moved.c")
        support.run(*COMPILE, "-DBASE=0", "-DPROGRAM", "-o", "program.o", source, cwd=folder)
        support.run(*LINK, "-T", str(PROGRAMS / "moved.ld"), "-o", "moved.elf", "program.o", cwd=folder)
        support.run(*COMPILE, f"-DBASE={BASE:#x}", "-o", "kernel.o", source, cwd=folder)
        start = [f"-Wa,--defsym,SHIFT={shift}", "-Wa,-I.", "-o", "start.o", str(PROGRAMS / "moved_start.S")]
        support.run("gcc", "-c", *start, cwd=folder)
        script = str(PROGRAMS / "moved_kernel.ld")
        support.run(*LINK, "-T", script, "-o", "kernel.elf", "start.o", "kernel.o", cwd=folder)
        return folder / "kernel.elf"

    return build


def address_of(path: pathlib.Path, name: str) -> int:
    lines = support.run("nm", str(path)).splitlines()
    return next(int(line.split()[0], 16) for line in lines if line.split()[-1] == name)


def statuses(output: support.GdbOutput, index: int) -> set[str]:
    """The statuses of the slots of one image; all slots are there."""
    (objfile,) = output.data("got", index)["objfiles"]
    assert len(objfile["slots"]) == SLOTS, output.text
    return {slot["status"] for slot in objfile["slots"]}


def biases(output: support.GdbOutput, index: int = 0) -> dict[str, str]:
    return {pathlib.Path(o["objfile"]).name: o["load_bias"] for o in output.data("status", index)["objfiles"]}


def stops(path: pathlib.Path, shift: int, commands: Sequence[str]) -> list[str]:
    """Run commands before and after the image has relocated itself; GDB's own addresses may be wrong."""
    places = [address_of(path, name) + shift for name in ("before", "after")]
    return [line for place in places for line in (f"hbreak *{place:#x}", "continue", "delete", *commands)]


@pytest.mark.parametrize("shift", [SHIFT, 0], ids=["moved", "as linked"])
def test_a_kernel_that_relocates_itself(shift: int, moved: Moved, tmp_path: pathlib.Path) -> None:
    kernel = moved(shift)
    with support.boot(kernel, "", tmp_path) as guest:
        # The first one is before the kernel is mapped: nothing can be known, and nothing of it may stay.
        output = guest.gdb(["kdbg", *stops(kernel, shift, ["kdbg", "kdbg got kernel.elf", "kdbg symbol $pc"]), "kill"])
    assert biases(output, 1) == biases(output, 2) == {"kernel.elf": f"{shift:#x}"}
    # Linked where it runs, each slot held the right value from the start.
    assert statuses(output, 0) == ({"unrelocated"} if shift else {"resolved"})
    assert statuses(output, 1) == {"resolved"}
    assert '"before"' in output.text and '"after"' in output.text


def test_a_wrong_bias_is_not_believed_but_a_given_one_is(moved: Moved, tmp_path: pathlib.Path) -> None:
    kernel = moved(SHIFT)
    with support.boot(kernel, "", tmp_path) as guest:
        before = [f"symbol-file {kernel} -o 0x2000000"]
        got = ["kdbg got kernel.elf", f"kdbg got kernel.elf --bias {SHIFT:#x}"]
        output = guest.gdb([*stops(kernel, SHIFT, got), "kill"], before=before)
    found = [output.data("got", index)["objfiles"][0] for index in range(4)]
    assert [objfile["load_bias"] for objfile in found] == [f"{SHIFT:#x}"] * 4
    assert [statuses(output, index) for index in range(4)] == [{"unrelocated"}] * 2 + [{"resolved"}] * 2


def test_a_kernel_that_is_not_mapped_yet_is_not_judged(moved: Moved, tmp_path: pathlib.Path) -> None:
    with support.boot(moved(SHIFT), "", tmp_path) as guest:
        output = guest.gdb(["kdbg got kernel.elf", "kill"])
    assert "is not to be seen in memory" in output.text and "--bias" in output.text
    assert "unrelocated" not in output.text and "elsewhere" not in output.text


@pytest.mark.parametrize("bias", ["", f" --bias {PROGRAM_BIAS:#x}"], ids=["found", "given"])
def test_a_program_behind_the_stub_of_a_machine(bias: str, moved: Moved, tmp_path: pathlib.Path) -> None:
    kernel = moved(SHIFT)
    program = kernel.with_name("moved.elf")
    with support.boot(kernel, "", tmp_path) as guest:
        lines = stops(program, PROGRAM_BIAS, [f"kdbg got moved.elf{bias}"])
        output = guest.gdb([f"file {program}", *lines, "kill"])
    assert {output.data("got", index)["objfiles"][0]["load_bias"] for index in (0, 1)} == {f"{PROGRAM_BIAS:#x}"}
    assert [statuses(output, index) for index in (0, 1)] == [{"unrelocated"}, {"resolved"}]


def test_a_kernel_in_the_memory_dump_of_a_machine(moved: Moved, tmp_path: pathlib.Path) -> None:
    kernel, dump = moved(SHIFT), tmp_path / "dump"
    place = address_of(kernel, "before") + SHIFT
    with support.boot(kernel, "", tmp_path) as guest:
        guest.gdb([f"hbreak *{place:#x}", "continue", f"monitor dump-guest-memory {dump}", "kill"])
    inside = support.gdb(["kdbg", "kdbg got kernel.elf", "kdbg symbol $pc"], str(kernel), str(dump))
    assert statuses(inside, 0) == {"unrelocated"} and biases(inside) == {"kernel.elf": f"{SHIFT:#x}"}
    outside = [
        support.kdbg(*words, "--core", str(dump), str(kernel)) for words in (["status"], ["got"], ["symbol", "$pc"])
    ]
    assert statuses(outside[1], 0) == {"unrelocated"} and biases(outside[0]) == biases(inside)
    assert '"before"' in inside.text and inside.data("symbol") == outside[2].data("symbol")


def test_finding_a_kernel_takes_few_reads(moved: Moved, tmp_path: pathlib.Path) -> None:
    kernel, counts = moved(SHIFT), []
    place = address_of(kernel, "after") + SHIFT
    for commands in ([], ["kdbg"]):
        log = tmp_path / f"log{len(counts)}"
        with support.boot(kernel, "", tmp_path / f"{len(counts)}") as guest:
            guest.gdb([f"hbreak *{place:#x}", "continue", *commands, "kill"], before=[f"set remotelogfile {log}"])
        counts.append(len(support.read_packets(log)))
    # A page takes two packets, a read that fails may take two.
    assert 0 < counts[1] - counts[0] <= 12


def test_the_example_kernel_has_no_slots(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        output = guest.gdb(["tbreak tty_ioctl", "continue", "kdbg got", "kdbg"])
    (objfile,) = output.data("got")["objfiles"]
    assert "a kernel image without a dynamic section" in objfile["state"] and objfile["slots"] == []
    assert biases(output) == {"kernel.elf": "0x0"}


@contextlib.contextmanager
def emulated(program: pathlib.Path, directory: pathlib.Path) -> Iterator[str]:
    """Start a program in QEMU's user emulation, stopped at its first instruction; yield how GDB connects."""
    support.require("qemu-x86_64")
    stub = directory / "stub"
    process = subprocess.Popen(["qemu-x86_64", "-g", str(stub), str(program)], stdin=subprocess.DEVNULL)
    try:
        support.wait_for_socket(stub, process)
        yield f"target remote {stub}"
    finally:
        process.kill()
        process.wait()


def slots_of(output: support.GdbOutput, index: int) -> list[dict[str, Any]]:
    (objfile,) = output.data("got", index)["objfiles"]
    return list(objfile["slots"])


def statuses_by(slots: list[dict[str, Any]], field: str, value: str) -> set[str]:
    return {slot["status"] for slot in slots if slot[field] == value}


def hbreak_main(program: pathlib.Path) -> str:
    """Break at main by its address: GDB knows no symbol of a file without section headers."""
    distance = address_of(program, "main") - open_elf(str(program)).entry
    entry = "int(re.search(r'AT_ENTRY.*(0x[0-9a-f]+)', gdb.execute('info auxv', False, True))[1], 0)"
    return f"python import re; gdb.execute('hbreak *%#x' % ({entry} + {distance}))"


@pytest.mark.parametrize("sections", [True, False], ids=["whole", "without section headers"])
def test_a_lazy_program_in_user_emulation(sections: bool, tmp_path: pathlib.Path) -> None:
    support.require("gcc")
    program, source = tmp_path / "program", tmp_path / "program.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("x"); fflush(stdout); return 0; }\n')
    support.run("gcc", "-g", "-O1", "-Wl,-z,lazy", "-pie", "-fPIE", "-o", str(program), str(source))
    at_main = hbreak_main(program)
    if not sections:
        raw = program.read_bytes()
        end = int.from_bytes(raw[40:48], "little")
        program.write_bytes(raw[:40] + bytes(8) + raw[48:60] + bytes(4) + raw[64:end])
        support.gdb(["starti", at_main, "continue", "kill"], str(program))  # not if this GDB dies of the file itself
    with emulated(program, tmp_path) as connect:
        commands = ["kdbg", "kdbg got program"]
        output = support.gdb([connect, *commands, at_main, "continue", *commands, "kill"], str(program))
    first, second = slots_of(output, 0), slots_of(output, 1)
    assert statuses_by(first, "relocation", "RELATIVE") == {"unrelocated"}
    assert statuses_by(second, "relocation", "RELATIVE") == {"resolved"}
    assert statuses_by(second, "symbol", "puts") == {"lazy"}
    assert {slot["status"] for slot in second} <= {"resolved", "lazy"}
    assert output.data("status", 0)["target"] == "gdbserver"
    assert {"program", "ld-linux-x86-64.so.2"} == biases(output, 0).keys()
    assert {"program", "libc.so.6", "ld-linux-x86-64.so.2"} == biases(output, 1).keys()


def test_a_static_pie_in_user_emulation(moved: Moved, tmp_path: pathlib.Path) -> None:
    program = moved(SHIFT).with_name("moved.elf")
    with emulated(program, tmp_path) as connect:
        places = [f"hbreak {name}" for name in ("before", "after")]
        lines = [line for place in places for line in (place, "continue", "kdbg got moved.elf")]
        output = support.gdb([connect, *lines, "kill"], str(program))
    assert [statuses(output, index) for index in (0, 1)] == [{"unrelocated"}, {"resolved"}]
