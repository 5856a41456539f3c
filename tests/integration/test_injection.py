"""System calls injected into a stopped program: they happen, and neither the program nor GDB notices anything else."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
from typing import Iterator

import pytest
from support import DEADLINE, ROOT, gdb, require, run, wait_until

SOURCE = r"""
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
volatile int ticks;
static void tick(int number) { (void)number; ticks++; }
static void *wait_for_ever(void *nothing) { for (;;) pause(); return nothing; }
static int short_function(int a, int b) { return a * 100 + b; }
int (*volatile called)(int, int) = short_function;
int main(void)
{
    pthread_t thread;
    char letters[4];
    struct itimerval every = {{0, 5000}, {0, 5000}};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = tick;   /* without SA_RESTART: a read that is interrupted by it says so */
    sigaction(SIGALRM, &action, NULL);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    setvbuf(stdout, NULL, _IONBF, 0);
    puts("ready");
    long got = read(0, letters, 1);
    printf("read %ld %s\n", got, got < 0 ? strerror(errno) : "");
    setitimer(ITIMER_REAL, &every, NULL);
    while (ticks < 20) { }
    printf("ticks %d\n", called(1, 2));
    return 0;
}
"""
INJECT = """
import sys
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.live.injection import injecting
with injecting() as inject:
    print("pid", inject.call("getpid") == inject.process, inject.call("getppid") > 0)
    place = inject.call("mmap", 0, 4096, 3, 0x22, -1, 0)
    data = inject.scratch(b"hello")
    print("copied", inject.call("process_vm_readv", inject.process, data, 0, 0, 0, 0), inject.read_scratch(5))
    print("unmapped", inject.call("munmap", place, 4096))
    try:
        inject.call("munmap", 3, 4096)
    except KdbgError as error:
        print("error:", error)
    print("function", inject.function(int(gdb.parse_and_eval("(long)&short_function")), 7, 9))
"""
STATE = "python print(open(f'/proc/{gdb.selected_thread().ptid[1]}/status').read().partition('SigQ')[2]); "
STATE += "gdb.execute('maint flush register-cache'); gdb.execute('info registers'); gdb.execute('p $_siginfo')"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    require("gcc", "gdb")
    directory = tmp_path_factory.mktemp("injection")
    (directory / "program.c").write_text(SOURCE)
    (directory / "inject.py").write_text(INJECT)
    run("gcc", "-g", "-O1", str(directory / "program.c"), "-o", str(directory / "program"), "-pthread")
    return directory / "program"


@pytest.fixture
def waiting(program: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """The program, waiting in a system call."""
    process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "S", "it does not wait")
    yield process
    process.kill()
    process.wait()


def states(text: str) -> list[str]:
    """Signal masks, registers and the signal of each time that a script printed them."""
    text = re.sub(r"\$\d+ = ", "", text)
    return [
        "\n".join(line for line in part.splitlines() if line.startswith("Sig") or " 0x" in line or "si_" in line)
        for part in re.findall(r"SigPnd:.*?_sifields.*?\n", text, re.DOTALL)
    ]


@pytest.mark.parametrize("thread", ["thread 1", "thread 2"])
def test_calls_are_made_and_everything_is_as_it_was(
    program: pathlib.Path, waiting: subprocess.Popen[str], thread: str
) -> None:
    source = f"source {program.parent / 'inject.py'}"
    output = gdb([thread, STATE, source, source, STATE, "detach"], "-p", str(waiting.pid))
    assert output.text.count("pid True True") == 2 and output.text.count("unmapped 0") == 2
    assert output.text.count(f"error: munmap in process {waiting.pid} failed: EINVAL") == 2
    assert output.text.count("function 709") == 2 and "copied 0 b'hello'" in output.text
    before, after = states(output.text)
    assert before == after and "SigBlk:\t0000000000000800" in before
    # An interrupted system call is made again, and the program's own signals come as ever.
    assert waiting.communicate("x", timeout=DEADLINE)[0] == "read 1 \nticks 102\n" and waiting.returncode == 0


def test_a_program_whose_gdb_is_killed_afterwards_runs_on(
    program: pathlib.Path, waiting: subprocess.Popen[str]
) -> None:
    lines = [
        f"source {ROOT / 'gdbinit.py'}",
        f"source {program.parent / 'inject.py'}",
        "python print('do' + 'ne', flush=True)",
    ]
    words = [word for line in lines for word in ("-ex", line)]
    killed = subprocess.Popen(
        ["gdb", "-nx", "-q", *words, "-p", str(waiting.pid)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert killed.stdout is not None and any("done" in line for line in killed.stdout)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert waiting.communicate("x", timeout=DEADLINE)[0] == "read 1 \nticks 102\n" and waiting.returncode == 0


def test_signals_of_the_program_come_through_later(program: pathlib.Path) -> None:
    lines = ["handle SIGALRM nostop noprint pass", "break setitimer", f"run < {program}", "finish",
             *[f"source {program.parent / 'inject.py'}"] * 5, "continue"]  # fmt: skip
    output = gdb(lines, str(program))
    assert output.text.count("function 709") == 5 and "ticks 102" in output.text and "exited normally" in output.text


def test_without_a_native_program_it_says_so(program: pathlib.Path) -> None:
    require("gdbserver")
    source = f"source {program.parent / 'inject.py'}"
    assert "no target: run a program" in gdb([source], str(program)).text
    output = gdb([f"target remote | gdbserver --once - {program}", source, "kill"], str(program))
    assert "this needs a native process" in output.text


def test_a_thread_that_enters_a_system_call_is_not_used(program: pathlib.Path) -> None:
    source = f"source {program.parent / 'inject.py'}"
    output = gdb(["catch syscall pause", f"run < {program}", source, "kill"], str(program))
    assert "function 709" in output.text  # by the other thread
