"""The connection to a machine's stub."""

from __future__ import annotations

import re

import gdb

from ..connect_command import Connected
from ..errors import KdbgError, NotSupported
from ..status import kernel_state
from ..uml_kernel import banner
from ..units import safe_text
from .target import GdbTarget

# GDB tries again for so many seconds while nobody listens.
_PATIENCE = 3


def connect_stub(target: GdbTarget, place: str) -> Connected:
    """Connect to a system emulator's stub, or raise KdbgError and be connected to nothing."""
    if gdb.selected_thread() is not None:
        raise KdbgError("this GDB has a target already: disconnect or detach first")
    try:
        gdb.execute(f"with tcp connect-timeout {_PATIENCE} -- target remote {place}", to_string=True)
    except gdb.error as error:
        reason = str(error).strip().rstrip(".").rpartition(": ")[2]
        raise KdbgError(f"no stub at {place}: {reason} (qemu-system-x86_64 -s listens at localhost:1234)") from None
    if target.kind != "system emulator":
        gdb.execute("disconnect", to_string=True)
        raise NotSupported(f"the stub at {place} is of a program, not of a machine: target remote {place}")
    space = gdb.current_progspace()
    hint = () if space is not None and space.filename else ("no symbols: load the kernel's file (file VMLINUX)",)
    state = kernel_state(target)
    return Connected(
        f"stub at {place}, {target.architecture}{_emulator()}", banner(target), state.mode, state.tasks, state.current,
        (), (*hint, *state.problems),
    )  # fmt: skip


def _emulator() -> str:
    try:
        found = re.search(r"\d[\w.]*", gdb.execute("monitor info version", to_string=True) or "")
    except gdb.error:
        return ""
    return f", QEMU {safe_text(found[0])}" if found else ""
