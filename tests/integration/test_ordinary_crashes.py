"""Crashes with nothing wrong about a relocation: none is blamed, and what is said of them is true."""

from __future__ import annotations

import functools
import pathlib
import signal
from typing import Any, Mapping

import pytest
import runtimes
import support

ABOUT_SLOTS = {"unrelocated-call", "unrelocated-pointer", "overwritten-slot", "unbound-call"}
# What is found: the rule and its confidence. Of all others nothing is said.
FOUND = {
    "misaligned-movaps": ("misaligned-operand", "certain"),
    "smashed-return": ("smashed-return", "likely"),
    "smashed-return-wide": ("smashed-return", "certain"),
    "smashed-return-null": ("smashed-return", "possible"),
    "smashed-canary": ("stack-check-failed", "likely"),
    **dict.fromkeys(("null-call", "null-callback", "cleared-handler", "weak-call", "either-null",
                     "either-weak"), ("null-call", "certain")),
    **dict.fromkeys(
        ("small-call", "wild-call", "non-canonical-call", "baseless-call", "jump-nx", "jump-nx-stack", "jump-nx-data",
         "unmapped-code", "virtual-overwritten", "either-small"),
        ("bad-jump", "certain"),
    ),
    "runs-into-data": ("bad-jump", "possible"),
}  # fmt: skip
SAYS = {
    "misaligned-movaps": "aligned to 16 bytes",
    "smashed-return": 'returned to 0x414141414141 (text "AAAAAA")',
    "smashed-return-wide": "overrun",
    "null-call": "call through a null pointer: null_call",
    "cleared-handler": "relocation put",
    "weak-call": "call of optional, a weak symbol that no loaded file defines",
    "small-call": "went to 0x1238, where no memory is mapped",
    "non-canonical-call": "which is no address",
    "baseless-call": "is the link-time address of null_read in ordinary, whose load bias is",
    "jump-nx": "which is not executable",
    "jump-nx-stack": "(rsp+0x",
    "jump-nx-data": "in .rodata of ordinary), which is not executable",
    "unmapped-code": "where no memory is mapped",
    "either-weak": "call through a null pointer: either_optional",
}


@functools.lru_cache(maxsize=None)
def explained() -> Mapping[str, Mapping[str, Any]]:
    """Crash in every way, one after the other in one GDB; return what `kdbg why` says."""
    program = runtimes.build_ordinary(runtimes.shared())
    lines = [line for name in runtimes.ORDINARY for line in (f"run {name} > /dev/null 2>&1", "kdbg why")]
    output = support.gdb(["handle SIGALRM stop", *lines], str(program))
    found = [item for item in output.objects if item["command"] == "why"]
    assert len(found) == len(runtimes.ORDINARY), output.text
    assert all(item["problems"] == [] for item in found)
    return dict(zip(runtimes.ORDINARY, (item["data"] for item in found)))


@pytest.mark.parametrize("name", runtimes.ORDINARY)
def test_an_ordinary_crash_is_not_blamed_on_a_relocation(name: str) -> None:
    findings = explained()[name]["findings"]
    assert not [f for f in findings if f["rule"] in ABOUT_SLOTS]
    assert [(f["rule"], f["confidence"]) for f in findings] == ([FOUND[name]] if name in FOUND else [])


@pytest.mark.parametrize("name", SAYS)
def test_what_is_said_of_it(name: str) -> None:
    finding = explained()[name]["findings"][0]
    assert SAYS[name] in "\n".join([finding["summary"], *finding["evidence"]])


@pytest.mark.parametrize("name", ["either-null", "either-small"])
def test_a_slot_that_may_have_been_read_and_holds_something_else_is_not_named(name: str) -> None:
    finding = explained()[name]["findings"][0]
    assert "operand_address" not in finding["facts"]
    assert not [line for line in finding["evidence"] if "puts" in line and "either_puts" not in line]


def test_there_are_enough_of_them() -> None:
    assert len(runtimes.ORDINARY) >= 20


@pytest.mark.parametrize("name", ["null-call", "smashed-return", "smashed-return-wide", "jump-nx", "null-read"])
def test_the_same_on_a_core_dump(name: str, tmp_path: pathlib.Path) -> None:
    program, core = str(runtimes.build_ordinary(runtimes.shared())), tmp_path / "core"
    live = support.gdb([f"run {name} > /dev/null", "kdbg why", f"generate-core-file {core}"], program).data("why")
    assert support.gdb(["kdbg why"], program, str(core)).data("why") == live
    outside = support.kdbg("why", "--core", str(core), program).data("why")
    assert [(f["rule"], f["facts"]) for f in outside["findings"]] == [(f["rule"], f["facts"]) for f in live["findings"]]
    assert runtimes.ORDINARY[name] == signal.SIGSEGV
