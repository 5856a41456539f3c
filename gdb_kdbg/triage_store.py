"""Logs in an object store, `s3://bucket/prefix`: the only importer of s3fs, which is needed for these alone."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import tempfile
from typing import Any, Iterator, List, Mapping

from .errors import BadFile, KdbgError
from .triage_summary import Log
from .units import safe_text, shown

_SCHEME = "s3://"
_REASON = 200


def is_stored(name: str) -> bool:
    """Tell whether a name is that of an object or a prefix of a store."""
    return name.startswith(_SCHEME)


def listed(address: str) -> List[Log]:
    """Return the objects at an address: the object of that name, or all whose names begin with it and a slash.

    Raises KdbgError without the library, without permission, and for a bucket that is not there.
    """
    store = _store()
    try:
        return objects(store.find(address, detail=True))
    except Exception as error:
        raise KdbgError(f"cannot list {shown(address)}: {_reason(error)}") from None


def objects(found: Mapping[str, Mapping[str, Any]]) -> List[Log]:
    """Return what a listing has (`size`, `LastModified`, `type` by name) as logs, without the marks of directories."""
    return [
        Log(_SCHEME + name.replace(_SCHEME, ""), int(entry.get("size") or 0), _modified(entry.get("LastModified")))
        for name, entry in found.items()
        if entry.get("type", "file") == "file" and not name.endswith("/")
    ]


@contextlib.contextmanager
def fetched(address: str) -> Iterator[str]:
    """Copy an object into a file, which is removed in the end; raise BadFile if that fails."""
    with tempfile.TemporaryDirectory(prefix="kdbg-") as directory:
        path = os.path.join(directory, "log")
        try:
            with _store().open(address, "rb") as source, open(path, "wb") as copy:
                shutil.copyfileobj(source, copy)
        except KdbgError:
            raise
        except Exception as error:
            raise BadFile(f"cannot read {shown(address)}: {_reason(error)}") from None
        yield path


# Listings must be new ones, objects are read once from end to end.
def _store() -> Any:
    try:
        import s3fs
    except ImportError:
        raise KdbgError("logs in s3:// need Python's library s3fs (pip install s3fs)") from None
    return s3fs.S3FileSystem(use_listings_cache=False, default_cache_type="readahead")


# The library's errors have many classes, some without a text.
def _reason(error: Exception) -> str:
    return safe_text(" ".join(str(error).split()) or type(error).__name__, _REASON)


def _modified(time: object) -> int:
    return int(time.timestamp() * 1e9) if isinstance(time, datetime.datetime) else 0
