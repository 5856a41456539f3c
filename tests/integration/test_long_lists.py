"""A list of hundreds of thousands of lines in a terminal: Ctrl-C and the pager's `q` end it at once."""

from __future__ import annotations

import pathlib

import pytest
import support
from terminals import INTERRUPT, Terminal

SLOTS = 200_000
SOURCE = f"int pointed; int *table[{SLOTS}] = {{[0 ... {SLOTS - 1}] = &pointed}};"
PROMPT = "(gdb) "


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    support.require("gcc")
    directory = tmp_path_factory.mktemp("long")
    (directory / "table.c").write_text(SOURCE)
    output = directory / "libtable.so"
    support.run("gcc", "-shared", "-fPIC", "-o", str(output), str(directory / "table.c"))
    return output


def terminal(pagination: str) -> Terminal:
    settings = [f"set pagination {pagination}", "set height 24", "set width 200", "set style enabled off"]
    words = [word for line in ["source gdbinit.py", *settings] for word in ("-ex", line)]
    return Terminal(["gdb", "-nx", "-q", *words])


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_interrupt_ends_a_long_list_while_it_is_printed(form: str, library: pathlib.Path) -> None:
    with terminal("off") as gdb:
        gdb.wait_for(PROMPT)
        gdb.type(f"set kdbg format {form}\nkdbg got {library}\n".encode())
        gdb.wait_for("objfile")
        gdb.type(INTERRUPT)
        gdb.wait_for("Quit")
        gdb.type(b"echo al\\ive\\n\n")
        gdb.wait_for("alive")
    # All of it is 20 megabytes.
    assert len(gdb.output) < 4_000_000


@pytest.mark.parametrize("answer", [b"q\n", INTERRUPT], ids=["q", "interrupt"])
def test_the_pager_ends_it(answer: bytes, library: pathlib.Path) -> None:
    with terminal("on") as gdb:
        gdb.wait_for(PROMPT)
        gdb.type(f"kdbg got {library}\n".encode())
        gdb.wait_for("--Type <RET>")
        gdb.type(answer)
        gdb.wait_for("Quit")
        gdb.type(b"echo al\\ive\\n\n")
        gdb.wait_for("alive")
    assert len(gdb.output) < 20_000
