"""Programs in a sandbox: nothing is put into one that would end for it."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from support import DEADLINE, GdbOutput, gdb, require, run, wait_until

SOURCE = """
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
char area[100];
__attribute__((noipa)) void *copy(char *to, const char *from, unsigned long size) {
  while (size--) to[size] = from[size];
  return to;
}
#define ASK(number, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, skip, 0)
static void enter(const char *how) {
  struct sock_filter few[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ASK(SYS_read, 5), ASK(SYS_write, 4), ASK(SYS_exit_group, 3), ASK(SYS_pause, 2), ASK(SYS_exit, 1),
    BPF_STMT(BPF_RET | BPF_K, *how == 'k' ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_filter most[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ASK(SYS_ptrace, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
  };
  struct sock_fprog filter = {sizeof few / sizeof *few, few};
  if (*how == 'm') filter = (struct sock_fprog){sizeof most / sizeof *most, most};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (*how == 's') prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  else if (*how != 'n') prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}
int main(int count, char **words) {
  char letter;
  enter(words[1]);
  write(1, "ready\\n", 6);
  read(0, &letter, 1);
  copy(area + 3, area, 40);
  write(1, "survived\\n", 9);
  syscall(SYS_exit, 0);
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    require("gcc", "gdb")
    directory = tmp_path_factory.mktemp("sandboxes")
    (directory / "boxed.c").write_text(SOURCE)
    run("gcc", "-g", "-O1", str(directory / "boxed.c"), "-o", str(directory / "boxed"))
    return directory / "boxed"


def visited(program: pathlib.Path, how: str, *lines: str) -> GdbOutput:
    """What GDB does to the program in its sandbox; it must come to its end afterwards."""
    words = [str(program), how]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        maps = pathlib.Path(f"/proc/{process.pid}/maps")
        before = maps.read_text()
        output = gdb(lines, "-p", str(process.pid))
        wait_until(lambda: "TracerPid:\t0" in maps.with_name("status").read_text(), "it is still traced")
        assert maps.read_text() == before
        assert process.communicate("x", timeout=DEADLINE)[0] == "survived\n", output.text
    return output


@pytest.mark.parametrize(
    ("how", "why"),
    [("strict", "that ends it at any other system call"), ("kill", "that does not allow mmap"),
     ("errno", "that does not allow mmap")],
)  # fmt: skip
def test_a_program_that_would_end_or_be_disturbed_is_left_alone(program: pathlib.Path, how: str, why: str) -> None:
    output = visited(program, how, "kdbg overlap copy", "kdbg overlap copy --exact", "kdbg overlap --off", "detach")
    (error,) = [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
    assert "is in a sandbox (seccomp) " + why in error and "--exact" in error
    assert output.data("overlap", 0)["done"] == "armed breakpoints that stop at every call"


@pytest.mark.parametrize("how", ["most", "none"])
def test_a_sandbox_that_allows_it_is_no_obstacle(program: pathlib.Path, how: str) -> None:
    output = visited(program, how, "kdbg overlap copy", "kdbg overlap --off", "detach")
    assert output.data("overlap")["done"] == "took 1 probe out", output.text
