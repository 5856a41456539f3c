"""errors, units, ranges < target < blocks < logic < registry < commands < faces; and one door to each library."""

from __future__ import annotations

import subprocess
import sys
from typing import Iterator, Sequence

import pytest
from sources import PACKAGE, Import, Source, sources

FACES = ("live", "offline", "mcp")
LAYERS = {"": 0, "errors": 0, "units": 0, "ranges": 1, "target": 2, "blocks": 3, "registry": 5, "commands": 6}
LOGIC, ABOVE_REGISTRY, FACE = 4, 6, 7
# These stand on the registry: they parse for the commands, describe them, or start a face.
HELPERS = {"arguments": ABOVE_REGISTRY, "docs": ABOVE_REGISTRY, "__main__": FACE}
DOORS = {
    "gdb": "live/",
    "elftools": "elf.py",
    "capstone": "disassembly.py",
    "unicorn": "emulation.py",
    "mcp": "mcp/",
    "dask": "triage_dask.py",
    "distributed": "triage_dask.py",
    "fsspec": "triage_store.py",
    "s3fs": "triage_store.py",
}


def layer(name: str) -> int:
    head = name.split(".")[0]
    return FACE if head in FACES else {**LAYERS, **HELPERS}.get(head, LOGIC)


def is_logic(name: str) -> bool:
    return layer(name) <= LOGIC and name.split(".")[0] != "render"


def breaches(source: Source) -> Iterator[str]:
    """Say what each import of a module breaks."""
    for imported in source.imports():
        broken = [*_layer_breach(source, imported), *_door_breach(source, imported)]
        yield from (f"{source.path} imports {imported.name}: {breach}" for breach in broken)


def _layer_breach(source: Source, imported: Import) -> Iterator[str]:
    if imported.root != "gdb_kdbg":
        return
    here, there = source.name.split(".")[0], imported.inside.split(".")[0]
    if here == "render" and there not in ("render", "errors", "units"):
        yield "render knows errors and units only"
    elif here in FACES and there in FACES and here != there:
        yield "faces never import each other"
    elif here == "commands" and there == "commands" and source.name != "commands":
        yield "commands never import each other"
    elif here == "commands" and there != "registry" and not imported.lazy and not imported.typing_only:
        yield "a command imports nothing but the registry before it runs"
    elif there == "render" and here != "render" and layer(here) < FACE:
        yield "only faces render"
    elif layer(there) > layer(here) and (here, there) != ("status", "registry"):
        yield "a higher layer"


def _door_breach(source: Source, imported: Import) -> Iterator[str]:
    door = DOORS.get(imported.root)
    # Types cost nothing at run time; only gdb's are kept out altogether.
    counts = not imported.typing_only or imported.root == "gdb"
    if door and counts and not (source.path.startswith(door) if door.endswith("/") else source.path == door):
        yield f"its door is {door}"


def test_every_module_imports_only_what_its_layer_may() -> None:
    assert [breach for source in sources() for breach in breaches(source)] == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("units.py", "from .target import Target"),
        ("errors.py", "from . import blocks"),
        ("ranges.py", "from .target import Target"),
        ("target.py", "from .blocks import read_words"),
        ("blocks.py", "from .ring import read_ring"),
        ("ring.py", "from .registry import commands"),
        ("ring.py", "from .commands.ring import ring"),
        ("ring.py", "from .render.table import to_text"),
        ("ring.py", "def f():\n    from .live.target import GdbTarget"),
        ("rules/guard.py", "from ..offline.session import OfflineSession"),
        ("registry.py", "from .commands import ring"),
        ("registry.py", "from .live import plugin"),
        ("commands/ring.py", "from ..ring import read_ring"),
        ("commands/ring.py", "from .canary import canary"),
        ("commands/ring.py", "def f():\n    from ..live.target import GdbTarget"),
        ("render/table.py", "from ..ring import RingReport"),
        ("render/json.py", "from ..target import Symbol"),
        ("live/target.py", "from ..offline.session import OfflineSession"),
        ("offline/program.py", "from ..live.target import GdbTarget"),
        ("mcp/server.py", "from ..live.session import GdbSession"),
        ("ring.py", "import gdb"),
        ("ring.py", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import gdb"),
        ("dwarf.py", "from elftools.elf.elffile import ELFFile"),
        ("writers.py", "def f():\n    import capstone"),
        ("render/json.py", "from capstone import Cs"),
        ("disassembly.py", "import unicorn"),
        ("live/session.py", "from mcp.server import Server"),
    ],
)
def test_a_breach_of_the_layers_is_found(path: str, line: str) -> None:
    assert len(list(breaches(Source(path, line)))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("ranges.py", "from .units import Address"),
        ("target.py", "from .ranges import Range"),
        ("rules/guard.py", "from ..scene import Scene"),
        ("status.py", "from .registry import commands"),
        ("commands/ring.py", "from ..registry import command"),
        ("commands/ring.py", "def f():\n    from ..ring import read_ring"),
        ("commands/ring.py", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from ..ring import RingReport"),
        ("live/plugin.py", "import gdb\nfrom ..render.json import to_json\nfrom .session import GdbSession"),
        ("dwarf.py", "if TYPE_CHECKING:\n    from elftools.dwarf.die import DIE"),
        ("elf.py", "def f():\n    from elftools.elf.elffile import ELFFile"),
        ("mcp/server.py", "from mcp.server import Server\nfrom ..registry import commands"),
    ],
)
def test_what_the_layers_allow_is_no_breach(path: str, line: str) -> None:
    assert list(breaches(Source(path, line))) == []


def test_modules_are_imported_by_name_only_by_the_registry_and_the_doors() -> None:
    by_name = {source.path for source in sources() if "import_module(" in source.text or "__import__(" in source.text}
    assert "registry.py" in by_name
    assert by_name - {"registry.py"} <= set(DOORS.values())


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        source.name: {i.inside for i in source.imports() if i.inside and not (i.lazy or i.typing_only)}
        for source in sources()
    }
    while graph:
        free = [name for name, needs in graph.items() if not needs & graph.keys() - {name}]
        assert free, f"a circle among {sorted(graph)}"
        for name in free:
            del graph[name]


def run(code: str, *options: str) -> Sequence[str]:
    """Run code in a plain interpreter and return the words it prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_all_but_the_live_face_imports_without_gdb() -> None:
    # mcp/ needs its SDK, which not everybody has; `__main__` runs the program.
    names = [
        f"gdb_kdbg.{source.name}".rstrip(".")
        for source in sources()
        if source.name.split(".")[0] not in ("live", "mcp", "__main__")
    ]
    loaded = run(f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nprint(*sys.modules)")
    assert "gdb" not in loaded
    assert set(names) <= set(loaded)
    assert not any(name.startswith("gdb_kdbg.live") for name in loaded)


def test_declaring_the_commands_imports_nothing_that_takes_time() -> None:
    # What sourcing gdbinit.py costs. Without `site`, which may import on its own.
    loaded = run("import sys, gdb_kdbg.registry as r\nassert r.commands()\nprint(*sys.modules)", "-S", "-E")
    slow = {"dataclasses", "typing", "argparse", "inspect", "json", "ctypes", "subprocess"}
    assert set(loaded) & (slow | DOORS.keys()) == set()
    ours = {name for name in loaded if name.startswith("gdb_kdbg.")}
    assert "gdb_kdbg.commands.ring" in ours
    assert {name for name in ours if not name.startswith("gdb_kdbg.commands")} == {"gdb_kdbg.registry"}


ANALYSING = """
import sys
from gdb_kdbg.analysis import read_log
from gdb_kdbg.log_files import opened
from gdb_kdbg.log_symbols import Symbolic
print(read_log("x", lambda: opened([{raw!r}], "x"), Symbolic()).analysis.lines, *sys.modules)
"""


@pytest.mark.parametrize(
    ("raw", "reads"),
    [(b"[    1.0] BUG: x\nmore", False), (b'a\nDBG {"type":"signal","pid":1}\n', True), (b"a\nDBG", True)],
)
def test_what_reads_events_is_imported_with_the_first_line_that_looks_like_one(raw: bytes, reads: bool) -> None:
    lines, *loaded = run(ANALYSING.format(raw=raw))
    assert int(lines) == 2
    assert ("gdb_kdbg.event_parser" in loaded) == reads
