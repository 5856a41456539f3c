"""Builders of the programs with vtables, and what readelf says of Rust's."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import subprocess

import support

SOURCES = support.ROOT / "tests" / "programs" / "vtables"
_ENTRY = re.compile(r" <\d+><([0-9a-f]+)>: Abbrev Number: \d+ \((\w+)\)")
_ATTRIBUTE = re.compile(r"\s+<[0-9a-f]+>\s+(DW_AT_\w+)\s*:\s*(?:\([a-z0-9_ ]+\) )?(?:\(offset: 0x[0-9a-f]+\): )?(.*)")


def _rustc() -> str:
    home = pathlib.Path.home() / ".cargo" / "bin"
    os.environ["PATH"] += os.pathsep + str(home) if home.exists() and str(home) not in os.environ["PATH"] else ""
    support.require("rustc", "gcc")
    return "rustc"


@functools.lru_cache(maxsize=None)
def rust(directory: pathlib.Path, level: int = 0, strip: str = "", *flags: str) -> pathlib.Path:
    """Build shapes.rs; `strip` is an option of strip: `-g` leaves the symbols, `-s` nothing."""
    output = directory / f"rust-{level}{strip}{''.join(flags).replace('=', '-')}"
    if strip:
        return stripped(rust(directory, level, "", *flags), output, strip)
    source = str(SOURCES / "shapes.rs")
    support.run(_rustc(), "--edition", "2021", "-g", "-C", f"opt-level={level}", *flags, "-o", str(output), source)
    return output


@functools.lru_cache(maxsize=None)
def cpp(directory: pathlib.Path, *flags: str) -> pathlib.Path:
    """Build shapes.cpp with debugging information."""
    support.require("g++")
    output = directory / f"cpp{''.join(flags)}"
    support.run("g++", "-std=c++17", "-g", "-Wall", *flags, "-o", str(output), str(SOURCES / "shapes.cpp"))
    return output


def stripped(program: pathlib.Path, output: pathlib.Path, option: str = "-s") -> pathlib.Path:
    """Strip a copy."""
    support.run("strip", option, "-o", str(output), str(program))
    return output


Tables = dict[int, list[tuple[str, tuple[str, ...]]]]


def described_tables(program: pathlib.Path) -> Tables:
    """Return each table by its link-time address: the names of its variables, and of the words, from readelf."""
    done = subprocess.run(
        ["readelf", "-W", "--debug-dump=info", str(program)], capture_output=True, text=True, check=True
    )
    variables: list[dict[str, str]] = []
    types: dict[str, list[dict[str, str]]] = {}
    entry: dict[str, str] = {}
    last = ""
    for line in done.stdout.splitlines():
        start, attribute = _ENTRY.match(line), _ATTRIBUTE.match(line)
        if start:
            entry = {}
            if start[2] == "DW_TAG_structure_type":
                last = start[1]
                types[last] = [entry]
            elif start[2] == "DW_TAG_member" and last:
                types[last].append(entry)
            elif start[2] == "DW_TAG_variable":
                variables.append(entry)
        elif attribute:
            entry[attribute[1]] = attribute[2].strip()
    return _tables(variables, types)


def _tables(variables: list[dict[str, str]], types: dict[str, list[dict[str, str]]]) -> Tables:
    tables: Tables = {}
    for variable in variables:
        place = re.search(r"DW_OP_addr: ([0-9a-f]+)", variable.get("DW_AT_location", ""))
        if not variable.get("DW_AT_name", "").endswith("::{vtable}") or place is None or not int(place[1], 16):
            continue
        kind = re.match(r"<0x([0-9a-f]+)>", variable["DW_AT_type"])
        assert kind is not None
        own, *members = types[kind[1]]
        names = {int(m["DW_AT_data_member_location"]): m["DW_AT_name"].lstrip("_") for m in members}
        words = tuple(names.get(8 * index, "vacant") for index in range(int(own["DW_AT_byte_size"]) // 8))
        tables.setdefault(int(place[1], 16), []).append((variable["DW_AT_name"], words))
    return tables
