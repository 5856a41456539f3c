"""From an attribution to a finding: the summary sentence, the facts, what to type next."""

from __future__ import annotations

from typing import Optional

from ..copies import CALLER, PROGRAM, ROUTINE, Attribution, Victim
from ..finding import Facts, Finding
from ..process import NO_SYSTEM_CALL
from ..ranges import Range
from ..ring import RingRecord
from ..scene import Scene
from ..syscall_names import system_call_name
from ..units import Address, Count, Size, Word
from ..writers import Writer, called_routine


def finding_of(
    scene: Scene,
    rule: str,
    victim: Victim,
    attribution: Attribution,
    evidence: tuple[str, ...],
    writer: Optional[Writer],
    may_exercise: bool = True,
) -> Finding:
    """Tell the story of a damaged range, after exercising the routine that is accused or suspect."""
    # The emulator is imported where there is something to explain only.
    from .exercised import Exercised, exercised

    outcome = exercised(scene, victim, attribution, writer) if may_exercise else Exercised(attribution)
    attribution = outcome.attribution
    facts = _facts(scene, victim, attribution, writer, outcome.routine)._replace(exercised=outcome.verdict)
    return Finding(
        _summary(facts, attribution, victim), rule, attribution.confidence,
        (*evidence, *attribution.evidence), _next(scene, facts, victim, outcome.commands), facts,
    )  # fmt: skip


def _facts(
    scene: Scene, victim: Victim, attribution: Attribution, writer: Optional[Writer], called: Optional[str]
) -> Facts:
    record, process = attribution.record, scene.process
    function, file, line = _writing_place(record, writer)
    return Facts(
        verdict=attribution.verdict,
        asked=record.size if record else None,
        wrote=attribution.written.size if attribution.written else None,
        destination=record.destination if record else None,
        source=record.source if record else None,
        sequence=record.sequence if record else None,
        caller=record.caller if record else None,
        file=record.file if record else file,
        line=record.line if record else line,
        routine=_routine(scene, record, writer, called),
        phase=writer.phase if writer and record else None,
        tag=record.context if record else None,
        process=process.name if process and process.name else None,
        pid=Count(process.pid) if process else record.process if record else None,
        system_call=_system_call(scene, record, writer),
        instruction=writer.store.instruction.address if writer else None,
        function=function,
        victim=victim.name,
        victim_address=victim.range.start,
        expected=_word(victim.expected),
        found=_word(victim.found),
    )


def _writing_place(
    record: Optional[RingRecord], writer: Optional[Writer]
) -> tuple[Optional[str], Optional[str], Optional[int]]:
    place = writer.place if writer and record is None else None
    return (str(place), place.file, place.line) if place else (None, None, None)


def _word(data: Optional[bytes]) -> Optional[Word]:
    return Word(int.from_bytes(data, "little")) if data and len(data) <= 8 else None


def _routine(
    scene: Scene, record: Optional[RingRecord], writer: Optional[Writer], called: Optional[str]
) -> Optional[str]:
    if record is None:
        return None
    return writer.routine if writer else called or called_routine(scene.target, record.return_address)


def _system_call(scene: Scene, record: Optional[RingRecord], writer: Optional[Writer]) -> Optional[str]:
    """In the act it is the one in progress; afterwards only the copy's tag (`ioctl:TIOCGWINSZ`) can tell."""
    if writer is not None and writer.kernel and scene.process and scene.process.system_call != NO_SYSTEM_CALL:
        return system_call_name(scene.process.system_call)
    return record.context.partition(":")[0] if record and record.context else None


def _summary(facts: Facts, attribution: Attribution, victim: Victim) -> str:
    whose = f"{victim.name} in {facts.process} (pid {facts.pid})" if facts.process else victim.name
    if attribution.verdict == ROUTINE:
        routine = facts.routine or "the copy routine"
        text = f"{routine} was asked for {facts.asked} bytes and wrote {facts.wrote}, over the {whose}{_caller(facts)}"
    elif attribution.verdict == CALLER:
        who = f"{facts.caller or 'the caller'}{_line(facts)}"
        text = f"{who} asked for {facts.asked} bytes to {facts.destination:#x}, over the {whose}{_tag(facts)}"
    elif attribution.verdict == PROGRAM:
        who = f"in {facts.function}{_line(facts)}" if facts.function else "by the program itself"
        text = f"the {whose} was overwritten {who}; no copy wrote there"
    else:
        text = f"the {whose} was overwritten, and nothing tells by whom"
    return f"{attribution.verdict}: {text}"


def _caller(facts: Facts) -> str:
    return f"; called by {facts.caller}{_line(facts)}{_tag(facts)}" if facts.caller else _tag(facts)


def _line(facts: Facts) -> str:
    return f" ({facts.file}:{facts.line})" if facts.file else ""


def _tag(facts: Facts) -> str:
    return f", {facts.tag}" if facts.tag else ""


def _next(scene: Scene, facts: Facts, victim: Victim, check: tuple[str, ...]) -> tuple[str, ...]:
    around = f"kdbg ring --around {victim.range.start:#x}"
    if facts.verdict == ROUTINE and facts.routine:
        return (*check, f"disassemble {facts.routine}", around)
    if facts.verdict == CALLER and facts.file:
        return (f"list {facts.file}:{facts.line}", around)
    if facts.verdict == PROGRAM:
        return ("backtrace", "kdbg canary --frames")
    what = "guard" if victim.name == "guard" else f"{victim.range.start:#x},{victim.range.size}"
    again = (f"kdbg watch {what}, then run it again", "kdbg canary --syscalls, then run it again", *check)
    return (*again, around) if scene.ring else again


def word_victim(name: str, start: Address, found: int, expected: Optional[int]) -> Victim:
    """Return a victim that is one 64-bit word."""
    before = None if expected is None else expected.to_bytes(8, "little")
    return Victim(name, Range(start, Size(8)), found.to_bytes(8, "little"), before)
