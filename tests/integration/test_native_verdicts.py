"""Who is at fault, on a native program that copies with the probe kit's routines: live, through gdbserver, on cores."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import support
from support import KernelBuilder

GUARD = {"victim": "guard", "process": "runtime", "pid": 4242}
EXPECTED: dict[str, dict[str, Any]] = {
    "double_copy": {**GUARD, "verdict": "routine at fault", "asked": 4, "wrote": 8, "routine": "ucopy_double",
                    "exercised": "breaks"},
    "wrong_size": {**GUARD, "verdict": "caller at fault", "asked": 8, "wrote": 8, "tag": "ioctl:TIOCGPGRP",
                   "exercised": "conforms"},
    "wild_copy": {**GUARD, "verdict": "caller at fault", "asked": 8, "tag": "ioctl:TIOCGWINSZ",
                  "exercised": "conforms"},
    "user_overflow": {**GUARD, "verdict": "program at fault"},
    "stack_overflow": {"verdict": "program at fault", "victim": "canary of overrun"},
    "long_copy": {"verdict": "caller at fault", "victim": "canary of fill", "asked": 32, "tag": "read:buffer",
                  "exercised": "conforms"},
}  # fmt: skip
ON_GUARD = ("double_copy", "wrong_size", "wild_copy", "user_overflow")
BUILDS = ((1, 1), (0, 1), (1, 0), (0, 0))
BUILD_NAMES = ("dwarf", "g0", "no-sizes", "g0-no-sizes")
COMMANDS = ["kdbg why", "kdbg canary", "kdbg canary --frames", "kdbg ring"]


def assert_facts(output: support.GdbOutput, fault: str, index: int = -1) -> None:
    findings = output.data("why", index)["findings"]
    assert len(findings) == 1, output.text
    for name, value in EXPECTED[fault].items():
        assert findings[0]["facts"].get(name) == value, (name, findings[0])
    assert findings[0]["confidence"] in ("certain", "likely")


def without_levels(data: Any) -> Any:
    """Leave out what depends on GDB's guesses about tail calls: the numbers of frames above one."""
    if isinstance(data, list):
        return [without_levels(item) for item in data]
    if isinstance(data, dict):
        return {name: without_levels(item) for name, item in data.items() if name != "level"}
    return re.sub(r"\(frame \d+\)", "(frame)", data) if isinstance(data, str) else data


@pytest.mark.parametrize("build", BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize("fault", EXPECTED)
def test_afterwards_live_and_on_its_core(
    fault: str, build: tuple[int, int], runtime: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    program, core = str(runtime(debug=build[0], sizes=build[1])), tmp_path / "core"
    live = support.gdb([f"run {fault} > /dev/null 2>&1", *COMMANDS, f"generate-core-file {core}"], program)
    assert_facts(live, fault)
    dead = support.gdb(COMMANDS, program, str(core))
    assert [item["data"] for item in dead.objects] == [item["data"] for item in live.objects], dead.text
    for index, command in enumerate(COMMANDS):
        outside = support.kdbg(*command.split()[1:], "--core", str(core), program)
        assert without_levels(outside.objects[0]["data"]) == without_levels(live.objects[index]["data"]), command


@pytest.mark.parametrize("fault", ON_GUARD)
def test_watchpoint(fault: str, runtime: KernelBuilder) -> None:
    output = support.gdb(
        ["break run", f"run {fault} > /dev/null 2>&1", "kdbg watch guard", "continue", "kdbg why", "continue"],
        str(runtime()),
    )
    assert_facts(output, fault, 0)
    assert output.data("why", 0) == output.data("why", 1)
    # Told once: after the story the program runs on into its end.
    assert len([item for item in output.objects if item["command"] == "why"]) == 2, output.text
    assert "SIGABRT" in output.text


@pytest.mark.parametrize("fault", ON_GUARD)
def test_checks_around_system_calls(fault: str, runtime: KernelBuilder) -> None:
    output = support.gdb(
        ["break run", f"run {fault} > /dev/null 2>&1", "kdbg canary --syscalls", "continue"], str(runtime())
    )
    assert_facts(output, fault)


def test_through_gdbserver(runtime: KernelBuilder) -> None:
    support.require("gdbserver")
    for fault in ("double_copy", "user_overflow"):
        program = str(runtime())
        output = support.gdb(
            [f"target remote | gdbserver --once - {program} {fault}", "break run", "continue", "kdbg watch guard",
             "continue", "delete", "continue", "kdbg why", "kdbg"],
            program,
        )  # fmt: skip
        assert_facts(output, fault, 0)
        assert_facts(output, fault, 1)
        assert output.data("status")["target"] == "gdbserver"


def test_healthy_program_is_silent(runtime: KernelBuilder) -> None:
    output = support.gdb(
        ["break run", "run none many", "kdbg canary --syscalls", "kdbg watch guard", "delete 1", "break finished",
         "continue", "kdbg why", "kdbg canary", "kdbg canary --frames", "continue"],
        str(runtime()),
    )  # fmt: skip
    assert output.data("why")["findings"] == []
    assert output.data("canary", -2)["verdict"] == "intact"
    assert {frame["verdict"] for frame in output.data("canary")["frames"]} == {"intact"}
    assert "exited normally" in output.text


def test_lost_copies_leave_it_undecided(runtime: KernelBuilder) -> None:
    """The program is at fault, but many older copies are lost from the ring: nothing says that none of them was it."""
    output = support.gdb(["run user_overflow many > /dev/null 2>&1", "kdbg why"], str(runtime()))
    finding = output.data("why")["findings"][0]
    assert finding["facts"]["verdict"] == "undecidable" and finding["confidence"] == "possible"
    assert any("lost" in line for line in finding["evidence"])
    assert any("kdbg watch guard" in line for line in finding["next"])
