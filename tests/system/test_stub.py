"""Over QEMU's gdbstub: what it costs in packets, what happens when it runs or dies, and that nothing stays behind."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
import support
from support import KernelBuilder

AT_IOCTL = ["tbreak tty_ioctl", "continue"]


def reads_of(command: str, kernel: pathlib.Path, append: str, lines: list[str], directory: pathlib.Path) -> int:
    """Count the memory reads of one command in a fresh GDB: those of a session with it, less those of one without."""
    counts = []
    for name, commands in (("without", []), ("with", [command])):
        log = directory / f"{name}.log"
        with support.boot(kernel, append, directory / name) as guest:
            # GDB opens its log when it connects.
            output = guest.gdb([*lines, *commands], before=[f"set remotelogfile {log}"])
            assert len(output.objects) == len(commands), output.text
        counts.append(len(support.read_packets(log)))
    return counts[1] - counts[0]


def test_packets_of_a_small_ring(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    # 10,000 copies: the ring is full and has lost most of them.
    reads = reads_of("kdbg ring", kernels(), "bench=winsize:10000", ["break power_off", "continue"], tmp_path)
    assert 0 < reads <= 4


def test_packets_of_a_large_ring(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    lines = ["break power_off", "continue"]
    reads = reads_of("kdbg ring", kernels(RING=4096), "bench=winsize:10000", lines, tmp_path)
    assert 64 <= reads <= 80


def test_packets_of_the_guard(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    assert 0 < reads_of("kdbg canary", kernels(), "fault=none", AT_IOCTL, tmp_path / "a") <= 3
    assert 0 < reads_of("kdbg canary", kernels(), "fault=none debug=canary", AT_IOCTL, tmp_path / "b") <= 3


@pytest.mark.parametrize("build", [{}, {"DEBUG": 0}, {"SIZES": 0}, {"RING": 4096}, {"RING": 4096, "DEBUG": 0}])
def test_ring_is_read_right(build: dict[str, int], kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    """10,000 window sizes after the start-up copies; the guest's own count and GDB's own view of memory agree."""
    with support.boot(kernels(**build), "bench=winsize:10000", tmp_path) as guest:
        output = guest.gdb(
            ["break power_off", "continue", "print *(unsigned long*)&ucopy_trace_idx", "kdbg ring",
             "kdbg ring --last 2",
             "print/x *(unsigned long(*)[4])&ucopy_trace_buf"]
        )  # fmt: skip
    ring, capacity = output.data("ring", 0), build.get("RING", 32)
    total = int(re.search(r"\$1 = (\d+)", output.text)[1])  # type: ignore[index]
    assert (ring["capacity"], ring["total"], ring["lost"]) == (capacity, total, total - capacity)
    assert [record["sequence"] for record in ring["records"]] == list(range(total - capacity, total))
    windows = [record for record in ring["records"] if record["context"] == "ioctl:TIOCGWINSZ"]
    assert len(windows) >= capacity - 4
    assert {(r["size"], r["direction"], r["caller"].split("+")[0]) for r in windows} == {(8, "to_user", "tty_ioctl")}
    assert {record["torn"] for record in ring["records"]} == {False}
    assert output.data("ring", 1)["records"] == ring["records"][-2:]
    first = next(record for record in ring["records"] if record["sequence"] % capacity == 0)
    words = [first["destination"], first["source"], hex(first["size"]), first["return_address"]]
    assert re.search(r"\$2 = \{(.*)\}", output.text)[1].split(", ") == words  # type: ignore[index]


def test_switch_and_clear(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        output = guest.gdb([
            *AT_IOCTL, "kdbg ring --off", "tbreak sys_write", "continue", "kdbg ring", "kdbg ring --on",
             "tbreak sys_wait4",
            "continue", "kdbg ring", "kdbg ring --clear", "print *(unsigned long(*)[8])&ucopy_trace_buf",
        ])  # fmt: skip
    off, still, on, later, cleared = (output.data("ring", index) for index in range(5))
    assert off["enabled"] is False and still["enabled"] is False and still["total"] == off["total"]
    assert on["enabled"] is True and later["total"] > on["total"]
    assert cleared["total"] == 0 and cleared["records"] == [] and "{0, 0, 0, 0, 0, 0, 0, 0}" in output.text


def test_torn_record(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    """Stepping through the probe: torn from the count on to the last word, whole before and after."""
    steps = [line for _ in range(18) for line in ("stepi", "kdbg ring --last 1")]
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        output = guest.gdb([*AT_IOCTL, "tbreak ucopy_record", "continue", "kdbg ring --last 1", *steps])
    torn = [item["data"]["records"][-1]["torn"] for item in output.objects]
    assert torn[0] is False and torn[-1] is False and torn.count(True) >= 5
    assert torn == sorted(torn[: torn.index(True)]) + [True] * torn.count(True) + [False] * torn[::-1].index(True)
    assert all(item["data"]["lost"] == 0 for item in output.objects)


def test_layout_set_by_the_user(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        output = guest.gdb([
            *AT_IOCTL, "kdbg ring",
            "set kdbg ring-layout capacity=16 destination=0 source=8 size=16:4 high=20:4 return_address=24",
             "kdbg ring",
        ])  # fmt: skip
    plain, custom = output.data("ring", 0), output.data("ring", 1)
    assert (custom["capacity"], custom["capacity_from"]) == (16, "set kdbg ring-layout")
    newest, expected = custom["records"][-1], plain["records"][-1]
    assert newest["extra"] == {"high": "0x0"} and newest["size"] == expected["size"]


def test_running_target(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    commands = ["kdbg ring", "kdbg canary", "kdbg why", "kdbg watch guard", "kdbg canary --syscalls", "kdbg ring --off"]
    with support.boot(kernels(), "bench=getpid:100000000", tmp_path) as guest:
        output = guest.gdb(["continue &", *commands, "info breakpoints"], json_format=False)
    found = [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
    assert len(found) == len(commands) and all("the target is running" in line for line in found), output.text
    assert "No breakpoints" in output.text and "Traceback" not in output.text


@pytest.mark.parametrize("reads", [0, 1, 2, 3])
@pytest.mark.parametrize("command", ["kdbg ring", "kdbg why", "kdbg canary"])
def test_stub_that_dies_in_mid_command(
    command: str, reads: int, kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    proxy = pathlib.Path(__file__).parent.parent / "programs" / "cutting_proxy.py"
    marker = tmp_path / "now"
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        guest.gdb(["hbreak tty_ioctl", "continue", "delete", "disconnect"])
        remote = f"target remote | {sys.executable} {proxy} {tmp_path / 'stub'} {marker} {reads}"
        output = support.gdb(
            [remote, "set python print-stack full", f"shell touch {marker}", command, command, "info breakpoints"],
            str(guest.kernel), json_format=False, may_abort=True,
        )  # fmt: skip
    found = [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
    assert "Traceback" not in output.text and "Python Exception" not in output.text, output.text
    assert len(found) <= 2 and all("target" in line or "onnection" in line for line in found), output.text
    assert any("no target" in line or "gone" in line for line in found), output.text


def test_everything_armed_is_removed(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        output = guest.gdb([
            *AT_IOCTL, "kdbg canary --syscalls", "kdbg canary --syscalls", "kdbg watch guard", "kdbg",
             "kdbg canary --off",
            "kdbg", "info breakpoints", "continue",
        ])  # fmt: skip
        assert len(output.data("status", 0)["armed"]) == 3 and output.data("status", 1)["armed"] == []
        assert "removed 3" in output.data("canary")["done"] and "No breakpoints" in output.text
        assert "checked around system calls already" in output.text
        assert "kernel: all processes finished" in guest.serial


def test_hostile_guest_cannot_move_the_terminal(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    """Tags and a name with escapes, newlines and a text of 1 MiB without an end."""
    with support.boot(kernels(), "fault=hostile", tmp_path) as guest:
        script = [
            "tbreak hostile_copy",
            "continue",
            "break ucopy",
            *["continue", "finish", "kdbg", "kdbg ring", "kdbg why"] * 2,
        ]
        output = guest.gdb(["set style enabled off", *script], json_format=False)
    assert "Traceback" not in output.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", output.text), repr(output.text)
    assert "\\x1b" in output.text and len(output.text) < 60_000
    assert max(map(len, output.text.splitlines())) < 600


def test_one_ctrl_c_stops_a_storm_of_checks(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    """The guest makes system calls without end, each with two checks; a terminal interrupts GDB and its children."""
    with support.boot(kernels(), "bench=getpid:100000000", tmp_path) as guest:
        lines = [f"source {support.ROOT / 'gdbinit.py'}", support.PATIENT, guest.connect, "kdbg canary --syscalls",
                 "continue", "echo stopped\\n", "kdbg canary", "kdbg canary --off", "kill"]  # fmt: skip
        words = [word for line in lines for word in ("-ex", line)]
        process = subprocess.Popen(
            ["gdb", "-nx", "-batch", *words, str(guest.kernel)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        support.wait_until(lambda: "BENCH start" in guest.serial, "the guest did not start")
        os.killpg(process.pid, signal.SIGINT)
        text = process.communicate(timeout=support.DEADLINE)[0]
    assert "stopped" in text and "verdict:       intact" in text and "removed 2" in text, text
    assert "Traceback" not in text


def test_another_machine_is_not_compared_with_the_last(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    """Same kernel, same page tables and addresses, another boot: another guard, and no corruption."""
    one, two = tmp_path / "one", tmp_path / "two"
    with support.boot(kernels(), "fault=none", one) as first, support.boot(kernels(), "fault=none", two) as second:
        at_ioctl = ["hbreak tty_ioctl", "continue", "delete", "kdbg canary"]
        output = first.gdb([*at_ioctl, "kdbg watch guard", "detach", second.connect, *at_ioctl, "kdbg"])
    assert output.data("canary", 0)["guard"] != output.data("canary", 1)["guard"]
    assert output.data("canary", 1)["verdict"] == "unknown" and output.data("status")["armed"] == []
