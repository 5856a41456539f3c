"""C++ and Rust names as people write them, the same inside GDB and outside.

C++ is left to the demangler of libstdc++, which is there wherever GDB is. It unfolds what a name refers back to
without any limit, so that 200 characters may ask for more memory than there is; names that could are left alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Callable, Optional

from .rust_legacy import demangle_legacy
from .rust_names import demangle_v0

_NAME_LIMIT = 8192
# Longest C++ name that could come of a mangled one; of 44,000 real ones three are estimated at more.
_UNFOLDED_LIMIT = 1 << 22
# What is kept of 4096 names must not fill the memory; the longest real one seen has 13,000 characters.
_OUTPUT_LIMIT = 1 << 15
_LIBRARIES = ("libstdc++.so.6", "libc++abi.so.1")

# What is written before a name: by compilers for a name's static initializers and references, by Linux's build.
_BEFORE = re.compile(r"(_GLOBAL__sub_[ID]_|DW\.ref\.|__pfx_|__cfi_|__ksymtab_|__kstrtab_)?(_R[A-Z]|_Z)")
# And behind it: symbol versions and `@plt`; what compilers add to copies and parts of a function.
_BEHIND = re.compile(r"([^@.]*(?:\.(?!llvm\.[0-9])[^@.]*)*)(\.llvm\.[0-9]+)?([^@]*)(@.*)?", re.DOTALL)
_REFERENCE = re.compile(r"([ST])([0-9A-Z]{0,6})_")


def demangle(name: str) -> str:
    """Return what a C++ or Rust name stands for, the name itself if it is not mangled or asks for too much.

    Rust paths come without hashes. The clones compilers make keep their mark (`f() [clone .cold]`) and versions stay
    (`f()@V1`); `.llvm.NUMBER` of names that were local goes.
    """
    return _demangled(name) if _BEFORE.match(name) and len(name) <= _NAME_LIMIT else name


@lru_cache(maxsize=1 << 12)
def _demangled(name: str) -> str:
    before = _BEFORE.match(name)
    prefix = (before[1] or "") if before else ""
    parts = _BEHIND.fullmatch(name, len(prefix))
    if parts is None:
        return name
    for end in (parts.end(3), _clone_start(name, len(prefix))):
        mangled, mark = name[len(prefix) : end].replace(parts[2] or "\n", ""), name[end : parts.end(3)]
        found = _rust(mangled) or _cxx(mangled)
        if found and len(found) <= _OUTPUT_LIMIT:
            mark = mark.replace(parts[2] or "\n", "")
            return f"{prefix}{found}{f' [clone {mark}]' if mark else ''}{parts[4] or ''}"
    return name


# Legacy Rust has dots within its names, and v0 ends before the first.
def _clone_start(name: str, start: int) -> int:
    legacy = re.compile(r".*?17h[0-9a-f]{16}E", re.DOTALL).match(name, start)
    return legacy.end() if legacy else (name + ".").index(".", start)


def _rust(mangled: str) -> Optional[str]:
    return demangle_legacy(mangled) if mangled.startswith("_ZN") else demangle_v0(mangled)


def _cxx(mangled: str) -> Optional[str]:
    library = _cxx_demangler()
    if library is None or not mangled.startswith("_Z") or "\0" in mangled or unfolded_size(mangled) > _UNFOLDED_LIMIT:
        return None
    return library(mangled.encode("utf-8", "replace"))


def unfolded_size(mangled: str) -> int:
    """Return an upper bound of the pieces a C++ name unfolds to: each reference back repeats what came before.

    What the n-th substitution (`S<n-1>_`) stands for lies before the first use of it or of a later one; of a template
    argument (`T_`) only that it lies before is known. Source: Itanium C++ ABI, 5.1.10 "Compression".
    """
    size = len(mangled)
    known: list[tuple[int, int]] = []
    for kind, digits in _REFERENCE.findall(mangled):
        number = -1 if kind == "T" else int(digits, 36) + 1 if digits else 0
        if number < 0:
            size *= 2
            continue
        if not known or number > known[-1][0]:
            known.append((number, size))
        size += next(before for other, before in known if other >= number)
    return size


@lru_cache(maxsize=1)
def _cxx_demangler() -> Optional[Callable[[bytes], Optional[str]]]:
    import ctypes

    for name in _LIBRARIES:
        try:
            function = ctypes.CDLL(name).__cxa_demangle
            return _caller(function, ctypes.CDLL(None).free)
        except (OSError, AttributeError):
            continue
    return None


def _caller(function: Any, free: Any) -> Callable[[bytes], Optional[str]]:
    import ctypes

    function.restype = ctypes.c_void_p
    function.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    free.argtypes = (ctypes.c_void_p,)

    def call(mangled: bytes) -> Optional[str]:
        found = function(mangled, None, None, None)
        if not found:
            return None
        text = ctypes.string_at(found).decode("utf-8", "backslashreplace")
        free(found)
        return text

    return call
