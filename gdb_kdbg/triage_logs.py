"""Which logs are to be read: all files below a directory, what a glob matches, single files, objects of a store."""

from __future__ import annotations

import glob
import os
import stat
from typing import Callable, Iterable, Iterator, List, Optional, Sequence

from .errors import KdbgError
from .triage_summary import Log
from .units import shown

# Reading any of these could wait for ever, or has no end.
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_GLOB = frozenset("*?[")


def logs_of(places: Sequence[str], but: Sequence[str] = ()) -> Sequence[Log]:
    """Return the logs of some places, each once, sorted by name; what cannot be read among them has its problem.

    A place is a directory (with all below it), a glob (`**` for any directories), a file, or `s3://bucket/prefix`.
    `but` names files that are none. Raises KdbgError if there is nothing at a place.
    """
    found: dict[str, Log] = {}
    excluded = {os.path.realpath(path) for path in but}
    for place in places:
        logs = list(_at(place))
        if not logs or (len(places) == 1 and not os.path.lexists(place) and logs[0].problem):
            raise KdbgError(f"no logs at {shown(place)}")
        found.update((log.name, log) for log in logs)
    if excluded:
        found = {name: log for name, log in found.items() if os.path.realpath(name) not in excluded}
    return [found[name] for name in sorted(found)]


def _at(place: str) -> Iterable[Log]:
    from .triage_store import is_stored, listed

    if is_stored(place):
        return listed(place)
    if os.path.isdir(place):
        return _below(place)
    if os.path.lexists(place) or not _GLOB & set(place):
        return [_log(place)]
    return [_log(path) for path in glob.iglob(place, recursive=True)]


# Directories that cannot be listed are named like files that cannot be read.
def _below(directory: str) -> Iterator[Log]:
    waiting: List[str] = [directory]
    while waiting:
        here = waiting.pop()
        try:
            entries = list(os.scandir(here))
        except OSError as error:
            yield Log(here, 0, 0, f"cannot be listed: {error.strerror}")
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            else:
                yield _log(entry.path, entry.stat)


def _log(path: str, status: Optional[Callable[[], os.stat_result]] = None) -> Log:
    try:
        found = status() if status else os.stat(path)
    except (OSError, ValueError) as error:
        dangles = os.path.islink(path)
        reason = "a link to nothing" if dangles else getattr(error, "strerror", None) or str(error)
        return Log(path, 0, 0, f"cannot be opened: {reason}")
    kind = _kind(found.st_mode)
    return Log(
        path, found.st_size if kind is None else 0, found.st_mtime_ns, f"no regular file: {kind}" if kind else ""
    )


def _kind(mode: int) -> Optional[str]:
    return None if stat.S_ISREG(mode) else next((name for test, name in _KINDS if test(mode)), "something else")
