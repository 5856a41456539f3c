"""The unit of work of a triage: a batch of logs, read by whichever process, and its mergeable result."""

from __future__ import annotations

from typing import Iterable, Iterator, NamedTuple, Sequence, Tuple

from .triage_groups import Tally
from .triage_summary import Log, Summary, summary_of

# A batch takes some tenths of a second: far more than handing it over, and little to lose.
_LOGS, _BYTES = 64, 4 << 20


class Part(NamedTuple):
    """What came of a batch; the summaries are there only if they were asked for."""

    tally: Tally
    summaries: Tuple[Summary, ...] = ()


def work(batch: Sequence[Log], keep: bool) -> Part:
    """Read a batch of logs; with `keep` also return each log's summary."""
    summaries = tuple(map(summary_of, batch))
    return Part(Tally(summaries), summaries if keep else ())


def batches_of(logs: Iterable[Log], scale: int = 1) -> Iterator[Sequence[Log]]:
    """Yield the logs in batches of about the same work; `scale` makes them larger."""
    batch, size = [], 0
    for log in logs:
        batch.append(log)
        size += log.size
        if len(batch) >= _LOGS * scale or size >= _BYTES * scale:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def lost(log: Log, reason: str, keep: bool) -> Part:
    """Return the result for a log whose reader did not survive it."""
    return work([log._replace(problem=reason)], keep)
