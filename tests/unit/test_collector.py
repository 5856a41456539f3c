"""Garbage is looked for rarely while a command runs, and as before behind it."""

from __future__ import annotations

import gc
from typing import Iterator

import pytest

from gdb_kdbg.collector import rare_collections


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_thresholds_are_high_inside_and_restored() -> None:
    gc.set_threshold(500, 9, 8)
    with rare_collections():
        assert gc.get_threshold() == (100_000, 9, 8)
        with rare_collections():
            assert gc.get_threshold() == (100_000, 9, 8)
        assert gc.get_threshold() == (100_000, 9, 8)
    assert gc.get_threshold() == (500, 9, 8)


def test_thresholds_are_restored_after_an_error() -> None:
    gc.set_threshold(500, 9, 8)
    with pytest.raises(KeyboardInterrupt), rare_collections():
        raise KeyboardInterrupt
    assert gc.get_threshold() == (500, 9, 8)


@pytest.mark.parametrize("first", [0, 1_000_000])
def test_a_collector_that_is_off_or_rarer_stays_so(first: int) -> None:
    gc.set_threshold(first, 9, 8)
    with rare_collections():
        assert gc.get_threshold() == (first, 9, 8)
    assert gc.get_threshold() == (first, 9, 8)
