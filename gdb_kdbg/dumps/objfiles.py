"""Which ELF files a dumped process had loaded, and where: from its memory, the dump's list of mappings, and linkmap."""

from __future__ import annotations

import os
from functools import partial
from typing import Callable, Iterator, NamedTuple, Optional, Sequence

from ..elf import ElfFile, open_elf
from ..errors import BadFile, KdbgError, MemoryFault
from ..kernel_image import is_astray, place_all
from ..linkmap import AT_ENTRY, LoadedObject, header_agrees, loaded_objects, mismatch, other_dynamic
from ..target import Memory, Objfile, Target
from ..units import Size, safe_text
from .notes import MappedFile

_PAGE = 4096


class Found(NamedTuple):
    """The files in the order of the dynamic linker's lookups as far as it is known, and what is wrong with others."""

    objfiles: tuple[Objfile, ...]
    problems: tuple[str, ...]


# The file that is replaced (its own path if none), and the load bias.
_Place = tuple[str, int]


def find_files(target: Target, mapped: Sequence[MappedFile], given: Sequence[str]) -> Found:
    """Find the files of a dumped process; a given one takes the place of the one that ran.

    Those of a guest are the given ones, where its memory shows them, else where they are linked.
    """
    if target.is_system:
        return _files_of_guest(target, given)
    finder = _Finder(target, mapped)
    for path in given:
        finder.add(path, partial(finder.given, path))
    for path in dict.fromkeys(start.path for start in finder.starts):
        finder.add(path, partial(finder.mapped, path))
    for loaded in finder.objects:
        if loaded.name and not finder.has(loaded.load_bias):
            finder.add(loaded.name, partial(finder.listed, loaded))
    return finder.result()


def _files_of_guest(target: Target, given: Sequence[str]) -> Found:
    problems: list[str] = []
    files: list[Objfile] = []
    for path in given:
        try:
            files.append(_linked(path))
        except KdbgError as error:
            problems.append(str(error))
    placed = place_all(target, files)
    seen = {objfile.path: objfile for objfile in placed.objfiles}
    problems += placed.problems if is_astray(target, files) else ()
    return Found(tuple(seen.get(objfile.path, objfile) for objfile in files), tuple(problems))


def _linked(path: str) -> Objfile:
    open_elf(path)
    return Objfile(path, 0)


class _Finder:
    def __init__(self, target: Target, mapped: Sequence[MappedFile]) -> None:
        self.starts = [place for place in mapped if _is_elf(target, place)]
        self.objects = loaded_objects(target)
        self._mapped = mapped
        self._target = target
        self._found: dict[str, Objfile] = {}
        self._copies: list[Objfile] = []
        self._problems: list[str] = []
        self._refused: set[int] = set()
        self._ranks = {loaded.load_bias: rank for rank, loaded in reversed(list(enumerate(self.objects)))}

    def add(self, path: str, place_of: Callable[[ElfFile], Optional[_Place]]) -> None:
        """Add a file that stands for none so far."""
        if path in self._found:
            return
        try:
            elf = open_elf(path)
            place = place_of(elf)
            if place is not None:
                self._check(elf, place[1])
                self._found[place[0]] = Objfile(path, place[1])
        except KdbgError as error:
            self._problems.append(str(error))

    # What a dump leaves out is read from the very files: that the headers agree need not mean anything.
    def _check(self, elf: ElfFile, bias: int) -> None:
        problem = other_dynamic(self._target, elf, bias)
        if problem:
            self._refused.add(bias)
            raise BadFile(problem)

    def has(self, bias: int) -> bool:
        return bias in self._refused or any(
            objfile.load_bias == bias for objfile in (*self._found.values(), *self._copies)
        )

    def given(self, path: str, elf: ElfFile) -> _Place:
        """Place a given file, often a copy with symbols of the one that ran: by path, else by name, else by header."""
        if not self.starts and not self.objects:
            return path, self._bias_by_entry(elf)
        same = [s for s in self.starts if os.path.realpath(s.path) == os.path.realpath(path)]
        named = same or [s for s in self.starts if os.path.basename(s.path) == os.path.basename(path)]
        for place, bias in self._places(elf, named) if named else self._places(elf, self.starts):
            agrees = header_agrees(self._target, elf, bias)
            if agrees or agrees is None and named:
                return place or path, bias
        name = safe_text(path, 200)
        raise BadFile(f"{name} is {'not the file of that name' if named else 'none of the files'} that the program ran")

    def mapped(self, path: str, elf: ElfFile) -> Optional[_Place]:
        """Place a file of the dump's list, if it was mapped as a loader does it and not as data."""
        starts = [start for start in self.starts if start.path == path]
        places = self._places(elf, starts, with_listed=False)
        biases = [bias for _, bias in places if bias in self._ranks or self._is_loaded(path, elf, bias)]
        if not biases:
            return None
        bias = min(biases, key=lambda bias: bias not in self._ranks)
        if header_agrees(self._target, elf, bias) is False:
            raise BadFile(f"{safe_text(path, 200)} has changed since the program ran: memory has another file header")
        # Each namespace of dlmopen has its own libc.
        again = (other for other in self._ranks if other in biases and other != bias)
        self._copies += (Objfile(path, other) for other in again)
        return path, bias

    def listed(self, loaded: LoadedObject, elf: ElfFile) -> _Place:
        problem = mismatch(self._target, elf, loaded)
        if problem:
            raise BadFile(problem)
        return loaded.name, loaded.load_bias

    def result(self) -> Found:
        found = (*self._found.values(), *self._copies)
        ordered = sorted(found, key=lambda file: self._ranks.get(file.load_bias, len(self._ranks)))
        return Found(tuple(ordered), tuple(self._problems))

    # A dump without a list of files and without the program's headers still says where it began.
    def _bias_by_entry(self, elf: ElfFile) -> int:
        bias = self._target.auxiliary_vector().get(AT_ENTRY, 0) - elf.entry
        if elf.type != "EXEC" and (bias < 0 or bias % _PAGE):
            raise BadFile(f"the dump does not say where {safe_text(elf.path, 200)} was loaded: give --bias")
        return 0 if elf.type == "EXEC" else bias

    # What a file could stand for, and its load bias then.
    def _places(self, elf: ElfFile, starts: Sequence[MappedFile], with_listed: bool = True) -> Iterator[_Place]:
        first = next((s for s in elf.loaded if s.offset < _PAGE), None)
        for start in starts:
            if elf.type == "EXEC":
                yield start.path, 0
            elif first is not None:
                yield start.path, start.start - first.address // _PAGE * _PAGE
        if with_listed:
            yield from (("", loaded.load_bias) for loaded in self.objects)

    def _is_loaded(self, path: str, elf: ElfFile, bias: int) -> bool:
        wanted = {(s.address // _PAGE * _PAGE + bias, s.offset // _PAGE * _PAGE) for s in elf.loaded if s.file_size}
        there = {(place.start, place.offset) for place in self._mapped if place.path == path}
        return len(wanted & there) >= min(2, len(wanted)) > 0


# Only a mapping that starts with an ELF header in memory is a loaded file; others are data.
def _is_elf(memory: Memory, place: MappedFile) -> bool:
    try:
        return place.offset == 0 and memory.read_memory(place.start, Size(4)) == b"\x7fELF"
    except MemoryFault:
        return False
