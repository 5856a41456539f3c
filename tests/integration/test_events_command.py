"""`kdbg events` as a person meets it: files, pipes, sockets and terminals, outside GDB and in it."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import pathlib
import pty
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Iterator, Optional, Sequence

import event_log
import pytest
import support
from terminals import INTERRUPT, Terminal

PROGRAM = [sys.executable, "-m", "gdb_kdbg", "events"]
FORK = b'DBG {"type":"process_fork","parent_pid":1,"child_pid":%d}\n'


def run(*words: str, feed: Optional[bytes] = None, status: int = 0) -> str:
    done = subprocess.run(
        [*PROGRAM, *words], input=feed, capture_output=True, cwd=support.ROOT, timeout=support.DEADLINE
    )
    assert done.returncode == status, done.stderr
    return (done.stdout + done.stderr).decode()


def objects(*words: str, feed: Optional[bytes] = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events as JSON has them, and the last object."""
    lines = [json.loads(line) for line in run(*words, "--format", "json", feed=feed).splitlines()]
    assert all((line["schema"], line["command"]) == (1, "events") for line in lines)
    return [line["data"] for line in lines[:-1]], lines[-1]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("logs") / "serial.log"
    path.write_bytes(b"".join(line.raw for line in event_log.log(11, 2000, damage=0.05, sequence=True)))
    return path


def written(directory: pathlib.Path, text: str) -> str:
    path = directory / "serial.log"
    path.write_text(text)
    return str(path)


def test_json_has_an_object_for_each_event_and_the_account_at_the_end(log: pathlib.Path) -> None:
    events, last = objects(str(log))
    data = last["data"]
    assert data["events"] == data["shown"] == len(events) > 1900
    assert data["lines"] == log.read_bytes().count(b"\n") and data["size"] == log.stat().st_size
    assert data["repaired"] > 0 < data["partial"] and data["unreadable"] > 0
    assert any("read in part only" in problem for problem in last["problems"])
    assert {"type", "fields", "line", "offset", "time", "reading"} == set(events[0])


def test_a_log_without_damage_has_no_problems(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, 'boot\nDBG {"type":"process_exit","pid":3,"status":0,"by_signal":false}\n')
    assert run(path) == "[   3] +++ exited with 0 +++\n"
    assert objects(path)[1]["problems"] == []


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_a_compressed_log_is_read_as_the_log_itself(kind: str, log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "crash.log"  # The name says nothing.
    if kind == "zst":
        support.require("zstd")
        support.run("zstd", "-q", "-o", str(path), str(log))
    else:
        path.write_bytes({"gz": gzip.compress, "xz": lzma.compress}[kind](log.read_bytes()))
    assert run(str(path)) == run(str(log))


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_of_a_damaged_compressed_log_what_can_be_read_is_shown(kind: str, tmp_path: pathlib.Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "cut"
    event_log.write(plain, 3_000_000)
    if kind == "zst":
        support.require("zstd")
        support.run("zstd", "-q", "-o", str(path), str(plain))
    else:
        path.write_bytes({"gz": gzip.compress, "xz": lzma.compress}[kind](plain.read_bytes()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    text = run(str(path), status=1)
    assert text.count("\n") > 1000
    assert text.splitlines()[-1].startswith(f"kdbg: {path}: damaged, or it ends too soon")


def test_standard_input(log: pathlib.Path) -> None:
    assert run("-", feed=log.read_bytes()) == run(str(log))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.log"], "cannot open nowhere.log: No such file or directory"),
        (["."], ". is a directory"),
        (["README.md", "setup.cfg"], "setup.cfg is not an ELF file"),
        (["unix:nowhere"], "cannot connect to unix:nowhere: No such file or directory"),
        (["localhost:99999"], "cannot connect to localhost:99999"),
        (["--since", "yesterday", "README.md"], "no time: 'yesterday'"),
        (["--type", ",", "README.md"], "no type in ','"),
        (["--last", "x", "README.md"], "not a count"),
    ],
)
def test_a_wrong_line_is_one_line_of_error(words: Sequence[str], message: str) -> None:
    done = subprocess.run(
        [*PROGRAM, *words], capture_output=True, text=True, cwd=support.ROOT, timeout=support.DEADLINE
    )
    assert done.returncode in (1, 2) and message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


TIMED = "".join(
    f'[    {n}.{half}] DBG {{"type":"{kind}","pid":{n},"nr":1,"name":"write"}}\n'
    for n in range(10)
    for half, kind in ((0, "syscall_entry"), (5, "syscall_exit"))
)


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (["--last", "2"], [9.0, 9.5]),
        (["--last", "0"], []),
        (["--since", "8.5"], [8.5, 9.0, 9.5]),
        (["--since", "8"], [8.0, 8.5, 9.0, 9.5]),
        (["--since", "1s"], [8.5, 9.0, 9.5]),
        (["--since", "600ms"], [9.0, 9.5]),
        (["--since", "1h", "--last", "1"], [9.5]),
        (["--since", "100"], []),
        (["--type", "syscall_exit", "--last", "1"], [9.5]),
        (["--type", "syscall", "--pid", "4"], [4.0, 4.5]),
        (["--type", "signal,syscall_entry", "--pid", "4"], [4.0]),
        (["--type", "signal"], []),
        (["--pid", "77"], []),
    ],
)
def test_only_what_is_asked_for_is_shown(words: Sequence[str], times: Sequence[float], tmp_path: pathlib.Path) -> None:
    events, last = objects(written(tmp_path, TIMED), *words)
    assert [event["time"] for event in events] == times
    assert (last["data"]["shown"], last["data"]["events"], last["problems"]) == (len(times), 20, [])


def test_a_log_without_times_says_that_since_needs_them(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, 'DBG {"type":"t"}\n')
    events, last = objects(path, "--since", "5s")
    assert last["problems"] == ["no event has a console time, which --since needs"]
    assert len(objects(path)[0]) == 1


def test_a_pipe_gets_no_colours_and_a_terminal_does_unless_told(log: pathlib.Path) -> None:
    assert "\x1b" not in run(str(log), "--last", "20")
    with Terminal([*PROGRAM, str(log), "--last", "20"]) as terminal:
        assert "\x1b[1m" in terminal.wait_for_end()
    with Terminal([*PROGRAM, str(log), "--last", "20"], {"NO_COLOR": "1"}) as terminal:
        assert "\x1b" not in terminal.wait_for_end()


def test_hostile_names_stay_text(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hostile.log"
    path.write_bytes(b'DBG {"type":"process_exec","pid":4,"argv0":"\x1b[2J\\u202e\\ud800\x9b","entry":0x1}\n'
                     b'DBG {"type":"\\u001b[2J","\\u001bkey":"\\u0007"}\nDBG {"\x1b[2J\xff\n')  # fmt: skip
    text = run(str(path))
    assert text.isascii() and all(line.isprintable() for line in text.splitlines())
    assert objects(str(path))[1]["data"]["events"] == 2


def test_memory_does_not_grow_with_the_log(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "big.log"
    part = b"".join(line.raw for line in event_log.log(3, 10_000))
    path.write_bytes(part * 40)
    measure = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    for words in (["--type", "panic"], ["--last", "5"]):
        command = [sys.executable, "-c", measure, *PROGRAM, str(path), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=support.ROOT, timeout=support.DEADLINE)
        assert 0 < int(done.stdout) < 60 * 1024, done.stderr
    assert path.stat().st_size > 40_000_000 and resource.getpagesize() > 0


class Growing:
    """A source of a log that a test writes to, piece by piece."""

    def __init__(self, name: str, write: Callable[[bytes], object], close: Callable[[], object]) -> None:
        self.name = name
        self.write = write
        self.close = close


@pytest.fixture(params=["file", "unix", "tcp", "pty", "fifo"])
def growing(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Growing]:
    kind = request.param
    if kind == "file":
        with open(tmp_path / "serial.log", "wb", buffering=0) as file:
            yield Growing(file.name, file.write, lambda: None)
    elif kind == "pty":
        master, slave = pty.openpty()
        yield Growing(
            os.ttyname(slave), lambda data: os.write(master, data), lambda: (os.close(slave), os.close(master))
        )
    elif kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
        end = os.open(tmp_path / "fifo", os.O_RDWR)
        yield Growing(str(tmp_path / "fifo"), lambda data: os.write(end, data), lambda: os.close(end))
    else:
        server = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        server.bind(str(tmp_path / "socket") if kind == "unix" else ("127.0.0.1", 0))
        server.listen()
        server.settimeout(support.DEADLINE)
        made: list[socket.socket] = []

        def accepted() -> socket.socket:
            if not made:
                made.append(server.accept()[0])
            return made[0]

        name = f"unix:{tmp_path / 'socket'}" if kind == "unix" else f"127.0.0.1:{server.getsockname()[1]}"
        yield Growing(name, lambda data: accepted().sendall(data), lambda: accepted().close())
        server.close()


def follower(name: str, *words: str) -> Terminal:
    return Terminal([*PROGRAM, name, "--follow", *words], {"NO_COLOR": "1"})


def test_events_are_shown_as_they_come(growing: Growing) -> None:
    with follower(growing.name) as terminal:
        growing.write(FORK % 2)
        terminal.wait_for("forked 2 ")
        for child in range(3, 8):
            growing.write(FORK % child)
            terminal.wait_for(f"forked {child} ")
        # Half a line is nothing yet; a call is shown before it ends.
        growing.write(
            b'DBG {"type":"syscall_entry","pid":1,"name":"pause","nr":34,"args":[0,0,0,0,0,0]}\nDBG {"type":"pro'
        )
        terminal.wait_for("pause( <unfinished ...>")
        growing.write(b'cess_exit","pid":9,"status":3,"by_signal":false}\n')
        terminal.wait_for("[   9] +++ exited with 3 +++")
        terminal.type(INTERRUPT)
        text = terminal.wait_for_end()
    assert "Traceback" not in text and "problem" not in text


def test_what_goes_away_ends_with_one_line(growing: Growing) -> None:
    if "serial.log" in growing.name:
        pytest.skip("a file does not go away")
    with follower(growing.name) as terminal:
        growing.write(FORK % 2 + b'DBG {"type":"process_exit","pid":9,"status":3,')
        terminal.wait_for("forked 2 ")
        growing.close()
        lines = terminal.wait_for_end().splitlines()
    if "fifo" not in growing.name:
        assert f"kdbg: {growing.name} was closed by its other end" in lines
    assert any(line.startswith("[   9] +++ exited with 3 +++   # partial: cut behind status") for line in lines)
    assert "problem: 1 event read in part only" in lines and "Traceback" not in "".join(lines)


def test_the_last_ones_come_first_and_then_what_is_new(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "serial.log"
    path.write_bytes(b"".join(FORK % child for child in range(100, 150)))
    with follower(str(path), "--last", "2") as terminal:
        terminal.wait_for("forked 149 ")
        with open(path, "ab") as file:
            file.write(FORK % 150)
        terminal.wait_for("forked 150 ")
        terminal.type(INTERRUPT)
        text = terminal.wait_for_end()
    assert [line.split()[-2] for line in text.splitlines() if "forked" in line] == ["148", "149", "150"]


@pytest.mark.parametrize("change", ["truncated", "replaced"])
def test_a_log_that_starts_anew_is_noticed(change: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "serial.log"
    path.write_bytes(b"boot\n" * 20 + FORK % 2 + b'DBG {"type":"process_ex')
    with follower(str(path)) as terminal:
        terminal.wait_for("forked 2 ")
        if change == "replaced":
            path.rename(tmp_path / "serial.log.1")
        path.write_bytes(FORK % 3)
        terminal.wait_for(f"kdbg: {path} was {change}: reading it from its start")
        terminal.wait_for("forked 3 ")
        with open(path, "ab") as file:
            file.write(FORK % 4)
        terminal.wait_for("forked 4 ")


def test_a_log_that_does_not_change_costs_no_time(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "serial.log"
    path.write_bytes(FORK % 2)
    with follower(str(path)) as terminal:
        terminal.wait_for("forked 2 ")
        process = pathlib.Path(f"/proc/{terminal.pid}")
        # It sleeps between two looks, however much else this machine has to do.
        asleep = sleeps(process) + 2
        support.wait_until(lambda: sleeps(process) >= asleep, "it never sleeps")
        first, start, asleep = spent(process), time.monotonic(), sleeps(process) + 20
        support.wait_until(lambda: sleeps(process) >= asleep, "it never sleeps")
        assert time.monotonic() - start > 1, "it looks ten times a second"
        assert spent(process) - first <= 10  # hundredths of a second


def sleeps(process: pathlib.Path) -> int:
    """How often a process has given up the processor by itself."""
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (process / "status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def spent(process: pathlib.Path) -> int:
    """The processor time that a process has used."""
    return sum(map(int, (process / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))


def test_a_compressed_log_cannot_be_followed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "serial.log.gz"
    path.write_bytes(gzip.compress(FORK % 2))
    assert "is compressed" in run(str(path), "--follow", status=1)


def test_in_gdb_a_log_is_shown_and_standard_input_is_not_taken(log: pathlib.Path) -> None:
    output = support.gdb([f"kdbg events {log} --last 3", "kdbg events -", "print 6*7"])
    assert len([item for item in output.objects if item["command"] == "events"]) == 4
    assert "standard input is GDB's own here" in output.text and "$1 = 42" in output.text
    text = support.gdb([f"kdbg events {log} --last 3 --type syscall"], json_format=False).text
    assert text.splitlines()[:3] == run(str(log), "--last", "3", "--type", "syscall").splitlines()[:3]


def test_in_gdb_code_is_named_from_the_loaded_files(tmp_path: pathlib.Path) -> None:
    support.require("gcc")
    source, program = tmp_path / "named.c", tmp_path / "named"
    source.write_text("int helper(int x) { return x * 3; } int main(void) { return helper(2); }\n")
    support.run("gcc", "-O0", "-no-pie", "-o", str(program), str(source))
    found = next(line for line in support.run("nm", str(program)).splitlines() if line.endswith(" helper"))
    address = int(found.split()[0], 16)

    def lines(argv0: str) -> str:
        start = f'DBG {{"type":"process_exec","pid":4,"argv0":"{argv0}","entry":0x1}}\n'
        fault = f'DBG {{"type":"user_fault","pid":4,"exception":"x","ip":{address + 4:#x},"signal_delivered":11}}\n'
        return written(tmp_path, start + fault)

    named = f"{address + 4:#x} <helper+0x4>"
    assert named in support.gdb([f"kdbg events {lines('/bin/named')}"], str(program), json_format=False).text
    assert named in run(str(tmp_path / "serial.log"), str(program))
    # Programs share addresses: those of another one are not named.
    assert "helper" not in support.gdb([f"kdbg events {lines('other')}"], str(program), json_format=False).text
    assert "helper" not in run(str(tmp_path / "serial.log"), str(program))
    assert "helper" not in run(str(tmp_path / "serial.log"))


def test_in_gdb_following_ends_with_ctrl_c(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "serial.log"
    path.write_bytes(FORK % 2)
    with Terminal(["gdb", "-nx", "-q", "-ex", "source gdbinit.py", "-ex", "set style enabled off"]) as terminal:
        terminal.wait_for("(gdb) ")
        terminal.type(f"kdbg events {path} --follow\n".encode())
        terminal.wait_for("forked 2 ")
        with open(path, "ab") as file:
            file.write(FORK % 3)
        terminal.wait_for("forked 3 ")
        terminal.type(INTERRUPT)
        terminal.wait_for("(gdb) ")
        terminal.type(b"print 6*7\n")
        terminal.wait_for("$1 = 42")
    assert b"Traceback" not in terminal.output and shutil.which("gdb")
