"""The example kernel's own events: every one on its serial line is read, from a file and while the kernel runs."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from typing import Any, Sequence

import pytest
import support
from support import KernelBuilder
from terminals import INTERRUPT, Terminal

from gdb_kdbg.events import TYPES, read_events

FAULTS = ("none", "double_copy", "wrong_size", "wild_copy", "user_overflow", "unmapped", "panic", "hostile")
# Of the format's types, those that this kernel has.
OF_KERNEL = {
    "syscall_entry", "syscall_exit", "canary_check", "page_fault", "signal", "user_fault", "process_exit",
    "process_exec", "process_fork", "panic", "unimplemented_syscall", "usercopy", "usercopy_fault",
    "signal_stack_write", "ucopy_trace_dump",
}  # fmt: skip


@pytest.fixture(scope="module")
def logs(kernels: KernelBuilder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """The serial line of the kernel with each of its faults and all events."""
    found = {}
    for fault in FAULTS:
        directory = tmp_path_factory.mktemp(fault)
        with support.boot(kernels(), f"fault={fault} debug=all", directory, stopped=False) as guest:
            guest.wait()
        found[fault] = directory / "serial.log"
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_every_event_is_read_and_none_is_missing(fault: str, logs: dict[str, pathlib.Path]) -> None:
    reader = read_events(str(logs[fault]))
    events = list(reader)
    account = reader.account()
    raw = logs[fault].read_bytes()
    assert len(events) == raw.count(b"DBG {") > 50
    assert [event.fields["seq"] for event in events] == list(range(len(events)))
    assert {event.reading for event in events} == {""}
    assert (account.unreadable, account.missing, account.problems) == (0, 0, ())
    # This kernel writes valid JSON, so another reader can say what is in it.
    lines = [line for line in raw.split(b"\n") if line.startswith(b"DBG {")]
    assert [event.fields for event in events] == [json.loads(line[4:]) for line in lines]


def test_all_its_types_are_met(logs: dict[str, pathlib.Path]) -> None:
    met = {event.type for path in logs.values() for event in read_events(str(path))}
    assert met == OF_KERNEL < TYPES


@pytest.mark.parametrize("fault", FAULTS)
def test_every_event_has_a_line(fault: str, logs: dict[str, pathlib.Path], kernels: KernelBuilder) -> None:
    text = support.run(sys.executable, "-m", "gdb_kdbg", "events", str(logs[fault]), str(kernels()), cwd=support.ROOT)
    count = sum(1 for _ in read_events(str(logs[fault])))
    # A call that nothing came between is one line for two events.
    whole = len(re.findall(r"^\[ +\d+\] \w+\(.*\) = ", text, re.MULTILINE))
    assert len(text.splitlines()) == count - whole
    assert "?" not in text.replace("= ?", "") and text.isascii()
    assert "<ucopy" in text


def test_the_story_is_in_the_log(logs: dict[str, pathlib.Path]) -> None:
    text = support.run(
        sys.executable, "-m", "gdb_kdbg", "events", str(logs["double_copy"]), "--pid", "3", cwd=support.ROOT
    )
    lines = text.splitlines()
    copy = next(index for index, line in enumerate(lines) if "0x410024, 4 bytes (ioctl:TIOCGPGRP)" in line)
    assert any("guard CORRUPTED after ioctl" in line for line in lines[copy:])
    assert any("+++ killed by SIGABRT +++" in line for line in lines[copy:])


def test_while_the_kernel_runs_it_is_followed_and_not_stopped(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "bench=getpid:2000000000 debug=process,fault", tmp_path) as guest:
        words = [
            "-ex",
            "source gdbinit.py",
            "-ex",
            "set style enabled off",
            "-ex",
            support.PATIENT,
            "-ex",
            guest.connect,
        ]
        with Terminal(["gdb", "-nx", "-q", str(guest.kernel), *words]) as terminal:
            terminal.wait_for("(gdb) ")
            terminal.type(b"continue &\n")
            terminal.wait_for("(gdb) ")
            terminal.type(f"kdbg events {tmp_path / 'serial.log'} --follow\n".encode())
            terminal.wait_for("<ucopy")
            terminal.wait_for("+++ executes ")
            terminal.type(INTERRUPT)
            terminal.wait_for("(gdb) ")
            terminal.type(b"info threads\n")
            terminal.wait_for("while the target is running")
            terminal.type(b"interrupt\n")
            terminal.wait_for("SIGINT")
        assert b"Traceback" not in terminal.output and guest.process.poll() is None


def machine(kernel: pathlib.Path, append: str, device: str) -> Terminal:
    """A machine in a terminal of its own, which stays at its first instruction until `cont` is typed."""
    support.require("qemu")
    command = ["qemu-system-x86_64", "-kernel", str(kernel), "-append", append, "-display", "none", "-S"]
    command += ["-monitor", "stdio", "-serial", device, "-no-reboot", "-m", "32M"]
    return Terminal([*command, "-device", "isa-debug-exit,iobase=0xf4,iosize=4"])


def following(name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gdb_kdbg", "events", name, "--format", "json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=support.ROOT, text=True)


def assert_complete(lines: Sequence[str], name: str) -> list[Any]:
    """The numbers of the events have no gap, and the end of the serial line is told; return the events."""
    last = json.loads(lines[-1])
    objects = [json.loads(line)["data"] for line in lines]
    assert last["data"]["missing"] == 0, last
    assert [item["notice"] for item in objects if item and "notice" in item] == [f"{name} was closed by its other end"]
    return [item for item in objects if "fields" in item]


def test_a_serial_line_on_a_socket(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "serial"
    with machine(kernels(), "fault=none debug=all", f"unix:{path},server=on,wait=on") as guest:
        guest.wait_for("waiting for connection")
        with following(f"unix:{path}") as process:
            assert process.stdout is not None
            guest.type(b"cont\n")
            lines = process.stdout.readlines()
    events = assert_complete(lines, f"unix:{path}")
    assert json.loads(lines[-1])["problems"] == []
    assert events[0]["fields"]["seq"] == 0 and len(events) > 200


def test_a_serial_line_on_a_terminal(kernels: KernelBuilder) -> None:
    # QEMU throws away what it has for a terminal that nobody has open, so the first line may lack its start;
    # it leaves in the middle of a line, so the last one may lack its end.
    with machine(kernels(), "bench=getpid:2000000000 debug=syscall", "pty") as guest:
        guest.wait_for("(label serial0)")
        found = re.search(rb"redirected to (\S+)", guest.output)
        assert found is not None
        name = found[1].decode()
        with following(name) as process:
            assert process.stdout is not None
            guest.type(b"cont\n")
            lines = [process.stdout.readline() for _ in range(500)]
            guest.type(b"quit\n")
            lines += process.stdout.readlines()
    assert len(assert_complete(lines, name)) >= 500
    account = json.loads(lines[-1])["data"]
    assert len(account["first_unreadable"]) == account["unreadable"]
    assert {item["line"] for item in account["first_unreadable"]} <= {1, account["lines"]}
