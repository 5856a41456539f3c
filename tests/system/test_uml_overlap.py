"""`kdbg overlap` on a user-mode Linux kernel: what is caught, what is not, and that the kernel is as it was."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import subprocess
from typing import Any, Iterator, Sequence

import pytest
import support
import uml

ROUNDS = int(os.environ.get("KDBG_UML_ROUNDS", "6"))
SYSTEM_CALL = ["proc_reg_write", "vfs_write", "ksys_write", "sys_write", "handle_syscall", "userspace"]
# How memcpy_orig begins (arch/x86/lib/memcpy_64.S) with its first jump in two bytes, as in Debian's Linux 6.1, and in
# six, as in its 6.12.
MEMCPY = ("4889f8 4883fa20 727e 4038fe 7c35", "4889f8 4883fa20 0f827f000000 4038fe 7c35")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[uml.Guest]:
    with uml.boot(tmp_path_factory.mktemp("uml")) as booted:
        yield booted


def line_of(guest: uml.Guest, module: str, text: str) -> int:
    lines = (guest.kernel.modules / f"{module}.c").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def functions(hit: Any) -> list[str]:
    """The functions of a backtrace, from the copy outwards."""
    return [line.split()[1] for line in hit["backtrace"]]


def hits(output: support.GdbOutput) -> list[Any]:
    return [hit for item in output.objects if item["command"] == "overlap" for hit in item["data"].get("hits", ())]


def test_both_directions_are_caught_with_all_frames(guest: uml.Guest) -> None:
    guest.do("overlap nothing")
    position = len(guest.console)
    lines = [
        f"kdbg connect uml {guest.pid}", "kdbg overlap", uml.typed(guest, "overlap upwards"), "continue", "bt 2",
        "kdbg why", "kdbg ring", uml.typed(guest, "overlap downwards"), "continue", "kdbg overlap report",
    ]  # fmt: skip
    output = support.gdb(lines)
    up, down = hits(output)
    for hit, caller, distance in ((up, "copy_upwards", 31), (down, "copy_downwards", -31)):
        assert (hit["routine"], hit["size"], hit["distance"]) == ("memcpy", 171, distance)
        assert int(hit["destination"], 16) - int(hit["source"], 16) == distance
        assert functions(hit)[:4] == ["memcpy", caller, "obey", "order_written"]
        assert functions(hit)[4:10] == SYSTEM_CALL
        assert (hit["caller"], pathlib.Path(hit["file"]).name) == (caller, "overlap.c")
        assert re.fullmatch(r"\w+ \(pid [1-9]\d*\)", hit["task"]) and hit["thread"] is None
    source = (guest.kernel.modules / "overlap.c").read_text().splitlines()
    assert "memcpy(" in source[up["line"] - 1] and "memcpy(" in source[down["line"] - 1] and up["line"] < down["line"]
    assert re.search(r"^#1 .* copy_upwards \(.*overlap\.c:", output.text, re.MULTILINE)
    assert (
        f"copy_upwards+0x18 ({up['file']}:{up['line']}) copies 171 bytes"
        in output.data("why")["findings"][0]["summary"]
    )
    (record,) = output.data("ring")["records"]
    assert (record["size"], record["caller"], record["direction"]) == (171, "copy_upwards+0x18", "kernel")
    assert f"(pid {record['process']})" in up["task"]
    report = output.data("overlap")
    assert (report["overlaps"], report["equal_addresses"], report["calls"] > 10) == (2, 0, True)
    assert {(site["caller"], site["line"], site["count"]) for site in report["sites"]} == {
        ("copy_upwards", up["line"], 1), ("copy_downwards", down["line"], 1)
    }  # fmt: skip
    for direction in ("upwards", "downwards"):
        assert "ended with 0" in guest.ended(f"overlap {direction}", position)


def test_the_story_of_the_leaf_by_a_module_that_came_later(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        connect = f"kdbg connect uml {guest.pid}"
        output = support.gdb([connect, "kdbg overlap", uml.typed(guest, "leaf story"), "continue", "kdbg why"])
        assert output.data("connect")["done"] == []
        (hit,) = hits(output)
        assert functions(hit)[:5] == ["memcpy", "move_in_leaf", "make_room", "insert_item", "tell_story"]
        assert functions(hit)[5:11] == SYSTEM_CALL
        assert (hit["size"], hit["distance"], hit["caller"]) == (171, -31, "move_in_leaf")
        assert (hit["destination"][-3:], hit["source"][-3:]) == ("e8a", "ea9")
        assert hit["line"] == line_of(guest, "leaf", "memcpy(")
        # Others of its kind are counted, and reported if they are of another size or distance.
        lines = ["kdbg overlap --log", uml.typed(guest, "leaf fill 1", "leaf repaired 1", "calls 1")]
        output = support.gdb([connect, *lines, "tbreak __do_sys_newuname", "continue", "kdbg overlap report"])
        report = output.data("overlap")
        (site,) = report["sites"]
        assert (site["caller"], site["line"]) == ("move_in_leaf", hit["line"])
        assert len(hits(output)) == site["kinds"] <= site["count"] == report["overlaps"] > 20


def test_what_is_no_overlap_is_not_reported(guest: uml.Guest) -> None:
    orders = ["overlap adjacent-above", "overlap adjacent-below", "overlap nothing", "overlap memmove", "overlap same",
              "leaf repaired 1", "files 20"]  # fmt: skip
    position = len(guest.console)
    lines = ["kdbg overlap", uml.typed(guest, *orders, "calls 1"), "tbreak __do_sys_newuname", "continue"]
    output = support.gdb([f"kdbg connect uml {guest.pid}", *lines, "kdbg overlap report", "kdbg ring"])
    report = output.data("overlap")
    assert hits(output) == [] and report["sites"] == []
    assert (report["overlaps"], report["equal_addresses"], report["calls"] > 600) == (0, 1, True)
    assert output.data("ring")["records"] == []
    for order in orders:
        assert "ended with 0" in guest.ended(order, position)


def launched(directory: pathlib.Path, *lines: str) -> dict[str, str]:
    """The environment with which examples/uml/boot starts a GDB, and that the kernel."""
    words = [word for line in (f"source {support.ROOT / 'gdbinit.py'}", *lines) for word in ("-ex", line)]
    wrapper = directory / "kernel"
    vmlinux = uml.uml_kernel().vmlinux
    wrapper.write_text(f'#!/bin/sh\nexec gdb -nx -batch {shlex.join(words)} --args {shlex.quote(str(vmlinux))} "$@"\n')
    wrapper.chmod(0o755)
    return {"KDBG_UML_KERNEL": str(wrapper)}


def test_an_unmodified_kernel_has_none_from_its_start_to_its_end(tmp_path: pathlib.Path) -> None:
    lines = [
        "set kdbg format json", "tbreak start_kernel", "run", "kdbg connect uml", "kdbg overlap",
        "tbreak __do_sys_reboot", "continue", "kdbg overlap report", "kdbg overlap --off", "continue",
    ]  # fmt: skip
    work = "files:300,calls:2000,files:300"
    with uml.boot(tmp_path, work, environment=launched(tmp_path, *lines)) as guest:
        guest.wait()
        output = support.GdbOutput(guest.console, 0)
        report = output.data("overlap", -2)
        assert hits(output) == []
        assert (report["overlaps"], report["equal_addresses"], report["calls"] > 30_000) == (0, 0, True), report
        assert guest.console.count("300 files, all right") == 2
        assert output.data("overlap")["done"] == "took 1 probe out" and "exited normally" in output.text


def test_rounds_leave_no_trace(guest: uml.Guest) -> None:
    guest.do("overlap nothing")
    guest.do("calls 10")
    before, position = uml.state(guest), len(guest.console)
    one = [
        f"kdbg connect uml {guest.pid}", "kdbg overlap", uml.typed(guest, "overlap upwards"), "continue",
        uml.typed(guest, "calls 10"), "tbreak __do_sys_newuname", "continue", "delete",
    ]  # fmt: skip
    ways: Sequence[Sequence[str]] = (["kdbg overlap --off", "detach"], ["detach"])
    lines = [line for number in range(ROUNDS) for line in (*one, *ways[number % 2])]
    output = support.gdb(lines, deadline=support.DEADLINE + 10 * ROUNDS)
    assert len(hits(output)) == ROUNDS and "kdbg: " not in output.text
    # And one that is left where it was caught.
    output = support.gdb(one[:4])
    assert len(hits(output)) == 1 and "kdbg: " not in output.text
    support.wait_until(lambda: guest.console[position:].count("overlap ended with 0") == ROUNDS + 1, "not all done")
    assert uml.state(guest) == before
    assert "all right" in guest.do("files 20")


NOW = ["python print('now' + '!', flush=True)"]
CONTINUING = "Continuing."


def kill_gdb(guest: uml.Guest, lines: Sequence[str], last: Sequence[str]) -> None:
    """Kill a GDB without mercy when it has got to where it has printed all this, one after the other."""
    script = [f"source {support.ROOT / 'gdbinit.py'}", f"kdbg connect uml {guest.pid}", "kdbg overlap", *lines]
    words = [word for line in script for word in ("-ex", line)]
    status = pathlib.Path(f"/proc/{guest.pid}/status")
    with subprocess.Popen(
        ["gdb", "-nx", "-q", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as gdb:  # fmt: skip
        assert gdb.stdout is not None
        shown, awaited = [], list(last)
        for line in gdb.stdout:
            shown.append(line)
            if awaited[0] in line:
                del awaited[0]
                if not awaited:
                    break
        assert gdb.poll() is None, "".join(shown)
        if last[-1] == CONTINUING:
            support.wait_until(lambda: "State:\tt" not in status.read_text(), "it does not run")
        gdb.kill()
    support.wait_until(lambda: "TracerPid:\t0\n" in status.read_text(), "it is still traced")


def without_loader(state: uml.State) -> uml.State:
    """Leave out the dynamic linker's text, where a GDB that is killed leaves breakpoints of its own."""
    return state._replace(text={path: text for path, text in state.text.items() if "/ld-linux" not in path})


# Where it is killed: before the kernel goes on, while it runs, and with a task at the routine's entry.
@pytest.mark.parametrize("where", ["armed", "running", "caught"])
def test_a_kernel_whose_gdb_was_killed_runs_on(guest: uml.Guest, where: str) -> None:
    guest.do("overlap nothing")
    before, position = uml.state(guest), len(guest.console)
    caught = [uml.typed(guest, "overlap upwards"), "continue"] if where == "caught" else []
    # Not while the kernel starts a process: GDB traces that too until it has looked at it, and when GDB is killed then,
    # the kernel cannot trace it. At the first rename all that the order starts has been started.
    at_work = [uml.typed(guest, "files 100"), "tbreak do_renameat2", "continue", *NOW, "continue"]
    running = at_work if where == "running" else []
    kill_gdb(guest, running or [*caught, *NOW], ["now!", CONTINUING] if running else ["now!"])
    if running:
        assert "100 files, all right" in guest.ended("files 100", position)
    if caught:
        assert "135 bytes damaged" in guest.ended("overlap upwards", position)
    for order in ("upwards", "downwards", "upwards"):
        assert "135 bytes damaged" in guest.do(f"overlap {order}")
    assert "all right" in guest.do("files 20")
    assert uml.state(guest) != before
    lines = ["kdbg overlap", "kdbg overlap report", "kdbg overlap --off", "kdbg overlap report", "detach"]
    output = support.gdb([f"kdbg connect uml {guest.pid}", *lines])
    assert "the program has an overlap probe already" in output.text
    report = output.data("overlap", 0)
    assert (report["overlaps"], [site["count"] for site in report["sites"]]) == (
        3 + len(caught) // 2, [2 + len(caught) // 2, 1])  # fmt: skip
    assert output.data("overlap")["done"] == "took 1 probe out" and "there is no overlap probe" in output.text
    after = uml.state(guest)
    assert (without_loader(after) == without_loader(before)) if running else (after == before)
    assert "all right" in guest.do("files 20")


def test_the_demonstration_finds_everything() -> None:
    uml.uml_kernel()
    text = support.run(str(uml.EXAMPLE / "demo"))
    callers = re.findall(r"^    - #1 (\w+) \(", text, re.MULTILINE)
    assert callers == ["move_in_leaf", "copy_upwards", "copy_downwards"], text
    assert "took 1 probe out" in text and "7 tasks with a guard of their own, 0 of them corrupted" in text
    assert re.search(r"^caller at fault: guard \(pid \d+\) let read\(.*\) write over its guard$", text, re.MULTILINE)
    assert "stack smashing detected" in text and "guest: halting" in text
    done = subprocess.run([str(uml.EXAMPLE / "demo"), "nonsense"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: examples/uml/demo [overlap|guard]\n")


def test_breakpoints_catch_it_too(guest: uml.Guest) -> None:
    lines = ["kdbg overlap --exact", uml.typed(guest, "overlap upwards"), "continue", "kdbg overlap --off"]
    output = support.gdb([f"kdbg connect uml {guest.pid}", *lines])
    assert [functions(hit)[:2] for hit in hits(output)] == [["memcpy", "copy_upwards"]]
    assert output.data("overlap")["done"] == "deleted the breakpoints"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["kdbg overlap nonsense"], "nonsense"),
        (["kdbg overlap uml_physmem"], "is data, not a function"),
        (["kdbg overlap 16"], "is in no loaded file"),
        (["kdbg overlap __memcpy_avx_unaligned"], "shares its code with __memmove_avx_unaligned"),
        (["kdbg overlap memcpy start_kernel nonsense"], "nonsense"),
    ],
)
def test_a_probe_that_cannot_be_placed_is_one_line(guest: uml.Guest, lines: Sequence[str], words: str) -> None:
    before = uml.state(guest)
    output = support.gdb([f"kdbg connect uml {guest.pid}", *lines, "info address __memcpy_avx_unaligned"])
    is_unknown = any(line.startswith('No symbol "__memcpy_avx') for line in output.text.splitlines())
    if "__memcpy_avx_unaligned" in lines[0] and is_unknown:
        support.lacking("libc6-dbg", "the names of the C library's own routines (libc6-dbg) are not installed")
    errors = [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
    assert len(errors) == 1 and words in errors[0], output.text
    assert uml.state(guest) == before


def test_a_thread_in_the_bytes_to_be_patched_is_named(guest: uml.Guest) -> None:
    before = uml.state(guest)
    inside = ["tbreak *__do_sys_newuname", uml.typed(guest, "calls 1"), "continue", "stepi"]
    output = support.gdb([f"kdbg connect uml {guest.pid}", *inside, "kdbg overlap __do_sys_newuname", "detach"])
    assert f"thread {guest.pid} is at 0x" in output.text and "in the bytes to be patched" in output.text
    assert uml.state(guest) == before


def test_over_a_stub_it_says_what_is_possible(guest: uml.Guest) -> None:
    support.require("gdbserver")
    stub = f"target remote | gdbserver --once --attach - {guest.pid}"
    output = support.gdb([stub, "kdbg overlap", "detach"], str(guest.kernel.vmlinux))
    assert "a probe can only be put into a native process, and this is a gdbserver target" in output.text
    assert "ended with 0" in guest.do("calls 10")


def test_a_stripped_kernel_is_not_mistaken_for_its_libc(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path, environment={"KDBG_UML_KERNEL": uml.stripped()}) as guest:
        before = uml.state(guest)
        output = support.gdb(
            [f"kdbg connect uml {guest.pid}", "kdbg overlap", "kdbg overlap --exact", "kdbg", "detach"]
        )
        errors = [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
        assert len(errors) == 2 and errors[0] == errors[1]
        assert "linux.uml has no symbols: its memcpy cannot be found" in errors[0] and "file VMLINUX" in errors[0]
        assert "remain" in output.problems("connect")[0] and output.data("status")["armed"] == []
        assert uml.state(guest) == before
        # Its memcpy is there all the same, and can be named by its address.
        content = pathlib.Path(uml.stripped()).read_bytes()
        (routine,) = [code for code in MEMCPY if bytes.fromhex(code) in content]
        find = f"gdb.selected_inferior().search_memory(0x60000000, 16 << 20, bytes.fromhex('{routine}'))"
        named = [f"python gdb.set_convenience_variable('memcpy_here', {find})", "kdbg overlap $memcpy_here"]
        output = support.gdb([f"kdbg connect uml {guest.pid}", *named, "kdbg overlap --off", "detach"])
        assert output.data("overlap", 0)["done"] == "patched the entry of 1 routine"
        assert output.data("overlap")["done"] == "took 1 probe out"
        assert uml.state(guest) == before and "all right" in guest.do("files 5")
