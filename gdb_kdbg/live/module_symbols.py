"""Symbols of a kernel's modules in GDB."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Sequence

import gdb

from ..errors import KdbgError
from ..uml_modules import Module, at_zero, find_file, read_modules
from .target import GdbTarget


class ModuleSymbols:
    """The modules whose symbols kdbg has loaded."""

    def __init__(self, target: GdbTarget) -> None:
        self._target = target
        self._loaded: dict[str, str] = {}
        self._places: dict[str, int] = {}
        self._copies: dict[str, tempfile.TemporaryDirectory[str]] = {}
        self.is_complete = True  # no module was seen in the middle of being loaded

    def refresh(self, directories: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """Load what is new and drop what is gone; return what is loaded now, and what could not be."""
        problems: list[str] = []
        present: dict[str, Module] = {}
        try:
            for module in read_modules(self._target):
                present[repr(module)] = module
        except KdbgError as error:
            problems.append(str(error))
        self.is_complete = all(module.text for module in present.values())
        for key in [key for key in self._loaded if key not in present]:
            self._drop(key)
        for key, module in present.items():
            if key not in self._loaded:
                problems += self._add(key, module, directories)
        return [f"module {present[key].name}: {self._loaded[key]}" for key in self._loaded], problems

    def remove(self) -> None:
        """Drop all of them."""
        for key in list(self._loaded):
            self._drop(key)

    def _add(self, key: str, module: Module, directories: Sequence[str]) -> Sequence[str]:
        path = find_file(module, directories) if module.text else None
        if path is None or module.text is None:
            return [f"no file of module {module.name} found (set kdbg module-path DIRECTORY)"]
        # Without .eh_frame GDB would guess how its frames unwind.
        others = (f"-s {name} {address:#x}" for name, address in module.sections.items() if name != ".text")
        shown = self._placeable(key, path)
        gdb.execute(f"add-symbol-file {_quoted(shown)} {module.text:#x} {' '.join(others)}", to_string=True)
        self._loaded[key] = path
        self._places[key] = module.text
        return []

    # The file itself, or a copy that GDB can place, which has its name too: it is shown wherever a symbol is.
    def _placeable(self, key: str, path: str) -> str:
        content = at_zero(path)
        if content is None:
            return path
        directory = self._copies[key] = tempfile.TemporaryDirectory(prefix="kdbg-")  # GDB reads it until the end
        copy = os.path.join(directory.name, os.path.basename(path))
        with open(copy, "wb") as file:
            file.write(content)
        return copy

    def _drop(self, key: str) -> None:
        del self._loaded[key]
        with contextlib.suppress(gdb.error):
            gdb.execute(f"remove-symbol-file -a {self._places.pop(key):#x}", to_string=True)
        copy = self._copies.pop(key, None)
        if copy is not None:
            copy.cleanup()


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
