"""Programs that died of a fault or a signal, by the events of it: page faults, exceptions, signals, crash reports."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from .errors_and_signals import signal_name
from .events import Event, number
from .finding import CERTAIN, LIKELY, Facts, Finding
from .log_copies import Copies
from .log_guards import Guards
from .log_story import CRASH, STORIES, Programs, Story, event_line, forget_oldest, numbered
from .log_symbols import Symbolic
from .units import ADDRESS_MASK, Address, Count, is_kernel_half, safe_text

NULL_CALL, NULL, NO_MAPPING, PROTECTION = "null-call", "null-dereference", "no-mapping", "protection"
EXCEPTION, SIGNAL = "exception", "fatal-signal"
# A pointer to null, and what lies in a structure behind it.
_NULL_PAGE = 4096
# The signals by which a program that did something wrong is ended; others are sent to end a program.
_CRASHES = frozenset((3, 4, 5, 6, 7, 8, 11, 16, 31)) - {3, 16}
_SEGV = 11
_ENDS = ("term", "kill", "core", "default", "dump")


class Incident:
    """What the events tell of one fault of a process."""

    def __init__(self, first: Event) -> None:
        self.events: List[Event] = [first]

    def of(self, kind: str) -> Optional[Event]:
        return next((event for event in self.events if event.type == kind), None)

    @property
    def is_fatal(self) -> bool:
        """Whether the process did not live on."""
        return any(_is_end(event) for event in self.events)

    @property
    def address(self) -> Optional[int]:
        """The address that was accessed."""
        return self._value(("crash_report", "fault_addr"), ("page_fault", "vaddr"))

    @property
    def ip(self) -> Optional[int]:
        """Where the program was."""
        places = (("crash_report", "ip"), ("page_fault", "ip"), ("user_fault", "ip"), ("signal", "ip"))
        return self._value(*places)

    def _value(self, *places: tuple[str, str]) -> Optional[int]:
        for kind, name in places:
            event = self.of(kind)
            value = event.number(name) if event is not None else None
            if value is not None:
                return value & ADDRESS_MASK
        return None

    @property
    def signal(self) -> int:
        for kind, name in (("crash_report", "signal"), ("signal", "signal"), ("user_fault", "signal_delivered")):
            event = self.of(kind)
            if event is not None and event.number(name):
                return event.number(name) or 0
        end = self.of("process_exit")
        status = abs(end.number("status") or 0) if end is not None else 0
        return status - 128 if status > 128 else status


def _is_end(event: Event) -> bool:
    if event.type == "signal":
        return any(word in str(event.fields.get("action")).lower() for word in _ENDS)
    return event.type == "crash_report" or (event.type == "process_exit" and event.fields.get("by_signal") is True)


class _Group(NamedTuple):
    """Faults of one kind in one place: the first is told, the others are counted."""

    finding: Finding
    lines: List[int]
    report: Optional[Event]
    times: List[int]


class Faults:
    """Follows what happens to each process from a fault to its end, or to its going on."""

    def __init__(self, symbols: Symbolic, programs: Programs, guards: Guards, copies: Copies) -> None:
        self._symbols = symbols
        self._programs = programs
        self._guards = guards
        self._copies = copies
        self._open: Dict[Optional[int], Incident] = {}
        self._groups: Dict[tuple[Any, ...], _Group] = {}
        self._untold = 0
        self.handlers = {
            "page_fault": self._page_fault, "user_fault": self._more, "signal": self._signal,
            "crash_report": self._begin_or_add, "process_exit": self._exit, "syscall_entry": self._goes_on,
            "process_exec": self._goes_on,
        }  # fmt: skip

    @property
    def problems(self) -> Sequence[str]:
        return [f"{self._untold} more programs died in other ways"] if self._untold else ()

    def restart(self) -> None:
        """Close what is open: the machine has started again."""
        for pid in list(self._open):
            self._close(pid)

    def stories(self) -> Iterator[Story]:
        self.restart()
        for group in self._groups.values():
            yield Story(_counted(group), tuple(group.lines), CRASH, group.report)

    def _page_fault(self, event: Event) -> None:
        if event.fields.get("resolved") is False:
            self._close(event.pid)
            self._open[event.pid] = Incident(event)
            forget_oldest(self._open)

    def _more(self, event: Event) -> None:
        incident = self._open.get(event.pid)
        if incident is None:
            self._open[event.pid] = Incident(event)
            forget_oldest(self._open)
        else:
            incident.events.append(event)

    def _begin_or_add(self, event: Event) -> None:
        self._more(event)

    def _signal(self, event: Event) -> None:
        if (event.number("signal") or 0) not in _CRASHES:
            return
        if not _is_end(event):
            # The program has a handler for it, or ignores it: it was prepared.
            self._open.pop(event.pid, None)
        else:
            self._more(event)

    def _exit(self, event: Event) -> None:
        if event.fields.get("by_signal") is True:
            self._more(event)
            self._close(event.pid)
        else:
            self._open.pop(event.pid, None)

    # One that makes system calls again has outlived it: the kernel's own copy failed, or a handler ran.
    def _goes_on(self, event: Event) -> None:
        incident = self._open.get(event.pid)
        if incident is not None and not incident.is_fatal:
            del self._open[event.pid]

    def _close(self, pid: Optional[int]) -> None:
        incident = self._open.pop(pid, None)
        if incident is None or (incident.is_fatal and incident.signal not in _CRASHES):
            return
        if self._guards.take_consequence(pid, incident.events) or not _is_programs(incident, self._copies, pid):
            return
        self._tell(incident, pid)

    def _tell(self, incident: Incident, pid: Optional[int]) -> None:
        rule = _rule(incident)
        program = self._programs.name(pid)
        key = (rule, incident.ip, program, incident.signal)
        if key not in self._groups:
            if len(self._groups) >= STORIES:
                self._untold += 1
                return
            finding = _finding(incident, rule, pid, self._programs, self._symbols)
            self._groups[key] = _Group(finding, [*numbered(incident.events)], incident.of("crash_report"), [1])
        else:
            group = self._groups[key]
            group.times[0] += 1


# A fault in the kernel is its copy's, or the panic's that follows.
def _is_programs(incident: Incident, copies: Copies, pid: Optional[int]) -> bool:
    if incident.is_fatal:
        return True
    if incident.ip is not None and is_kernel_half(incident.ip):
        return False
    return not copies.faulted_at(pid, incident.address)


def _rule(incident: Incident) -> str:
    address, fault = incident.address, incident.of("page_fault")
    exception = incident.of("user_fault")
    is_page_fault = fault is not None or (incident.of("crash_report") is not None and incident.signal == _SEGV)
    if exception is not None and fault is None and "page" not in str(exception.fields.get("exception")).lower():
        return EXCEPTION
    if not is_page_fault or address is None:
        return SIGNAL
    if address < _NULL_PAGE:
        return NULL_CALL if incident.ip is not None and incident.ip < _NULL_PAGE else NULL
    area = _area(incident, address)
    return SIGNAL if area is None else PROTECTION if area else NO_MAPPING


# The type of the mapping that an address is in, "" if there is none; None if the log does not tell.
def _area(incident: Incident, address: int) -> Optional[str]:
    report, fault = incident.of("crash_report"), incident.of("page_fault")
    areas = report.fields.get("vmas") if report is not None else None
    if isinstance(areas, list) and areas:
        for area in areas:
            if isinstance(area, dict) and _holds(area.get("start"), area.get("end"), address):
                return safe_text(str(area.get("type") or "area"), 32)
        return ""
    if fault is None:
        return None
    if fault.fields.get("vma_start") is None:
        return ""
    return safe_text(str(fault.fields.get("vma_type") or "area"), 32)


def _holds(start: Any, end: Any, address: int) -> bool:
    first, last = number(start), number(end)
    return first is not None and last is not None and first <= address < last


def _finding(incident: Incident, rule: str, pid: Optional[int], programs: Programs, symbols: Symbolic) -> Finding:
    ip, address = incident.ip, incident.address
    name = symbols.name(ip, pid).strip("<>") if ip is not None else ""
    whose = programs.whose(pid) or _command_line(incident) or "a program"
    evidence = [event_line(event, symbols.name) for event in incident.events]
    facts = Facts(
        pid=None if pid is None else Count(pid), process=programs.name(pid) or None,
        instruction=None if ip is None else Address(ip), function=name or None,
        fault_address=None if address is None or rule in (EXCEPTION, SIGNAL) else Address(address),
    )  # fmt: skip
    confidence = CERTAIN if incident.is_fatal else LIKELY
    steps = (f"kdbg events LOG --pid {pid}",) if pid is not None else ()
    return Finding(f"{_summary(incident, rule, name)} in {whose}", rule, confidence, tuple(evidence), steps, facts)


def _command_line(incident: Incident) -> str:
    report = incident.of("crash_report")
    return safe_text(str(report.fields.get("cmdline") or ""), 64) if report is not None else ""


def _summary(incident: Incident, rule: str, name: str) -> str:
    ip, address = incident.ip, incident.address or 0
    at = f"{name} ({ip:#x})" if name and ip is not None else f"{ip:#x}" if ip is not None else "an unknown place"
    if rule == NULL_CALL:
        return f"call through a null pointer: the pc went to {ip:#x}"
    if rule == NULL:
        return f"null pointer dereferenced: {at} accessed {address:#x}"
    if rule == NO_MAPPING:
        return f"segmentation fault without a mapping: {at} accessed {address:#x}, where nothing is mapped"
    if rule == PROTECTION:
        area = _area(incident, address)
        return f"segmentation fault: {at} accessed {address:#x} in a mapping ({area}) that does not allow it"
    if rule == EXCEPTION:
        exception = incident.of("user_fault")
        what = safe_text(str(exception.fields.get("exception")), 64) if exception is not None else "exception"
        return f"{what} at {at}"
    return (
        f"killed by {signal_name(incident.signal)} at {at}"
        if ip is not None
        else (f"killed by {signal_name(incident.signal)}")
    )


def _counted(group: _Group) -> Finding:
    finding, count = group.finding, group.times[0]
    if count == 1:
        return finding
    return Finding(
        finding.summary, finding.rule, finding.confidence, (*finding.evidence, f"{count} times in all"), finding.next,
        finding.facts,
    )  # fmt: skip
