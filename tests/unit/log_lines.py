"""Small logs of a kernel, event by event, in the format of a real one: numbers in bare hex, nothing that it lacks."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Union

from event_log import Hex, line_of

from gdb_kdbg.analysis import Analysis, read_log
from gdb_kdbg.finding import Finding
from gdb_kdbg.log_files import opened
from gdb_kdbg.log_symbols import Symbolic
from gdb_kdbg.target import Objfile

Part = Union[str, Mapping[str, Any]]
FS_BASE = 0x410000
GUARD, INTACT = FS_BASE + 0x28, 0x41941CB3157AFF00
KERNEL = 0xFFFF_FFFF_8011_F000


def check(found: int = INTACT, when: str = "pre_syscall", syscall: str = "ioctl", pid: int = 3) -> dict[str, Any]:
    """A check of the guard."""
    return {"type": "canary_check", "pid": pid, "fsbase": Hex(FS_BASE), "expected": Hex(INTACT), "found": Hex(found),
            "corrupted": found != INTACT, "when": when, "syscall": syscall}  # fmt: skip


def damaged(new: bytes, offset: int = 0) -> int:
    """The guard with some bytes written over it."""
    raw = bytearray(INTACT.to_bytes(8, "little"))
    raw[offset : offset + len(new)] = new
    return int.from_bytes(raw, "little")


def entry(destination: int, size: int, source: int = KERNEL, caller: int = KERNEL - 0x10000) -> dict[str, Any]:
    """A record of the ring as the real kernel dumps it: no number, no process, no tag."""
    return {"dst": Hex(destination), "src": Hex(source), "len": size, "ret": Hex(caller)}


def dump(*entries: Mapping[str, Any], pid: int = 3, total: Optional[int] = None, trigger: str = "canary_corruption",
         ) -> dict[str, Any]:  # fmt: skip
    """A dump of the ring."""
    count = len(entries) if total is None else total
    return {"type": "ucopy_trace_dump", "pid": pid, "trigger": trigger, "total_calls": count, "entries": list(entries)}


def usercopy(
    address: int, size: int, ctx: str = "ioctl:TIOCGPGRP", way: str = "to_user", pid: int = 3
) -> dict[str, Any]:
    """A copy as the kernel tells it when it is asked for."""
    return {"type": "usercopy", "pid": pid, "dir": "to_user", "addr": Hex(address), "len": size, "ctx": ctx}


def page_fault(address: int, ip: int = 0x401000, pid: int = 3, **more: Any) -> dict[str, Any]:
    """A page fault that could not be resolved."""
    return {"type": "page_fault", "pid": pid, "vaddr": Hex(address), "ip": Hex(ip), "reason": "CAUSED_BY_USER",
            "resolved": False, **more}  # fmt: skip


def signal(number: int, action: str = "terminate", ip: int = 0x401000, pid: int = 3) -> dict[str, Any]:
    """A signal that is delivered."""
    return {"type": "signal", "pid": pid, "signal": number, "signal_name": f"SIG{number}", "action": action,
            "ip": Hex(ip)}  # fmt: skip


def killed(number: int, pid: int = 3) -> dict[str, Any]:
    """The end of a process by a signal."""
    return {"type": "process_exit", "pid": pid, "status": number, "by_signal": True}


def returned(name: str, result: int, errno: str = "", pid: int = 3) -> dict[str, Any]:
    """The end of a system call."""
    fields = {"type": "syscall_exit", "pid": pid, "name": name, "nr": 0, "result": result}
    return {**fields, "errno": errno} if errno else fields


def exec_of(program: str, pid: int = 3) -> dict[str, Any]:
    """The start of a program."""
    return {"type": "process_exec", "pid": pid, "argv0": program, "entry": Hex(0x400000)}


def raw_log(parts: Sequence[Part]) -> bytes:
    """The bytes of a log: texts as they are, the rest as events."""
    return b"".join((part.encode() if isinstance(part, str) else line_of(part)) + b"\n" for part in parts)


def analyse(*parts: Part, symbols: Sequence[Objfile] = ()) -> Analysis:
    """Analyse a log."""
    raw = raw_log(parts)
    return read_log("test.log", lambda: opened(iter([raw]), "test.log"), Symbolic(symbols)).analysis


def findings(*parts: Part) -> Sequence[Finding]:
    """Return what is found in a log; nothing may be wrong with reading it."""
    analysis = analyse(*parts)
    assert analysis.problems == ()
    return analysis.findings


def finding(*parts: Part) -> Finding:
    """Return the only finding of a log."""
    (found,) = findings(*parts)
    return found
