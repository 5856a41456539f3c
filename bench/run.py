"""`make bench`: measures, prints tables and, with --json FILE, keeps the figures. See docs/bench.md."""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import os
import pathlib
import platform
import subprocess
from typing import Optional, Sequence

from .figures import Figure, table
from .machine import ROOT

_PARTS = {
    "startup": "Start-up of GDB",
    "packets": "Reads of memory over a remote stub (QEMU), each in a fresh GDB; the baseline is what GDB itself needs",
    "slots": "Slots; the baseline is readelf, for lookups GDB's `info symbol`, for reads one of the whole table",
    "check-copy": "Copy routines; the baseline is starting Python with the emulator, for rates empty calls in it",
    "page": "The page of a report; the baseline is one of ten copies",
    "oops-text": "Crashes in the text of a console, processor time; the baseline is grep",
    "events": "Events of a log, processor time; the baseline is named behind the semicolon",
    "follow": "Events of a log that grows; the baseline is named behind the semicolon",
    "analyze": "The analysis of a log, processor time; the baseline is named behind the semicolon",
    "triage": "Many logs grouped; the baseline is a bare pool of processes over the same function",
    "overlap": "Catching overlapping copies; the baseline is the bare program",
    "guest": "System calls of the guest; the baseline is a kernel without the probe",
    "uml": "A user-mode Linux kernel on one processor; the baseline is the same kernel with nothing attached",
}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the parts that were asked for, all by default."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures what kdbg costs.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)} (default: all)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--repeats", type=int, default=12, help="runs of each variant in each alignment (default: 12)")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(_PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    # As every session but a user's first one finds it, also where PYTHONDONTWRITEBYTECODE is set.
    compileall.compile_dir(ROOT / "gdb_kdbg", quiet=1)
    figures: dict[str, Sequence[Figure]] = {}
    for part in options.parts or _PARTS:
        figures[part] = _measure(part, options.repeats)
        print(table(_PARTS[part], figures[part]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(_report(figures), indent=2) + "\n")
    return 0


# A part is a module with a function `measure`; some need tools that others do not.
def _measure(part: str, repeats: int) -> Sequence[Figure]:
    module = importlib.import_module(f"bench.{part.replace('-', '_')}")
    figures: Sequence[Figure] = module.measure(repeats, lambda reason: print(f"not measured: {reason}", flush=True))
    return figures


def _report(figures: dict[str, Sequence[Figure]]) -> dict[str, object]:
    return {
        "schema": 1,
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "gdb": _first_line("gdb", "--version"),
            "qemu": _first_line("qemu-system-x86_64", "--version"),
            "gcc": _first_line("gcc", "--version"),
        },
        "figures": {part: [figure.as_json() for figure in found] for part, found in figures.items()},
    }


def _first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    raise SystemExit(main())
