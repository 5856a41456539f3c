"""An overlap probe in the program of this GDB: put in, listened to, extended to libraries that come later, taken out.

The probe's signal is caught by a catchpoint whose condition looks at the thread: it tells the call, and either goes on
or shows the thread at the routine's entry, as a breakpoint there would.
"""

from __future__ import annotations

import contextlib
import re
import signal
from typing import Callable, Mapping, Optional, Sequence

import gdb

from ..errors import KdbgError, NotSupported, TargetUnavailable
from ..overlap_command import COUNT
from ..overlap_plan import Plan, Planner
from ..overlap_probe import Way, extend, find_areas, install, is_active, remove
from ..overlap_report import FRAMES, PROBE_RING, Call, OverlapHit, describe_hit
from ..overlap_stub import GO_ON, OLD_MASK, SAVED, TaskPlace
from ..probe_area import AREA_SIZE, CAPACITY, FIRST_TOKEN, INDEX, MAGIC, RECORD, SWITCH, TOKENS, Area
from ..ring import CONTEXTS
from ..ring_layout import BUFFER
from ..ring_layout import INDEX as RING_INDEX
from ..ring_layout import SWITCH as RING_SWITCH
from ..seccomp import SystemCall
from ..syscall_names import NAMES
from ..target import Symbol
from ..uml_kernel import find_kernel
from ..units import Address, Size
from .injection import injecting, read_process, traced_process
from .probe_host import NativeHost
from .ptrace import Thread
from .sandboxes import require_calls
from .target import GdbTarget, evaluate

HIT_FUNCTION = "_kdbg_overlap"
# Ignored by default, and seldom used.
_SIGNALS = (signal.SIGURG, signal.SIGWINCH)
_RED_ZONE = 128
_SOMEWHERE = 0x7000_0000_0000
# Told what was found; says whether to stop.
Found = Callable[[OverlapHit], bool]


class ConvenienceFunction(gdb.Function):
    """A function of GDB's language that only calls something of kdbg's."""

    def __init__(self, name: str, run: Callable[[], int]) -> None:
        super().__init__(name)
        self._run = run

    def invoke(self, *args: gdb.Value) -> int:
        return self._run()


class _LoadedBreakpoint(gdb.Breakpoint):
    """Where the program goes on when a library is loaded and its slots are filled."""

    def __init__(self, address: int, run: Callable[[], None]) -> None:
        super().__init__(f"*{address:#x}", internal=True, temporary=True)
        self.silent = True
        self._run = run

    def stop(self) -> bool:
        self._run()
        return False


class GdbProbe:
    """The probe that this GDB has put in."""

    def __init__(
        self, target: GdbTarget, routines: Sequence[str], mode: str, found: Found, refresh: Callable[[], None]
    ) -> None:
        """Put it in; raise KdbgError with nothing changed. `refresh` is called before a call is told."""
        self._target, self._routines, self._found, self._refresh = target, routines, found, refresh
        process = traced_process()
        self._host = NativeHost(process)
        for area in find_areas(self._host):
            if is_active(self._host, area):
                raise KdbgError("the program has an overlap probe already (kdbg overlap --off takes it out)")
            with self._host.alone():
                remove(self._host, area)
        number = _quiet_signal(process, mode)
        _require_calls(self._host, number)
        plans = self._plans(lambda address: False)
        about = {"mode": mode, "routines": list(routines)}
        task = _task_place(target)
        with self._host.alone():
            self._probe = install(self._host, plans, number, mode != COUNT, about, task)
        self.problems = [problem for plan in plans for problem in plan.problems]
        self.how = _how(plans)
        self._catchpoint: Optional[int] = None
        self._shown: dict[int, tuple[int, int]] = {}
        try:
            if mode != COUNT:
                self._listen(number)
        except BaseException:
            self.remove()
            raise
        target.probe_symbols = _ring_symbols(self._probe.area)

    def _plans(self, is_probe: Callable[[int], bool]) -> Sequence[Plan]:
        planner = Planner(self._target, evaluate, _resolved, is_probe)
        return [planner.plan(routine) for routine in self._routines]

    def _listen(self, number: int) -> None:
        gdb.execute(f"catch signal {signal.Signals(number).name}", to_string=True)
        self._catchpoint = int(gdb.parse_and_eval("$bpnum"))
        ConvenienceFunction(HIT_FUNCTION, self._hit)
        gdb.execute(f"condition {self._catchpoint} ${HIT_FUNCTION}()", to_string=True)

    def describe(self) -> str:
        """Say what it is, with the number of its catchpoint."""
        about = self._probe.header.about
        number = f"{self._catchpoint}: " if self._catchpoint is not None else ""
        where = f"{self._probe.area.start:#x}"
        return f"{number}overlap probe on {', '.join(about['routines'])} ({about['mode']}), its code at {where}"

    def remove(self) -> Sequence[str]:
        """Take it out, and stop listening; return what could not be done."""
        self._target.probe_symbols = {}
        number, self._catchpoint = self._catchpoint, None
        if number is not None:
            with contextlib.suppress(gdb.error):  # the user deleted it
                gdb.execute(f"delete {number}", to_string=True)
        if gdb.selected_thread() is None or gdb.selected_inferior().pid != self._host.process:
            return ()  # it ended, or GDB went on with its child
        with self._host.alone():
            return remove(self._host, self._probe.area).problems

    # The condition of the catchpoint: a stop or not.
    def _hit(self) -> int:
        if self._target.register("rip") != self._probe.stub.stop:
            return 0
        try:
            told = _Saved(self._target)
            way = self._probe.way(told.word(GO_ON))
            call = Call(
                way.name, Address(told.word(SAVED["rdi"])), Address(told.word(SAVED["rsi"])),
                Size(told.word(SAVED["rdx"])), Address(told.word(0)),
            )  # fmt: skip
            self._refresh()
            is_stop = self._found(describe_hit(self._target, call, thread_name(), self._target.frames(FRAMES)))
        except (KdbgError, KeyboardInterrupt):
            return 1
        if is_stop:
            self._show(way, told)
        return int(is_stop)

    # Show the thread at the routine's entry. One that was patched leads into the probe again: a token tells that.
    def _show(self, way: Way, told: _Saved) -> None:
        thread = gdb.selected_thread()
        if way.is_patched:
            token = self._free_token()
            if token is None:
                return  # so many threads stand there already; this one is shown in the probe
            self._target.write_memory(Address(token), told.sp.to_bytes(8, "little"))
            self._shown[token] = thread.ptid[1], way.routine
        self._target.write_memory(Address(told.sp - GO_ON), bytes(8))
        Thread(thread.ptid[1]).set_signal_mask(told.word(OLD_MASK))
        registers = {name: told.word(below) for name, below in SAVED.items()}
        for name, value in {**registers, "rax": 0, "r10": 0, "r11": 0, "rip": way.routine}.items():
            gdb.parse_and_eval(f"${name} = {value:#x}")

    def _free_token(self) -> Optional[int]:
        tokens = (self._probe.area.control + FIRST_TOKEN + 8 * number for number in range(TOKENS))
        return next((at for at in tokens if not any(self._target.read_memory(Address(at), Size(8)))), None)

    def stopped(self) -> None:
        """Take back the tokens of threads that the user has let go elsewhere."""
        if not self._shown:
            return
        counters = self._host.program_counters()
        for token, (thread, routine) in list(self._shown.items()):
            at = counters.get(thread, 0)
            if at != routine and not self._probe.area.is_code(at):
                del self._shown[token]
                with contextlib.suppress(KdbgError):
                    self._target.write_memory(Address(token), bytes(8))

    def is_kept(self, ended: int = 0) -> bool:
        """Tell whether a process of this GDB still has it, not counting one that ends.

        A program that executes another one loses it. A child has it as its parent does, and when GDB goes on with the
        child alone, the probe that counts is the child's.
        """
        living = [inferior.pid for inferior in gdb.inferiors() if inferior.pid not in (0, ended)]
        if self._host.process not in living:
            heir = next(filter(self._is_in, living), None)
            if heir is None:
                return False
            self._host = NativeHost(heir)
        return self._is_in(self._host.process)

    def _is_in(self, process: int) -> bool:
        try:
            return read_process(process, self._probe.area.header, len(MAGIC)) == MAGIC
        except KdbgError:
            return False

    def is_left(self) -> bool:
        """Tell whether the process has memory at the probe's place, whatever GDB knows of it."""
        with contextlib.suppress(KdbgError):
            return any(mapping.start == self._probe.area.start for mapping in self._host.mappings())
        return False

    def loaded(self) -> None:
        """Note that a library is being loaded: its slots are filled when the program's own code goes on."""
        if gdb.selected_inferior().pid != self._host.process or not self._is_in(self._host.process):
            return
        with contextlib.suppress(gdb.error, KdbgError, ValueError):
            loader = gdb.newest_frame().pc()
            frames = self._target.frames(FRAMES)
            system = {gdb.solib_name(loader), gdb.solib_name(int(gdb.parse_and_eval("(long)&dlopen")))}
            back = next((f.pc for f in frames if gdb.solib_name(f.pc) not in system), None)
            if back is not None:
                _LoadedBreakpoint(back, self._extend)

    def _extend(self) -> None:
        try:
            self._probe, problems = extend(self._host, self._probe, self._plans(self._probe.area.is_code))
        except KdbgError:
            return  # no slot of the new library leads to the routine
        for problem in problems:
            gdb.write(f"kdbg: {problem}\n", gdb.STDERR)


class _Saved:
    """What the probe keeps below the stack pointer of a thread that stopped in it."""

    def __init__(self, target: GdbTarget) -> None:
        self.sp = target.register("rsp") or 0
        self._bytes = target.read_memory(Address(self.sp - _RED_ZONE), Size(_RED_ZONE + 8))

    def word(self, below: int) -> int:
        return int.from_bytes(self._bytes[_RED_ZONE - below : _RED_ZONE - below + 8], "little")


def thread_name() -> str:
    """Name the selected thread by GDB's number, the system's and its own name."""
    thread = gdb.selected_thread()
    return f"{thread.num} (LWP {thread.ptid[1]}, {thread.name})" if thread is not None else ""


def _resolved(resolver: int) -> int:
    with injecting() as inject:
        return inject.function(resolver)


# In a kernel the thread is always the same; its task is what matters.
def _task_place(target: GdbTarget) -> Optional[TaskPlace]:
    try:
        kernel = find_kernel(target)
    except KdbgError:
        return None
    return TaskPlace(kernel.current_at, kernel.offsets["pid"]) if kernel else None


def _how(plans: Sequence[Plan]) -> str:
    entries = sum(len(plan.entries) for plan in plans)
    slots = len({slot.address for plan in plans for slot in plan.slots})
    parts = [f"patched the entry of {_counted(entries, 'routine')}"] * bool(entries)
    parts += [f"redirected {_counted(slots, 'slot')}"] * bool(slots)
    return " and ".join(parts)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _ring_symbols(area: Area) -> Mapping[str, Symbol]:
    sizes = {BUFFER: RECORD * CAPACITY, RING_INDEX: 8, RING_SWITCH: 1, CONTEXTS: 4 * CAPACITY}
    places = (area.ring, area.control + INDEX, area.control + SWITCH, area.contexts)
    return {
        name: Symbol(PROBE_RING if name == BUFFER else name, Address(place), Size(size), "")
        for (name, size), place in zip(sizes.items(), places)
    }


# What a probe is put in and taken out with, and what it calls itself, with arguments as they might be.
def _require_calls(host: NativeHost, number: int) -> None:
    process, threads = host.process, list(host.threads())
    place, size, code = _SOMEWHERE, AREA_SIZE, Area(0).code_size
    made = {
        "mmap": (place, size, 3, 0x100022, -1, 0), "mprotect": (place, code, 5), "munmap": (place, size),
        "rt_sigprocmask": (1, place, place, 8), "getpid": (), "gettid": (), "tgkill": (process, process, number),
    }  # fmt: skip
    calls = [SystemCall(name, NAMES.index(name), arguments) for name, arguments in made.items()]
    try:
        require_calls(process, threads, calls, place)
    except NotSupported as error:
        raise NotSupported(f"{error}: a probe cannot be put in, use --exact, which is slow") from None


# A signal that the program does not handle, wait for or expect, so that it may come without effect.
def _quiet_signal(process: int, mode: str) -> int:
    try:
        with open(f"/proc/{process}/status", encoding="utf-8") as file:
            masks = dict(re.findall(r"^(Sig\w+):\s*([0-9a-f]+)$", file.read(), re.MULTILINE))
    except OSError as error:
        raise TargetUnavailable(f"process {process} is gone: {error.strerror}") from None
    used = int(masks.get("SigCgt", "0"), 16) | int(masks.get("SigBlk", "0"), 16)
    free = [number for number in _SIGNALS if not used >> number - 1 & 1 or mode == COUNT]
    if not free:
        raise KdbgError("the program uses SIGURG and SIGWINCH, so a probe cannot tell: use --count or --exact")
    return int(free[0])
