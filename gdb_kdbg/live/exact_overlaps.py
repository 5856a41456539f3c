"""Overlaps caught by breakpoints: every call stops the program for a moment, on any target that GDB can stop."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

import gdb

from ..errors import KdbgError
from ..overlap_exact import CallTally
from ..overlap_plan import Plan
from ..overlap_report import FRAMES, Call, OverlapHit, describe_hit
from ..scope import Scope
from ..target import Frame
from ..units import Address, Size
from .interrupt import InterruptWatcher
from .target import GdbTarget

_REGISTERS = ("rdi", "rsi", "rdx", "rsp", "rip", "rax", "rbx", "rcx", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
              "r14", "r15")  # fmt: skip
# Told what was found; says whether to stop.
Found = Callable[[OverlapHit], bool]


class CallBreakpoint(gdb.Breakpoint):
    """A breakpoint at a routine's entry that looks at the arguments and goes on."""

    def __init__(
        self, target: GdbTarget, name: str, address: int, tally: CallTally, found: Found, refresh: Callable[[], None]
    ) -> None:
        super().__init__(f"*{address:#x}")
        self._target, self._name, self._address = target, name, address
        self._tally, self._found, self._refresh = tally, found, refresh
        self.interrupt: Optional[InterruptWatcher] = None

    def stop(self) -> bool:
        if self.interrupt is not None and self.interrupt.pressed():
            return True
        try:
            return self._judge()
        except KeyboardInterrupt:
            return True

    def _judge(self) -> bool:
        target = self._target
        destination, source, size, sp = (target.register(name) or 0 for name in _REGISTERS[:4])
        back = int.from_bytes(target.read_memory(Address(sp), Size(8)), "little")
        call = Call(self._name, Address(destination), Address(source), Size(size), Address(back))
        is_possible = call.is_overlap or call.destination == call.source
        registers = {name: target.register(name) or 0 for name in _REGISTERS} if is_possible else {}
        if not self._tally.note(self._address, call, registers):
            return False
        self._refresh()
        thread = gdb.selected_thread()
        name = f"{thread.num} ({thread.name or thread.ptid_string})" if thread is not None else ""
        return self._found(describe_hit(target, call, name, self._frames()))

    def _frames(self) -> Sequence[Frame]:
        try:
            return self._target.frames(FRAMES)
        except KdbgError:
            return ()


class ExactOverlaps:
    """The breakpoints, and what they have counted."""

    def __init__(
        self, target: GdbTarget, scope: Scope, plans: Sequence[Plan], found: Found, refresh: Callable[[], None]
    ) -> None:
        """Arm; raise KdbgError with nothing armed."""
        self.tally = CallTally(target, scope, plans)
        self._interrupt = InterruptWatcher()
        self._points: list[CallBreakpoint] = []
        try:
            for plan in plans:
                for address in plan.routines:
                    self._points.append(CallBreakpoint(target, plan.routine, address, self.tally, found, refresh))
        except gdb.error as error:
            self.remove()
            raise KdbgError(f"cannot arm: {str(error).strip().rstrip('.')}") from None
        self._interrupt.start()
        for point in self._points:
            point.interrupt = self._interrupt

    def describe(self) -> str:
        """Name the breakpoints by their numbers."""
        return ", ".join(str(point.number) for point in self._points if point.is_valid())

    def stopped(self) -> None:
        """Forget an interrupt: the target has stopped."""
        self._interrupt.pressed()

    def remove(self) -> None:
        """Delete the breakpoints."""
        self._interrupt.stop()
        for point in self._points:
            if point.is_valid():
                point.delete()
