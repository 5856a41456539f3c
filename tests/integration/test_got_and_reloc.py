"""`kdbg got` and `kdbg reloc` as a user types them: on bare files, in GDB with and without a program, and outside."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import support

SOURCE = r"""
#include <stdio.h>
#include <string.h>
static int inner(void) { return 7; }
int (*const table[])(void) = {inner, inner};
const char *changed = "as linked";
int main(int argc, char **argv) {
    changed = argv[0];
    printf("%s %d\n", changed, table[argc & 1]());
    return (int) strlen(argv[0]) - (int) strlen(argv[0]);
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    support.require("gcc", "gdb")
    directory = tmp_path_factory.mktemp("got")
    (directory / "program.c").write_text(SOURCE)
    words = ["gcc", "-g", "-O0", "-fno-builtin", "-fPIE", "-pie", "-Wl,-z,lazy", "-o", "program", "program.c"]
    support.run(*words, cwd=directory)
    return directory / "program"


def slots(output: support.GdbOutput, index: int = -1) -> list[dict[str, Any]]:
    return [slot for objfile in output.data("got", index)["objfiles"] for slot in objfile["slots"]]


def slot_of(output: support.GdbOutput, symbol: str, index: int = -1) -> dict[str, Any]:
    (found,) = [slot for slot in slots(output, index) if slot["symbol"] == symbol]
    return found


def test_a_bare_file_has_slots_and_no_statuses(program: pathlib.Path) -> None:
    for output in (support.kdbg("got", str(program)), support.gdb(["kdbg got"], str(program))):
        found = slot_of(output, "printf")
        assert (found["relocation"], found["status"], found["value"]) == ("JUMP_SLOT", None, None)
        assert {"RELATIVE", "GLOB_DAT", "JUMP_SLOT"} <= {slot["relocation"] for slot in slots(output)}
        assert found["slot_address"] == found["link_address"]


def test_a_bias_moves_a_bare_file(program: pathlib.Path) -> None:
    output = support.kdbg("got", "--bias", "0x7f0000000000", str(program))
    found = slot_of(output, "printf")
    assert int(found["slot_address"], 0) - int(found["link_address"], 0) == 0x7F0000000000


def test_statuses_of_a_running_program(program: pathlib.Path) -> None:
    # By its line: a breakpoint at strlen, which has a resolver in the C library and a namesake in the loader, is not
    # one at what the program calls in every GDB.
    after = 1 + next(number for number, line in enumerate(SOURCE.splitlines(), 1) if "printf(" in line)
    lines = ["break main", "run", "kdbg got program", f"break program.c:{after}", "continue", "kdbg got program"]
    output = support.gdb(lines, str(program))
    assert [slot_of(output, "printf", index)["status"] for index in (0, 1)] == ["lazy", "resolved"]
    assert slot_of(output, "printf")["points_to"] == "printf (libc.so.6)"
    table = [slot for slot in slots(output) if slot["symbol"] == "inner"]
    assert [slot["status"] for slot in table] == ["resolved", "resolved"]


def test_what_a_program_wrote_over_a_relocated_word_is_not_held_against_it(program: pathlib.Path) -> None:
    lines = ["break main", "run", "break printf", "continue", "kdbg got program --section .data*"]
    output = support.gdb(lines, str(program))
    (found,) = [slot for slot in slots(output) if slot["slot_address"] == hex(address_of(output, program, "changed"))]
    assert found["status"] == "undecidable" and "program may have changed it" in found["note"]


def address_of(output: support.GdbOutput, program: pathlib.Path, name: str) -> int:
    return int(output.data("got")["objfiles"][0]["load_bias"], 0) + link_of(program, name)


def test_a_slot_in_writable_data_that_nobody_changed_is_resolved(program: pathlib.Path) -> None:
    output = support.gdb(["break main", "run", "kdbg got program --section .data*"], str(program))
    assert {slot["status"] for slot in slots(output)} == {"resolved"}


def test_filters(program: pathlib.Path) -> None:
    lines = ["break main", "run", "kdbg got --symbol str*", "kdbg got --status lazy", "kdbg got program --section .got"]
    output = support.gdb(lines, str(program))
    assert {slot["symbol"] for slot in slots(output, 0)} >= {"strlen"}
    assert all("str" in slot["symbol"] + slot["points_to"] for slot in slots(output, 0))
    assert {slot["status"] for slot in slots(output, 1)} == {"lazy"}
    assert {slot["section"] for slot in slots(output, 2)} == {".got"}


def test_an_overwritten_slot_is_named_by_what_it_points_to(program: pathlib.Path) -> None:
    address = slot_of(support.kdbg("got", str(program)), "printf")["link_address"]
    lines = ["break main", "run", "kdbg got program --symbol printf",
             f"set {{long}}((long)&main - (long){hex(link_of(program, 'main'))} + {address}) = (long)&system",
             "kdbg got --status elsewhere"]  # fmt: skip
    output = support.gdb(lines, str(program))
    (found,) = slots(output)
    assert found["symbol"] == "printf" and found["points_to"].startswith("system ")


def link_of(program: pathlib.Path, name: str) -> int:
    data = support.run("nm", str(program))
    (line,) = [line for line in data.splitlines() if line.endswith(f" {name}")]
    return int(line.split()[0], 16)


def test_a_core_dump_has_the_same_slots(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    core = tmp_path / "core"
    live = support.gdb(["break main", "run", f"generate-core-file {core}", "kdbg got program"], str(program))
    dead = support.gdb(["kdbg got program"], str(program), str(core))
    outside = support.kdbg("got", "--core", str(core), "--objfile", "program")
    assert live.data("got") == dead.data("got") == outside.data("got")


def test_reloc_finds_a_slot_in_both_directions(program: pathlib.Path) -> None:
    lines = ["break main", "run", "kdbg got program --symbol inner", "kdbg reloc inner", "kdbg reloc printf"]
    output = support.gdb(lines, str(program))
    slot, target = slots(output)[0]["slot_address"], output.data("reloc", 0)
    assert [match["matches"] for match in target["slots"]] == ["to point here"] * 2
    assert slot in [match["slot_address"] for match in target["slots"]]
    assert [m["symbol"] for m in output.data("reloc")["slots"] if m["objfile"] == "program"] == ["printf"]
    again = support.gdb(["break main", "run", f"kdbg reloc {slot}"], str(program)).data("reloc")
    assert [match["matches"] for match in again["slots"]][0] == "the slot at this address"


def test_reloc_knows_link_time_addresses(program: pathlib.Path) -> None:
    inner = link_of(program, "inner")
    output = support.gdb(["break main", "run", f"kdbg reloc {inner:#x}"], str(program))
    assert {match["matches"] for match in output.data("reloc")["slots"]} == {"to point to this link-time address"}
    bare = support.kdbg("reloc", f"{inner:#x}", str(program)).data("reloc")
    assert len(bare["slots"]) == 2 and bare["place"] == "inner (program)"


def test_reloc_says_what_it_looked_at_when_there_is_nothing(program: pathlib.Path) -> None:
    output = support.gdb(["break main", "run", "kdbg reloc 0x1234567"], str(program), json_format=False)
    assert "kdbg: no slot at 0x1234567, and none that points there, in 3 files with relocations" in output.text


def test_text_is_a_table_that_greps(program: pathlib.Path) -> None:
    lines = ["break main", "run", "pipe kdbg got program | grep 'JUMP_SLOT.* printf .* lazy' | wc -l"]
    output = support.gdb(lines, str(program), json_format=False)
    assert output.text.splitlines()[-1].strip() == "1"


def test_completion_offers_objfiles_statuses_and_options(program: pathlib.Path) -> None:
    lines = ["complete kdbg got prog", "complete kdbg got --status el", "complete kdbg got --sy"]
    text = support.gdb(lines, str(program)).text
    assert "kdbg got program" in text and "kdbg got --status elsewhere" in text and "kdbg got --symbol" in text


def test_one_line_for_each_mistake(program: pathlib.Path) -> None:
    lines = ["kdbg got nosuch", "kdbg got --status fine", "kdbg got --bias here", "kdbg got --status lazy"]
    text = support.gdb(lines, str(program), json_format=False).text
    assert "kdbg: no objfile matches 'nosuch'; loaded are program" in text
    assert "invalid choice: 'fine'" in text
    assert "kdbg: no load bias: 'here'" in text
    assert "kdbg: --status needs a program" in text
    assert "Traceback" not in text


def test_a_file_given_by_its_path_need_not_be_loaded(program: pathlib.Path) -> None:
    output = support.gdb([f"kdbg got {program}"])
    assert slot_of(output, "printf")["status"] is None
    assert json.dumps(output.data("got")).count("slot_address") > 5
