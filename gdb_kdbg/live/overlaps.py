"""Overlapping copies caught in this GDB: the probe that is in the program, and the stop when it has something to tell.

The probe's signal is caught by a catchpoint whose condition looks at the thread: it reports the call, and either goes
on or shows the thread at the routine's entry, as a breakpoint there would.
"""

from __future__ import annotations

import contextlib
import re
import signal
from typing import Callable, Mapping, Optional, Sequence

import gdb

from ..canary import require_x86_64
from ..errors import KdbgError, TargetUnavailable
from ..overlap_command import COUNT, STOP, OverlapArmed
from ..overlap_plan import Plan, Planner
from ..overlap_probe import Installed, Way, find_areas, install, remove
from ..overlap_report import FRAMES, PROBE_RING, Call, OverlapHit, OverlapHits, OverlapReport, describe_hit, summed_up
from ..overlap_stub import GO_ON, OLD_MASK, SAVED
from ..probe_area import CAPACITY, FIRST_TOKEN, INDEX, RECORD, SWITCH, TOKENS, Area, read_counts, read_header
from ..ring import CONTEXTS
from ..ring_layout import BUFFER
from ..ring_layout import INDEX as RING_INDEX
from ..ring_layout import SWITCH as RING_SWITCH
from ..target import Symbol
from ..units import Address, Size
from .injection import injecting, traced_process
from .probe_host import NativeHost
from .ptrace import Thread
from .target import GdbTarget, evaluate

HIT_FUNCTION, LEAVE_FUNCTION = "_kdbg_overlap", "_kdbg_leave"
# Ignored by default, and seldom used.
_SIGNALS = (signal.SIGURG, signal.SIGWINCH)
_RED_ZONE = 128


class _Function(gdb.Function):
    """A convenience function that only calls something of kdbg's."""

    def __init__(self, name: str, run: Callable[[], int]) -> None:
        super().__init__(name)
        self._run = run

    def invoke(self, *args: gdb.Value) -> int:
        return self._run()


class GdbOverlaps:
    """What catches overlaps in this GDB; `show` prints what is found."""

    def __init__(self, target: GdbTarget) -> None:
        self.show: Callable[[OverlapHits], None] = lambda hits: None
        self._target = target
        self._probe: Optional[Installed] = None
        self._catchpoint: Optional[int] = None
        self._hits: list[OverlapHit] = []
        self._mode = STOP
        self._has_functions = False

    def arm(self, routines: Sequence[str], mode: str, exact: bool) -> OverlapArmed:
        require_x86_64(self._target)
        process = traced_process()
        host = NativeHost(process)
        if find_areas(host):
            raise KdbgError("the program has an overlap probe already (kdbg overlap --off takes it out)")
        number = _quiet_signal(process)
        planner = Planner(self._target, evaluate, _resolved)
        plans = [planner.plan(routine) for routine in routines]
        problems = [*self._before_leaving(), *(problem for plan in plans for problem in plan.problems)]
        self._probe = install(host, plans, number, mode != COUNT, {"mode": mode, "routines": list(routines)})
        self._mode = mode
        try:
            if mode != COUNT:
                self._listen(number)
        except BaseException:
            self.remove()
            raise
        self._target.probe_symbols = _ring_symbols(self._probe.area)
        return OverlapArmed(f"armed {_how(plans)}", self.describe(), tuple(problems))

    def _listen(self, number: int) -> None:
        gdb.execute(f"catch signal {signal.Signals(number).name}", to_string=True)
        self._catchpoint = int(gdb.parse_and_eval("$bpnum"))
        gdb.execute(f"condition {self._catchpoint} ${HIT_FUNCTION}()", to_string=True)

    # GDB tells Python of a detach only when it is done; its hooks come before.
    def _before_leaving(self) -> Sequence[str]:
        if self._has_functions:
            return ()
        self._has_functions = True
        _Function(HIT_FUNCTION, self._hit)
        _Function(LEAVE_FUNCTION, self.disarm)
        try:
            gdb.execute("show user hook-detach", to_string=True)
        except gdb.error:
            gdb.execute(f"define hook-detach\nset $_kdbg_left = ${LEAVE_FUNCTION}()\nend", to_string=True)
            return ()
        return ("you have a hook-detach of your own: take the probe out before you detach (kdbg overlap --off)",)

    def remove(self) -> OverlapArmed:
        host = NativeHost(traced_process())
        removals = [remove(host, area) for area in find_areas(host)]
        self._forget()
        problems = tuple(problem for removal in removals for problem in removal.problems)
        gone = sum(removal.is_gone for removal in removals)
        return OverlapArmed(f"took {gone} probe{'s' * (gone != 1)} out", (), problems)

    def disarm(self) -> int:
        """Take the probe out if this GDB put one in; what does not work is told, not raised."""
        if self._probe is None:
            return 0
        try:
            for problem in self.remove().problems:
                gdb.write(f"kdbg: {problem}\n", gdb.STDERR)
        except (KdbgError, gdb.error):
            self._forget()  # the program is gone
        return 1

    def _forget(self) -> None:
        self._probe = None
        self._hits.clear()
        self._target.probe_symbols = {}
        number, self._catchpoint = self._catchpoint, None
        if number is not None:
            with contextlib.suppress(gdb.error):  # the user deleted it
                gdb.execute(f"delete {number}", to_string=True)

    def describe(self) -> tuple[str, ...]:
        """What is armed, a line each."""
        if self._probe is None:
            return ()
        number = f"{self._catchpoint}: " if self._catchpoint is not None else ""
        names = ", ".join(self._probe.header.about["routines"])
        return (f"{number}overlap probe on {names} ({self._mode}), its code at {self._probe.area.start:#x}",)

    def report(self) -> OverlapReport:
        host = NativeHost(traced_process())
        areas = find_areas(host)
        if not areas:
            raise KdbgError("there is no overlap probe in the program (kdbg overlap puts one in)")
        headers = [header for area in areas if (header := read_header(host, area)) is not None]
        names = dict.fromkeys(str(name) for header in headers for name in header.about.get("routines", ()))
        return summed_up(self._target, ", ".join(names), [read_counts(host, area) for area in areas], ())

    def take_hits(self) -> Optional[OverlapHits]:
        """Hand out what stopped the program, once."""
        hits, self._hits = tuple(self._hits), []
        return OverlapHits(hits) if hits else None

    # The condition of the catchpoint: a stop or not.
    def _hit(self) -> int:
        probe = self._probe
        if probe is None or self._target.register("rip") != probe.stub.stop:
            return 0
        try:
            told = _Saved(self._target)
            way = probe.way(told.word(GO_ON))
            call = Call(
                way.name, Address(told.word(SAVED["rdi"])), Address(told.word(SAVED["rsi"])),
                Size(told.word(SAVED["rdx"])), Address(told.word(0)),
            )  # fmt: skip
            hit = describe_hit(self._target, call, _thread_name(), self._target.frames(FRAMES))
        except KeyboardInterrupt:
            return 1
        if self._mode != STOP:
            self.show(OverlapHits((hit,)))
            return 0
        self._present(probe.area, way, told)
        self._hits.append(hit)
        return 1

    # Show the thread at the routine's entry. One that was patched leads into the probe again: a token tells that.
    def _present(self, area: Area, way: Way, told: _Saved) -> None:
        place = way.routine
        if way.is_patched:
            tokens = [area.control + FIRST_TOKEN + 8 * number for number in range(TOKENS)]
            free = (at for at in tokens if not any(self._target.read_memory(Address(at), Size(8))))
            token = next(free, None)
            if token is None:
                return  # so many threads stand there already; this one is shown in the probe
            self._target.write_memory(Address(token), told.sp.to_bytes(8, "little"))
        self._target.write_memory(Address(told.sp - GO_ON), bytes(8))
        thread = gdb.selected_thread()
        Thread(thread.ptid[0], thread.ptid[1]).set_signal_mask(told.word(OLD_MASK))
        registers = {name: told.word(below) for name, below in SAVED.items()}
        for name, value in {**registers, "rax": 0, "r10": 0, "r11": 0, "rip": place}.items():
            gdb.parse_and_eval(f"${name} = {value:#x}")


class _Saved:
    """What the probe keeps below the stack pointer of a thread that stopped in it."""

    def __init__(self, target: GdbTarget) -> None:
        self.sp = target.register("rsp") or 0
        self._bytes = target.read_memory(Address(self.sp - _RED_ZONE), Size(_RED_ZONE + 8))

    def word(self, below: int) -> int:
        return int.from_bytes(self._bytes[_RED_ZONE - below : _RED_ZONE - below + 8], "little")


def _thread_name() -> str:
    thread = gdb.selected_thread()
    return f"{thread.num} (LWP {thread.ptid[1]}, {thread.name})" if thread is not None else ""


def _resolved(resolver: int) -> int:
    with injecting() as inject:
        return inject.function(resolver)


def _how(plans: Sequence[Plan]) -> str:
    entries = sum(len(plan.entries) for plan in plans)
    slots = len({slot.address for plan in plans for slot in plan.slots})
    parts = [f"{entries} at the entry of a routine"] * bool(entries)
    parts += [f"{slots} in slots that lead to one"] * bool(slots)
    return " and ".join(parts)


def _ring_symbols(area: Area) -> Mapping[str, Symbol]:
    sizes = {BUFFER: RECORD * CAPACITY, RING_INDEX: 8, RING_SWITCH: 1, CONTEXTS: 4 * CAPACITY}
    places = (area.ring, area.control + INDEX, area.control + SWITCH, area.contexts)
    return {
        name: Symbol(PROBE_RING if name == BUFFER else name, Address(place), Size(size), "")
        for (name, size), place in zip(sizes.items(), places)
    }


# A signal that the program does not handle, wait for or expect, so that it may come without effect.
def _quiet_signal(process: int) -> int:
    try:
        with open(f"/proc/{process}/status", encoding="utf-8") as file:
            masks = dict(re.findall(r"^(Sig\w+):\s*([0-9a-f]+)$", file.read(), re.MULTILINE))
    except OSError as error:
        raise TargetUnavailable(f"process {process} is gone: {error.strerror}") from None
    used = int(masks.get("SigCgt", "0"), 16) | int(masks.get("SigBlk", "0"), 16)
    free = [number for number in _SIGNALS if not used >> number - 1 & 1]
    if not free:
        raise KdbgError("the program uses SIGURG and SIGWINCH, so a probe cannot tell: --count or --exact can")
    return int(free[0])
