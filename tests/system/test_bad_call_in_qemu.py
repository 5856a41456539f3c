"""A kernel that calls through a slot before it has relocated itself: told by registers and memory, without a signal."""

from __future__ import annotations

import pathlib
import re

import support
from test_slots_in_qemu import SHIFT, Moved, address_of, moved

__all__ = ["moved"]


def call_through_a_slot(kernel: pathlib.Path) -> int:
    """Return where `enter` begins to use its slots: behind its loop over the relocations."""
    code = support.run("objdump", "-d", "--no-show-raw-insn", "--disassemble=enter", str(kernel))
    load = re.search(r"^\s*([0-9a-f]+):\s+mov\s+0x[0-9a-f]+\(%rip\),%rax", code, re.M)
    assert load, code
    return int(load[1], 16)


def test_a_kernel_that_forgets_to_relocate_itself(moved: Moved, tmp_path: pathlib.Path) -> None:
    kernel = moved(SHIFT)
    before, use = address_of(kernel, "before") + SHIFT, call_through_a_slot(kernel) + SHIFT
    steps = ["kdbg why", f"set $pc = {use:#x}", f"while $pc >= {use:#x} && $pc < {use + 64:#x}", "stepi", "end"]
    with support.boot(kernel, "", tmp_path) as guest:
        script = tmp_path / "steps"
        script.write_text("\n".join(steps))
        output = guest.gdb([f"hbreak *{before:#x}", "continue", f"source {script}", "kdbg why", "kill"])
    assert output.data("why", 0)["findings"] == []
    (finding,) = output.data("why")["findings"]
    assert (finding["rule"], finding["confidence"]) == ("unrelocated-call", "certain"), finding
    assert (finding["facts"]["target"], finding["facts"]["objfile"]) == ("sum", "kernel.elf")
    assert finding["facts"]["objfile_state"].startswith("relocations not applied yet")
