"""The watch over runs: it ends what uses its time, and not what only waits for the processor."""

from __future__ import annotations

import select
import threading

from gdb_kdbg.patience import Watch


def test_a_run_is_ended_that_takes_too_long() -> None:
    ended = threading.Event()
    watch = Watch(ended.set)
    watch.start(0.01)
    while not ended.is_set():
        pass
    assert watch.stop()
    watch.close()


def test_a_run_that_has_to_wait_is_not_ended() -> None:
    ended = threading.Event()
    watch = Watch(ended.set)
    watch.start(0.2)
    select.select([], [], [], 0.5)
    assert not watch.stop() and not ended.is_set()
    watch.close()


def test_each_run_has_all_of_its_time() -> None:
    ended = threading.Event()
    watch = Watch(ended.set)
    watch.start(0.01)
    while not ended.is_set():
        pass
    watch.start(60)
    assert not watch.stop()
    watch.close()
