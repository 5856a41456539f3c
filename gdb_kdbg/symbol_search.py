"""Symbols by what a person types: a mangled or demangled name, or a pattern of either."""

from __future__ import annotations

import difflib
import fnmatch
import re
from itertools import islice
from typing import Callable, Iterable, Iterator, NamedTuple, Optional, Sequence

from .demangle import demangle
from .elf import ElfFile
from .symbol_table import ElfSymbol
from .symbols import Symbols
from .target import Objfile

# Demangling takes 10 to 100 microseconds a name, so only names are tried that have the words of the wish in them.
_TRIED = 20_000
_COMPARED = 2000
_SUGGESTIONS = 5
# What a demangled name may say without the mangled one having it letter for letter.
_UNSPOKEN = frozenset(
    "as auto bool char char8_t char16_t char32_t closure clone const cold double dyn extern false float fn for i8 i16 "
    "i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 str impl int long mut noexcept operator part restrict shim "
    "short signed true typeinfo unsafe unsigned virtual thunk to void volatile vtable VTT guard variable wchar_t "
    "std allocator basic_string string char_traits basic_istream basic_ostream basic_iostream istream ostream iostream "
    "new delete non name global constructors destructors keyed anonymous namespace lambda unnamed type".split()
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPACE = re.compile(r"(?<!\w)\s+|\s+(?!\w)")
_CLONE = re.compile(r"( \[clone [^]]*\]|@.*)+$")


class Match(NamedTuple):
    """A symbol and the file that has it."""

    objfile: Objfile
    elf: ElfFile
    symbol: ElfSymbol


def find(symbols: Symbols, wish: str, limit: int) -> Sequence[Match]:
    """Return at most `limit` symbols of that name, else those whose demangled name it is, else those it is a glob of.

    A demangled name may come without parameters and return type, or without generic arguments.
    """
    for search in (_by_name, _by_demangled_name, _by_pattern):
        found = list(islice(_distinct(search(symbols, wish)), limit))
        if found:
            return found
    return ()


def find_inner(symbols: Symbols, wish: str, limit: int) -> Sequence[Match]:
    """Return at most `limit` symbols whose demangled name ends in the wish: `Value::print` for `llvm::Value::print`."""
    end = f"::{_close(wish)}"
    found = (m for m, demangled in _candidates(symbols, wish) if any(map(_ends_in(end), spellings(demangled))))
    return list(islice(_distinct(found), limit))


# Versions of one symbol differ in nothing that is shown.
def _distinct(matches: Iterable[Match]) -> Iterator[Match]:
    seen: set[tuple[Objfile, ElfSymbol]] = set()
    for match in matches:
        if (match.objfile, match.symbol) not in seen:
            seen.add((match.objfile, match.symbol))
            yield match


def _ends_in(end: str) -> Callable[[str], bool]:
    return lambda name: _close(name).endswith(end)


def suggest(symbols: Symbols, wish: str) -> Sequence[str]:
    """Return up to five names that look like the wish, the best first."""
    plain = [demangle(name) for name in symbols.suggest(wish)]
    words = [word for word in _WORD.findall(wish) if word not in _UNSPOKEN]
    if len(words) < 2 and plain:
        return plain
    names = {name for word in words for name in islice(_demangled_with(symbols, [word]), _COMPARED)}
    wanted = {bare_name(name): bare_name(name) for name in names}
    return [*difflib.get_close_matches(wish, wanted, _SUGGESTIONS), *plain][:_SUGGESTIONS]


def spellings(demangled: str) -> Sequence[str]:
    """Return what a person may call a demangled name: whole, bare, Rust's `<T>::f` as `T::f`, without generics."""
    bare = bare_name(demangled)
    end = _closing(bare) if bare.startswith("<") else -1
    if end > 0 and " as " not in bare[:end] and bare.startswith("::", end + 1):
        bare = f"{bare[1:end]}{bare[end + 1 :]}"
    return demangled, bare_name(demangled), bare, bare if "operator" in bare else _without_generics(bare)


# Where the bracket that opens a text closes; `->` of a function's type is no bracket.
def _closing(text: str) -> int:
    depth = 0
    for found in re.finditer(r"->|[<>]", text):
        depth += {"<": 1, ">": -1}.get(found[0], 0)
        if not depth:
            return found.start()
    return -1


def _without_generics(text: str) -> str:
    parts, depth, start = [], 0, 0
    for found in re.finditer(r"->|(?:::)?<|>", text[1:]):
        place = found.start() + 1
        if found[0].endswith("<"):
            if not depth:
                parts.append(text[start:place])
            depth += 1
        elif found[0] == ">":
            depth -= 1
            start = found.end() + 1
    return "".join(parts) + text[start:] if not depth else text


def bare_name(demangled: str) -> str:
    """Return a demangled name without clone marks, parameters, qualifiers behind them, and return type."""
    text = _CLONE.sub("", demangled)
    start = _parameters(text)
    if start <= 0:
        return text
    text = text[:start]
    space = _last_space(text)
    return text if "operator" in text or space < 0 else text[space + 1 :]


# Where the parameters open: the last `(` outside of all brackets with nothing but qualifiers behind its `)`.
def _parameters(text: str) -> int:
    end = text.rfind(")")
    if end < 0 or not re.fullmatch(r"( const| volatile| &&?|\s)*", text[end + 1 :]):
        return -1
    depth = 0
    for position in range(end, -1, -1):
        depth += {")": 1, "(": -1}.get(text[position], 0)
        if not depth:
            return position
    return -1


# Rust writes spaces only within brackets, C++ behind the return type of a template's function too.
def _last_space(text: str) -> int:
    depth = 0
    for position in range(len(text) - 1, -1, -1):
        depth += {">": 1, ")": 1, "]": 1, "}": 1, "<": -1, "(": -1, "[": -1, "{": -1}.get(text[position], 0)
        if text[position] == " " and not depth:
            return position
    return -1


def _by_name(symbols: Symbols, wish: str) -> Iterator[Match]:
    name = wish.encode("utf-8", "surrogateescape")
    for objfile, elf in symbols.files:
        if elf.symbol_table().by_name(wish) is not None:
            yield from (Match(objfile, elf, symbol) for symbol in elf.symbol_table().matching(name.__eq__))


def _by_demangled_name(symbols: Symbols, wish: str) -> Iterator[Match]:
    wanted = _close(wish)
    for match, demangled in _candidates(symbols, wish):
        if any(_close(name) == wanted for name in spellings(demangled)):
            yield match


def _by_pattern(symbols: Symbols, wish: str) -> Iterator[Match]:
    if not re.search(r"[*?[]", wish):
        return
    pattern = re.compile(fnmatch.translate(wish))
    mangled = re.compile(fnmatch.translate(wish).encode("utf-8", "surrogateescape"))
    for objfile, elf in symbols.files:
        for symbol in elf.symbol_table().matching(lambda name: bool(mangled.match(name))):
            yield Match(objfile, elf, symbol)
    for match, demangled in _candidates(symbols, re.sub(r"\[[^]]*\]", "*", wish)):
        if any(map(pattern.match, spellings(demangled))):
            yield match


# Mangled names that have all words of the wish in them, with what they stand for.
def _candidates(symbols: Symbols, wish: str) -> Iterator[tuple[Match, str]]:
    words = [word for word in _WORD.findall(wish) if word not in _UNSPOKEN]
    accept = _with_words(words)
    if not accept:
        return
    for objfile, elf in symbols.files:
        for symbol in islice(elf.symbol_table().matching(accept), _TRIED):
            demangled = demangle(symbol.name)
            if demangled != symbol.name:
                yield Match(objfile, elf, symbol), demangled


def _demangled_with(symbols: Symbols, words: Sequence[str]) -> Iterator[str]:
    accept = _with_words(words)
    if accept:
        for _, elf in symbols.files:
            yield from (demangle(symbol.name) for symbol in elf.symbol_table().matching(accept))


def _with_words(words: Sequence[str]) -> Optional[Callable[[bytes], bool]]:
    needed = sorted({word.encode() for word in words if len(word) > 1}, key=len, reverse=True)
    if not needed:
        return None
    return lambda name: name.startswith((b"_Z", b"_R", b"_G", b"DW.ref", b"__")) and all(w in name for w in needed)


# `> >` and `>>`, `a, b` and `a,b` are the same name.
def _close(text: str) -> str:
    return _SPACE.sub("", text.strip())
