"""Thousands of damaged ELF files: each is answered with a result or one clear error, in 2 seconds and 500 MB.

What is damaged and how is in tests/mutations.py, which also writes a case into a file to look at. The cases are always
the same; KDBG_FUZZ_CASES sets how many there are, KDBG_FUZZ_FIRST where they begin.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, Mapping, NamedTuple, Optional, Sequence

import mutations
import pytest
import support

WORKERS = 2
DEADLINE = 600.0
WORKER = str(support.ROOT / "tests" / "mutations.py")

PROGRAM = """
#include <stdio.h>
#include <string.h>
extern int maybe(int) __attribute__((weak));
struct op { const char *name; int (*run)(int); };
static int twice(int x) { return 2 * x; }
static int half(int x) { return x / 2; }
int answer(int x) { return x + 42; }
struct op table[] = {{"twice", twice}, {"half", half}, {"answer", answer}};
int (*const handlers[])(int) = {twice, half, answer};
char room[64];
int main(int argc, char **argv) {
    memset(room, argc, sizeof room - 1);
    printf("%s %d\\n", table[argc % 3].name, table[argc % 3].run(argc) + handlers[argc % 3](argc));
    puts(argv[0]);
    return maybe ? maybe(argc) : 0;
}
"""
# Without a libc, so that it is small also where it is static.
ALONE = """
static int plain(int x) { return x; }
static int (*choose(void))(int) { return plain; }
int picked(int x) __attribute__((ifunc("choose")));
int answer(int x) { return picked(x) + 42; }
int (*const table[])(int) = {answer, picked, plain};
char room[64];
void _start(void) { room[0] = (char)table[room[1]](3); for (;;) { } }
"""
LIBRARY = """
__thread int counter = 3;
static __thread int own;
extern __thread int other;
static int plain(int x) { return x; }
static int (*choose(void))(int) { return plain; }
int picked(int x) __attribute__((ifunc("choose")));
int answer(int x) { counter += x + other; own++; return picked(x) + counter + own; }
int old_answer(int x) { return x; }
int (*const table[])(int) = {answer, picked, plain, old_answer};
void *memcpy(void *, const void *, unsigned long);
void *use(void *to, const void *from, unsigned long n) { return memcpy(to, from, n); }
__asm__(".symver old_answer, reply@V1");
__asm__(".symver answer, reply@@V2");
"""
VERSIONS = "V1 { global: reply; local: *; };\nV2 { global: answer; old_answer; picked; use; counter; table; } V1;\n"

ALONE_OPTIONS = ("-fno-stack-protector", "-nostdlib")
LIBRARY_OPTIONS = ("-fPIC", "-shared", *ALONE_OPTIONS, "-Wl,--version-script=versions", "-Wl,--hash-style=both")
# name: compiler, source and options; what cannot be built on this machine is left out.
BASES: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "lazy": ("gcc", PROGRAM, ("-g", "-fPIE", "-pie", "-Wl,-z,lazy")),
    "relr": ("gcc", PROGRAM, ("-fPIE", "-pie", "-Wl,-z,pack-relative-relocs")),
    "stripped": ("gcc", PROGRAM, ("-fPIE", "-pie", "-s", "-Wl,-z,now")),
    "static_pie": ("gcc", ALONE, ("-fPIE", "-static-pie", *ALONE_OPTIONS)),
    "static": ("gcc", ALONE, ("-fno-pie", "-no-pie", "-static", *ALONE_OPTIONS)),
    "library": ("gcc", LIBRARY, LIBRARY_OPTIONS),
    "object": ("gcc", PROGRAM, ("-c",)),
    "i386": ("gcc", LIBRARY, ("-m32", *LIBRARY_OPTIONS)),
    "aarch64": ("aarch64-linux-gnu-gcc", PROGRAM, ("-fPIE", "-pie")),
    "aarch64_library": ("aarch64-linux-gnu-gcc", LIBRARY, LIBRARY_OPTIONS),
}
NEEDED = ("lazy", "static_pie", "static", "library", "object")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    support.require("gcc")
    directory = tmp_path_factory.mktemp("bases")
    (directory / "versions").write_text(VERSIONS)
    return [str(path) for path in (_built(directory, name) for name in BASES) if path]


def _built(directory: Path, name: str) -> Optional[Path]:
    compiler, source, options = BASES[name]
    (directory / f"{name}.c").write_text(source)
    command = [compiler, "-O1", *options, "-o", name, f"{name}.c"]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    assert done.returncode == 0 or name not in NEEDED, done.stderr
    return directory / name if done.returncode == 0 else None


class Run(NamedTuple):
    """What the workers told: of each case what failed, and what it was answered with."""

    failures: Sequence[str]
    answered: int
    with_results: int


def tried(directory: Path, orders: Sequence[Sequence[str]]) -> Run:
    """Let a worker carry out each of the orders, at the same time."""
    logs = [directory / f"progress{number}" for number in range(len(orders))]
    workers = [
        subprocess.Popen([sys.executable, WORKER, order[0], str(log), *order[1:]], stderr=subprocess.PIPE, text=True)
        for log, order in zip(logs, orders)
    ]
    ends = [_end_of(worker) for worker in workers]
    failures, with_results, answered = [], 0, 0
    for log, end in zip(logs, ends):
        begun: Mapping[str, object] = {}
        for told in map(json.loads, log.read_text().splitlines()):
            if "begin" in told:
                begun = told
                continue
            failures += [f"{_name(begun)}: {failure}" for failure in told["failures"]]
            answered += 1
            with_results += told["said"].get("got", "") is None
            begun = {}
        if begun or end:
            failures.append(f"{_name(begun)}: {end or 'the process died'}")
    return Run(failures, answered, with_results)


def _end_of(worker: subprocess.Popen[str]) -> str:
    try:
        _, text = worker.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.communicate()
        return "did not end"
    return text if worker.returncode else ""


def _name(begun: Mapping[str, object]) -> str:
    return f"case {begun.get('begin')} of {begun.get('base')} {begun.get('changes')}"


def test_mutated_files(bases: Sequence[str], tmp_path: Path) -> None:
    cases = int(os.environ.get("KDBG_FUZZ_CASES", "5000"))
    first = int(os.environ.get("KDBG_FUZZ_FIRST", "0"))
    each = -(-cases // WORKERS)
    orders = [["try", str(first + worker), str(WORKERS), str(each), *bases] for worker in range(WORKERS)]
    run = tried(tmp_path, orders)
    assert not run.failures, "\n".join([f"{len(run.failures)} of {run.answered}", *run.failures[:40]])
    assert run.answered == each * WORKERS
    # The damage is such that there is still something to read behind it, in most of them.
    assert run.with_results > cases / 2


def test_unharmed_files_are_answered(bases: Sequence[str], tmp_path: Path) -> None:
    run = tried(tmp_path, [["ask", *bases]])
    assert not run.failures
    assert run.with_results == run.answered == len(bases)


def test_a_case_is_always_the_same_file(bases: Sequence[str]) -> None:
    read = mutations.bases_of(bases)
    for number in range(40):
        one, other = mutations.mutant(number, read), mutations.mutant(number, read)
        assert one == other and (one.data != Path(bases[number % len(bases)]).read_bytes() or not one.changes)


# Files made by hand to cost as much as they can, each a table that the DYNAMIC segment leads to.

RELA, RELASZ, STRTAB, STRSZ, SYMTAB, HASH, GNU_HASH, RELR, RELRSZ = 7, 8, 5, 10, 6, 4, 0x6FFFFEF5, 36, 35
LOAD, DYNAMIC = 1, 2
SIZES = {RELA: RELASZ, STRTAB: STRSZ, RELR: RELRSZ}
ZEROS = 1 << 40


def loaded(
    tables: Mapping[int, bytes], tags: Mapping[int, int], segments: Sequence[tuple[int, int]] = (), zeros: int = 4096
) -> bytes:
    """A shared object that is loaded as a whole at 0, with `zeros` behind it, and further segments that overlap."""
    position = 64 + 56 * (2 + len(segments))
    contents, dynamic = b"", dict(tags)
    for tag, data in tables.items():
        dynamic[tag] = position + len(contents)
        dynamic.update({SIZES[tag]: len(data)} if tag in SIZES else {})
        contents += data + bytes(-len(data) % 8)
    pairs = b"".join(struct.pack("<QQ", *pair) for pair in (*dynamic.items(), (0, 0)))
    end = position + len(contents) + len(pairs)
    places = [(LOAD, 0, end, end + zeros), (DYNAMIC, position + len(contents), len(pairs), len(pairs))]
    places += [(LOAD, start, size, size) for start, size in segments]
    headers = b"".join(struct.pack("<IIQQQQQQ", k, 7, a, a, a, size, room, 8) for k, a, size, room in places)
    counts = (64, 56, len(places), 64, 0, 0)
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    return ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, *counts) + headers + contents + pairs


def symbols(places: Sequence[tuple[int, int, int]]) -> Mapping[int, bytes]:
    """The tables for functions at (offset of the name, address, size)."""
    entries = b"".join(struct.pack("<IBBHQQ", name, 0x12, 0, 1, at, size) for name, at, size in places)
    return {SYMTAB: bytes(24) + entries, HASH: struct.pack("<IIII", 1, len(places) + 1, 0, 0)}


def small_functions(count: int) -> Sequence[tuple[int, int, int]]:
    return [(1, 0x1000 + 16 * i, 1) for i in range(count)]


def relative(count: int) -> bytes:
    return b"".join(struct.pack("<QQq", 0x1000 + 8 * i, 8, 0x1000 + 16 * i + 4) for i in range(count))


def towards_one(count: int) -> bytes:
    return b"".join(struct.pack("<QQq", 0x1000 + 8 * i, 8, 0x1000) for i in range(count))


def named(count: int) -> bytes:
    return b"".join(struct.pack("<QQq", 0x1000 + 8 * i, (i + 1) << 32 | 6, 0) for i in range(count))


def tails(text: bytes, count: int) -> Mapping[int, bytes]:
    """One long string, in which every symbol's name begins one byte further on."""
    return {STRTAB: b"\0" + text + b"\0", **symbols([(1 + i, 0x1000 + 16 * i, 16) for i in range(count)])}


def cxx_names(count: int) -> Mapping[int, bytes]:
    """C++ names that double with every reference back."""
    digits, names, places = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"\0", []
    for number in range(count):
        references = ["S_", *(f"S{digits[i]}_" for i in range(4 + number % 20))]
        places.append((len(names), 0x1000 + 16 * number, 16))
        pairs = "".join(f"St4pairI{reference}{reference}E" for reference in references)
        names += f"_Z1fSt4pairIiiE{pairs}".encode() + b"\0"
    return {STRTAB: names, **symbols(places)}


def rust_names(depth: int) -> Mapping[int, bytes]:
    """Rust names of nothing but beginnings, and C++ ones of nothing but pointers."""
    first = b"_R" + b"NvNtNt" * depth
    names = b"\0" + first + b"\0_Z1f" + b"P" * depth + b"i\0"
    return {STRTAB: names, **symbols([(1, 0x1000, 16), (len(first) + 2, 0x1010, 16)])}


CRAFTED: Mapping[str, Callable[[], bytes]] = {
    "tables of zeros": lambda: loaded({}, {RELA: 1 << 20, RELASZ: 1 << 30}, zeros=ZEROS),
    "relr of zeros": lambda: loaded({}, {RELR: 1 << 20, RELRSZ: 1 << 30}, zeros=ZEROS),
    "symbols of zeros": lambda: loaded(
        {HASH: struct.pack("<II", 1, 1 << 25)}, {SYMTAB: 1 << 20, STRTAB: 1 << 20, STRSZ: 1 << 30}, zeros=ZEROS
    ),
    "buckets of zeros": lambda: loaded(
        {GNU_HASH: struct.pack("<4I", 1 << 28, 1, 0, 0)}, {SYMTAB: 0, STRTAB: 0, STRSZ: 8}, zeros=ZEROS
    ),
    "chain without an end": lambda: loaded(
        {GNU_HASH: struct.pack("<6I", 1, 1, 0, 0, 1, 0)}, {SYMTAB: 0, STRTAB: 0, STRSZ: 8}, zeros=ZEROS
    ),
    "bitmaps of ones": lambda: loaded({RELR: struct.pack("<Q", 0x10000) + b"\xff" * (1 << 20)}, {}),
    "overlapping segments": lambda: loaded(
        {RELA: relative(5000)}, {}, [(0x1000 + 4 * i, 0x100000) for i in range(5000)]
    ),
    "slots that all point to one": lambda: loaded({RELA: towards_one(9999)}, {}),
    "a symbol around all others": lambda: loaded(
        {STRTAB: b"\0a\0", RELA: relative(5000), **symbols([(1, 16, ZEROS), *small_functions(9999)])}, {}
    ),
    "symbols of one name": lambda: loaded(
        {STRTAB: b"\0a\0", RELA: named(9999), **symbols(small_functions(9999))}, {}
    ),
    "names that share a megabyte": lambda: loaded({RELA: named(3000), **tails(b"\x1b" * (1 << 20), 3000)}, {}),
    "names of no text": lambda: loaded({RELA: named(3000), **tails(b"\xff" * 16000, 3000)}, {}),
    "c++ names that double": lambda: loaded({RELA: named(500), **cxx_names(500)}, {}),
    "names that nest": lambda: loaded({RELA: named(2), **rust_names(1000)}, {}),
}  # fmt: skip


def crafted(directory: Path) -> Iterator[str]:
    for name, make in CRAFTED.items():
        path = directory / name.replace(" ", "_")
        path.write_bytes(make())
        yield str(path)


def test_files_made_to_cost_as_much_as_they_can(tmp_path: Path) -> None:
    run = tried(tmp_path, [["ask", *crafted(tmp_path)]])
    assert not run.failures, "\n".join(run.failures)
    assert run.answered == len(CRAFTED)
