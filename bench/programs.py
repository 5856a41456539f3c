"""What the slots are measured on: a program with 5,000 of them, built here, and the large libraries of this machine."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from typing import Iterator, Sequence

from .machine import ROOT

SLOTS = 5000
_DIRECTORIES = ("/lib", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_MEGABYTE = 1_000_000
_LARGE = range(80 * _MEGABYTE, 200 * _MEGABYTE)


def slots_program() -> pathlib.Path:
    """Build a PIE with a lazy slot for each of 5,000 functions of a shared library; return its path.

    It calls the first half of them and then `stop_here`, so that there half of the slots are resolved.
    """
    directory = ROOT / "build" / "bench" / "slots"
    program = directory / "slots"
    if not program.exists():
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "functions.c").write_text("".join(_functions()))
        (directory / "slots.c").write_text("".join(_main()))
        _compile(directory, "-shared", "-fPIC", "functions.c", "-o", "libfunctions.so")
        _compile(directory, "-fPIE", "-pie", "-Wl,-z,lazy", "slots.c", "-L.", "-lfunctions", "-o", "slots")
    return program


def _compile(directory: pathlib.Path, *words: str) -> None:
    subprocess.run(["gcc", "-g0", "-O0", "-Wl,-rpath,$ORIGIN", *words], cwd=directory, check=True)


def _functions() -> Iterator[str]:
    return (f"int function_{number:04}(int x) {{ return x + {number}; }}\n" for number in range(SLOTS))


def _main() -> Iterator[str]:
    calls = [f"    x = function_{number:04}(x);\n" for number in range(SLOTS)]
    yield from (f"int function_{number:04}(int);\n" for number in range(SLOTS))
    yield 'void stop_here(void) { __asm__ volatile(""); }\nint main(void) {\n    int x = 0;\n'
    yield from (*calls[: SLOTS // 2], "    stop_here();\n", *calls[SLOTS // 2 :], "    return x == 1;\n}\n")


def large_libraries() -> Sequence[pathlib.Path]:
    """Return the libraries of 80 to 200 MB in the usual directories and in the Rust toolchain, the largest first."""
    sysroot = _rust_sysroot()
    found: dict[pathlib.Path, int] = {}
    for directory in (*_DIRECTORIES, *([f"{sysroot}/lib"] if sysroot else [])):
        for place, _, names in os.walk(directory):
            paths = (pathlib.Path(place, name).resolve() for name in names if name[:3] == "lib" and ".so" in name)
            found.update((path, path.stat().st_size) for path in paths if path.is_file())
    return sorted((path for path in found if found[path] in _LARGE), key=lambda path: -found[path])


def _rust_sysroot() -> str:
    if not shutil.which("rustc"):
        return ""
    return subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True).stdout.strip()
