"""Logs of kernel events as a real kernel writes them, made from a seed: all types, bare hex, noise, damage on demand.

Each line comes with the truth: the events in it as a reader must give them, whole.
"""

from __future__ import annotations

import json
import pathlib
import random
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, Sequence

from gdb_kdbg.syscall_names import NAMES

Fields = Mapping[str, Any]
KERNEL, USER, STACK = 0xFFFF_8000_0010_0000, 0x40_0000, 0x7FFF_FFFF_0000
ERRNOS = ("ENOENT", "EAGAIN", "EBADF", "EINVAL", "ENOSYS", "EFAULT", "EPERM")
SIGNALS = {11: "SIGSEGV", 2: "SIGINT", 6: "SIGABRT", 17: "SIGCHLD", 13: "SIGPIPE", 9: "SIGKILL"}
CONTEXTS = ("ioctl:TCGETS", "ioctl:TIOCGWINSZ", "signal_stack", "read", "write", "getcwd", "execve:stack", "stat")
PROGRAMS = ("/bin/sh", "/bin/busybox", "/usr/bin/make", "/sbin/init", "/bin/ls", "/usr/bin/python3")
LABELS = ("leading_bytes", "bulk_qwords", "trailing_bytes", "strncpy", "memset", "small")
VMAS = ("stack", "anonymous", "file", "heap")
REGISTERS = tuple("rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rflags".split())


class Hex(int):
    """A number that the kernel writes in hex."""


def text_of(value: Any, bare: bool) -> str:
    """Write a value as the kernel does; hex bare or, as valid JSON has it, as a string."""
    if isinstance(value, Hex):
        return f"{int(value):#x}" if bare else f'"{int(value):#x}"'
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([text_of(item, bare) for item in value]) + "]"
    if isinstance(value, dict):
        return "{" + ",".join([f'"{name}":{text_of(item, bare)}' for name, item in value.items()]) + "}"
    if type(value) is int:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def truth_of(value: Any) -> Any:
    """Return a value as a reader must give it: hex as the text `0x...`."""
    if isinstance(value, Hex):
        return f"{int(value):#x}"
    if isinstance(value, (list, tuple)):
        return [truth_of(item) for item in value]
    if isinstance(value, dict):
        return {name: truth_of(item) for name, item in value.items()}
    return value


def line_of(fields: Fields, bare: bool = True) -> bytes:
    """Return the line of an event without its newline."""
    return f"DBG {text_of(dict(fields), bare)}".encode()


class Events:
    """Makes events; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.makers: dict[str, Callable[[], dict[str, Any]]] = {
            name[1:]: getattr(self, name) for name in dir(self) if name[0] == "_" and name[1] != "_"
        }
        self._open: dict[int, tuple[str, int]] = {}

    def event(self, kind: str) -> dict[str, Any]:
        """Make an event of a type."""
        return {"type": kind, **self.makers[kind]()}

    def pid(self) -> int:
        return int(self.random.random() * 40) + 1

    def code(self) -> Hex:
        return Hex(KERNEL + int(self.random.random() * 0x80000))

    def user(self) -> Hex:
        return Hex(USER + int(self.random.random() * 0x100000))

    def stack(self) -> Hex:
        return Hex(STACK - int(self.random.random() * 0x10000))

    def word(self) -> Hex:
        return Hex(self.random.getrandbits(56) << 8)

    def any(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.random.random() * len(choices))]

    def _syscall_entry(self) -> dict[str, Any]:
        number = int(self.random.random() * 330)
        pid = self.pid()
        self._open[pid] = NAMES[number], number
        numbers = [int(self.random.random() * 1024), int(self.stack()), int(self.random.random() * 4096)]
        return {"pid": pid, "name": NAMES[number], "nr": number, "args": [*numbers, 0, 0, 0]}

    def _syscall_exit(self) -> dict[str, Any]:
        pid = self.any(list(self._open)) if self._open else self.pid()
        name, number = self._open.pop(pid, ("read", 0))
        fields: dict[str, Any] = {"pid": pid, "name": name, "nr": number}
        if self.random.random() < 0.1:
            return {**fields, "result": -self.any((2, 11, 9, 22, 38, 14, 1)), "errno": self.any(ERRNOS)}
        return {**fields, "result": int(self.random.random() * 4096)}

    def _canary_check(self) -> dict[str, Any]:
        expected = self.word()
        corrupted = self.random.random() < 0.001
        found = Hex(int(expected) & ~0xFFFF) if corrupted else expected
        return {"pid": self.pid(), "fsbase": self.user(), "expected": expected, "found": found,
                "corrupted": corrupted, "when": self.any(("pre_syscall", "post_syscall")),
                "syscall": self.any(NAMES)}  # fmt: skip

    def _page_fault(self) -> dict[str, Any]:
        fields = {"pid": self.pid(), "vaddr": self.stack(), "ip": self.user(),
                  "reason": self.any(("PRESENT | CAUSED_BY_WRITE", "CAUSED_BY_USER", "first_touch")),
                  "resolved": self.random.random() < 0.98}  # fmt: skip
        if self.random.random() < 0.7:
            start = self.stack()
            fields.update(vma_start=start, vma_end=Hex(start + 0x10000), vma_type=self.any(VMAS))
        return fields

    def _signal(self) -> dict[str, Any]:
        number = self.any(list(SIGNALS))
        fields = {"pid": self.pid(), "signal": number, "signal_name": SIGNALS[number],
                  "action": self.any(("terminate", "ignore", "handler")), "ip": self.user()}  # fmt: skip
        return {**fields, "handler": self.user()} if fields["action"] == "handler" else fields

    def _user_fault(self) -> dict[str, Any]:
        exception = self.any(("general protection", "invalid opcode", "divide error"))
        return {"pid": self.pid(), "exception": exception, "ip": self.user(), "signal_delivered": 11}

    def _process_exit(self) -> dict[str, Any]:
        return {"pid": self.pid(), "status": self.any((0, 0, 1, 127)), "by_signal": self.random.random() < 0.1}

    def _process_exec(self) -> dict[str, Any]:
        return {"pid": self.pid(), "argv0": self.any(PROGRAMS), "entry": self.user()}

    def _process_fork(self) -> dict[str, Any]:
        return {"parent_pid": self.pid(), "child_pid": self.pid() + 40}

    def _panic(self) -> dict[str, Any]:
        frames = [{"addr": self.code(), "sym": self.any(("boot", "page_fault_handler", "schedule::switch")),
                   "off": Hex(self.random.randrange(4096))} for _ in range(self.random.randrange(8))]  # fmt: skip
        message = self.any(("panicked at kernel/main.rs:10:5", 'called "unwrap" on None\nat 0x41', "bad addr:0x41, x"))
        return {"message": message, "backtrace": frames}

    def _unimplemented_syscall(self) -> dict[str, Any]:
        return {"pid": self.pid(), "name": "rseq", "nr": 334}

    def _usercopy(self) -> dict[str, Any]:
        return {"pid": self.pid(), "dir": self.any(("to_user", "from_user", "fill", "read_cstr")),
                "addr": self.stack(), "len": int(self.random.random() * 512), "ctx": self.any(CONTEXTS)}  # fmt: skip

    def _usercopy_fault(self) -> dict[str, Any]:
        return {"pid": self.pid(), "fault_addr": self.stack(), "ip": self.code(), "label": self.any(LABELS),
                "dst": self.stack(), "src": self.code(), "remaining": self.random.randrange(64), "orig_len": 64,
                "ctx": self.any(CONTEXTS)}  # fmt: skip

    def _signal_stack_write(self) -> dict[str, Any]:
        rsp = self.stack()
        return {"pid": self.pid(), "signal": 11, "what": self.any(("trampoline", "return_addr", "siginfo")),
                "addr": Hex(rsp - 128), "len": 8, "rsp_before": rsp, "rsp_after": Hex(rsp - 256)}  # fmt: skip

    def _ucopy_trace_dump(self) -> dict[str, Any]:
        entries = [{"dst": self.stack(), "src": self.code(), "len": self.random.randrange(64), "ret": self.code()}
                   for _ in range(self.random.randrange(33))]  # fmt: skip
        return {"pid": self.pid(), "trigger": self.any(("canary_corruption", "usercopy_fault", "manual")),
                "total_calls": self.random.randrange(1 << 40), "entries": entries}  # fmt: skip

    def _crash_report(self) -> dict[str, Any]:
        calls = [{"nr": 16, "name": "ioctl", "result": 0, "a0": Hex(1), "a1": Hex(0x5413)} for _ in range(8)]
        vmas = [{"start": self.user(), "end": self.user(), "type": self.any(VMAS)} for _ in range(4)]
        return {"pid": self.pid(), "signal": 11, "signal_name": "SIGSEGV", "cmdline": "/bin/sh -c \"make all\"",
                "fault_addr": Hex(0), "ip": self.user(), "fsbase": self.user(),
                "regs": {name: self.word() for name in REGISTERS}, "syscalls": calls, "vmas": vmas}  # fmt: skip

    def _profile(self, name: str) -> dict[str, Any]:
        return {"name": name, "calls": self.random.randrange(1, 10000), "total_ns": self.random.randrange(1 << 32),
                "avg_ns": 196, "min_ns": 180, "max_ns": 350}  # fmt: skip

    def _syscall_profile(self) -> dict[str, Any]:
        return {
            "tsc_freq_hz": 2_400_000_000,
            "entries": [{"nr": n, **self._profile(NAMES[n])} for n in range(0, 60, 9)],
        }

    def _page_faults(self) -> dict[str, Any]:
        return {"count": self.random.randrange(1 << 20), "total_ns": self.random.randrange(1 << 40), "avg_ns": 900}

    def _span_profile(self) -> dict[str, Any]:
        return {
            "tsc_freq_hz": 2_400_000_000,
            "entries": [{"id": n, **self._profile(f"exec.step{n}")} for n in range(5)],
        }

    def _htrace(self) -> dict[str, Any]:
        return {"cpu": self.random.randrange(4), "tsc": self.random.getrandbits(48), "id": 16, "name": "page_fault",
                "depth": self.random.randrange(5), "dir": self.any(("enter", "exit")),
                "data": self.random.getrandbits(32)}  # fmt: skip

    def _htrace_summary(self) -> dict[str, Any]:
        return {"cpu": self.random.randrange(4), "total_entries": self.random.randrange(1 << 20), "ring_size": 4096}


TYPES = tuple(kind for kind in Events(0).makers if kind != "profile")
# How often each type comes, out of a thousand; a quarter of the events have hex.
WEIGHTS = {
    "syscall_entry": 352, "syscall_exit": 352, "canary_check": 90, "page_fault": 70, "usercopy": 56, "htrace": 20,
    "signal": 10, "signal_stack_write": 10, "process_fork": 10, "process_exit": 10, "process_exec": 8,
    "unimplemented_syscall": 5, "user_fault": 2, "usercopy_fault": 1, "panic": 0.2, "ucopy_trace_dump": 0.3,
    "crash_report": 0.2, "page_faults": 0.1, "syscall_profile": 0.1, "span_profile": 0.1, "htrace_summary": 0.1,
}  # fmt: skip
NOISE = (
    b"", b"/ # ls -l /proc", b"[    1.234567] virtio-net: MAC address is 52:54:00:12:34:56", b"init: started",
    b"\x1b[32mOK\x1b[0m mounted devtmpfs", "caf\u00e9 \u2713 done".encode(), b"total 0",
    b"warning: clock skew detected",
    b"drwxr-xr-x    2 root     root             0 Jan  1 00:00 bin", b"gcc -O2 -c main.c -o main.o",
    b"addr:0x41,0x42 (not an event)", b"/ # ", b"trace: switching to process 12 (busybox), fs_base=0x410000",
)  # fmt: skip


class Line(NamedTuple):
    """A line with its newline; `events` that a reader must give whole, and what was done to it."""

    raw: bytes
    events: tuple[Fields, ...]
    damage: str = ""


def log(
    seed: int,
    events: int,
    noise: float = 0.67,
    bare: bool = True,
    damage: float = 0.0,
    types: Optional[Sequence[str]] = None,
    sequence: bool = False,
) -> Iterator[Line]:
    """Make a log of that many events.

    `noise` is the number of other lines per event, `damage` the share of events that something is done to;
    with `sequence` each event has its number.
    """
    made = Events(seed)
    chosen = made.random.choices(list(types or WEIGHTS), None if types else list(WEIGHTS.values()), k=events)
    damages = Damages(made)
    for number, kind in enumerate(chosen):
        fields = made.event(kind)
        if sequence:
            fields = {"type": kind, "seq": number, **{name: fields[name] for name in fields if name != "type"}}
        if damage and made.random.random() < damage:
            yield damages.line(fields, bare)
        else:
            yield Line(line_of(fields, bare) + b"\n", (truth_of(fields),))
        while made.random.random() * (1 + noise) < noise:
            yield Line(made.any(NOISE) + b"\n", ())


class Damages:
    """What happens to lines on their way; the whole lot of it keeps to its own line or lines."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._random = events.random
        self.kinds: tuple[Callable[[Fields, bytes, bool], tuple[bytes, bool]], ...] = (
            self._cut, self._stamped, self._coloured, self._prompted, self._glued_noise, self._byte_lost, self._flipped,
            self._broken_by_newline,
        )  # fmt: skip

    def line(self, fields: Fields, bare: bool) -> Line:
        """Do something to the line of an event."""
        if self._random.random() < 0.3:
            return self.pair(fields, bare)
        kind = self._events.any(self.kinds)
        raw, whole = kind(fields, line_of(fields, bare), bare)
        return Line(raw + b"\n", (truth_of(fields),) if whole else (), kind.__name__[1:])

    def pair(self, fields: Fields, bare: bool) -> Line:
        """Two events in one line, or one broken into by the other."""
        other = self._events.event("process_fork")
        first, second = line_of(fields, bare), line_of(other, bare)
        both = (truth_of(fields), truth_of(other))
        if self._random.random() < 0.5:
            return Line(first + self._events.any((b"", b" ")) + second + b"\n", both, "two in one line")
        # Behind the type, so that the start can be told from any other text.
        place = self._random.randrange(len(fields["type"]) + 15, len(first))
        gap = self._events.any((b"", b"\n"))
        return Line(first[:place] + gap + second + b"\n" + first[place:] + b"\n", both, "interleaved")

    def _cut(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        return raw[: self._random.randrange(len(raw))], False

    def _stamped(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        stamp = self._events.any((b"[   12.345678] ", b"[   12.345678][    T1] ", b"2026-11-21T16:05:42.123Z ", b"<6>"))
        return stamp + raw, True

    def _coloured(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        return b"\x1b[33m" + raw + b"\x1b[0m", True

    def _prompted(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        return self._events.any((b"/ # ", b"$ ls", b"init: started")) + raw, True

    def _glued_noise(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        return raw + self._events.any((b" init: started", b"\r", b"/ # ")), True

    def _byte_lost(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        place = self._random.randrange(len(raw))
        return raw[:place] + raw[place + 1 :], False

    def _flipped(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        place = self._random.randrange(len(raw))
        return raw[:place] + bytes([self._random.choice([b for b in range(256) if b != 10])]) + raw[place + 1 :], False

    def _broken_by_newline(self, fields: Fields, raw: bytes, bare: bool) -> tuple[bytes, bool]:
        place = self._random.randrange(5, len(raw))
        return raw[:place] + b"\n" + raw[place:], False


def write(path: pathlib.Path, size: int, seed: int = 1, **options: Any) -> int:
    """Write a log of about `size` bytes; return the number of whole events in it."""
    count = written = 0
    with open(path, "wb") as file:
        while written < size:
            seed += 1
            lines = list(log(seed, 20_000, **options))
            raw = b"".join([line.raw for line in lines])
            file.write(raw)
            written += len(raw)
            count += sum(len(line.events) for line in lines)
    return count
