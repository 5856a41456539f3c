"""Batches of logs read by a Dask cluster: the only importer of distributed, which is needed for this alone."""

from __future__ import annotations

import itertools
import re
import socket
from typing import Any, Iterable, Iterator, Optional, Sequence

from .errors import KdbgError
from .triage_summary import Log
from .triage_work import Part, lost, work
from .units import safe_text, shown

_ADDRESS = re.compile(r"(?:(?:tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})")
# A scheduler that is busy answers late; one that is not there is told at once, unless something drops packets.
_CONNECTING = 30
# Batches given out ahead, for each thread of the cluster.
_AHEAD = 3
_REASON = 200


def read_on_cluster(batches: Iterable[Sequence[Log]], address: str, keep: bool) -> Iterator[Optional[Part]]:
    """Yield the results of batches in the order in which they are done.

    The workers need kdbg, and the logs under the same names. Raises KdbgError if there is no such cluster, or if it
    lacks kdbg. A batch that ends its worker again and again is read log by log, and the log that does it is named.
    """
    distributed = _library()
    _require_listener(address)
    try:
        client = distributed.Client(address, timeout=_CONNECTING, set_as_default=False)
    except Exception as error:
        raise KdbgError(f"no Dask scheduler at {shown(address)}: {_reason(error)}") from None
    try:
        yield from _results(distributed, client, batches, keep)
    finally:
        client.close()


# The library would wait, again when the client is taken down, and without end where something answers with silence:
# a scheduler speaks first.
def _require_listener(address: str) -> None:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise KdbgError(f"no address of a Dask scheduler: {shown(address)} (it is HOST:PORT)")
    try:
        with socket.create_connection((found[1].strip("[]"), int(found[2])), _CONNECTING) as connection:
            if not address.startswith("tls") and not connection.recv(1):
                raise ConnectionError("what listens there is something else")
    except (OSError, OverflowError) as error:
        raise KdbgError(f"no Dask scheduler at {shown(address)}: {_reason(error)}") from None


def _library() -> Any:
    try:
        import distributed
    except ImportError:
        raise KdbgError("--dask needs Python's library distributed (pip install distributed)") from None
    return distributed


def _results(distributed: Any, client: Any, batches: Iterable[Sequence[Log]], keep: bool) -> Iterator[Optional[Part]]:
    waiting = iter(batches)
    given: dict[str, Sequence[Log]] = {}
    futures = distributed.as_completed(loop=client.loop)

    def give(some: Iterable[Sequence[Log]]) -> None:
        for batch in some:
            future = client.submit(work, batch, keep, pure=False)
            given[future.key] = batch
            futures.add(future)

    give(itertools.islice(waiting, max(4, _AHEAD * sum(client.nthreads().values()))))
    for future in futures:
        batch = given.pop(future.key)
        part = _result(batch, future, keep)
        if part is None:
            give([log] for log in batch)
        else:
            yield part
        future.release()
        give(itertools.islice(waiting, 1))


# A result that went with its worker is computed anew meanwhile. A worker that was killed is a log's doing (None: of a
# batch with several); everything else is a cluster that cannot do this work.
def _result(batch: Sequence[Log], future: Any, keep: bool) -> Optional[Part]:
    try:
        return future.result()  # type: ignore[no-any-return]
    except Exception as error:
        if type(error).__name__ != "KilledWorker":
            reason = f"the Dask cluster cannot read logs (its workers need the same kdbg): {_reason(error)}"
            raise KdbgError(reason) from None
    return None if len(batch) > 1 else lost(batch[0], "the Dask worker that read it was ended", keep)


def _reason(error: BaseException) -> str:
    return safe_text(" ".join(str(error).split()) or type(error).__name__, _REASON)
