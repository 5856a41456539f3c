"""When a guard was changed, by the checks of it in a log, and which copies can have been made then.

The kernel checks the guard of a process when it enters a system call and when it leaves it. Damage between the two was
done while the program did not run; damage between leaving and entering was done while it did. That, and which copies
were made in between, decides where a log has no memory to look at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Optional, Sequence

from .copies import CALLER, LIKELY, POSSIBLE, ROUTINE, UNDECIDABLE, Attribution, Victim, place_line, record_line
from .events import Event
from .log_copies import Asked
from .log_ring import user_side
from .ranges import Range
from .ring import RingRecord
from .syscall_names import NAMES, system_call_name
from .units import Address, Size, is_kernel_half

KERNEL, PROGRAM, BOTH, UNKNOWN = "kernel", "program", "both", "unknown"
_CALLS = frozenset(NAMES)
# Changed bytes that speak for a copy; a single one may be anybody's.
_ENOUGH = 2
_WORD = 8


class Moment(NamedTuple):
    """The time from the last check that found the guard intact to the one that did not.

    `who` is who ran then: the kernel alone in one system call, the program (with the kernel's interrupts), or both.
    """

    intact: Optional[Event]
    damaged: Event
    who: str

    @property
    def system_call(self) -> str:
        """The system call it was done in, or at whose entry it was seen."""
        return call_name(self.damaged)

    def tells(self) -> tuple[str, ...]:
        """Say in lines of evidence when it was done."""
        if self.intact is None:
            return ("the log has no earlier check of this guard",)
        seen = f"intact in line {self.intact.line}, damaged in line {self.damaged.line}"
        if self.who == KERNEL:
            return (f"{seen}: it was done during the system call {self.system_call}, in which the program did not run",)
        if self.who == PROGRAM:
            return (f"{seen}: it was done between two system calls, while the program itself ran",)
        return (f"{seen}: the program and the kernel ran in between",)


def moment_of(intact: Optional[Event], damaged: Event, lost_at: int) -> Moment:
    """Return when it was done; `lost_at` is the last line before which events are missing."""
    if intact is None:
        return Moment(None, damaged, UNKNOWN)
    before, after = str(intact.fields.get("when")), str(damaged.fields.get("when"))
    if lost_at > intact.line:
        return Moment(intact, damaged, BOTH)
    if (before, after) == ("pre_syscall", "post_syscall") and call_name(intact) == call_name(damaged):
        return Moment(intact, damaged, KERNEL)
    return Moment(intact, damaged, PROGRAM if (before, after) == ("post_syscall", "pre_syscall") else BOTH)


def call_name(event: Event) -> str:
    """Return the name of the system call that a check was made around."""
    call = event.fields.get("syscall")
    return system_call_name(call) if type(call) is int else str(call or "")[:64]


class Candidates(NamedTuple):
    """The copies that can have been made in a moment: known to be of it, and those that nothing places."""

    known: Sequence[RingRecord]
    unplaced: Sequence[RingRecord]


def candidates(records: Sequence[RingRecord], asked: Sequence[Asked], moment: Moment, pid: Optional[int]) -> Candidates:
    """Sort out the copies of a dump of the ring by what the log tells of the moment."""
    known: list[RingRecord] = []
    unplaced: list[RingRecord] = []
    since = moment.intact.line if moment.intact is not None else 0
    pool = list(asked)
    for record in reversed(records):
        if pid is not None and record.process is not None and record.process != pid & 0xFFFF:
            continue
        match = next((one for one in reversed(pool) if _same(one, record)), None)
        if match is not None:
            pool.remove(match)
            known += [record] if match.line > since else []
        elif not _is_of_another_time(record, moment):
            is_known = record.process is not None or (record is records[-1] and moment.who == KERNEL)
            (known if is_known else unplaced).append(record)
    return Candidates(known[::-1], unplaced[::-1])


def _same(asked: Asked, record: RingRecord) -> bool:
    if asked.address != user_side(record) or asked.size != record.size:
        return False
    return asked.is_write is not is_kernel_half(record.destination)


# A tag begins with the system call that the copy was made for.
def _is_of_another_time(record: RingRecord, moment: Moment) -> bool:
    call = (record.context or "").partition(":")[0]
    if call not in _CALLS or moment.intact is None:
        return False
    return moment.who == PROGRAM or (moment.who == KERNEL and call != moment.system_call)


def settled(attribution: Attribution, victim: Victim, moment: Moment, known: Sequence[RingRecord]) -> Attribution:
    """Decide what memory would decide on a machine, if the moment leaves nobody else.

    Of a copy made in a system call during which the guard was changed it is enough that it was asked to go where the
    change is, or that it ended just before it and twice its size is just the change.
    """
    changed = victim.changed()
    if attribution.verdict != UNDECIDABLE or moment.who != KERNEL or not changed:
        return attribution
    touched = Range(Address(victim.range.start + changed[0]), Size(changed[-1] - changed[0] + 1))
    over = [record for record in known if record.asked.covers(touched)]
    beside = [record for record in known if _is_doubled(record, touched, len(changed))]
    if len(over) == 1:
        same = f"all {len(changed)} bytes that were changed lie in the asked range"
        return _accused(CALLER, over[0], victim, over[0].asked, same)
    if over or len(beside) != 1:
        return attribution
    record = beside[0]
    written = Range(record.destination, Size(touched.end - record.destination))
    just = f"the {len(changed)} bytes that were changed are just the {touched.size} behind the asked range"
    return _accused(ROUTINE, record, victim, written, just)


def _is_doubled(record: RingRecord, touched: Range, changed: int) -> bool:
    """Whether a copy ended where the change begins, and at most its size again covers it, most of it changed."""
    if record.asked.end != touched.start or changed < _ENOUGH or touched.size > record.size:
        return False
    return 2 * changed >= min(record.size, _WORD - touched.start % _WORD)


def _accused(verdict: str, record: RingRecord, victim: Victim, written: Range, why: str) -> Attribution:
    evidence = (record_line(record), place_line(record.asked, victim), why)
    return Attribution(verdict, LIKELY, record, written, evidence)


def undecided(attribution: Attribution, unplaced: Sequence[RingRecord], victim: Victim) -> Attribution:
    """Take back a verdict on the program where a copy that nothing places might have done it too."""
    near = [record for record in unplaced if _may_have(record, victim)]
    if not near:
        return attribution
    lines = [line for record in near[-2:] for line in (record_line(record), place_line(record.asked, victim))]
    lines.append("nothing in the log tells whether that copy was made for this process, and when")
    if attribution.verdict in (CALLER, ROUTINE):
        return attribution
    return replace(
        attribution, verdict=UNDECIDABLE, confidence=POSSIBLE, evidence=(*attribution.evidence, *lines), suspects=()
    )


def _may_have(record: RingRecord, victim: Victim) -> bool:
    gap = victim.range.start - record.asked.end
    return record.asked.overlaps(victim.range) or 0 <= gap < record.size
