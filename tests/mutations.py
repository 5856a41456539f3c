"""Mutated ELF files: where the fields of one lie, what is put into them, and a process that tries the results.

Case number N is always the same file, whatever else is tried: its generator is seeded with N. As a program,
`mutations.py try PROGRESS FIRST STEP COUNT BASE...` tries cases in a process of bounded memory, `ask PROGRESS FILE...`
does so with files as they are, and `write N OUTPUT BASE...` writes the file of one case.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import pathlib
import pkgutil
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from typing import Any, Callable, Iterator, Literal, NamedTuple, Optional, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS, MEMORY = 2.0, 500 << 20
# Errors of Python within the one line for the user: true, but not clear. MemoryError and the like are failures.
NEVER = ("MemoryError", "RecursionError", "SystemError")


class Field(NamedTuple):
    """A number in a file; fields of one `group` are of one kind, such as the symbol table's."""

    group: str
    name: str
    offset: int
    size: int


class Mutant(NamedTuple):
    """A case: which base, what was done to it, and the file."""

    number: int
    base: str
    changes: Sequence[str]
    data: bytes


# Layouts as gABI gives them: (name, size) of each field, for 64 and 32 bits.
_HEADER = {
    bits: f"type:2 machine:2 version:4 entry:{word} phoff:{word} shoff:{word} flags:4 ehsize:2 "
    "phentsize:2 phnum:2 shentsize:2 shnum:2 shstrndx:2"
    for bits, word in ((64, 8), (32, 4))
}
_SEGMENT = {
    64: "type:4 flags:4 offset:8 vaddr:8 paddr:8 filesz:8 memsz:8 align:8",
    32: "type:4 offset:4 vaddr:4 paddr:4 filesz:4 memsz:4 flags:4 align:4",
}
_SECTION = {
    64: "name:4 type:4 flags:8 addr:8 offset:8 size:8 link:4 info:4 addralign:8 entsize:8",
    32: "name:4 type:4 flags:4 addr:4 offset:4 size:4 link:4 info:4 addralign:4 entsize:4",
}
_SYMBOL = {64: "name:4 info:1 other:1 shndx:2 value:8 size:8", 32: "name:4 value:4 size:4 info:1 other:1 shndx:2"}
_RELA = {64: "offset:8 type:4 symbol:4 addend:8", 32: "offset:4 info:4 addend:4"}
_REL = {64: "offset:8 type:4 symbol:4", 32: "offset:4 info:4"}
_DYNAMIC = {64: "tag:8 value:8", 32: "tag:4 value:4"}
_WORD = {64: "word:8", 32: "word:4"}
_HALF, _INT = {64: "half:2", 32: "half:2"}, {64: "int:4", 32: "int:4"}
# What lies in a section of each type; in others it is the name that tells.
_CONTENTS = {
    2: ("symbols", _SYMBOL), 11: ("symbols", _SYMBOL), 4: ("relocations", _RELA), 9: ("relocations", _REL),
    19: ("relr", _WORD), 6: ("dynamic", _DYNAMIC), 5: ("hash", _INT), 0x6FFFFFF6: ("hash", _INT),
    0x6FFFFFFF: ("versions", _HALF), 0x6FFFFFFE: ("versions", _HALF), 0x6FFFFFFD: ("versions", _HALF),
    7: ("notes", _INT), 3: ("strings", _INT),
}  # fmt: skip
_BY_NAME = {".eh_frame_hdr": ("unwinding", _INT), ".eh_frame": ("unwinding", _INT), ".got": ("got", _WORD)}
_TAGS = (*range(40), 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFF9, 0x6FFFFFFB, 0x6FFFFFFE, 0x6FFFFFFF)
_POWERS = (7, 8, 15, 16, 20, 24, 28, 30, 31, 32, 40, 47, 48, 62, 63, 64)


class Base:
    """An unharmed file and the fields in it, found by its section headers."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data = name, data
        self.bits = 64 if data[4] == 2 else 32
        self.order: Literal["little", "big"] = "little" if data[5] == 1 else "big"
        self.fields: list[Field] = []
        self.edges: set[int] = {0, 1, 4, 16, len(data) - 1}
        self._header = self._table("header", "file", 16, 1, _HEADER)[0]
        at = {field.name: self.value(field) for field in self._header}
        self.segments = self._table("segments", "segment", at["phoff"], at["phnum"], _SEGMENT)
        self.sections = self._table("sections", "section", at["shoff"], at["shnum"], _SECTION)
        self.fields.append(Field("header", "ident", 4, 4))
        self._contents(at["shstrndx"])
        self.groups = sorted({field.group for field in self.fields})
        self.by_group = {group: [f for f in self.fields if f.group == group] for group in self.groups}

    def value(self, field: Field) -> int:
        return int.from_bytes(self.data[field.offset : field.offset + field.size], self.order)

    def named(self, group: str, name: str) -> Sequence[Field]:
        return [field for field in self.by_group.get(group, ()) if field.name == name]

    def _table(
        self, group: str, what: str, offset: int, count: int, layouts: dict[int, str]
    ) -> list[tuple[Field, ...]]:
        rows, position = [], offset
        for _ in range(count):
            row = []
            for word in layouts[self.bits].split():
                name, _, size = word.partition(":")
                if position + int(size) <= len(self.data):
                    row.append(Field(group, name, position, int(size)))
                position += int(size)
            rows.append(tuple(row))
            self.fields.extend(row)
            self.edges.add(position)
        self.edges.add(offset)
        return rows

    def _contents(self, names_index: int) -> None:
        rows = [{field.name: self.value(field) for field in row} for row in self.sections]
        names = rows[names_index]["offset"]
        for row in rows:
            start = names + row["name"]
            name = self.data[start : self.data.index(b"\0", start)].decode()
            group, layout = _BY_NAME.get(name) or _CONTENTS.get(row["type"]) or ("", _INT)
            if row["type"] != 8:
                self.edges |= {row["offset"], row["offset"] + row["size"]}
            if group:
                entry = sum(int(word.partition(":")[2]) for word in layout[self.bits].split())
                self._table(group, name, row["offset"], min(row["size"] // entry, 400), layout)


class Mutator:
    """Makes one mutant of one base."""

    def __init__(self, base: Base, dice: random.Random) -> None:
        self.base, self.dice = base, dice
        self.data = bytearray(base.data)
        self.changes: list[str] = []
        self._ways: Sequence[tuple[int, Callable[[], None]]] = (
            (60, self._numbers), (12, self._cut), (8, self._fill), (8, self._copy), (12, self._giant), (4, self._relr),
            (4, self._strings),
        )  # fmt: skip

    def run(self) -> None:
        ways = self.dice.choices([way for _, way in self._ways], [weight for weight, _ in self._ways])
        if self.dice.random() < 0.25:
            self._without_sections()
        ways[0]()
        if self.dice.random() < 0.2:
            self._numbers()

    # One to four fields of one kind, or a field of any.
    def _numbers(self) -> None:
        group = self.base.by_group[self.dice.choice(self.base.groups)]
        for _ in range(self.dice.choice((1, 1, 1, 2, 4))):
            field = self.dice.choice(group)
            self._set(field, self._number(field))

    def _number(self, field: Field) -> int:
        old, size, dice = self.base.value(field), len(self.base.data), self.dice
        if field.name == "tag" and dice.random() < 0.7:
            return dice.choice(_TAGS)
        near = dice.choice((1, 2, 3, 4, 7, 8, 16, 24, 63, 4096, 65536))
        return dice.choice(
            (
                0, 1, 2, (1 << 64) - 1, (1 << dice.choice(_POWERS)) + dice.choice((-1, 0, 1)), old + near, old - near,
                size + dice.choice((-8, -1, 0, 1)), self.base.value(dice.choice(self.base.by_group[field.group])),
                self.base.value(dice.choice(self.base.fields)), old ^ 1 << dice.randrange(8 * field.size),
                (1 << 64) - near, dice.getrandbits(64), dice.getrandbits(16),
            )
        )  # fmt: skip

    def _set(self, field: Field, value: int) -> None:
        value &= (1 << 8 * field.size) - 1
        self.data[field.offset : field.offset + field.size] = value.to_bytes(field.size, self.base.order)
        self.changes.append(f"{field.group} {field.name} at {field.offset:#x} = {value:#x}")

    def _cut(self) -> None:
        edge = self.dice.choice(sorted(self.base.edges)) + self.dice.choice((-8, -1, 0, 0, 1, 8))
        if self.dice.random() < 0.3:
            edge = self.dice.randrange(len(self.data))
        del self.data[max(edge, 0) :]
        self.changes.append(f"cut at {max(edge, 0):#x}")

    def _fill(self) -> None:
        field = self.dice.choice(self.base.by_group[self.dice.choice(self.base.groups)])
        size = self.dice.choice((8, 64, 512, 4096))
        byte = self.dice.choice((0, 0xFF, 0x41, -1))
        end = min(field.offset + size, len(self.data))
        self.data[field.offset : end] = bytes(
            self.dice.randrange(256) if byte < 0 else byte for _ in range(field.offset, end)
        )
        self.changes.append(f"{field.group} at {field.offset:#x}: {size} bytes filled with {byte}")

    def _copy(self) -> None:
        one, other = (self.dice.choice(self.base.fields).offset for _ in range(2))
        size = self.dice.choice((8, 16, 24, 56, 64, 256))
        piece = self.base.data[one : one + size]
        piece = piece[: max(0, len(self.data) - other)]
        self.data[other : other + len(piece)] = piece
        self.changes.append(f"{len(piece)} bytes from {one:#x} copied to {other:#x}")

    def _without_sections(self) -> None:
        for name in ("shoff", "shnum", "shstrndx"):
            self._set(self.base.named("header", name)[0], 0)

    # A segment of gigabytes of zeros, with tables in it.
    def _giant(self) -> None:
        loads = [row for row in self.base.segments if self.base.value(row[0]) == 1]
        if not loads:
            return self._numbers()
        row = {field.name: field for field in self.dice.choice([loads[-1], self.dice.choice(loads)])}
        self._set(row["memsz"], 1 << self.dice.choice((24, 28, 30, 31, 40, 47, 62)))
        if self.dice.random() < 0.3:
            self._set(row["filesz"], self.dice.choice((0, 1 << 30, (1 << 63) - 1)))
        inside = self.base.value(row["vaddr"]) + self.base.value(row["filesz"]) + 4096
        pairs = list(zip(self.base.named("dynamic", "tag"), self.base.named("dynamic", "value")))
        for tag, value in self.dice.sample(pairs, min(len(pairs), self.dice.choice((1, 1, 2, 4, len(pairs))))):
            is_size = self.base.value(tag) in (2, 8, 10, 18, 35)
            size = 1 << self.dice.choice((12, 16, 20, 24, 28, 29, 30, 31, 40))
            self._set(value, size if is_size else inside)
        return None

    # Bitmaps of ones: the most slots that few bytes can ask for.
    def _relr(self) -> None:
        words = self.base.by_group.get("relr")
        if not words:
            return self._giant()
        for field in words[1:] if self.dice.random() < 0.5 else words:
            self._set(field, (1 << 64) - 1)
        for tag, value in zip(self.base.named("dynamic", "tag"), self.base.named("dynamic", "value")):
            if self.base.value(tag) == 35 and self.dice.random() < 0.5:
                self._set(value, 8 << self.dice.randrange(12))
        return None

    # Names without an end, and names that no terminal should get.
    def _strings(self) -> None:
        field = self.dice.choice(self.base.by_group["strings"])
        ugly = self.dice.choice(
            (b"\x1b[31m\x1b]0;x\x07\n\r", "\u202e\u2066".encode(), b"\xff\xfe", b"A", b"_ZN", b"_R")
        )
        size = min(self.dice.choice((16, 256, 4096)), len(self.data) - field.offset)
        self.data[field.offset : field.offset + size] = (ugly * size)[:size]
        self.changes.append(f"strings at {field.offset:#x}: {size} bytes of {ugly!r}")


def mutant(number: int, bases: Sequence[Base]) -> Mutant:
    """Make the file of a case."""
    base = bases[number % len(bases)]
    mutator = Mutator(base, random.Random(number))
    mutator.run()
    return Mutant(number, base.name, mutator.changes, bytes(mutator.data))


class _TooLong(BaseException):
    """Not an Exception: nothing that guards against hostile files may swallow it."""


class Answers:
    """What kdbg says of a file: results and errors that it means to give, anything else is raised."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT))
        package = importlib.import_module("gdb_kdbg")
        for module in pkgutil.walk_packages(package.__path__, "gdb_kdbg."):
            if not any(word in module.name for word in (".live", "__main__")):
                importlib.import_module(module.name)
        self._error: Any = importlib.import_module("gdb_kdbg.errors").KdbgError
        self._elf: Any = importlib.import_module("gdb_kdbg.elf")
        self._functions: Any = importlib.import_module("gdb_kdbg.function_starts")
        self._program: Any = importlib.import_module("gdb_kdbg.offline.program")
        known = {command.name: command for command in importlib.import_module("gdb_kdbg.registry").commands()}
        self._parser = self._program._parser(known)
        self._known = known

    def of(self, path: str) -> Iterator[tuple[str, Optional[str]]]:
        """Yield each question with the error it was answered with, None for a result."""
        places = self._places(path)
        for line in self._lines(path, places):
            yield line[0], self._run(line)
        for what, ask in self._questions(path, places):
            yield what, self._guarded(ask)

    def _lines(self, path: str, places: Sequence[int]) -> Iterator[list[str]]:
        yield ["got", path]
        for command in ("reloc", "symbol", "vtable"):
            yield from ([command, hex(place), path] for place in places[:2])
        yield ["symbol", "answer", path]

    def _places(self, path: str) -> Sequence[int]:
        try:
            elf = self._elf.open_elf(path)
            slots = importlib.import_module("gdb_kdbg.slots").planned_slots(elf)
            return [slot.address for slot in slots[:1]] + [elf.entry, *(segment.address for segment in elf.segments)]
        except self._error:
            return [0x1000]

    def _run(self, line: Sequence[str]) -> Optional[str]:
        options = self._parser.parse_args(line)
        command = self._known[line[0]]

        def ask() -> None:
            session = self._program.OfflineSession(options.core, options.files, self._program._settings([]))
            result = command.run(session, options)
            self._program.to_json(command.name, result)
            text = self._program.to_text(result)
            assert all(c.isprintable() or c == "\n" for c in text), "raw text of the file"

        return self._guarded(ask)

    def _guarded(self, ask: Callable[[], object]) -> Optional[str]:
        try:
            ask()
            return None
        except self._error as error:
            assert str(error).isprintable() and not any(word in str(error) for word in NEVER), str(error)
            return str(error)

    # What the commands do not ask of a bare file.
    def _questions(self, path: str, places: Sequence[int]) -> Iterator[tuple[str, Callable[[], object]]]:
        elf_of = self._elf.open_elf
        yield "notes", lambda: elf_of(path).notes()
        yield "names", lambda: list(elf_of(path).symbol_table().names())
        yield "symbols", lambda: list(elf_of(path).symbol_table())
        for place in places[:3]:
            yield "at", lambda place=place: elf_of(path).symbol_table().at(place)  # type: ignore[misc]
            yield "next", lambda place=place: elf_of(path).symbol_table().next_after(place)  # type: ignore[misc]
            yield "function", lambda place=place: self._functions.function_at(elf_of(path), place)  # type: ignore[misc]
        yield "live", lambda: self._live(path)

    # As if loaded at a bias, with the file's own bytes as memory.
    def _live(self, path: str) -> None:
        objfile = importlib.import_module("gdb_kdbg.target").Objfile(path, 0x555555554000)
        target = importlib.import_module("gdb_kdbg.file_target").FileTarget([objfile])
        scope = importlib.import_module("gdb_kdbg.scope").Scope([objfile])
        report = importlib.import_module("gdb_kdbg.slot_report")
        for known, elf in scope.files:
            slots = report.LoadedSlots(scope, known, elf, target)
            slots.rows()
            slots.state()


def forget() -> None:
    """Empty every cache of the package: each case has its own file, and the next is to have all the memory."""
    for name, module in list(sys.modules.items()):
        if name.startswith("gdb_kdbg"):
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear):
                    clear()


def attempt(answers: Answers, path: str) -> tuple[list[str], dict[str, Optional[str]]]:
    """Ask everything of one file; return what failed, and the errors it was answered with."""
    said: dict[str, Optional[str]] = {}
    failures: list[str] = []
    questions = answers.of(path)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        for what, error in questions:
            said[what] = said.get(what) or error
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
    except (Exception, _TooLong) as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(frames) if "gdb_kdbg" in f.filename), frames[-1])
        failures.append(
            f"{type(error).__name__} at {os.path.basename(place.filename)} {place.name}: {str(error)[:300]}"
        )
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return failures, said


def _alarm(*_: object) -> None:
    raise _TooLong


class _Case(NamedTuple):
    number: int
    base: str
    changes: Sequence[str]
    path: str


def try_all(progress: str, cases: Iterator[_Case]) -> None:
    """Ask everything of each file, and tell of it in a line of JSON before it begins and one after."""
    answers = Answers()
    signal.signal(signal.SIGPROF, _alarm)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with open(progress, "w", buffering=1) as log:
        for case in cases:
            log.write(json.dumps({"begin": case.number, "base": case.base, "changes": case.changes}) + "\n")
            start = time.process_time()
            failures, said = attempt(answers, case.path)
            seconds = time.process_time() - start
            said = {what: error and error.replace(case.path, "FILE") for what, error in said.items()}
            log.write(json.dumps({"end": case.number, "failures": failures, "said": said, "seconds": seconds}) + "\n")
            forget()
            if case.number % 50 == 0:
                gc.collect()


def bases_of(paths: Sequence[str]) -> Sequence[Base]:
    return [Base(pathlib.Path(path).name, pathlib.Path(path).read_bytes()) for path in paths]


def _mutants(options: argparse.Namespace, directory: str) -> Iterator[_Case]:
    bases = bases_of(options.bases)
    for number in range(options.first, options.first + options.step * options.count, options.step):
        made = mutant(number, bases)
        path = os.path.join(directory, f"case{number}")
        pathlib.Path(path).write_bytes(made.data)
        yield _Case(number, made.base, made.changes, path)
        os.unlink(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    asking, trying, writing = (commands.add_parser(name) for name in ("ask", "try", "write"))
    for sub in (asking, trying):
        sub.add_argument("progress")
    for name in ("first", "step", "count"):
        trying.add_argument(name, type=int)
    writing.add_argument("number", type=int)
    writing.add_argument("output")
    for sub in (asking, trying, writing):
        sub.add_argument("bases", nargs="+")
    options = parser.parse_args()
    if options.command == "ask":
        files = (_Case(number, pathlib.Path(path).name, (), path) for number, path in enumerate(options.bases))
        try_all(options.progress, files)
    elif options.command == "try":
        with tempfile.TemporaryDirectory() as directory:
            try_all(options.progress, _mutants(options, directory))
    else:
        made = mutant(options.number, bases_of(options.bases))
        pathlib.Path(options.output).write_bytes(made.data)
        print(made.base, *made.changes, sep="\n")


if __name__ == "__main__":
    main()
