"""Which loaded files a command about slots works on, and where they are: the argument OBJFILE and `--bias`."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional, Sequence

from .elf import ElfFile
from .errors import KdbgError, NotSupported
from .file_target import KIND, FileTarget
from .process import X86_64
from .scope import Scope, base_name
from .session import Session
from .target import Memory, Objfile, Target
from .units import ADDRESS_MASK, safe_text

_LISTED = 12


class Selection(NamedTuple):
    """The files that were asked for, among all of the target; `memory` is None where there are files only."""

    target: Target
    scope: Scope
    files: Sequence[tuple[Objfile, ElfFile]]
    memory: Optional[Memory]


def select(session: Session, name: Optional[str], bias: Optional[str]) -> Selection:
    """Choose the files that `name` matches, all without one; `bias` overrides where one of them was loaded.

    A name matches the file's path, its base name, or the start of that. One that is not loaded, but is the path of an
    ELF file, is taken as a bare file, or as loaded at `bias`. Raises KdbgError.
    """
    number = _number(bias)
    target = _target(session, name)
    if target.kind != KIND and target.architecture != X86_64:
        raise NotSupported(f"the target is {safe_text(target.architecture)}; kdbg knows the slots of {X86_64} only")
    scope = Scope.of(target)
    found = [objfile for objfile, _ in scope.files if name is None or _matches(name, objfile)]
    if not found and name is not None and os.path.exists(name):
        found = [Objfile(name, 0)]
        target = target if number is not None else FileTarget(found)
        scope = Scope([*target.objfiles(), *found] if number is not None else found)
    if not found:
        raise KdbgError(_nothing(name, scope))
    if number is not None:
        scope, found = _moved(scope, found, number)
    files = [(objfile, elf) for objfile, elf in scope.files if objfile in found]
    if not files and scope.problems:
        raise KdbgError(scope.problems[0])
    return Selection(target, scope, files, None if target.kind == KIND else target)


def _target(session: Session, name: Optional[str]) -> Target:
    try:
        return session.files_target()
    except KdbgError:
        # A path needs no program and no file beside it.
        if name is None or not os.path.exists(name):
            raise
        return FileTarget([Objfile(name, 0)])


def _matches(name: str, objfile: Objfile) -> bool:
    base = os.path.basename(objfile.path)
    return name in (objfile.path, base) or base.startswith(name) or os.path.realpath(name) == objfile.path


def _moved(scope: Scope, found: Sequence[Objfile], bias: int) -> tuple[Scope, list[Objfile]]:
    if len(found) > 1:
        raise KdbgError(f"--bias needs the one OBJFILE it is of: {', '.join(map(base_name, found[:_LISTED]))}")
    moved = Objfile(found[0].path, bias)
    others = [moved if objfile == found[0] else objfile for objfile in scope.symbols.objfiles]
    return Scope(others, scope.vdso), [moved]


def _number(text: Optional[str]) -> Optional[int]:
    if text is None:
        return None
    try:
        return int(text, 0) & ADDRESS_MASK
    except ValueError:
        raise KdbgError(f"no load bias: {safe_text(text)!r} (a number such as 0x555555554000)") from None


def _nothing(name: Optional[str], scope: Scope) -> str:
    if scope.problems:
        return scope.problems[0]
    loaded = [base_name(objfile) for objfile, _ in scope.files]
    more = f" and {len(loaded) - _LISTED} more" if len(loaded) > _LISTED else ""
    what = f"no objfile matches '{safe_text(name, 200)}'" if name else "no objfile is loaded"
    return what + (f"; loaded are {', '.join(loaded[:_LISTED])}{more}" if loaded else "")
