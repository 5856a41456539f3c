"""What slots there are and what they hold, found without kdbg: by readelf, /proc/PID/maps and /proc/PID/mem.

Plain Python, so that it runs inside GDB as well (`record`).
"""

from __future__ import annotations

import functools
import json
import os
import re
import struct
import subprocess
from typing import Any, Iterator, NamedTuple

_LINE = re.compile(r"^([0-9a-f]{16})  [0-9a-f]{16} R_X86_64_(\w+)\s*(.*)$")
_SYMBOL = re.compile(r"^(?:[0-9a-f]{16}|\S+\(\))\s+(.*?)(?: ([+-]) ([0-9a-f]+))?$")
_LOAD = re.compile(r"^  LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+) (0x\w+)", re.MULTILINE)
_RELR_TAG = re.compile(r"\((RELR|RELRSZ)\)\s+(\w+)")
_MAPPING = re.compile(r"^([0-9a-f]+)-\S+ \S+ ([0-9a-f]+) \S+ [1-9]\d*\s+(/.*)$", re.MULTILINE)


class Entry(NamedTuple):
    """A dynamic relocation as readelf prints it; the symbol is without its version."""

    address: int
    relocation: str
    symbol: str
    addend: int


def run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
    return done.stdout.decode(errors="replace")


@functools.lru_cache(maxsize=None)
def entries(path: str) -> list[Entry]:
    """Return the dynamic relocations of a file: those readelf lists, and the RELR table decoded here."""
    dynamic = run("readelf", "-dW", path)
    is_dynamic = "Dynamic section at" in dynamic
    text = run("readelf", "-rDW" if is_dynamic else "-rW", path)
    return [*_listed(text), *_relr(path, dynamic)]


def _listed(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            symbol, addend = _symbol(match[3])
            # That of a JUMP_SLOT is no part of its value (psABI x86-64, 4.4.1); `ld -z mark-plt` puts a label there.
            addend = 0 if match[2] == "JUMP_SLOT" else addend
            yield Entry(int(match[1], 16), match[2], symbol.split("@")[0], addend)


def _symbol(text: str) -> tuple[str, int]:
    match = _SYMBOL.match(text)
    if match and (match[2] or not re.fullmatch("[0-9a-f]+", text)):
        return match[1], int(match[3] or "0", 16) * (-1 if match[2] == "-" else 1)
    number = int(text or "0", 16)
    return "", number - (1 << 64) if number >> 63 else number


def _relr(path: str, dynamic: str) -> Iterator[Entry]:
    tags = {name: int(value, 0) for name, value in _RELR_TAG.findall(dynamic)}
    if "RELR" not in tags:
        return
    with open(path, "rb") as stream:
        data = stream.read()
    table = file_bytes(data, loads(path), tags["RELR"], tags["RELRSZ"])
    for address in decode_relr(struct.unpack(f"<{len(table) // 8}Q", table)):
        (addend,) = struct.unpack("<q", file_bytes(data, loads(path), address, 8))
        yield Entry(address, "RELR", "", addend)


def decode_relr(words: tuple[int, ...]) -> Iterator[int]:
    """Decode a RELR table: an even word is an address, bit n of an odd one the word n - 1 behind where it goes on."""
    place = 0
    for word in words:
        if word % 2 == 0:
            yield word
            place = word + 8
            continue
        for bit in range(1, 64):
            if word >> bit & 1:
                yield place + 8 * (bit - 1)
        place += 8 * 63


@functools.lru_cache(maxsize=None)
def loads(path: str) -> list[tuple[int, int, int, int]]:
    """Return (offset, address, file size, memory size) of the LOAD segments."""
    found = _LOAD.findall(run("readelf", "-lW", path))
    return [(int(a, 0), int(b, 0), int(c, 0), int(d, 0)) for a, b, c, d in found]


def file_bytes(data: bytes, segments: list[tuple[int, int, int, int]], address: int, size: int) -> bytes:
    """Return what the file has at a link-time address, zeros behind its end."""
    for offset, start, in_file, in_memory in segments:
        if start <= address < start + in_memory:
            return data[offset + address - start : offset + in_file][:size].ljust(size, b"\0")
    return bytes(size)


def biases(pid: int) -> dict[str, int]:
    """Return the load bias of each ELF file that is mapped into a process."""
    with open(f"/proc/{pid}/maps") as stream:
        found: dict[str, int] = {}
        for start, offset, path in _MAPPING.findall(stream.read()):
            if path not in found and int(offset, 16) == 0 and loads(path):
                first = min(address - place for place, address, _, _ in loads(path))
                found[path] = int(start, 16) - first
        return found


def values(pid: int, known: dict[str, list[int]]) -> dict[str, dict[str, int]]:
    """Return, for each file, its bias and the word at each of its slots; `known` keeps the slots of files seen."""
    found: dict[str, dict[str, int]] = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for path, bias in biases(pid).items():
            addresses = known.setdefault(path, sorted({entry.address for entry in entries(path)}))
            found[path] = {"bias": bias, **{str(a): word for a, word in _words(memory, bias, addresses)}}
    return found


def _words(memory: Any, bias: int, addresses: list[int]) -> Iterator[tuple[int, int]]:
    for address in addresses:
        memory.seek(address + bias)
        yield address, int.from_bytes(memory.read(8), "little")


def record(pid: int, path: str, known: dict[str, list[int]]) -> None:
    """Append what the slots of a process hold now to a file, as one line."""
    with open(path, "a") as stream:
        stream.write(json.dumps(values(pid, known)) + "\n")


def recorded(path: str) -> list[dict[str, dict[str, int]]]:
    """Return the lines of `record`."""
    with open(path) as stream:
        return [json.loads(line) for line in stream]
