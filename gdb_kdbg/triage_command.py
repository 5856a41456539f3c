"""What `kdbg triage` does with its options."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, List, Optional, Sequence

from .errors import KdbgError
from .triage_groups import Tally
from .triage_logs import logs_of
from .triage_pool import read_in_pool, read_serially
from .triage_report import TriageReport, report_of
from .triage_state import State
from .triage_summary import Log
from .triage_work import Part, batches_of

if TYPE_CHECKING:
    from argparse import Namespace

    from .session import Session

_PATIENCE = 2.0
# A state is written when that has cost less than a tenth of the time since it was written last.
_SAVING = 10.0
# A cluster is farther away than a process beside this one.
_CLUSTER_BATCH = 4
Parts = Iterator[Optional[Part]]


def triage_logs(session: Session, options: Namespace) -> TriageReport:
    """Read all logs and return their groups; after Ctrl-C those of the logs read so far."""
    most = session.processes()
    if not most and (options.dask or (options.jobs or 1) > 1):
        raise KdbgError(
            "GDB reads logs alone: it must not be forked (leave out --jobs and --dask, or use kdbg outside)"
        )
    reader = _reader(options, most)
    state = State(options.resume) if options.resume else None
    logs = logs_of(options.logs, [options.resume] if options.resume else [])
    return Triage(logs, state, session.progress).run(reader)


def _reader(options: Namespace, most: int) -> Callable[[Sequence[Log], bool], Parts]:
    if options.jobs == 0:
        raise KdbgError("--jobs 0 would read nothing")
    jobs = options.jobs or most or 1
    if options.dask:
        from .triage_dask import read_on_cluster

        return lambda logs, keep: read_on_cluster(batches_of(logs, _CLUSTER_BATCH), options.dask, keep)
    if jobs == 1:
        return lambda logs, keep: read_serially(batches_of(logs), keep)
    return lambda logs, keep: read_in_pool(batches_of(logs), jobs, keep)


class Triage:
    """A triage on its way: what has been read, what is told of it, what is kept of it."""

    def __init__(self, logs: Sequence[Log], state: Optional[State], progress: Callable[[str], None]) -> None:
        self._logs = logs
        self._state = state
        self._progress = progress
        self._tally = Tally()
        self._told = self._saved = time.monotonic()
        self._cost = 0.0

    def run(self, reader: Callable[[Sequence[Log], bool], Parts]) -> TriageReport:
        """Read what the state does not know."""
        problems: List[str] = []
        try:
            self._take(reader(self._unknown(), self._state is not None))
        except KeyboardInterrupt:
            problems.append(f"interrupted: {self._tally.files} of {len(self._logs)} logs were read")
        finally:
            if self._state is not None:
                self._state.save()
        return report_of(self._tally, problems)

    def _unknown(self) -> Sequence[Log]:
        if self._state is None:
            return self._logs
        pairs = [(log, self._state.known(log)) for log in self._logs]
        self._tally.merge(Tally(summary for _, summary in pairs if summary is not None))
        return [log for log, summary in pairs if summary is None]

    def _take(self, parts: Iterable[Optional[Part]]) -> None:
        by_name = {log.name: log for log in self._logs} if self._state is not None else {}
        for part in parts:
            if part is not None:
                self._tally.merge(part.tally)
                self._keep(by_name, part)
            if time.monotonic() - self._told > _PATIENCE:
                self._tell()

    def _keep(self, logs: dict[str, Log], part: Part) -> None:
        if self._state is None:
            return
        self._state.note(logs, part.summaries)
        begin = time.monotonic()
        if begin - self._saved > max(_PATIENCE, _SAVING * self._cost):
            self._state.save()
            self._saved = time.monotonic()
            self._cost = self._saved - begin

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._progress(f"{self._tally.files} of {len(self._logs)} logs read, {self._tally.crashes} crashes")
