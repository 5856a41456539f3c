"""What `kdbg connect` does with its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .errors import KdbgError
from .session import Session
from .uml_processes import choose
from .units import Count

UML, QEMU = "uml", "qemu"
DEFAULT_STUB = "localhost:1234"


@dataclass(frozen=True)
class Connected:
    """What kdbg is connected to, and what it found there."""

    connected: str
    kernel: Optional[str]
    mode: Optional[str]
    tasks: Optional[Count]
    current_task: Optional[str]
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def connect(session: Session, kind: str, where: str) -> Connected:
    """Connect to a kernel of a kind, or raise KdbgError with the target as it was."""
    if kind == UML:
        running = session.connected_process()
        return session.connect_kernel(choose(where or (str(running) if running else "")))
    return session.connect_stub(_stub(where or DEFAULT_STUB))


def _stub(where: str) -> str:
    host, separator, port = where.rpartition(":")
    if "/" in where:
        return where  # a socket of this machine
    if not separator:
        host, port = "localhost", where
    if (":" in host and not host.startswith("[")) or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise KdbgError(f"not a place of a stub: {where!r} (kdbg connect qemu HOST:PORT)")
    return f"{host or 'localhost'}:{port}"
