"""The threads of a native process as ptrace(2) shows them, from inside GDB, which is their tracer.

GDB's own way of running one instruction delivers signals, tells every observer and cannot block anything. These calls
leave everything as GDB knows it: it is enough to put the registers back. Sources: ptrace(2); Linux
arch/x86/include/asm/user_64.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import time
from functools import lru_cache
from typing import Any, Callable, Iterator, Mapping, Optional

from ..errors import KdbgError, TargetUnavailable

# struct user_regs_struct, in its order.
REGISTERS = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip
_CONT, _SINGLESTEP, _GETREGS, _SETREGS = 7, 9, 12, 13
_GETSIGINFO, _SETSIGINFO, _GETSIGMASK, _SETSIGMASK = 0x4202, 0x4203, 0x420A, 0x420B
_GET_SYSCALL_INFO, _ENTERING = 0x420E, 1
_GET_FILTER, _FILTER_STEP = 0x420C, 8
# The si_code of int3, single step and watchpoint; that of ptrace's own events are others.
_TRAPS = (0x80, 1, 2, 4)
_PEEKSIGINFO, _OF_THE_PROCESS, _PEEKED = 0x4209, 1, 64
_SIGINFO_SIZE, _MASK_SIZE = 128, 8
_WAIT_ANY = 0x40000000  # __WALL: threads too
_PATIENCE = 10.0
_GETREGSET, _SETREGSET, _EXTENDED_STATE, _EXTENDED_SIZE = 0x4204, 0x4205, 0x202, 1 << 16
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_TKILL = 200  # not tgkill: what shares the memory may be of another thread group, and be a thread for GDB
_KCMP, _KCMP_VM = 312, 1
# Blocking SIGTRAP would end the program at the single step (Linux kernel/signal.c, force_sig_info_to_task); the others
# cannot be blocked.
_BLOCKED = ((1 << 64) - 1) & ~sum(1 << (s - 1) for s in (signal.SIGTRAP, signal.SIGKILL, signal.SIGSTOP))


@lru_cache(maxsize=1)
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    return libc


def is_same_memory(process: int, other: int) -> bool:
    """Tell whether two processes share their memory; False where the system does not say."""
    return int(_libc().syscall(_KCMP, process, other, _KCMP_VM, 0, 0)) == 0


def tracer_of(process: int) -> int:
    """Return which process traces a process or a thread, 0 if none does."""
    try:
        with open(f"/proc/{process}/status", encoding="utf-8") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("TracerPid:")), 0)
    except OSError:
        return 0


class Thread:
    """One stopped thread, traced by this very GDB."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._swallowed_stop = False

    def registers(self) -> dict[str, int]:
        """Read the general registers."""
        words = (ctypes.c_uint64 * len(REGISTERS))()
        self._ask(_GETREGS, 0, words)
        return dict(zip(REGISTERS, words))

    def set_registers(self, registers: Mapping[str, int]) -> None:
        """Write all general registers."""
        values = (registers[name] & (1 << 64) - 1 for name in REGISTERS)
        self._ask(_SETREGS, 0, (ctypes.c_uint64 * len(REGISTERS))(*values))

    def news(self) -> Optional[int]:
        """Return what the thread has stopped by and nobody was told yet: a signal, or more than that for an event of
        ptrace's; 0 if it has ended. None without news."""
        try:
            found = os.waitid(os.P_PID, self.number, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT | _WAIT_ANY)
        except OSError:
            return 0
        if found is None:
            return None
        return int(found.si_status) if found.si_code in (os.CLD_TRAPPED, os.CLD_STOPPED) else 0

    def is_about_to_get(self, number: int, sender: int) -> bool:
        """Tell whether a signal that some process has sent to that of this thread waits, and would be all that happens
        if the thread went on: it does not block it, and was stopped by another one, not in the middle of a call."""
        asked = (ctypes.c_uint64 * 2)(0, _OF_THE_PROCESS | _PEEKED << 32)  # struct ptrace_peeksiginfo_args
        found = (ctypes.c_int32 * (_PEEKED * _SIGINFO_SIZE // 4))()
        count = self._ask(_PEEKSIGINFO, ctypes.addressof(asked), found)
        infos = (found[at : at + 5] for at in range(0, count * _SIGINFO_SIZE // 4, _SIGINFO_SIZE // 4))
        # si_signo, si_errno, si_code, which is 0 for kill(2), a gap, si_pid
        waits = any((info[0], info[2], info[4]) == (number, 0, sender) for info in infos)
        return waits and self._is_stopped_by_signal() and not self._signal_mask() >> number - 1 & 1

    def _is_stopped_by_signal(self) -> bool:
        info = (ctypes.c_int32 * (_SIGINFO_SIZE // 4))()
        if not self._was_stopped_by_signal(info):
            return False
        return info[0] == signal.SIGSTOP or (info[0] == signal.SIGTRAP and info[2] in _TRAPS)

    def seize(self) -> None:
        """Begin to trace a thread that nobody traces; it runs on."""
        self._ask(_SEIZE, 0, None)

    def interrupt(self) -> None:
        """Stop a seized thread."""
        self._ask(_INTERRUPT, 0, None)
        self._wait()

    def detach(self) -> None:
        """Trace the thread no more, and let it run."""
        self._ask(_DETACH, 0, None)

    def take_news(self) -> None:
        """Be told in GDB's place."""
        os.waitpid(self.number, _WAIT_ANY | os.WNOHANG)

    def go_on(self, number: int = 0) -> None:
        """Let the thread run, with a signal."""
        self._ask(_CONT, 0, ctypes.c_void_p(number))

    def is_entering_call(self) -> bool:
        """Tell whether it is stopped where a system call is about to be made, as by `catch syscall`."""
        told = ctypes.create_string_buffer(88)
        try:
            self._ask(_GET_SYSCALL_INFO, len(told), told)
        except KdbgError:
            return False  # before Linux 5.3
        return told.raw[0] == _ENTERING

    def system_call_filter(self, index: int) -> Optional[bytes]:
        """Return a filter of seccomp's, the newest first, as an array of struct sock_filter; None behind the last.

        Raises KdbgError without the right to read it (CAP_SYS_ADMIN, and no sandbox for GDB itself).
        """
        try:
            count = self._ask(_GET_FILTER, index, None)
        except KdbgError:
            if ctypes.get_errno() == errno.ENOENT:
                return None
            raise
        program = ctypes.create_string_buffer(count * _FILTER_STEP)
        self._ask(_GET_FILTER, index, program)
        return program.raw

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Block the thread's signals; afterwards its mask, registers and the signal it stopped by are back."""
        registers = self.registers()
        with self._without_signals():
            try:
                yield
            finally:
                self.set_registers(registers)
                self._settle()
                self.set_registers(registers)

    def step_out(self, is_inside: Callable[[int], bool], limit: int) -> None:
        """Let the thread run, instruction by instruction and without its signals, until its pc is outside."""
        with self._without_signals():
            while limit and is_inside(self.registers()["rip"]):
                self.step(swallowed=True)
                limit -= 1
            self._settle()

    @contextlib.contextmanager
    def _without_signals(self) -> Iterator[None]:
        mask, stopped_by = self._signal_mask(), ctypes.create_string_buffer(_SIGINFO_SIZE)
        is_by_signal = self._was_stopped_by_signal(stopped_by)
        self.set_signal_mask(_BLOCKED)
        try:
            yield
        finally:
            # What the thread set itself stays.
            if self._signal_mask() == _BLOCKED:
                self.set_signal_mask(mask)
            if is_by_signal:
                self._ask(_SETSIGINFO, 0, stopped_by)
            if self._swallowed_stop:
                self._swallowed_stop = False
                self.send(signal.SIGSTOP)  # GDB sent it, and waits for it

    # A program that was stopped as a job when it was attached to has none (ptrace(2), group-stop).
    def _was_stopped_by_signal(self, into: Any) -> bool:
        try:
            self._ask(_GETSIGINFO, 0, into)
        except KdbgError:
            return False
        return True

    # After single steps the trap flag would stay until the next resumption, and end a program whose GDB is killed
    # before. So the thread is resumed into a signal that waits for it already: it executes nothing, and still is where
    # an interrupted system call can be made again.
    def _settle(self) -> None:
        self.send(signal.SIGTRAP)
        self._resume(_CONT, False)

    def send(self, number: int) -> None:
        """Send the thread a signal."""
        _libc().syscall(_TKILL, self.number, int(number))

    def extended_state(self) -> bytes:
        """Read the floating-point and vector registers, as the processor saves them."""
        buffer = ctypes.create_string_buffer(_EXTENDED_SIZE)
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), len(buffer))
        self._ask(_GETREGSET, _EXTENDED_STATE, vector)
        return buffer.raw[: vector[1]]

    def set_extended_state(self, state: bytes) -> None:
        """Write what `extended_state` has read."""
        buffer = ctypes.create_string_buffer(state, len(state))
        self._ask(_SETREGSET, _EXTENDED_STATE, (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), len(buffer)))

    def step(self, swallowed: bool = False) -> None:
        """Execute one instruction, with all signals blocked; one that comes through is an error, or is swallowed."""
        self._resume(_SINGLESTEP, swallowed)

    def _resume(self, request: int, swallowed: bool) -> None:
        while True:
            self._ask(request, 0, None)
            by = self._wait()
            if by == signal.SIGTRAP:
                return
            if by == signal.SIGSTOP:
                self._swallowed_stop = True
            elif not swallowed:
                raise KdbgError(f"an injected instruction ended in {signal.Signals(by).name}")

    def set_signal_mask(self, mask: int) -> None:
        """Set which signals are blocked."""
        self._ask(_SETSIGMASK, _MASK_SIZE, ctypes.byref(ctypes.c_uint64(mask)))

    def _signal_mask(self) -> int:
        mask = ctypes.c_uint64()
        self._ask(_GETSIGMASK, _MASK_SIZE, ctypes.byref(mask))
        return mask.value

    def _wait(self) -> int:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            found, status = os.waitpid(self.number, _WAIT_ANY | os.WNOHANG)
            if found and os.WIFSTOPPED(status):
                return os.WSTOPSIG(status)
            if found:
                raise TargetUnavailable(f"thread {self.number} ended during an injected system call")
        raise KdbgError(f"thread {self.number} does not come back from an injected system call")

    def _ask(self, request: int, address: int, data: Any) -> int:
        place = ctypes.cast(data, ctypes.c_void_p) if data is not None else None
        result = int(_libc().ptrace(request, self.number, address, place))
        if result == -1:
            name = errno.errorcode.get(ctypes.get_errno(), "?")
            raise KdbgError(f"ptrace request {request:#x} on thread {self.number} failed: {name}")
        return result
