"""A process that shares the program's memory, and runs the code that is patched, without being a thread of it."""

from __future__ import annotations

import pathlib
import re
import subprocess

from support import DEADLINE, gdb, require, run

ROUNDS = 20
SOURCE = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
char area[256], stack[1 << 16];
volatile int stop;
/* Most of its time is spent in what is to be patched. */
__asm__(".globl copy; .type copy, @function; copy: pause; pause; mov %rdi, %rax; 1: test %rdx, %rdx; je 2f; dec %rdx;"
        "mov (%rsi,%rdx), %cl; mov %cl, (%rdi,%rdx); jmp 1b; 2: ret; .size copy, . - copy");
void *copy(char *to, const char *from, unsigned long size);
static int help(void *is_traced) {
  if (is_traced) ptrace(PTRACE_TRACEME, 0, 0, 0);
  while (!stop) copy(area + 128, area, 3);
  return 5;
}
int main(int count, char **words) {
  int status, helper = clone(help, stack + sizeof stack, CLONE_VM | SIGCHLD, count > 1 ? words : 0);
  char letter;
  printf("%d\\n", helper); fflush(stdout);
  read(0, &letter, 1);
  stop = 1;
  waitpid(helper, &status, 0);
  printf("helper %x\\n", status);
}
"""


def test_probes_come_and_go_while_it_runs(tmp_path: pathlib.Path) -> None:
    require("gcc", "gdb")
    (tmp_path / "shares.c").write_text(SOURCE)
    run("gcc", "-g", "-O1", str(tmp_path / "shares.c"), "-o", str(tmp_path / "shares"))
    words = [str(tmp_path / "shares")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        root = pathlib.Path(f"/proc/{int(process.stdout.readline())}")
        before = (root / "maps").read_text()
        one = ["kdbg overlap copy --count", "kdbg overlap report", "kdbg overlap --off"]
        output = gdb([*one * ROUNDS, "detach"], "-p", str(process.pid))
        done = [item["data"]["done"] for item in output.objects if "done" in item["data"]]
        assert done == ["patched the entry of 1 routine", "took 1 probe out"] * ROUNDS, output.text
        assert not output.problems("overlap") and (root / "maps").read_text() == before
        assert re.findall(r"^(?:State:\s+R|TracerPid:\s+0)\b", (root / "status").read_text(), re.MULTILINE)[1:]
        # It ends by its own word only.
        assert process.communicate("x", timeout=DEADLINE)[0] == "helper 500\n"


def test_one_that_cannot_be_stopped_is_named(tmp_path: pathlib.Path) -> None:
    require("gcc", "gdb")
    (tmp_path / "shares.c").write_text(SOURCE)
    run("gcc", "-g", "-O1", str(tmp_path / "shares.c"), "-o", str(tmp_path / "shares"))
    words = [str(tmp_path / "shares"), "traced by the program"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        helper = int(process.stdout.readline())
        before = pathlib.Path(f"/proc/{helper}/maps").read_text()
        output = gdb(["kdbg overlap copy --count", "detach"], "-p", str(process.pid))
        (error,) = [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
        assert f"process {helper} shares the program's memory" in error and "EPERM" in error
        assert pathlib.Path(f"/proc/{helper}/maps").read_text() == before
        assert process.communicate("x", timeout=DEADLINE)[0] == "helper 500\n"
