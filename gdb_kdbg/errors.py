"""The errors a user can cause or meet.

Texts are lower case without a full stop: what failed, on which value (addresses in hex), and what to do.
Anything that is not a KdbgError is a bug and keeps its traceback.
"""

from __future__ import annotations


class KdbgError(Exception):
    """An error worth one clear line to the user."""


class MemoryFault(KdbgError):
    """A read or write that the target refused; `address` is where the asked range starts."""

    def __init__(self, address: int, size: int, reason: str = "not mapped") -> None:
        super().__init__(f"cannot access {size} bytes at {address:#x}: {reason}")
        self.address = address
        self.size = size


class TargetUnavailable(KdbgError):
    """There is no target, it runs, or it went away."""


class NotSupported(KdbgError):
    """The target is of a kind that the command cannot work on."""


class SymbolNotFound(KdbgError):
    """A symbol that the command needs is in none of the loaded objfiles."""


class BadFile(KdbgError):
    """A file that is not what it should be: truncated, malformed, of another architecture."""
