"""`kdbg overlap` on real programs: what is found, what is not, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import re
import signal
import subprocess
from typing import Any, Iterator, Sequence

import pytest
from support import DEADLINE, ROOT, GdbOutput, gdb, large_host, require, run, wait_until

SOURCE = ROOT / "tests" / "programs" / "overlap.c"
CALLS = 4 * 200 * 6
KINDS = {
    "lazy": ("-Wl,-z,lazy",),
    "now": ("-Wl,-z,now",),
    "no-plt": ("-fno-plt",),
    "no-pie": ("-no-pie",),
    "static": ("-static",),
    "static-pie": ("-static-pie",),
    "own": ("-DOWN",),
    "own-no-pie": ("-DOWN", "-no-pie"),
    "optimised": ("-O2", "-fno-plt"),
}


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build the program with some flags, once each."""
    require("gcc", "gdb")
    directory = tmp_path_factory.mktemp("overlap")

    @functools.lru_cache(maxsize=None)
    def made(*flags: str) -> pathlib.Path:
        program = directory / f"overlap{abs(hash(flags))}"
        run("gcc", "-g", "-O1", "-fno-builtin", *flags, str(SOURCE), "-o", str(program), "-pthread", "-ldl")
        return program

    return made


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(SOURCE.read_text().splitlines(), 1) if text in line)


def sum_of(program: pathlib.Path) -> str:
    return run(str(program))


MAPS = "python print(open(f'/proc/{gdb.selected_inferior().pid}/maps').read().replace('[', '(') + 'END')"


def mappings(output: GdbOutput) -> list[list[str]]:
    """The lists of mappings that a script printed, without what the heap does."""
    found = re.findall(r"^[0-9a-f]+-[0-9a-f]+ \S+ .*?(?=^END)", output.text, re.MULTILINE | re.DOTALL)
    return [[line for line in text.splitlines() if "(heap)" not in line] for text in found]


@pytest.mark.parametrize("kind", KINDS)
def test_overlaps_are_found_and_nothing_else(build: Any, kind: str) -> None:
    program = build(*KINDS[kind])
    output = gdb(["break main", "run", "kdbg overlap", "continue", "continue", "kdbg overlap report", "continue"],
                 str(program))  # fmt: skip
    hits = [item["data"]["hits"][0] for item in output.objects if "hits" in item["data"]]
    assert [(hit["distance"], hit["size"], hit["routine"]) for hit in hits] == [
        (31, 171, "memcpy"),
        (-31, 171, "memcpy"),
    ]
    assert all((hit["caller"], hit["line"]) == ("copy_items", line_of("// copy_items")) for hit in hits)
    assert hits[0]["backtrace"][:2] == ["#0 memcpy", f"#1 copy_items ({SOURCE}:{line_of('// copy_items')})"]
    assert hits[0]["backtrace"][2].startswith("#2 main ")
    report = output.data("overlap")
    assert (report["overlaps"], report["unlisted"], report["equal_addresses"]) == (4, 0, 4 * 200)
    assert CALLS * 0.99 <= report["calls"] - 4 <= CALLS + 20
    assert [(s["count"], s["kinds"], s["sizes"], s["distances"]) for s in report["sites"]] == [
        (4, 2, "171", "-31 to 31")
    ]
    assert sum_of(program) in output.text and "exited normally" in output.text


@pytest.mark.parametrize("kind", ["lazy", "own", "static"])
def test_the_stop_looks_like_a_breakpoint_at_the_routine(build: Any, kind: str) -> None:
    lines = [
        "break main",
        "run",
        "kdbg overlap",
        "continue",
        "bt",
        "print $rdx",
        "finish",
        "frame",
        "continue",
        "continue",
    ]
    output = gdb(lines, str(build(*KINDS[kind])))
    assert "$1 = 171" in output.text
    assert re.search(r"^#1 .* in copy_items ", output.text, re.MULTILINE)
    # Having finished the call, the thread stands in its caller, and the call was told once.
    assert re.search(r"^#0  (0x\w+ in )?copy_items ", output.text, re.MULTILINE)
    assert len([item for item in output.objects if "hits" in item["data"]]) == 2
    assert "exited normally" in output.text


@pytest.mark.parametrize("kind", ["lazy", "own"])
def test_a_call_that_is_stepped_through_counts_once(build: Any, kind: str) -> None:
    lines = ["break main", "run", "kdbg overlap", *["continue", "stepi", "stepi", "stepi"] * 2, "break printf"]
    output = gdb([*lines, "continue", "kdbg overlap report", "kdbg overlap --off"], str(build(*KINDS[kind])))
    report = output.data("overlap", -2)
    assert report["overlaps"] == 4 and [site["kinds"] for site in report["sites"]] == [2]
    assert output.data("overlap")["done"] == "took 1 probe out"


@pytest.mark.parametrize("leave", ["return", "jump reached", "kill"])
def test_a_call_that_is_not_made_after_all_is_forgotten(build: Any, leave: str) -> None:
    lines = ["break main", "run", "kdbg overlap", "break reached", "continue", leave, "stepi", "kdbg overlap --off"]
    output = gdb(lines, str(build("-DOWN")))
    gone = "took 1 probe out" in output.text
    assert gone or (leave == "kill" and "no target" in output.text), output.text


@pytest.mark.parametrize("kind", ["lazy", "static-pie", "own"])
def test_nothing_stays(build: Any, kind: str) -> None:
    program = build(*KINDS[kind])
    dump = "dump memory {} &memcpy (char *)&memcpy+64" if kind == "own" else "shell true {}"
    texts = [program.parent / f"{kind}-{name}" for name in ("before", "after")]
    output = gdb(
        ["break main", "run", MAPS, dump.format(texts[0]), "kdbg overlap", MAPS, "break copy_items if by == 31",
         "continue", "kdbg overlap --off", dump.format(texts[1]), MAPS, "kdbg got", "continue", "delete", "continue"],
        str(program),
    )  # fmt: skip
    before, between, after = mappings(output)
    libraries = [[line for line in part if "/" in line or "rwxp" in line or "r-xp" in line] for part in (before, after)]
    assert libraries[0] == libraries[1] and len(between) == len(before) + 2
    assert output.data("overlap")["done"] == "took 1 probe out" and not output.problems("overlap")
    assert kind != "own" or texts[0].read_bytes() == texts[1].read_bytes()
    assert "exited normally" in output.text and sum_of(program) in output.text


def test_counting_never_stops(build: Any) -> None:
    lines = ["break main", "run", "kdbg overlap --count", "break printf", "continue", "kdbg overlap report", "kdbg"]
    output = gdb([*lines, "info breakpoints"], str(build()))
    assert not any("hits" in item["data"] for item in output.objects)
    assert output.data("overlap")["overlaps"] == 4
    assert "Catchpoint" not in output.text and "catchpoint" not in output.text
    assert any("(count)" in line for line in output.data("status")["armed"])


def test_logging_goes_on_and_tells_each_kind_once(build: Any) -> None:
    output = gdb(["break main", "run", "kdbg overlap --log", "continue"], str(build()))
    hits = [item["data"]["hits"][0] for item in output.objects if "hits" in item["data"]]
    assert [hit["distance"] for hit in hits] == [31, -31] and "exited normally" in output.text


def test_the_ring_holds_the_overlapping_calls(build: Any) -> None:
    output = gdb(["break main", "run", "kdbg overlap --count", "break printf", "continue", "kdbg ring", "kdbg why"],
                 str(build()))  # fmt: skip
    ring = output.data("ring")
    assert [(record["size"], record["torn"]) for record in ring["records"]] == [(171, False)] * 4
    assert ring["total"] == 4 and ring["enabled"] is True and ring["records"][0]["caller"].startswith("copy_items")


class Attached:
    """The program, waiting for a line, with what it prints in the end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def maps(self) -> str:
        return pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()

    @property
    def tracer(self) -> str:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return re.findall(r"TracerPid:\s*(\d+)", status)[0]

    def gdb(self, *lines: str, **options: Any) -> GdbOutput:
        return gdb(lines, "-p", str(self.process.pid), **options)

    def finish(self) -> str:
        return self.process.communicate("go\n", timeout=DEADLINE)[0]


@contextlib.contextmanager
def waiting(program: pathlib.Path) -> Iterator[Attached]:
    process = subprocess.Popen([str(program), "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield Attached(process)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("leaving", [["detach"], [], ["quit"], ["kdbg overlap --off", "detach"]])
@pytest.mark.parametrize("kind", ["lazy", "own"])
def test_leaving_takes_the_probe_out(build: Any, kind: str, leaving: Sequence[str]) -> None:
    with waiting(build(*KINDS[kind])) as attached:
        before = attached.maps
        output = attached.gdb("kdbg overlap", *leaving)
        assert "patched the entry of 1 routine" in output.text or "redirected " in output.text
        assert attached.maps == before and attached.tracer == "0"
        assert attached.finish() == sum_of(build(*KINDS[kind]))


@pytest.mark.parametrize("kind", ["lazy", "own"])
def test_on_a_host_whose_registers_gdb_cannot_write(build: Any, kind: str, tmp_path: pathlib.Path) -> None:
    program, environment = build(*KINDS[kind]), large_host(tmp_path)
    with waiting(program) as attached:
        before = attached.maps
        lines = ["kdbg overlap", "kdbg overlap --off", "kdbg overlap", "detach"]
        output = attached.gdb(*lines, environment=environment)
        assert output.data("overlap", 1)["done"] == "took 1 probe out" and "kdbg: " not in output.text, output.text
        assert attached.maps == before
        assert attached.finish() == sum_of(program)
    with waiting(program) as attached:
        output = attached.gdb("print (int)abs(-3)", environment=environment)
        assert "Couldn't write extended state status" in output.text, "or this tests nothing"


def kill_while_armed(attached: Attached) -> None:
    """Let a GDB put a probe in, and kill it without mercy."""
    lines = [f"source {ROOT / 'gdbinit.py'}", "kdbg overlap", "python print('armed' + '!', flush=True)"]
    words = [word for line in lines for word in ("-ex", line)]
    killed = subprocess.Popen(
        ["gdb", "-nx", "-q", *words, "-p", str(attached.process.pid)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert killed.stdout is not None
    assert any("armed!" in line for line in killed.stdout)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    wait_until(lambda: attached.tracer == "0", "the program is still traced")


@pytest.mark.parametrize("kind", ["lazy", "own"])
def test_a_program_whose_gdb_was_killed_runs_on_with_the_probe_in_it(build: Any, kind: str) -> None:
    program = build(*KINDS[kind])
    with waiting(program) as attached:
        before = attached.maps
        kill_while_armed(attached)
        assert attached.maps != before
        assert attached.finish() == sum_of(program) and attached.process.returncode == 0


@pytest.mark.parametrize("kind", ["lazy", "own"])
def test_another_gdb_takes_out_what_is_left(build: Any, kind: str) -> None:
    program = build(*KINDS[kind])
    with waiting(program) as attached:
        before = attached.maps
        kill_while_armed(attached)
        output = attached.gdb("kdbg overlap", "kdbg overlap report", "kdbg overlap --off", "detach")
        assert "has an overlap probe already" in output.text and output.data("overlap", 0)["routines"] == "memcpy"
        assert output.data("overlap")["done"] == "took 1 probe out" and attached.maps == before
        assert attached.finish() == sum_of(program)


def test_a_library_that_is_loaded_later_is_caught_too(build: Any, tmp_path: pathlib.Path) -> None:
    source, library = tmp_path / "library.c", tmp_path / "library.so"
    source.write_text(
        "#include <string.h>\n"
        'void library_copy(char *area, int by, int size) { memcpy(area + by, area, size); __asm__ volatile(""); }\n'
    )
    run("gcc", "-g", "-O1", "-fno-builtin", "-shared", "-fPIC", str(source), "-o", str(library))
    program = build(f'-DLIBRARY="{library}"')
    output = gdb(["break main", "run", MAPS, "kdbg overlap", *["continue"] * 3, "kdbg overlap --off", MAPS, "continue"],
                 str(program))  # fmt: skip
    hits = [item["data"]["hits"][0] for item in output.objects if "hits" in item["data"]]
    assert [(hit["caller"], hit["distance"]) for hit in hits] == [
        ("library_copy", 7), ("copy_items", 31), ("copy_items", -31)]  # fmt: skip
    assert output.data("overlap")["done"] == "took 1 probe out" and "exited normally" in output.text


@pytest.mark.parametrize("kind", ["now", "static", "own"])
def test_every_call_can_be_judged_by_breakpoints(build: Any, kind: str) -> None:
    output = gdb(["break main", "run", "kdbg overlap --exact", "continue", "bt 2", "continue", "kdbg overlap report",
                  "kdbg overlap --off", "info breakpoints", "continue"], str(build(*KINDS[kind])))  # fmt: skip
    hits = [item["data"]["hits"][0] for item in output.objects if "hits" in item["data"]]
    assert [hit["distance"] for hit in hits] == [31, -31]
    assert hits[0]["backtrace"][1].startswith("#1 copy_items (")
    report = output.data("overlap", -2)
    assert (report["overlaps"], report["equal_addresses"]) == (4, 800) and report["sites"][0]["kinds"] == 2
    assert output.data("overlap")["done"] == "deleted the breakpoints" and "exited normally" in output.text


def test_over_gdbserver_only_breakpoints_are_offered(build: Any) -> None:
    require("gdbserver")
    program = build("-DOWN")
    output = gdb([f"target remote | gdbserver --once - {program}", "break main", "continue", "kdbg overlap",
                  "kdbg overlap --exact", "continue", "kill"], str(program))  # fmt: skip
    assert "a probe can only be put into a native process, and this is a gdbserver target" in output.text
    assert output.data("overlap")["hits"][0]["distance"] == 31


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no target"),
        (["starti", "kdbg overlap"], "is not filled yet"),
        (["break main", "run", "kdbg overlap nonsense"], "nonsense"),
        (["break main", "run", "kdbg overlap areas"], "is data, not a function"),
        (["break main", "run", "kdbg overlap --stop --log"], "exclude each other"),
        (["break main", "run", "kdbg overlap report"], "no overlap probe in the program"),
        (["break main", "run", "kdbg overlap --off memcpy"], "takes no routine"),
        (["break main", "run", "kdbg overlap report memcpy"], "report is of all routines"),
        (["break main", "run", "kdbg overlap memcpy strcpy"], "strcpy does not take destination, source and size"),
        (["break main", "run", "kdbg overlap 16"], "is in no loaded file"),
        (["break main", "run", "kdbg overlap", "kdbg overlap"], "are caught already"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(build: Any, lines: Sequence[str], words: str) -> None:
    program = build("-Wl,-z,now")
    output = gdb(
        [*lines[:-1], MAPS, *(lines[-1:] or ["kdbg overlap"]), MAPS, "kdbg", "delete", "continue"], str(program)
    )
    errors = [line for line in output.text.splitlines() if line.startswith("kdbg: ")]
    assert len(errors) == 1 and words in errors[0], output.text
    before_and_after = mappings(output)
    assert not lines or before_and_after[0] == before_and_after[1]
    assert not lines or sum_of(program) in output.text


def test_a_child_runs_with_the_probe_in_it(tmp_path: pathlib.Path) -> None:
    require("gcc")
    source, program = tmp_path / "fork.c", tmp_path / "fork"
    source.write_text(
        "#include <string.h>\n#include <stdio.h>\n#include <unistd.h>\n#include <sys/wait.h>\nchar area[100];\n"
        "int main(void) {\n  int status, child = fork();\n  memcpy(area + 3, area, 40);\n"
        "  if (!child) return 7;\n  waitpid(child, &status, 0);\n  printf(\"child %x\\n\", status); fflush(stdout);\n"
        "  execl(\"/bin/true\", \"true\", (char *)0);\n}\n"
    )  # fmt: skip
    run("gcc", "-g", "-fno-builtin", str(source), "-o", str(program))
    lines = ["break main", "run", "kdbg overlap", "catch exec", "continue", "continue", "kdbg", "continue"]
    output = gdb(lines, str(program))
    assert "child 700" in output.text and output.data("overlap")["hits"][0]["size"] == 40
    # Another program has nothing of it.
    assert "executing new program" in output.text and output.data("status")["armed"] == []
    assert "exited normally" in output.text and "Cannot insert" not in output.text


FORKS = """
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
char area[100];
int main(int count, char **words) {
  int status, child = FORK();
  if (!child) { memcpy(area + 3, area, 40); _exit(7); }
  waitpid(child, &status, 0);
  memcpy(area + 4, area, 50);
  printf("child %x\\n", status);
}
"""


@pytest.mark.parametrize("fork", ["fork", "vfork"])
def test_with_a_child_that_gdb_follows_its_overlaps_are_told(fork: str, tmp_path: pathlib.Path) -> None:
    require("gcc")
    source, program = tmp_path / "forks.c", tmp_path / "forks"
    source.write_text(FORKS)
    run("gcc", "-g", "-fno-builtin", "-w", f"-DFORK={fork}", str(source), "-o", str(program))
    lines = ["set follow-fork-mode child", "break main", "run", "kdbg overlap", "continue", "kdbg overlap report"]
    output = gdb([*lines, "kdbg overlap --off", "kdbg overlap report", "continue"], str(program))
    assert output.data("overlap", 1)["hits"][0]["size"] == 40
    assert output.data("overlap", -2)["sites"][0]["sizes"] == "40"
    assert output.data("overlap")["done"] == "took 1 probe out" and "there is no overlap probe" in output.text
    assert "exited with code 07" in output.text and "child 700" in output.text


def test_the_end_of_a_child_does_not_disarm_its_parent(tmp_path: pathlib.Path) -> None:
    require("gcc")
    source, program = tmp_path / "forks.c", tmp_path / "forks"
    source.write_text(FORKS)
    run("gcc", "-g", "-fno-builtin", "-DFORK=fork", str(source), "-o", str(program))
    waiting = FORKS.splitlines().index("  waitpid(child, &status, 0);") + 1
    lines = ["set detach-on-fork off", "break main", "run", "kdbg overlap", f"tbreak {waiting}", "continue"]
    # One after the other: of two processes that run GDB tells in any order.
    lines += ["inferior 2", "continue", "continue", "inferior 1", "kdbg", "continue", "kdbg overlap report"]
    output = gdb(lines, str(program))
    hits = [item["data"]["hits"][0]["size"] for item in output.objects if "hits" in item["data"]]
    assert hits == [40, 50] and "exited with code 07" in output.text, output.text
    assert len(output.data("status")["armed"]) == 1
    assert output.data("overlap")["sites"][0]["sizes"] == "50"


def test_a_handler_that_a_signal_called_is_told_in_the_backtrace(tmp_path: pathlib.Path) -> None:
    require("gcc")
    source, program = tmp_path / "handler.c", tmp_path / "handler"
    source.write_text(
        "#include <signal.h>\n#include <string.h>\nchar area[100];\n"
        "static void on(int number) { memcpy(area + 3, area, 40); }\n"
        "int main(void) { signal(SIGUSR1, on); raise(SIGUSR1); return 0; }\n"
    )
    run("gcc", "-g", "-fno-builtin", str(source), "-o", str(program))
    lines = ["handle SIGUSR1 nostop noprint pass", "break main", "run", "kdbg overlap", "continue"]
    (hit,) = gdb(lines, str(program)).data("overlap")["hits"]
    assert hit["backtrace"][1] == f"#1 on ({source}:4)" and hit["backtrace"][2] == "#2 <signal handler called>"
    assert hit["backtrace"][-1] == f"#{len(hit['backtrace']) - 1} main ({source}:5)"


def test_why_tells_the_overlap(build: Any) -> None:
    output = gdb(
        ["break main", "run", "kdbg why", "kdbg overlap", "continue", "kdbg why", "up", "finish"], str(build())
    )
    assert output.data("why", 0)["findings"] == []
    finding = output.data("why")["findings"][0]
    assert (finding["rule"], finding["confidence"]) == ("overlap", "certain")
    assert (finding["facts"]["asked"], finding["facts"]["line"]) == (171, line_of("// copy_items"))
