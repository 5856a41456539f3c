"""kdbg in GDB as a user meets it: loading, help, completion, forms of output, watching ranges."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest
import support
from support import KernelBuilder


def copy_of_kdbg(directory: pathlib.Path) -> pathlib.Path:
    """A checkout without its private environment."""
    shutil.copytree(support.ROOT / "gdb_kdbg", directory / "gdb_kdbg")
    shutil.copy(support.ROOT / "gdbinit.py", directory)
    return directory / "gdbinit.py"


def plain_gdb(*words: str, directory: pathlib.Path) -> str:
    done = subprocess.run(
        ["gdb", "-nx", "-batch", *words], capture_output=True, text=True, cwd=directory, timeout=support.DEADLINE
    )
    return done.stdout + done.stderr


def test_missing_packages_are_named_in_one_line(tmp_path: pathlib.Path) -> None:
    script = copy_of_kdbg(tmp_path)
    # An isolated Python: without the packages a distribution may have installed.
    hidden = "python import sys; sys.path = [p for p in sys.path if 'dist-packages' not in p]"
    text = plain_gdb("-ex", hidden, "-ex", f"source {script}", "-ex", "kdbg", "-ex", "print 6*7", directory=tmp_path)
    lines = text.splitlines()
    assert lines[0] == "kdbg: missing for GDB's Python: pyelftools, capstone (scripts/setup installs them)"
    assert "$1 = 42" in lines and "Traceback" not in text


def test_package_that_is_not_there(tmp_path: pathlib.Path) -> None:
    shutil.copy(support.ROOT / "gdbinit.py", tmp_path)
    text = plain_gdb("-ex", "source gdbinit.py", "-ex", "print 6*7", directory=tmp_path)
    assert text.startswith("kdbg: not loaded: No module named 'gdb_kdbg'") and "$1 = 42" in text


def test_sourced_from_another_script(tmp_path: pathlib.Path) -> None:
    (tmp_path / "outer.py").write_text(f"import gdb\ngdb.execute('source {support.ROOT / 'gdbinit.py'}')\n")
    text = plain_gdb("-ex", "source outer.py", "-ex", "help kdbg ring", directory=tmp_path)
    assert "kdbg ring --last 4" in text and "not loaded" not in text


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_letters_beyond_ascii_in_any_locale(locale: str, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "prüfung.c"
    source.write_text("int größe(void) { return 1; }\nint main(void) { return größe(); }\n", encoding="utf-8")
    program = tmp_path / "prüfung"
    support.require("gcc")
    support.run("gcc", "-g", "-o", str(program), str(source))
    lines = ["starti", "kdbg", "kdbg symbol größe", "show host-charset"]
    output = support.gdb(lines, str(program), environment={"LC_ALL": locale})
    assert [item["objfile"] for item in output.data("status")["objfiles"]][:1] == [str(program)]
    assert output.data("symbol")["symbols"][0]["name"] == "größe"
    assert ('is "UTF-8"' in output.text) == (locale != "C.UTF-8"), output.text


def test_a_charset_of_the_users_own_stays() -> None:
    before = ["-nx", "-batch", "-iex", "set host-charset ISO-8859-1"]
    words = [*before, "-ex", f"source {support.ROOT / 'gdbinit.py'}", "-ex", "show host-charset"]
    done = subprocess.run(
        ["gdb", *words], capture_output=True, text=True, timeout=support.DEADLINE, env={**os.environ, "LC_ALL": "C"}
    )
    assert 'is "ISO-8859-1"' in done.stdout


@pytest.mark.parametrize("name", ["status", "ring", "canary", "watch", "why"])
def test_help(name: str) -> None:
    text = support.gdb([f"help kdbg {name}"], json_format=False).text
    assert "Usage: kdbg" in text and (name == "status" or "(gdb) kdbg" in text or "with kdbg" in text)


def test_completion() -> None:
    output = support.gdb(
        ["complete kdbg ", "complete kdbg ring --l", "complete kdbg canary -", "complete set kdbg f"], json_format=False
    )
    lines = output.text.split("\n")
    assert {f"kdbg {name}" for name in ("ring", "canary", "watch", "why", "status")} <= set(lines)
    assert "kdbg ring --last" in lines and "kdbg canary --syscalls" in lines and "set kdbg format" in lines


def test_completion_of_an_option_s_value_offers_what_it_takes() -> None:
    lines = [f"complete kdbg check-copy {words}" for words in ("any --contract mem", "any --args d", "any --q")]
    output = support.gdb(lines, json_format=False).text.split("\n")
    found = [line.rsplit(" ", 1)[1] for line in output if line.startswith("kdbg check-copy any --")]
    assert found == ["memcpy", "memmove", "mempcpy", "memset", "--quick"]


def test_completion_of_the_types_of_events_goes_on_behind_a_comma() -> None:
    lines = ["complete kdbg events any --type s", "complete kdbg events any --type signal,pro"]
    output = support.gdb(lines, json_format=False).text.split("\n")
    found = [line.rsplit(" ", 1)[1] for line in output if line.startswith("kdbg events any --type ")]
    assert found == ["signal", "syscall", "signal,process", "signal,profile"]


def test_forms_of_output(runtime: KernelBuilder) -> None:
    output = support.gdb(
        ["break finished", "run none", "with kdbg format json -- kdbg canary", "kdbg canary",
         "pipe kdbg ring | grep -c ioctl",
         "set kdbg format yaml", "show kdbg format"],
        str(runtime()), json_format=False,
    )  # fmt: skip
    json_line = next(line for line in output.text.splitlines() if line.startswith("{"))
    assert json.loads(json_line)["data"]["verdict"] == "intact"
    assert "verdict:       intact" in output.text and "\n2\n" in output.text
    assert 'Undefined item: "yaml".' in output.text and "table" in output.text.splitlines()[-1]


def test_colours_only_where_wanted(runtime: KernelBuilder) -> None:
    script = ["set style enabled on", "break finished", "run none", "kdbg canary"]
    terminal = {"TERM": "xterm-256color"}
    coloured = support.gdb(script, str(runtime()), json_format=False, environment=terminal).text
    assert "\x1b[32mintact\x1b[0m" in coloured
    for environment in ({**terminal, "NO_COLOR": "1"}, {"TERM": "dumb"}):
        text = support.gdb(script, str(runtime()), json_format=False, environment=environment).text
        assert "verdict:       intact" in text


def test_watching_a_range_tells_of_every_write(runtime: KernelBuilder) -> None:
    output = support.gdb(
        ["break run", "run none", "kdbg watch &tty.group,4", "kdbg watch &'get_window_size'::place,8",
         "info watchpoints", "delete 1", "continue", "kdbg why"],
        str(runtime()),
    )  # fmt: skip
    finding = output.data("why", 0)["findings"][0]
    assert finding["rule"] == "watched-write" and "verdict" not in finding["facts"]
    assert "as asked: 8 bytes, by get_window_size+" in finding["summary"] and "ioctl:TIOCGWINSZ" in finding["summary"]
    assert "is 19 00 50 00 00 05 20 03" in finding["evidence"][0]
    assert output.data("why", 0) == output.data("why", 1)


def test_what_needs_a_live_target_says_so_on_a_core(runtime: KernelBuilder, tmp_path: pathlib.Path) -> None:
    core = tmp_path / "core"
    commands = ["kdbg ring --off", "kdbg ring --clear", "kdbg watch guard", "kdbg canary --syscalls"]
    support.gdb(["break finished", "run none", f"generate-core-file {core}"], str(runtime()))
    output = support.gdb([*commands, "kdbg canary"], str(runtime()), str(core), json_format=False)
    assert output.text.count("kdbg: a core dump cannot be changed or run: this needs a live target") == len(commands)
    assert "verdict:       intact" in output.text
    outside = support.kdbg("ring", "--off", "--core", str(core), str(runtime()))
    assert outside.status == 1 and "a core dump cannot be changed" in outside.problems("ring")[0]


def test_outside_program_names_mistakes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text").write_text("no ELF file")
    for words, expected in [
        (["ring"], "no target: name a core dump with --core FILE"),
        (["ring", "--core", str(tmp_path / "nothing")], "no such file"),
        (["ring", "--core", str(tmp_path / "text")], "text"),
        (["ring", "--core", "/bin/ls"], "not a core dump"),
        (["ring", "--set", "colour=red"], "no setting 'colour=red'"),
    ]:
        output = support.kdbg(*words)
        assert output.status == 1 and expected in output.problems("ring")[0], output.text


def test_reference_page_is_up_to_date() -> None:
    made = support.run(str(support.ROOT / ".venv" / "bin" / "python"), "-m", "gdb_kdbg.docs", cwd=support.ROOT)
    assert (support.ROOT / "docs" / "commands.md").read_text() == made, "run `make docs`"
