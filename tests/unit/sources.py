"""The house's own source code as `ast` sees it, for the tests of its rules."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Iterator, Sequence, Union

PACKAGE = Path(__file__).resolve().parent.parent.parent / "gdb_kdbg"
Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


@dataclass(frozen=True)
class Import:
    """One imported module: `name` has its dots, relative ones resolved to `gdb_kdbg.…`.

    `typing_only` stands under TYPE_CHECKING, `lazy` inside a function.
    """

    name: str
    typing_only: bool = False
    lazy: bool = False

    @property
    def root(self) -> str:
        return self.name.split(".")[0]

    @property
    def inside(self) -> str:
        """The module's place in the package, `` for another package's."""
        return self.name.partition("gdb_kdbg.")[2] if self.root == "gdb_kdbg" else ""


@dataclass(frozen=True)
class Source:
    """A module of the package; `path` is relative to it, `live/target.py` for instance."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """Dotted name inside the package: `live.target`, and `live` for its `__init__`."""
        return self.path[: -len(".py")].replace("/", ".").replace(".__init__", "").replace("__init__", "")

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def nodes(self) -> Sequence[ast.AST]:
        return _walked(self.text)

    def imports(self) -> Sequence[Import]:
        return _imports_of(self)

    def functions(self) -> Iterator[Function]:
        for node in self.nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node


@lru_cache(maxsize=None)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@lru_cache(maxsize=None)
def _walked(text: str) -> Sequence[ast.AST]:
    return tuple(ast.walk(_parsed(text)))


@lru_cache(maxsize=None)
def _imports_of(source: Source) -> Sequence[Import]:
    package = ["gdb_kdbg", *source.path.split("/")[:-1]]
    return [found for node in source.tree.body for found in _imports(node, package, False, False)]


def _imports(node: ast.AST, package: list[str], typing_only: bool, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, typing_only, lazy)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = [*base, *(node.module.split(".") if node.module else [])]
        # `from . import x` and `from .rules import x` may name modules.
        for alias in node.names:
            named = ".".join([*module, alias.name])
            is_module = node.level and _exists(named)
            yield Import(named if is_module else ".".join(module), typing_only, lazy)
    elif isinstance(node, (ast.stmt, ast.ExceptHandler)):
        lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, package, typing_only or guarded, lazy)


def _exists(name: str) -> bool:
    place = PACKAGE.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


@lru_cache(maxsize=None)
def sources() -> Sequence[Source]:
    """Every module of the package."""
    return [
        Source(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1
