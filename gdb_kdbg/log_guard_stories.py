"""The stories of stack guards that were changed: who did it, by which copy."""

from __future__ import annotations

from typing import Optional, Sequence

from .copies import NO_COPY, Attribution, Coverage, Victim
from .finding import Finding
from .log_guards import GuardDamage, word
from .log_moment import (
    KERNEL,
    PROGRAM,
    Candidates,
    Moment,
    candidates,
    moment_of,
    settled,
    undecided,
    unless_set_anew,
)
from .log_ring import asked_record, ring_records
from .log_scene import Damage, LogScene, kernel_process
from .log_story import GUARD, Story, event_line, numbered
from .log_symbols import Symbolic
from .process import GUARD_OFFSET
from .ring import RingRecord
from .rules.guard import guard_changed


def guard_story(damage: GuardDamage, symbols: Symbolic) -> Optional[Story]:
    """Tell who changed a guard, by the rule that tells it on a machine."""
    found, moment = damage_of(damage), moment_of(damage.intact, damage.event, damage.lost_at)
    pid = damage.event.pid
    chosen = candidates(records_of(damage, symbols), damage.asked, moment, pid)

    def settle(attribution: Attribution, victim: Victim) -> Attribution:
        found_so_far = undecided(settled(attribution, victim, moment, chosen.known), chosen.unplaced, victim)
        return found_so_far if damage.consequences else unless_set_anew(found_so_far, victim)

    call = damage.event.fields.get("syscall")
    process = kernel_process(pid, damage.program, found.expected, call if type(call) is int else None)
    target = symbols.target({"fs_base": found.fs_base}, {found.address: found.found})
    coverage = _coverage(damage, moment, chosen)
    scene = LogScene(
        target, f"line {damage.event.line}", process, chosen.known, found, coverage, settle,
        [*moment.tells(), *(event_line(event, symbols.name) for event in damage.consequences)],
    )  # fmt: skip
    finding = guard_changed(scene)
    if finding is None:
        return None
    lines = numbered([damage.intact, damage.event, damage.dump, *damage.consequences])
    return Story(_in_a_log(finding, damage, moment), lines, GUARD, damage.event, damage.dump)


def damage_of(damage: GuardDamage) -> Damage:
    """Return where the guard is, what was found there, and what should be."""
    base = word(damage.event, "fsbase")
    return Damage(base, base + GUARD_OFFSET, word(damage.event, "found"), word(damage.event, "expected"))


def records_of(damage: GuardDamage, symbols: Symbolic) -> Sequence[RingRecord]:
    """Return the copies before the damage: the ring's, or those that events tell of where the ring was not dumped."""
    if damage.dump is not None:
        return ring_records(damage.dump, symbols)
    pid = damage.event.pid or 0
    return [asked_record(one, index, pid) for index, one in enumerate(damage.asked) if one.is_write]


def _coverage(damage: GuardDamage, moment: Moment, chosen: Candidates) -> Coverage:
    records = chosen.known
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
def _in_a_log(finding: Finding, damage: GuardDamage, moment: Moment) -> Finding:
    pid = damage.event.pid
    facts = finding.facts
    if facts.system_call is None and moment.who == KERNEL:
        facts = facts._replace(system_call=moment.system_call)
    again = f", and {damage.seen - 1} times again" if damage.seen > 1 else ""
    first = f"line {damage.event.line}: {finding.evidence[0]}{again}"
    process = f" --pid {pid}" if pid is not None else ""
    steps = [f"kdbg events LOG --type canary,usercopy{process}"]
    if facts.routine:
        steps.insert(0, f"kdbg check-copy {facts.routine}")
    if facts.file:
        steps.insert(0, f"list {facts.file}:{facts.line}")
    return finding._replace(evidence=(first, *finding.evidence[1:]), next=tuple(steps), facts=facts)
