"""Stack guards in a log: the checks that the kernel makes of them, and the story of each that was changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Sequence

from .copies import NO_COPY, Attribution, Coverage, Victim
from .events import Event
from .finding import Finding
from .log_copies import Asked, Copies, asked_record, ring_records
from .log_moment import KERNEL, PROGRAM, Candidates, Moment, candidates, moment_of, settled, undecided
from .log_scene import Damage, LogScene, kernel_process
from .log_story import GUARD, STORIES, Programs, Story, event_line, forget_oldest, numbered
from .log_symbols import Symbolic
from .process import GUARD_OFFSET
from .ring import RingRecord
from .rules.guard import guard_changed
from .units import ADDRESS_MASK

# A dump of the ring that belongs to a check stands right beside it.
_BESIDE = 8


class GuardDamage:
    """A guard found changed, and what belongs to it: the dump of the ring, what became of the process."""

    def __init__(self, moment: Moment, asked: Sequence[Asked], program: str) -> None:
        self.moment = moment
        self.asked = asked
        self.program = program
        self.dump: Optional[Event] = None
        self.consequences: List[Event] = []
        self.seen = 1

    @property
    def event(self) -> Event:
        return self.moment.damaged

    @property
    def damage(self) -> Damage:
        base = _number(self.event, "fsbase")
        return Damage(base, base + GUARD_OFFSET, _number(self.event, "found"), _number(self.event, "expected"))


def _number(event: Event, name: str) -> int:
    return (event.number(name) or 0) & ADDRESS_MASK


class Guards:
    """Follows the guard of each process."""

    def __init__(self, symbols: Symbolic, programs: Programs, copies: Copies) -> None:
        self._symbols = symbols
        self._programs = programs
        self._copies = copies
        self._intact: Dict[Optional[int], Event] = {}
        self._damaged: Dict[Optional[int], GuardDamage] = {}
        self._dumps: Dict[Optional[int], Event] = {}
        self._all: List[GuardDamage] = []
        self._untold = 0
        self._lost_at = 0
        self.handlers = {
            "canary_check": self._check, "ucopy_trace_dump": self._dump, "process_exec": self._exec,
            "process_exit": self._exit,
        }  # fmt: skip

    @property
    def problems(self) -> Sequence[str]:
        return [f"{self._untold} more guards were changed, which are not told one by one"] if self._untold else ()

    @property
    def damages(self) -> Sequence[GuardDamage]:
        """The damaged guards that are told, in order."""
        return tuple(self._all)

    def lost(self, line: int) -> None:
        """Events are missing before a line."""
        self._lost_at = line

    def restart(self) -> None:
        """Forget the processes: the machine has started again."""
        for states in (self._intact, self._damaged, self._dumps):
            states.clear()

    def take_consequence(self, pid: Optional[int], events: Sequence[Event]) -> bool:
        """Take what became of a process if its guard was changed before; tell whether it was."""
        damage = self._damaged.get(pid)
        if damage is not None:
            damage.consequences += events
        return damage is not None

    def stories(self) -> Iterator[Story]:
        for damage in self._all:
            scene, finding = guard_finding(damage, self._symbols)
            if finding is not None:
                lines = numbered([damage.moment.intact, damage.event, damage.dump, *damage.consequences])
                yield Story(finding, lines, GUARD)

    def _check(self, event: Event) -> None:
        pid = event.pid
        if event.fields.get("corrupted") is not True:
            if pid not in self._intact:
                forget_oldest(self._intact)
            self._intact[pid] = event
            if pid in self._damaged:
                del self._damaged[pid]
            return
        known = self._damaged.get(pid)
        if known is not None and _same_damage(known.event, event):
            known.seen += 1
        elif _is_told(event):
            self._begin(pid, event)

    def _begin(self, pid: Optional[int], event: Event) -> None:
        intact = self._intact.get(pid)
        if intact is not None and not _same_guard(intact, event):
            intact = None
        damage = GuardDamage(moment_of(intact, event, self._lost_at), self._copies.asked(pid), self._programs.name(pid))
        dump = self._dumps.get(pid)
        if dump is not None and event.line - dump.line <= _BESIDE:
            damage.dump = dump
        self._damaged[pid] = damage
        forget_oldest(self._damaged)
        if len(self._all) < STORIES:
            self._all.append(damage)
        else:
            self._untold += 1

    def _dump(self, event: Event) -> None:
        if "fault" in str(event.fields.get("trigger")):
            return
        damage = self._damaged.get(event.pid)
        if damage is not None and damage.dump is None and event.line - damage.event.line <= _BESIDE:
            damage.dump = event
        else:
            self._dumps[event.pid] = event
            forget_oldest(self._dumps)

    # Another program has another guard.
    def _exec(self, event: Event) -> None:
        self._intact.pop(event.pid, None)
        self._damaged.pop(event.pid, None)

    def _exit(self, event: Event) -> None:
        self._intact.pop(event.pid, None)
        if event.fields.get("by_signal") is not True:
            self._damaged.pop(event.pid, None)


def _same_guard(one: Event, other: Event) -> bool:
    return all(_number(one, name) == _number(other, name) for name in ("fsbase", "expected"))


def _same_damage(one: Event, other: Event) -> bool:
    return _same_guard(one, other) and _number(one, "found") == _number(other, "found")


# A line that lacks what was found tells nothing, and one that contradicts itself neither.
def _is_told(event: Event) -> bool:
    values = [event.number(name) for name in ("fsbase", "found", "expected")]
    return None not in values and bool(values[0]) and values[1] != values[2]


def guard_finding(damage: GuardDamage, symbols: Symbolic) -> tuple[LogScene, Optional[Finding]]:
    """Tell who changed a guard, by the rule that tells it on a machine."""
    found, moment = damage.damage, damage.moment
    pid = damage.event.pid
    chosen = candidates(records_of(damage, symbols), damage.asked, moment, pid)

    def settle(attribution: Attribution, victim: Victim) -> Attribution:
        return undecided(settled(attribution, victim, moment, chosen.known), chosen.unplaced, victim)

    call = damage.event.fields.get("syscall")
    process = kernel_process(pid, damage.program, found.expected, call if type(call) is int else None)
    target = symbols.target({"fs_base": found.fs_base}, {found.address: found.found})
    scene = LogScene(
        target, f"line {damage.event.line}", process, chosen.known, found, _coverage(damage, chosen), settle,
        [*moment.tells(), *(event_line(event, symbols.name) for event in damage.consequences)],
    )  # fmt: skip
    finding = guard_changed(scene)
    return scene, None if finding is None else _in_a_log(finding, damage)


def records_of(damage: GuardDamage, symbols: Symbolic) -> Sequence[RingRecord]:
    """Return the copies before the damage: the ring's, or those that events tell of where the ring was not dumped."""
    if damage.dump is not None:
        return ring_records(damage.dump, symbols)
    pid = damage.event.pid or 0
    return [asked_record(one, index, pid) for index, one in enumerate(damage.asked) if one.is_write]


def _coverage(damage: GuardDamage, chosen: Candidates) -> Coverage:
    moment, records = damage.moment, chosen.known
    since = records[0].sequence if records and moment.intact is not None else 0
    if moment.who == KERNEL:
        return Coverage(False, f"it was done during the system call {moment.system_call}, not by the program", since)
    if moment.who == PROGRAM and moment.intact is not None:
        line = moment.intact.line
        return Coverage(True, f"the kernel saw the guard intact in line {line}", since or NO_COPY)
    total = damage.dump.number("total_calls") if damage.dump is not None else None
    entries = damage.dump.fields.get("entries") if damage.dump is not None else None
    if total is None or not isinstance(entries, list):
        return Coverage(False, "the log has no dump of the ring that would tell which copies there were", since)
    if total > len(entries):
        return Coverage(False, f"{total - len(entries)} older copies are not in the dump of the ring", since)
    return Coverage(True, f"it holds all {total} copies since it was switched on", since)


# What to type is for the log: there is no machine to ask.
def _in_a_log(finding: Finding, damage: GuardDamage) -> Finding:
    pid = damage.event.pid
    facts, moment = finding.facts, damage.moment
    if facts.system_call is None and moment.who == KERNEL:
        facts = replace(facts, system_call=moment.system_call)
    again = f", and {damage.seen - 1} times again" if damage.seen > 1 else ""
    first = f"line {damage.event.line}: {finding.evidence[0]}{again}"
    process = f" --pid {pid}" if pid is not None else ""
    steps = [f"kdbg events LOG --type canary,usercopy{process}"]
    if facts.routine:
        steps.insert(0, f"kdbg check-copy {facts.routine}")
    if facts.file:
        steps.insert(0, f"list {facts.file}:{facts.line}")
    return replace(finding, evidence=(first, *finding.evidence[1:]), next=tuple(steps), facts=facts)
