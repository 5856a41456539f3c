"""What a triage has read, kept in a file, so that a later one reads only what is new or has changed."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterable, List, Optional

from .errors import KdbgError
from .triage_store import is_stored
from .triage_summary import FROM_FILE, FROM_LOG, CrashKey, Log, Summary
from .units import shown

# Another number: what was kept is not what would be found today.
VERSION = 2
_MARK = "kdbg-triage"


class State:
    """Summaries by file; one counts while the file's size and time of change are the same."""

    def __init__(self, path: str) -> None:
        """Read the file if there is one. Raises KdbgError if it is something else, which must not be overwritten."""
        self._path = path
        self._known: Dict[str, List[Any]] = _loaded(path)

    def known(self, log: Log) -> Optional[Summary]:
        """Return the summary of a log that has not changed since."""
        row = self._known.get(_key(log.name))
        return None if row is None or log.problem else _summary(log, row)

    def note(self, logs: Dict[str, Log], summaries: Iterable[Summary]) -> None:
        """Keep summaries; what could not be read is tried again the next time."""
        for summary in summaries:
            if not summary.problem:
                row = [summary.size, logs[summary.name].modified, summary.seen, summary.seen_by]
                self._known[_key(summary.name)] = [*row, *((*summary.crash, summary.title) if summary.crash else ())]

    def save(self) -> None:
        """Write the file; at all times it is the old one or the new one. Raises KdbgError."""
        from .report_command import write_whole

        write_whole(self._path, json.dumps({_MARK: VERSION, "logs": self._known}, separators=(",", ":")).encode())


def _key(name: str) -> str:
    return name if is_stored(name) else os.path.abspath(name)


def _loaded(path: str) -> Dict[str, List[Any]]:
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it holds something else"
        raise KdbgError(f"cannot go on from {shown(path)}: {reason} (name a new file, or remove it)") from None
    if not isinstance(found, dict) or not isinstance(found.get("logs"), dict) or _MARK not in found:
        raise KdbgError(f"cannot go on from {shown(path)}: it holds something else (name a new file)")
    return found["logs"] if found[_MARK] == VERSION else {}


# The file may be anybody's: a row that is not as it was written does not count.
def _summary(log: Log, row: Any) -> Optional[Summary]:
    try:
        size, modified, seen, by, *crash = row
        if (size, modified) != (log.size, log.modified) or by not in (FROM_LOG, FROM_FILE):
            return None
        if not crash:
            return Summary(log.name, log.size, float(seen), by)
        kind, guilty, title, stack, own = crash
        texts = (kind, guilty, title, *stack, own)
    except (TypeError, ValueError):
        return None
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        return None
    return Summary(log.name, log.size, float(seen), by, CrashKey(kind, guilty, title, tuple(stack)), "", own)
