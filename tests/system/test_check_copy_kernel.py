"""Copy routines of a real kernel in the emulator, their code taken over the stub, and what `kdbg why` makes of it."""

from __future__ import annotations

import pathlib
from typing import Any, Optional

import pytest
import support
from support import KernelBuilder

AT_IOCTL = ["tbreak tty_ioctl", "continue"]
# All that an emulation of the copy routines might touch by mistake: code, tables, variables, the ring, user memory.
SUMS = """
import gdb, hashlib
from gdb_kdbg.elf import open_elf
def ranges():
    for section in open_elf(gdb.objfiles()[0].filename).sections:
        if section.flags & 2 and section.size:
            yield section.address, min(section.size, 0x10000)
    yield int(gdb.parse_and_eval("$rsp")) & -4096, 4096
    yield 0x410000, 4096
memory = gdb.selected_inferior().read_memory
digest = hashlib.sha256()
for start, size in ranges():
    digest.update(bytes(memory(start, size)))
print("SUM", digest.hexdigest())
"""
SUM = f"python exec({SUMS!r})"
VERDICTS: dict[str, tuple[str, Optional[str], str]] = {
    "double_copy": ("routine at fault", "breaks", "ucopy_double with 4 bytes at this alignment writes 8 (asked 4)"),
    "wrong_size": ("caller at fault", "conforms", "ucopy with 8 bytes at this alignment writes 8, as asked"),
    "wild_copy": ("caller at fault", "conforms", "ucopy with 8 bytes at this alignment writes 8, as asked"),
    "user_overflow": ("program at fault", "conforms", "ucopy with 4 bytes at this alignment writes 4, as asked"),
}
BUILDS = ({}, {"DEBUG": 0, "SIZES": 0})
BUILD_NAMES = ("dwarf", "g0-no-sizes")


def breach_of(data: Any, kind: str) -> Any:
    """The only breach of a kind."""
    (found,) = [breach for breach in data["breaches"] if breach["kind"] == kind]
    return found


def assert_doubled(data: Any) -> None:
    assert data["verdict"] == "breaks"
    breach = breach_of(data, "writes past the end")
    assert breach["summary"] == "sizes 1-7, any alignment: wrote 2 x size"
    assert breach["smallest"] == 1 and "ucopy_double" in breach["by"] and "rep movsb" in breach["by"]


@pytest.mark.parametrize("build", BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize("probe", ["--on", "--off"])
def test_the_wrong_routine_breaks_and_the_right_one_conforms_over_the_stub(
    probe: str, build: dict[str, int], kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    checks = ["kdbg check-copy ucopy_double --quick", "kdbg check-copy ucopy --quick"]
    with support.boot(kernels(**build), "fault=double_copy", tmp_path) as guest:
        output = guest.gdb([*AT_IOCTL, f"kdbg ring {probe}", SUM, *checks, SUM, "kdbg ring", "continue"])
        assert "kernel: all processes finished" in guest.serial
    assert_doubled(output.data("check-copy", 0))
    right = output.data("check-copy", 1)
    assert (right["verdict"], right["breaches"]) == ("conforms", []), output.text
    sums = [line for line in output.text.splitlines() if line.startswith("SUM ")]
    assert len(sums) == 2 and sums[0] == sums[1], output.text
    assert output.data("ring", 1)["total"] == output.data("ring", 0)["total"]


def test_the_same_is_found_in_the_file_and_in_its_object(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    kernel = kernels()
    for file in (kernel, kernel.parent / "probe" / "ucopy_double.S.o"):
        assert_doubled(support.kdbg("check-copy", str(file), "ucopy_double", "--quick").data("check-copy"))
    right = support.kdbg("check-copy", str(kernel.parent / "probe" / "ucopy.S.o"), "ucopy", "--quick")
    assert right.data("check-copy")["verdict"] == "conforms"


@pytest.mark.parametrize("routine", ["ucopy_double", "ucopy"])
def test_all_cases_of_a_routine_over_the_stub(routine: str, kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        data = guest.gdb([*AT_IOCTL, f"kdbg check-copy {routine}"]).data("check-copy")
    assert data["cases"] > 50_000
    if routine == "ucopy_double":
        assert_doubled(data)
    else:
        assert (data["verdict"], data["breaches"]) == ("conforms", [])


def exercised_line(finding: Any) -> str:
    return "\n".join(line for line in finding["evidence"] if line.startswith("exercised in the emulator"))


@pytest.mark.parametrize("build", BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize("fault", VERDICTS)
def test_why_exercises_the_routine_afterwards_and_on_the_dump(
    fault: str, build: dict[str, int], kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    verdict, exercised, text = VERDICTS[fault]
    dump = tmp_path / "guest.dump"
    with support.boot(kernels(**build), f"fault={fault}", tmp_path) as guest:
        editor = guest.programs / "editor"
        lines = [f"add-symbol-file {editor}", "break __stack_chk_fail if $fs_base != 0", "continue", SUM, "kdbg why"]
        live = guest.gdb([*lines, SUM, f"monitor dump-guest-memory -p {dump}"])
        dead = support.gdb([f"add-symbol-file {editor}", "kdbg why"], str(guest.kernel), str(dump))
    outside = support.kdbg("why", "--core", str(dump), str(guest.kernel), str(editor))
    for output in (live, dead, outside):
        (finding,) = output.data("why")["findings"]
        assert (finding["facts"]["verdict"], finding["facts"].get("exercised")) == (verdict, exercised), output.text
        assert text in exercised_line(finding) and bool(text) is bool(exercised_line(finding))
        assert ("kdbg check-copy ucopy_double" in finding["next"]) is (fault == "double_copy")
    sums = [line for line in live.text.splitlines() if line.startswith("SUM ")]
    assert len(sums) == 2 and sums[0] == sums[1], live.text


@pytest.mark.parametrize("fault", VERDICTS)
def test_why_exercises_the_routine_in_the_act(fault: str, kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    verdict, exercised, text = VERDICTS[fault]
    with support.boot(kernels(), f"fault={fault}", tmp_path) as guest:
        output = guest.gdb([*AT_IOCTL, "kdbg watch guard", "continue", "kdbg why"])
    (finding,) = output.data("why")["findings"]
    # Where no copy was under way there is none to exercise.
    is_copy = fault != "user_overflow"
    found = finding["facts"]["verdict"], finding["facts"].get("exercised")
    assert found == (verdict, exercised if is_copy else None), output.text
    assert finding["confidence"] == "certain" and (text if is_copy else "") in exercised_line(finding)


# The newest record's source is overwritten, so that memory cannot tell any more what was copied.
FORGET = [
    "set $newest = (*(unsigned long *) &ucopy_trace_idx - 1) & 31",
    "set $source = ((unsigned long *) &ucopy_trace_buf)[4 * $newest + 1]",
    "set {unsigned long} $source = 0xeeeeeeeeeeeeeeee",
]


@pytest.mark.parametrize(
    ("words", "verdict", "confidence", "exercised"),
    [
        # The kernel's own check tells that the guard was intact before the copy; without it it may have been older.
        ("fault=double_copy debug=canary", "routine at fault", "likely", "breaks"),
        ("fault=double_copy", "undecidable", "possible", "breaks"),
        ("fault=wrong_size", "caller at fault", "likely", "conforms"),
        ("fault=user_overflow", "program at fault", "likely", "conforms"),
    ],
)
def test_the_emulator_decides_where_the_source_has_changed(
    words: str, verdict: str, confidence: str, exercised: str, kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    with support.boot(kernels(), words, tmp_path) as guest:
        editor = guest.programs / "editor"
        lines = [f"add-symbol-file {editor}", "break __stack_chk_fail if $fs_base != 0", "continue", *FORGET]
        output = guest.gdb([*lines, "kdbg why"])
    (finding,) = output.data("why")["findings"]
    assert (finding["facts"]["verdict"], finding["facts"].get("exercised")) == (verdict, exercised), output.text
    assert finding["confidence"] == confidence


def test_without_unicorn_the_story_is_the_same(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=double_copy", tmp_path) as guest:
        output = guest.gdb([
            "python import sys; sys.modules['unicorn'] = None", *AT_IOCTL, "kdbg watch guard", "continue", "kdbg why",
            "kdbg check-copy ucopy_double",
        ])  # fmt: skip
    (finding,) = output.data("why")["findings"]
    assert finding["facts"]["verdict"] == "routine at fault" and "exercised" not in finding["facts"]
    assert [problem for problem in output.problems("why") if "unicorn" in problem] == output.problems("why")
    assert len(output.problems("why")) == 1 and "unicorn is missing" in output.text
