"""The house style, where a machine can see it."""

from __future__ import annotations

import ast
import statistics
from typing import Callable, Iterable, Iterator

import pytest
from sources import Source, length, sources

MEDIAN, LONGEST, FILE = 10, 45, 320
MUTATORS = {"append", "add", "update", "extend", "insert", "clear", "pop", "popitem", "remove", "discard", "setdefault"}
# The registry is what declares; its one instance is hidden behind functions.
HOLDS_STATE = ("live/", "registry.py")
PRINTS = ("live/", "offline/", "docs.py")


def names_of(module: ast.Module) -> set[str]:
    """The names a module binds by assignment at its top."""
    names: set[str] = set()
    for node in module.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names.update(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    return names


def mutations(source: Source) -> Iterator[str]:
    """Say where a function changes what belongs to the module."""
    names = names_of(source.tree)
    for function in source.functions():
        nodes = list(ast.walk(function))
        local = {argument.arg for argument in nodes if isinstance(argument, ast.arg)}
        local |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for node in nodes:
            if isinstance(node, ast.Global):
                yield f"{function.name}: global {', '.join(node.names)}"
            elif (changed := _changed(node)) in names - local:
                yield f"{function.name}: changes {changed}"


def _changed(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        return _base(node.func.value)
    if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return _base(node.value)
    return ""


def _base(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def mutable_dataclasses(source: Source) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if any("dataclass" in text and "frozen=True" not in text for text in decorators):
                yield node.name


def printing(source: Source) -> Iterator[int]:
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno


def error_texts(source: Source) -> Iterator[tuple[str, str]]:
    """The first and last words of the errors a module raises."""
    for node in source.nodes:
        call = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
            text = call.args[-1] if call.func.id == "MemoryFault" else call.args[0]
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            first, last = (p.value if isinstance(p, ast.Constant) else "{}" for p in (parts[0], parts[-1]))
            yield str(first), str(last)


def is_sentence(first: str, last: str) -> bool:
    word = first.split(" ")[0]
    return last.endswith(".") or (word[:1].isupper() and not word.isupper())


def test_functions_are_short() -> None:
    lengths = [length(function) for source in sources() for function in source.functions()]
    assert statistics.median(lengths) < MEDIAN


def found(rule: Callable[[Source], Iterable[object]], but: tuple[str, ...] = ()) -> list[str]:
    """What a rule finds in all modules but those that are exempt."""
    return [f"{s.path}: {what}" for s in sources() if not s.path.startswith(but) for what in rule(s)]


def test_no_function_is_longer_than_a_screen() -> None:
    assert found(lambda source: [f"{f.name}: {length(f)}" for f in source.functions() if length(f) > LONGEST]) == []


def test_no_file_is_long() -> None:
    assert found(lambda source: [source.lines] if source.lines > FILE else []) == []


def test_every_module_has_a_docstring() -> None:
    assert found(lambda source: [] if ast.get_docstring(source.tree) else ["none"]) == []


def test_modules_keep_no_state() -> None:
    assert found(mutations, HOLDS_STATE) == []


def test_public_values_are_frozen() -> None:
    assert found(mutable_dataclasses) == []


def test_only_faces_print() -> None:
    assert found(printing, PRINTS) == []


def test_errors_are_lower_case_without_a_full_stop() -> None:
    assert found(lambda source: [text for text in error_texts(source) if is_sentence(*text)]) == []


@pytest.mark.parametrize(
    "code",
    [
        "seen = {}\ndef f():\n    seen['x'] = 1",
        "seen = []\ndef f():\n    seen.append(1)",
        "seen: list[int] = []\ndef f():\n    del seen[0]",
        "count = 0\ndef f():\n    global count\n    count += 1",
    ],
)
def test_a_change_of_module_state_is_found(code: str) -> None:
    assert list(mutations(Source("x.py", code)))


@pytest.mark.parametrize(
    "code",
    [
        "NAMES = {'x': 1}\ndef f():\n    return NAMES['x']",
        "seen = []\ndef f(seen):\n    seen.append(1)",
        "seen = []\ndef f():\n    seen = {}\n    seen['x'] = 1",
    ],
)
def test_constants_and_local_names_are_no_module_state(code: str) -> None:
    assert list(mutations(Source("x.py", code))) == []


def test_a_dataclass_that_is_not_frozen_is_found() -> None:
    assert list(mutable_dataclasses(Source("x.py", "@dataclass\nclass Public:\n    x: int"))) == ["Public"]
    assert list(mutable_dataclasses(Source("x.py", "@dataclass(frozen=True)\nclass Public:\n    x: int"))) == []


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("raise KdbgError('Cannot read')", True),
        ("raise KdbgError(f'cannot read {x}.')", True),
        ("raise KdbgError(f'cannot read {x}')", False),
        ("raise KdbgError(f'{x} is no ELF file')", False),
        ("raise BadFile('ELF header is cut')", False),
    ],
)
def test_an_error_written_as_a_sentence_is_found(code: str, bad: bool) -> None:
    assert any(is_sentence(*text) for text in error_texts(Source("x.py", code))) is bad
