"""The code of an overlap probe.

A call comes by with destination, size and source in rdi, rdx, rsi, and goes on to the routine. What most calls execute
is a count and a comparison, in rax and r10, which no caller expects to keep; no lock, no stack. An overlap is rare:
it is recorded in the ring, looked up among the kinds seen before, and if it is new and somebody listens, the thread
sends itself a signal that is ignored by default. A traced thread stops for it; without a tracer nothing happens.
"""

from __future__ import annotations

import struct
from typing import Callable, NamedTuple, Optional, Sequence

from .assembly import JUMP, JUMP_BELOW, JUMP_EQUAL, JUMP_UNEQUAL, Assembler, CannotPlace
from .probe_area import (
    AGAIN,
    CAPACITY,
    FIRST_TOKEN,
    INDEX,
    KIND,
    KINDS,
    LINE,
    LINES,
    LISTENING,
    SAME,
    SIGNAL_MASK,
    SWITCH,
    TOKENS,
    UNLISTED,
    Area,
)  # fmt: skip

# Where the slow path keeps the caller's registers, below the stack pointer: no signal handler touches these 128 bytes
# (psABI x86-64, 3.2.2), and the stack pointer stays as the routine would see it, so that debuggers unwind.
SAVED = {"rdi": 16, "rsi": 24, "rdx": 32, "rcx": 40, "r8": 48, "r9": 56}
GO_ON, OLD_MASK = 8, 72
_GETPID, _GETTID, _TGKILL, _SIGPROCMASK = 39, 186, 234, 14
_UNBLOCK, _SET = 1, 2
_TRIES = 16
_HASH = b"\x69\xc0" + struct.pack("<I", 0x1E3779B1)  # imul eax, eax, ...
_SYSCALL = b"\x0f\x05"


class Entry(NamedTuple):
    """One way into the routine: `emit` appends what goes on with it, the jump or the displaced instructions."""

    name: str
    emit: Callable[[Assembler], None]


class TaskPlace(NamedTuple):
    """Where a kernel keeps the pointer to the task it runs, and where a task has its process id (4 bytes)."""

    pointer: int
    pid: int


class Stub(NamedTuple):
    """The finished code: its entries by name, and where a thread is when the signal stops it."""

    code: bytes
    entries: dict[str, int]
    stop: int


def build_stub(area: Area, entries: Sequence[Entry], signal: int, task: Optional[TaskPlace] = None) -> Stub:
    """Put the code of a probe together for its area; raise CannotPlace if it does not fit in.

    Records are made for the thread, or, in a kernel, for the task at `task`.
    """
    code = Assembler(area.start)
    for entry in entries:
        _fast_path(code, area, entry)
    _slow_path(code, area, signal, task)
    finished = code.finish()
    if len(finished) > area.code_size:
        raise CannotPlace(f"{len(entries)} ways into the routine are too many")
    return Stub(finished, {entry.name: code.address(entry.name) for entry in entries}, code.address("stop"))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text)


def _fast_path(code: Assembler, area: Area, entry: Entry) -> None:
    name = entry.name
    code.align(16)
    code.label(name)
    code.emit(_bytes("89e0 25"), struct.pack("<I", (LINES - 1) * LINE))  # eax = line of this stack
    code.relative(_bytes("4c8d15"), area.lines)  # lea r10, [lines]
    code.emit(_bytes("49ff0402"))  # inc qword [r10+rax]
    # With the distance d and size n: -n <= d < n. The slow path tells d = -n, which is adjacent.
    code.emit(_bytes("488d0417 4829f0 4c8d1412 4c39d0"))  # rax = rdi + rdx - rsi; r10 = 2 * rdx
    code.relative(JUMP_BELOW, f"{name} slow")
    code.label(f"{name} go on")
    entry.emit(code)
    code.align(8)
    code.label(f"{name} slow")
    code.relative(_bytes("4c8d15"), f"{name} back")  # lea r10, [back]
    code.relative(JUMP, "slow")
    # No word that leads here stays in a register or on the stack: it would keep the probe from going.
    code.label(f"{name} back")
    code.emit(_bytes("4531d2"))  # xor r10d, r10d
    code.relative(JUMP, f"{name} go on")


def _slow_path(code: Assembler, area: Area, signal: int, task: Optional[TaskPlace]) -> None:
    code.align(16)
    code.label("slow")
    code.emit(_bytes("4885c0"))  # rax is d + n still: adjacent
    code.relative(JUMP_EQUAL, "out")
    code.relative(_bytes("4c8d1d"), area.control)  # lea r11, [control]
    _tokens(code)
    code.emit(_bytes("4839f7"))  # cmp rdi, rsi
    code.relative(JUMP_EQUAL, "same")
    code.emit(_bytes("41807b"), bytes([SWITCH, 0]))  # cmp byte [r11+switch], 0
    code.relative(JUMP_EQUAL, "out")
    _save(code)
    _whose(code, task)
    _record(code, area)
    _look_up(code, area)
    _tell(code, area, signal)
    _leave(code)


# A thread that a debugger showed at the routine's entry comes by once more.
def _tokens(code: Assembler) -> None:
    for number in range(TOKENS):
        code.emit(_bytes("493963"), bytes([FIRST_TOKEN + 8 * number]))  # cmp [r11+token], rsp
        code.relative(JUMP_EQUAL, f"token {number}")


def _save(code: Assembler) -> None:
    code.emit(_bytes("4c895424f8"))  # mov [rsp-8], r10
    for opcode, place in zip(("48897c24", "48897424", "48895424", "48894c24", "4c894424", "4c894c24"), SAVED.values()):
        code.emit(_bytes(opcode), bytes([256 - place]))


def _whose(code: Assembler, task: Optional[TaskPlace]) -> None:
    if task is None:
        code.emit(_call(_GETTID))
    else:
        code.relative(_bytes("488b05"), task.pointer)  # mov rax, [task]; 0 before the kernel runs any
        code.emit(_bytes("4885c0"))
        code.relative(JUMP_EQUAL, "no task")
        code.emit(_bytes("8b80"), struct.pack("<i", task.pid))  # mov eax, [rax+pid]
        code.label("no task")
    code.emit(_bytes("c1e010 4189c1"))  # r9d = pid << 16, as a word of context


def _record(code: Assembler, area: Area) -> None:
    code.relative(_bytes("4c8d1d"), area.control)  # a system call changes r11 and rcx
    code.emit(_bytes("b801000000 f0490fc143"), bytes([INDEX]))  # rax = 1; lock xadd [r11+index], rax
    code.emit(_bytes("25"), struct.pack("<I", CAPACITY - 1))
    code.relative(_bytes("488d0d"), area.contexts)
    code.emit(_bytes("44890c81"))  # mov [rcx+rax*4], r9d
    code.emit(_bytes("48c1e005"))
    code.relative(_bytes("488d0d"), area.ring)
    code.emit(_bytes("4801c1 488939 48897108 48895110"))  # rcx += rax; destination, source, size
    code.emit(_bytes("4c8b0424 4c894118"))  # r8 = [rsp], the return address


def _look_up(code: Assembler, area: Area) -> None:
    code.emit(_bytes("4989f9 4929f1"))  # r9 = rdi - rsi
    code.emit(_bytes("4489c0"), _HASH, _bytes("4401c8"), _HASH, _bytes("01d0"), _HASH, _bytes("c1e80c"))
    code.relative(_bytes("488d3d"), area.kinds)  # lea rdi, [kinds]
    code.emit(_bytes("be"), struct.pack("<I", _TRIES))
    code.label("next")
    code.emit(_bytes("89c1 81e1"), struct.pack("<I", KINDS - 1), _bytes("c1e105 4801f9"))  # rcx = rdi + 32 * entry
    assert KIND == 32
    code.emit(_bytes("4c8b11 4d85d2"))  # r10 = [rcx]
    code.relative(JUMP_EQUAL, "empty")
    for compare in ("4d39c2", "4c394908", "48395110"):  # call site, distance, size
        code.emit(_bytes(compare))
        code.relative(JUMP_UNEQUAL, "advance")
    code.emit(_bytes("f048ff4118"))  # lock inc qword [rcx+24]
    code.relative(JUMP, "restore")
    code.label("empty")
    code.emit(_bytes("4989c2 31c0 f04c0fb101 4c89d0"))  # lock cmpxchg [rcx], r8, with rax = 0
    code.relative(JUMP_UNEQUAL, "next")
    code.emit(_bytes("4c894908 48895110 f048ff4118"))
    code.relative(JUMP, "new")
    code.label("advance")
    code.emit(_bytes("ffc0 ffce"))
    code.relative(JUMP_UNEQUAL, "next")
    code.emit(_bytes("f049ff43"), bytes([UNLISTED]))
    code.relative(JUMP, "restore")


def _tell(code: Assembler, area: Area, signal: int) -> None:
    code.label("new")
    code.emit(_bytes("41807b"), bytes([LISTENING, 0]))
    code.relative(JUMP_EQUAL, "restore")
    code.emit(b"\xbf", struct.pack("<I", _UNBLOCK))
    code.relative(_bytes("488d35"), area.control + SIGNAL_MASK)
    code.emit(_bytes("488d5424"), bytes([256 - OLD_MASK]), _bytes("41ba08000000"), _call(_SIGPROCMASK))
    code.emit(_call(_GETPID), _bytes("89c7"), _call(_GETTID), _bytes("89c6"))
    code.emit(b"\xba", struct.pack("<I", signal), _call(_TGKILL))
    code.label("stop")
    code.emit(b"\xbf", struct.pack("<I", _SET), _bytes("488d7424"), bytes([256 - OLD_MASK]))
    code.emit(_bytes("31d2 41ba08000000"), _call(_SIGPROCMASK))


def _leave(code: Assembler) -> None:
    code.label("restore")
    for opcode, place in zip(("488b7c24", "488b7424", "488b5424", "488b4c24", "4c8b4424", "4c8b4c24"), SAVED.values()):
        code.emit(_bytes(opcode), bytes([256 - place]))
    code.emit(_bytes("4c8b5424f8 48c74424f800000000 41ffe2"))  # r10 = [rsp-8]; [rsp-8] = 0; jmp r10
    code.label("same")
    code.emit(_bytes("f049ff43"), bytes([SAME]))
    code.label("out")
    code.emit(_bytes("41ffe2"))  # jmp r10
    for number in range(TOKENS):
        code.label(f"token {number}")
        code.emit(_bytes("49c743"), bytes([FIRST_TOKEN + 8 * number]), bytes(4))
        code.emit(_bytes("f049ff43"), bytes([AGAIN]), _bytes("41ffe2"))


def _call(number: int) -> bytes:
    return b"\xb8" + struct.pack("<I", number) + _SYSCALL
