"""Who is at fault, on a real kernel in QEMU: live by watchpoint, live by checks, live afterwards, and on its dump."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import support
from support import KernelBuilder

# What `kdbg why` must say of each named fault of the example kernel, as far as every way of looking can tell it.
EXPECTED: dict[str, dict[str, Any]] = {
    "double_copy": {
        "verdict": "routine at fault", "asked": 4, "wrote": 8, "routine": "ucopy_double", "tag": "ioctl:TIOCGPGRP",
        "process": "editor", "pid": 3, "system_call": "ioctl", "victim": "guard", "destination": "0x410024",
        "exercised": "breaks",
    },
    "wrong_size": {
        "verdict": "caller at fault", "asked": 8, "wrote": 8, "routine": "ucopy", "tag": "ioctl:TIOCGPGRP",
        "process": "editor", "pid": 3, "system_call": "ioctl", "victim": "guard", "destination": "0x410024",
        "exercised": "conforms",
    },
    "wild_copy": {
        "verdict": "caller at fault", "asked": 8, "wrote": 8, "routine": "ucopy", "tag": "ioctl:TIOCGWINSZ",
        "process": "editor", "pid": 3, "system_call": "ioctl", "victim": "guard", "destination": "0x410028",
        "exercised": "conforms",
    },
    "user_overflow": {"verdict": "program at fault", "process": "editor", "pid": 3, "victim": "guard"},
}  # fmt: skip
COPIES = ("double_copy", "wrong_size", "wild_copy")
BUILDS = ({}, {"DEBUG": 0}, {"SIZES": 0}, {"DEBUG": 0, "SIZES": 0})
BUILD_NAMES = ("dwarf", "g0", "no-sizes", "g0-no-sizes")


def the_finding(output: support.GdbOutput, index: int = -1) -> Any:
    """The only finding of a `kdbg why`."""
    findings = output.data("why", index)["findings"]
    assert len(findings) == 1, output.text
    return findings[0]


def assert_facts(finding: Any, fault: str, has_lines: bool) -> None:
    facts = finding["facts"]
    for name, value in EXPECTED[fault].items():
        assert facts.get(name) == value, (name, facts)
    if fault in COPIES:
        assert facts["caller"].startswith("tty_ioctl+"), facts
        assert (facts.get("file") == "kernel/tty.c" and facts["line"] > 0) is has_lines, facts
    assert finding["confidence"] in ("certain", "likely")
    assert finding["evidence"] and finding["next"]


@pytest.mark.parametrize("build", BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize("fault", EXPECTED)
def test_watchpoint_tells_the_story(
    fault: str, build: dict[str, int], kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    with support.boot(kernels(**build), f"fault={fault}", tmp_path) as guest:
        output = guest.gdb(["tbreak tty_ioctl", "continue", "kdbg watch guard", "continue", "kdbg why"])
        finding = the_finding(output, 0)
        assert_facts(finding, fault, "DEBUG" not in build)
        assert finding["confidence"] == "certain"
        assert finding["facts"]["instruction"].startswith("0x")
        # The report of the stop and the command typed after it are the same.
        assert output.data("why", 0) == output.data("why", 1)


@pytest.mark.parametrize("build", BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize("fault", EXPECTED)
def test_checks_around_system_calls_tell_the_story(
    fault: str, build: dict[str, int], kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    with support.boot(kernels(**build), f"fault={fault}", tmp_path) as guest:
        output = guest.gdb(["kdbg canary --syscalls", "continue", "kdbg why"])
        finding = the_finding(output, 0)
        assert_facts(finding, fault, "DEBUG" not in build)
        assert output.data("why", 0) == output.data("why", 1)
        during = "during the system call ioctl(" in " ".join(finding["evidence"])
        assert during is (fault in COPIES), finding["evidence"]


@pytest.mark.parametrize("build", BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize("fault", EXPECTED)
def test_afterwards_and_on_the_dump(
    fault: str, build: dict[str, int], kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    """Nothing was armed: the ring and memory alone tell, and a dump of the guest tells the same, in GDB and outside."""
    commands = ["kdbg why", "kdbg canary", "kdbg canary --frames", "kdbg ring", "kdbg ring --last 3"]
    dump = tmp_path / "guest.dump"
    with support.boot(kernels(**build), f"fault={fault}", tmp_path) as guest:
        editor = guest.programs / "editor"
        live = guest.gdb([
            f"add-symbol-file {editor}", "break __stack_chk_fail if $fs_base != 0", "continue", *commands,
            f"monitor dump-guest-memory -p {dump}",
        ])  # fmt: skip
        assert_facts(the_finding(live), fault, "DEBUG" not in build)
        dead = support.gdb([f"add-symbol-file {editor}", *commands], str(guest.kernel), str(dump))
        assert [item["data"] for item in dead.objects] == [item["data"] for item in live.objects], dead.text
        for index, command in enumerate(commands):
            outside = support.kdbg(*command.split()[1:], "--core", str(dump), str(guest.kernel), str(editor))
            assert outside.objects[0]["data"] == live.objects[index]["data"], command


def test_healthy_run_is_silent(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    """Over a whole run with both armed nothing stops; other processes get the same page tables later on."""
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        output = guest.gdb([
            "kdbg canary --syscalls", "tbreak tty_ioctl", "continue", "kdbg watch guard", "kdbg why", "continue",
        ])  # fmt: skip
        assert [item["command"] for item in output.objects] == ["canary", "watch", "why"], output.text
        assert output.data("why")["findings"] == []
        assert "kernel: all processes finished" in guest.serial
        guest.wait()


def test_every_phase_of_a_copy_fault_is_named(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=unmapped", tmp_path) as guest:
        dump = tmp_path / "guest.dump"
        output = guest.gdb(["break ucopy_fault", *["continue", "kdbg why"] * 4, f"monitor dump-guest-memory {dump}"])
        dead = support.gdb(["kdbg why"], str(guest.kernel), str(dump))
        assert dead.data("why") == output.data("why"), dead.text
        facts = [output.data("why", index)["findings"][0]["facts"] for index in range(4)]
        assert [fact["phase"] for fact in facts] == ["leading", "bulk", "trailing", "small"]
        assert [(fact["remaining"], fact["asked"]) for fact in facts] == [(390, 390), (326, 390), (6, 390), (2, 4)]
        assert {fact["routine"] for fact in facts} == {"ucopy"} and {fact["process"] for fact in facts} == {"edges"}


@pytest.mark.parametrize("fault", EXPECTED)
def test_a_dump_made_in_the_act_tells_the_same_story(
    fault: str, kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    """The dump knows no value to compare the guard with, but the store, its registers and the ring are in it."""
    dump = tmp_path / "guest.dump"
    with support.boot(kernels(), f"fault={fault}", tmp_path) as guest:
        lines = ["tbreak tty_ioctl", "continue", "kdbg watch guard", "continue", f"monitor dump-guest-memory {dump}"]
        live = the_finding(guest.gdb(lines))["facts"]
        dead = the_finding(support.gdb(["kdbg why"], str(guest.kernel), str(dump)))["facts"]
    assert dead == {name: value for name, value in live.items() if name != "expected"}


def test_a_healthy_dump_is_silent(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    dump = tmp_path / "guest.dump"
    with support.boot(kernels(), "fault=none debug=canary", tmp_path) as guest:
        guest.gdb(["break tty_ioctl", "continue", "continue", f"monitor dump-guest-memory {dump}"])
        dead = support.gdb(["kdbg why", "kdbg canary"], str(guest.kernel), str(dump))
    assert dead.data("why")["findings"] == [] and dead.data("canary")["verdict"] == "intact"
    assert dead.data("canary")["expected_from"].startswith("the kernel's own record")


def test_system_call_path_set_by_the_user(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=double_copy", tmp_path) as guest:
        output = guest.gdb([
            "set kdbg syscall-entry syscall_entry", "kdbg canary --syscalls", "set kdbg syscall-exit no_such_label",
            "kdbg canary --syscalls", "set kdbg syscall-exit syscall_exit", "kdbg canary --syscalls", "continue",
        ])  # fmt: skip
    assert "set both `kdbg syscall-entry` and `kdbg syscall-exit`" in output.text
    assert "no symbol 'no_such_label' for the system-call path" in output.text
    assert "(settings)" in output.data("canary")["done"]
    assert_facts(the_finding(output), "double_copy", True)
