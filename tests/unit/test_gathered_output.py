"""What the outside program writes: many small chunks at once, and all of it when it should be seen."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Iterable, Iterator

from gdb_kdbg.errors import KdbgError
from gdb_kdbg.log_source import open_log
from gdb_kdbg.offline import program


class Recorded(io.StringIO):
    """Remembers what was written, and when it was to be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append(text)
        return len(text)

    def flush(self) -> None:
        self.calls.append("seen")


def written(chunks: Iterable[str]) -> list[str]:
    output = Recorded()
    with contextlib.redirect_stdout(output), contextlib.suppress(KdbgError):
        program._write(chunks)
    return output.calls


def test_small_chunks_are_written_at_once() -> None:
    assert written(["a", "b", "c"]) == ["abc"]


def test_an_empty_chunk_shows_what_there_is() -> None:
    assert written(["a", "b", "", "c"]) == ["ab", "seen", "c"]


def test_much_is_not_held_back() -> None:
    large = "x" * program._GATHERED
    assert written(["a", large, "b"]) == ["a" + large, "b"]


def test_what_came_before_an_error_is_written() -> None:
    def chunks() -> Iterator[str]:
        yield "a"
        raise KdbgError("no more")

    assert written(chunks()) == ["a"]


def test_a_pipe_is_a_log_as_well() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"one\ntwo\n")
    os.close(writer)
    assert b"".join(open_log(f"/dev/fd/{reader}")) == b"one\ntwo\n"
    os.close(reader)
