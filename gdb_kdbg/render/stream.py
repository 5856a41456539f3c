"""Results that come bit by bit: a command that follows something returns a stream, and its rows are shown as they come.

A stream is told by its methods. Its `rows` are lists of records, an empty one where there is nothing right now; `texts`
makes lines of them, each of parts with a role, for which there are colours here; `end` gives a last result, or None. A
record's own `problems` go where those of other results are.
"""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Protocol, Sequence, Tuple, runtime_checkable

from .table import Style, plain, to_text

COLOURS = {
    "time": "2", "pid": "36", "name": "1", "failure": "31;1", "signal": "35", "fault": "33", "process": "32",
    "damage": "33;2", "problem": "33", "summary": "1",
}  # fmt: skip


@runtime_checkable
class Stream(Protocol):
    """What a command returns whose rows are to be shown as they come."""

    rows: Iterator[Sequence[Any]]

    def texts(self, rows: Sequence[Any]) -> Iterable[Sequence[Tuple[str, str]]]: ...

    def end(self) -> Any: ...


def stream_to_text(stream: Stream, style: Style = plain) -> Iterator[str]:
    """Render as text: chunks of whole lines with their newlines; an empty chunk says that all of it should be seen."""
    for rows in stream.rows:
        lines = ["".join([style(text, role) if role else text for text, role in parts]) for parts in stream.texts(rows)]
        if lines:
            yield "\n".join([*lines, ""])
        if not rows:
            yield ""
    end = stream.end()
    last = "" if end is None else to_text(end, style)
    yield f"{last}\n" if last else ""


def stream_to_json(command: str, stream: Stream) -> Iterator[str]:
    """Render as JSON, a line for each row and one for the end; chunks as in `stream_to_text`."""
    import json

    from .json import SCHEMA, to_json
    from .json_text import record_texts, texts_of_records

    head = f'{{"schema": {SCHEMA}, "command": {json.dumps(command)}, "data": '
    for rows in stream.rows:
        # A record that comes alone is large or was waited for; small ones by the hundred share their columns.
        texts = (record_texts(rows[0]),) if len(rows) == 1 else texts_of_records(rows)
        yield "".join([f'{head}{record}, "problems": {told}}}\n' for record, told in texts])
    end = stream.end()
    yield to_json(command, end) + "\n" if end is not None else ""
