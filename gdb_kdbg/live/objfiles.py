"""Which ELF files GDB has loaded, and where; where GDB does not know, what the process itself says."""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import Iterator, Mapping, NamedTuple, Optional

import gdb

from ..elf import ElfFile, open_elf
from ..errors import KdbgError
from ..kernel_image import is_astray, place_all
from ..linkmap import AT_ENTRY, LoadedObject, loaded_objects, mismatch, other_dynamic, runs_programs
from ..target import Objfile, Target
from ..units import is_kernel_half, safe_text

# GDB lists the sections of the main file without a name, those of others with `in FILE`.
_SECTION = re.compile(r"^\s*(0x[0-9a-f]+) - 0x[0-9a-f]+ is (\S+)(?: in (.*))?$")
_MAIN = re.compile(r"^\s*`(.*)', file type")
# The same of each symbol file, moved by what the user said; a debugging aid of GDB's own, so it comes second.
_OBJECT = re.compile(r"^(?:Exec|Object) file: `(.*)', file type")
_OBJECT_SECTION = re.compile(r"^\s*\[\d+\]\s+(0x[0-9a-f]+)->0x[0-9a-f]+ at 0x[0-9a-f]+: (\S+)")
_REMOTE = re.compile(r"^(?:target|remote):")


class Loaded(NamedTuple):
    """The loaded files, and what is wrong with some; `may_change` if they must be found again after the program ran."""

    objfiles: tuple[Objfile, ...]
    problems: tuple[str, ...] = ()
    may_change: bool = False


def loaded_objfiles() -> tuple[Objfile, ...]:
    """Return GDB's ELF files with their load biases, from its section table; no packet is sent for it."""
    return _Known().objfiles


def find_loaded(target: Target) -> Loaded:
    """Return the ELF files of a program; memory is read only where GDB's list of a process lacks something."""
    known = _Known()
    if target.is_system:
        return _in_machine(target, known.objfiles)
    return _completed(target, known) if _is_lacking(target, known) else Loaded(known.objfiles)


# The kernel may have been moved, of which GDB knows nothing; a pc outside of all files gives it away.
def _in_machine(target: Target, objfiles: tuple[Objfile, ...]) -> Loaded:
    if is_astray(target, objfiles):
        return Loaded(*place_all(target, objfiles), may_change=True)
    return Loaded(objfiles, may_change=not is_kernel_half(target.register("rip") or 0))


class _Known:
    """What GDB knows: the files by their paths here, with their load biases (None if GDB has no section of one)."""

    @property
    def objfiles(self) -> tuple[Objfile, ...]:
        return (*(Objfile(path, bias or 0) for path, bias in self.biases.items()), *self.copies)

    @cached_property
    def main(self) -> str:
        """The path of the main program, empty if GDB has none."""
        space = gdb.current_progspace()
        return _local(space.filename) if space is not None and space.filename else ""

    @cached_property
    def biases(self) -> dict[str, Optional[int]]:
        names = {_local(name, file.build_id): name for name, file in _named() if file.owner is None}
        names.update((_local(name), name) for name in self._listed if _local(name) not in names)
        # The main program is first in the order of lookups; a file may have several names.
        ordered = sorted(names, key=lambda path: path != self.main)
        first = {os.path.realpath(path): path for path in reversed(ordered)}
        paths = [path for path in ordered if first[os.path.realpath(path)] == path]
        biases = {path: self._bias(elf, names[path]) for path in paths for elf in _opened(path)}
        for name, debug in _named():
            owner = _local((debug.owner.filename if debug.owner else None) or "")
            if owner in biases and not _finds_itself(owner, name):
                biases.setdefault(name, biases[owner])
        return biases

    @cached_property
    def copies(self) -> tuple[Objfile, ...]:
        """Files that are loaded a second time at another place, as each namespace of dlmopen has its own libc."""
        seen = {(os.path.realpath(path), bias) for path, bias in self.biases.items()}
        found: list[Objfile] = []
        for name, loads in self._listed.items():
            path = _local(name)
            for sections in loads:
                bias = next((_bias_by_sections(elf, sections) for elf in _opened(path)), None)
                is_whole = sections.keys() == loads[0].keys()
                if bias is not None and is_whole and (os.path.realpath(path), bias) not in seen:
                    seen.add((os.path.realpath(path), bias))
                    found.append(Objfile(path, bias))
        return tuple(found)

    # The sections of each file; as often as it is loaded.
    @cached_property
    def _listed(self) -> dict[str, list[dict[str, int]]]:
        space = gdb.current_progspace()
        main = (space.filename if space else None) or ""
        listed: dict[str, list[dict[str, int]]] = {}
        for line in (gdb.execute("info files", to_string=True) or "").splitlines():
            header, section = _MAIN.match(line), _SECTION.match(line)
            if header:
                main = header[1]
            elif section:
                loads = listed.setdefault(section[3] or main, [{}])
                if section[2] in loads[-1]:
                    loads.append({})
                loads[-1][section[2]] = int(section[1], 16)
        return listed

    @cached_property
    def _symbol_files(self) -> dict[str, dict[str, int]]:
        listed: dict[str, dict[str, int]] = {}
        # GDB 16 dies of listing a file without sections.
        if not all(_has_sections(_local(name)) for name, _ in _named()):
            return listed
        name = ""
        for line in (gdb.execute("maint info sections -all-objects", to_string=True) or "").splitlines():
            header, section = _OBJECT.match(line), _OBJECT_SECTION.match(line)
            if header:
                name = header[1]
            elif section:
                listed.setdefault(name, {}).setdefault(section[2], int(section[1], 16))
        return listed

    def _bias(self, elf: ElfFile, name: str) -> Optional[int]:
        bias = _bias_by_sections(elf, self._listed.get(name, [{}])[0])
        return bias if bias is not None else _bias_by_sections(elf, self._symbol_files.get(name, {}))


def _named() -> Iterator[tuple[str, gdb.Objfile]]:
    return ((objfile.filename, objfile) for objfile in gdb.objfiles() if objfile.filename)


# kdbg looks for a separate debug file by the build id, as GDB does; another one has to be named.
def _finds_itself(path: str, debug_path: str) -> bool:
    try:
        return any(elf.debug_file.path == os.path.realpath(debug_path) for elf in _opened(path))
    except KdbgError:
        return False


def _bias_by_sections(elf: ElfFile, sections: Mapping[str, int]) -> Optional[int]:
    try:
        placed = (s for s in elf.sections if s.placed and s.address and s.name in sections)
        return next((sections[section.name] - section.address for section in placed), None)
    except KdbgError:
        return None


def _has_sections(path: str) -> bool:
    try:
        return all(elf.sections for elf in _opened(path))
    except KdbgError:
        return False


def _opened(path: str) -> Iterator[ElfFile]:
    try:
        elf = open_elf(path)
        if elf.type in ("EXEC", "DYN"):
            yield elf
    except KdbgError:
        pass


# Files that GDB read through a stub mostly are here too: as the same path, and with the same build id.
def _local(name: str, build_id: Optional[str] = None) -> str:
    path = _REMOTE.sub("", name)
    try:
        is_other = path != name and build_id and any(elf.build_id() not in (None, build_id) for elf in _opened(path))
    except KdbgError:
        is_other = True
    return name if is_other else path


def _is_lacking(target: Target, known: _Known) -> bool:
    main = known.biases.get(known.main)
    if main is None or None in known.biases.values():
        return True
    elf = open_elf(known.main)
    if elf.entry + main != target.auxiliary_vector().get(AT_ENTRY, elf.entry + main):
        return True
    if runs_programs(elf):
        return True
    others = [path for path in known.biases if path != known.main and not path.endswith(".debug")]
    return not others and any(segment.type == "INTERP" for segment in elf.segments)


def _completed(target: Target, known: _Known) -> Loaded:
    paths = {os.path.realpath(path): path for path in known.biases}
    left = dict(paths)
    found: dict[tuple[str, int], Objfile] = {}
    problems: list[str] = []
    for number, loaded in enumerate(loaded_objects(target, next(_opened(known.main), None))):
        path = known.main if number == 0 and known.main else _on_this_machine(loaded.name)
        if not path:
            problems.append(f"what is loaded at {loaded.load_bias:#x} has no name in memory: name its file with --bias")
            continue
        real = os.path.realpath(path)
        left.pop(real, None)
        placed = Objfile(paths.get(real, path), loaded.load_bias)
        problem = None if number and placed in known.objfiles else _problem(target, placed.path, loaded)
        if problem:
            problems.append(problem)
        else:
            found.setdefault((real, placed.load_bias), placed)
    for path in left.values():
        alone = _without_list(path, known.biases[path])
        problems += [] if alone else [f"where {safe_text(path, 200)} is loaded cannot be found: give --bias"]
        found.update({(path, alone.load_bias): alone} if alone else {})
    return Loaded(tuple(found.values()), tuple(problems), may_change=True)


# A file that stands in no list of the process: the user named it to GDB, or the process has no list.
def _without_list(path: str, bias: Optional[int]) -> Optional[Objfile]:
    is_fixed = any(elf.type == "EXEC" for elf in _opened(path))
    return Objfile(path, bias or 0) if bias is not None or is_fixed else None


def _problem(target: Target, path: str, loaded: LoadedObject) -> Optional[str]:
    """Say why a file cannot be what is loaded; one that cannot be opened is told by who opens it."""
    for elf in _opened(path):
        problem = mismatch(target, elf, loaded)
        if problem is None and target.kind == "core dump":
            problem = other_dynamic(target, elf, loaded.load_bias)
        if problem:
            return problem
    return None


def _on_this_machine(name: str) -> str:
    """Return where a file of the target is here, by GDB's `sysroot`."""
    root = _REMOTE.sub("", str(gdb.parameter("sysroot") or ""))
    inside = os.path.join(root, name.lstrip("/")) if root and name.startswith("/") else name
    return inside if os.path.exists(inside) else name
