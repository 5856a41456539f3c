"""What a report page of many copies costs: to make it, and until a browser has drawn it."""

from __future__ import annotations

import pathlib
import statistics
import sys
import tempfile
import time
from typing import Sequence

from gdb_kdbg.page.document import page

from .figures import Figure, Skipped
from .machine import ROOT

sys.path.append(str(ROOT / "tests"))

from browser import Browser, browser  # noqa: E402  (the path is set above)
from dossiers import large  # noqa: E402

_FEW, _MANY, _BAR = 10, 10_000, 2.0
_DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def measure(repeats: int, skipped: Skipped) -> Sequence[Figure]:
    """Measure both for 10,000 copies; the baseline is a page of ten."""
    with tempfile.TemporaryDirectory() as directory, browser(pathlib.Path(directory) / "profile") as driver:
        driver.resize(1280)
        pairs = {count: _pages(driver, pathlib.Path(directory), count, repeats) for count in (_FEW, _MANY)}
    return [
        _figure(name, pairs[_MANY][index], pairs[_FEW][index])
        for index, name in enumerate((f"making a page of {_MANY:,} copies", f"drawing a page of {_MANY:,} copies"))
    ]


def _figure(name: str, many: float, few: float) -> Figure:
    return Figure(name, many, few, "s", many / few, _BAR, "value")


def _pages(driver: Browser, directory: pathlib.Path, count: int, repeats: int) -> tuple[float, float]:
    dossier, path = large(count), directory / f"{count}.html"
    made: list[float] = []
    drawn: list[float] = []
    for _ in range(repeats):
        begin = time.perf_counter()
        path.write_text(page(dossier), encoding="utf-8")
        made.append(time.perf_counter() - begin)
        driver.open(path)
        # The page's own clock starts with its navigation.
        drawn.append(driver.value(_DRAWN) / 1000)
    return statistics.median(made), statistics.median(drawn)
