"""System calls that the stopped program makes on behalf of kdbg.

Not by GDB's calls of functions: those write the extended registers, which GDB 13 cannot on processors with AMX. One
thread is pointed at a `syscall` instruction that is in the program anyway and steps over it, with its signals blocked;
all that it and GDB know of the thread is put back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import Iterator, Optional, Union

import gdb

from ..errors import KdbgError, NotSupported, TargetUnavailable
from ..mappings import Mapping, parse_mappings
from ..seccomp import SystemCall
from ..syscall_names import ARGUMENT_REGISTERS, NAMES, system_call_name
from .ptrace import Thread, tracer_of
from .sandboxes import require_calls

_SYSCALL = b"\x0f\x05"
_USER_CODE_64 = 0x33
# Behind the red zone and what a signal handler of kdbg's own would need (psABI x86-64, 3.2.2).
_SCRATCH = 4096
_ERRORS = 4095
_FUNCTION_ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
_LONGEST_FUNCTION = 20_000


class Injection:
    """System calls by one stopped thread; made by `injecting()`."""

    def __init__(self, thread: Thread, process: int, place: int) -> None:
        self._thread = thread
        self._place = place
        self.process = process
        self._before = thread.registers()
        # A function finds its stack as a call leaves it, 8 bytes off a multiple of 16.
        self._scratch = (self._before["rsp"] - _SCRATCH & ~63) + 8
        self._saved: Optional[bytes] = None

    def call(self, name: Union[str, int], *arguments: int) -> int:
        """Make a system call; return its result, or raise KdbgError with the name of the error.

        Arguments are numbers; those that lead to memory lead to the program's memory (see `scratch`).
        """
        number = NAMES.index(name) if isinstance(name, str) else name
        made = SystemCall(system_call_name(number), number, arguments)
        require_calls(self.process, [self._thread.number], [made], self._place)
        registers = dict(self._before)
        registers.update(zip(ARGUMENT_REGISTERS, arguments))
        # The kernel would repeat an interrupted call if orig_rax showed one.
        registers.update(rip=self._place, rax=number, orig_rax=-1, eflags=registers["eflags"] & ~0x400)
        self._thread.set_registers(registers)
        self._thread.step()
        after = self._thread.registers()
        if after["rip"] != self._place + len(_SYSCALL):
            raise KdbgError(f"the injected system call went astray, to {after['rip']:#x}")
        result = after["rax"] - (1 << 64) if after["rax"] >> 63 else after["rax"]
        if -_ERRORS <= result < 0:
            failed = errno.errorcode.get(-result, str(-result))
            raise KdbgError(f"{system_call_name(number)} in process {self.process} failed: {failed}")
        return result & (1 << 64) - 1

    def function(self, address: int, *arguments: int) -> int:
        """Call a short function that waits for nothing, instruction by instruction; return what it leaves in rax."""
        state = self._thread.extended_state()
        back = self.scratch(self._place.to_bytes(8, "little"))
        registers = dict(self._before)
        registers.update(zip(_FUNCTION_ARGUMENTS, arguments))
        registers.update(rip=address, rsp=back, rax=0, orig_rax=-1, eflags=registers["eflags"] & ~0x400)
        self._thread.set_registers(registers)
        try:
            for _ in range(_LONGEST_FUNCTION):
                self._thread.step()
                registers = self._thread.registers()
                if registers["rip"] == self._place and registers["rsp"] == back + 8:
                    return registers["rax"]
        finally:
            self._thread.set_extended_state(state)
        raise KdbgError(f"the function at {address:#x} did not return within {_LONGEST_FUNCTION} instructions")

    def scratch(self, data: bytes) -> int:
        """Lay data for a call below the thread's stack pointer, where it stays till the next; return its address."""
        if len(data) > _SCRATCH // 2:
            raise KdbgError(f"{len(data)} bytes are too many for an injected system call")
        if self._saved is None:
            self._saved = self._memory(_SCRATCH // 2)
        write_process(self.process, self._scratch, data)
        return self._scratch

    def read_scratch(self, size: int) -> bytes:
        """Return what a call wrote there."""
        return self._memory(size)

    def _memory(self, size: int) -> bytes:
        return read_process(self.process, self._scratch, size)

    def restore(self) -> None:
        """Put back what was on the stack."""
        if self._saved is not None:
            write_process(self.process, self._scratch, self._saved)
            self._saved = None


@contextlib.contextmanager
def injecting(halted: Optional[int] = None) -> Iterator[Injection]:
    """Hand out system calls by the selected thread, or by another where that one cannot.

    Raises NotSupported or TargetUnavailable, with nothing changed, where there is no native, stopped, 64-bit process
    that this GDB traces. `halted` is a process of which that is known, even if GDB takes it for running.
    """
    process = traced_process() if halted is None else halted
    thread = _willing_thread(process)
    place = _syscall_instruction(process)
    with thread.undisturbed():
        injection = Injection(thread, process, place)
        try:
            yield injection
        finally:
            injection.restore()


def traced_process() -> int:
    """Return the process id of the selected program, or raise if it is no native process of this GDB."""
    inferior = gdb.selected_inferior()
    thread = gdb.selected_thread()
    if thread is None or not thread.is_valid():
        raise TargetUnavailable("no target: run a program or attach to one first")
    if thread.is_running():
        raise TargetUnavailable("the target is running: stop it first (interrupt, or Ctrl-C)")
    kind = inferior.connection.type if inferior.connection is not None else "none"
    if kind != "native":
        raise NotSupported(f"this needs a native process, attached to or run by this GDB itself (the target is {kind})")
    if tracer_of(inferior.pid) != os.getpid() or threading.get_native_id() != os.getpid():
        raise NotSupported(f"process {inferior.pid} is not traced by this GDB")
    return inferior.pid


def mappings_of(process: int) -> tuple[Mapping, ...]:
    """Return what is mapped in a process, by address."""
    try:
        with open(f"/proc/{process}/maps", encoding="utf-8", errors="backslashreplace") as file:
            return parse_mappings(file.read())
    except OSError as error:
        raise TargetUnavailable(f"cannot read the mappings of process {process}: {error.strerror}") from None


def read_process(process: int, address: int, size: int) -> bytes:
    """Read the memory itself, without GDB's caches and without hiding its breakpoints; or raise KdbgError."""
    try:
        with open(f"/proc/{process}/mem", "rb", buffering=0) as file:
            data = os.pread(file.fileno(), size, address)
    except (OSError, OverflowError) as error:
        raise KdbgError(f"cannot read {size} bytes at {address:#x} of process {process}: {error}") from None
    if len(data) != size:
        raise KdbgError(f"cannot read {size} bytes at {address:#x} of process {process}")
    return data


def write_process(process: int, address: int, data: bytes) -> None:
    """Write the memory itself, read-only text too; or raise KdbgError."""
    try:
        with open(f"/proc/{process}/mem", "r+b", buffering=0) as file:
            written = os.pwrite(file.fileno(), data, address)
    except (OSError, OverflowError) as error:
        raise KdbgError(f"cannot write {len(data)} bytes at {address:#x} of process {process}: {error}") from None
    if written != len(data):
        raise KdbgError(f"cannot write {len(data)} bytes at {address:#x} of process {process}")


# A thread that stands at the entry of a system call would make that call, whatever its registers say.
def _willing_thread(process: int) -> Thread:
    selected = gdb.selected_thread()
    others = [thread for thread in gdb.selected_inferior().threads() if thread is not selected]
    reason = ""
    for candidate in filter(None, [selected, *others]):
        thread = Thread(candidate.ptid[1])
        with contextlib.suppress(KdbgError):
            if thread.registers()["cs"] != _USER_CODE_64:
                raise NotSupported("this needs a 64-bit x86 process")
            # What a thread is still to tell GDB would be lost.
            if not thread.is_entering_call() and thread.news() is None:
                return thread
            reason = ": they are entering system calls, stepi first"
    raise KdbgError(f"no thread of process {process} can make a system call now{reason}")


def _syscall_instruction(process: int) -> int:
    code = [mapping for mapping in mappings_of(process) if "x" in mapping.permissions and "r" in mapping.permissions]
    for mapping in sorted(code, key=lambda mapping: mapping.name != "[vdso]"):
        for start in range(mapping.start, mapping.end, 1 << 20):
            with contextlib.suppress(KdbgError):
                data = read_process(process, start, min(1 << 20, mapping.end - start))
                if _SYSCALL in data:
                    return start + data.index(_SYSCALL)
    raise KdbgError(f"process {process} has no syscall instruction in its code")
