"""What `kdbg report` does with its options."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Optional, Sequence

from .diagnosis import explain
from .dossier import Dossier
from .dossier_scene import dossier_of
from .errors import KdbgError
from .page.document import page
from .session import Session
from .units import Count, Size, safe_text, shown

DEFAULT = "kdbg-report.html"
_TITLE = 200


@dataclass(frozen=True)
class WrittenReport:
    """Where the page is, how large it is, and what it says in one sentence."""

    path: str = field(metadata={"label": "report"})
    size: Size = field(metadata={"text": False})
    summary: str = field(metadata={"label": "says"})
    findings: Count = field(metadata={"text": False})
    problems: tuple[str, ...] = ()


def report_stop(session: Session, output: Optional[str], title: Optional[str]) -> WrittenReport:
    """Write the page of the current stop; raise KdbgError if the file cannot be written."""
    path = output or DEFAULT
    require_writable(path)
    scene = session.scene()
    return write_report(dossier_of(scene, explain(scene), safe_text(title or "", _TITLE)), path)


def report_log(
    session: Session, log: str, symbols: Sequence[str], output: Optional[str], title: Optional[str]
) -> WrittenReport:
    """Write the page of a log; raise KdbgError if one cannot be read or the other not be written."""
    from .analyze_command import Progress, symbolic
    from .dossier_log import dossier_of_log

    path = output or DEFAULT
    require_writable(path)
    progress = Progress(session)
    progress.begin(shown(log))
    dossier = dossier_of_log(log, symbolic(session, symbols), progress.tick)
    return write_report(replace(dossier, title=safe_text(title, _TITLE)) if title else dossier, path)


def write_report(dossier: Dossier, path: str) -> WrittenReport:
    """Write the page of a dossier, in place of a file that is there already."""
    text = page(dossier).encode()
    write_whole(path, text)
    found = dossier.findings
    what = "log" if dossier.origin.is_log else "stop"
    summary = found[0].summary if found else f"nothing found that explains the {what}"
    return WrittenReport(
        safe_text(os.path.abspath(path), 4096), Size(len(text)), summary, Count(len(found)), dossier.problems
    )


def require_writable(path: str) -> None:
    """Raise KdbgError if a file cannot be written there, before the work is done."""
    directory = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise KdbgError(f"cannot write {safe_text(path, 200)}: it is a directory (-o FILE)")
    if not os.path.isdir(directory):
        raise KdbgError(f"cannot write {safe_text(path, 200)}: there is no directory {safe_text(directory, 200)}")
    if not os.access(directory, os.W_OK) and not os.path.exists(path):
        raise KdbgError(f"cannot write {safe_text(path, 200)}: no permission to write in {safe_text(directory, 200)}")


def write_whole(path: str, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one and nothing between; raise KdbgError.

    The new file takes shape beside the old one and then its name. What is no regular file (a pipe) is written to.
    """
    place = os.path.realpath(path)
    try:
        if os.path.exists(place) and not os.path.isfile(place):
            with open(place, "wb") as stream:
                stream.write(data)
        else:
            _replace(place, data)
    except OSError as error:
        raise KdbgError(f"cannot write {safe_text(path, 200)}: {error.strerror or error}") from None


def _replace(place: str, data: bytes) -> None:
    beside = f"{place}.{os.getpid()}.new"
    try:
        with open(beside, "xb") as stream:
            stream.write(data)
        os.replace(beside, place)
    except FileExistsError:
        raise
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise
