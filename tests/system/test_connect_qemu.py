"""`kdbg connect qemu`: the stub of a machine, what is no machine, and nobody there."""

from __future__ import annotations

import pathlib
import re
import subprocess

import support
from support import KernelBuilder


def test_a_machine_is_connected_and_told(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    kernel = kernels()
    with support.boot(kernel, "fault=none", tmp_path) as guest:
        connect = f"kdbg connect qemu {tmp_path / 'stub'}"
        output = support.gdb([connect, "kdbg status", connect], str(kernel))
        connected = output.data("connect")["connected"]
        assert re.fullmatch(rf"stub at {tmp_path / 'stub'}, i386:x86-64, QEMU \d[\w.]*", connected) and guest
        assert output.problems("connect") == []
        assert output.data("status")["target"] == "system emulator"
        assert "this GDB has a target already" in output.text


def test_without_a_file_the_symbols_are_asked_for(kernels: KernelBuilder, tmp_path: pathlib.Path) -> None:
    with support.boot(kernels(), "fault=none", tmp_path):
        output = support.gdb([f"kdbg connect qemu {tmp_path / 'stub'}"])
        assert output.problems("connect") == ["no symbols: load the kernel's file (file VMLINUX)"]


def test_the_stub_of_a_program_is_refused() -> None:
    support.require("gdbserver")
    words = ["gdbserver", "--once", "localhost:0", "/bin/sleep", "0"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        port = next(found[1] for line in server.stderr if (found := re.search(r"on port (\d+)", line)))
        output = support.gdb([f"kdbg connect qemu {port}", "info inferiors"])
        server.kill()
    assert f"the stub at localhost:{port} is of a program, not of a machine" in output.text
    assert "<null>" in output.text


def test_nobody_is_there(tmp_path: pathlib.Path) -> None:
    output = support.gdb([f"kdbg connect qemu {tmp_path / 'stub'}", "kdbg connect qemu here", "info inferiors"])
    assert re.search(r"^kdbg: no stub at \S+/stub: .*qemu-system-x86_64 -s listens at", output.text, re.MULTILINE)
    assert "not a place of a stub: 'here'" in output.text
    assert "<null>" in output.text
