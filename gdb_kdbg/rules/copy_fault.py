"""A copy between kernel and user memory met a page that is not mapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

from ..blocks import read_words
from ..copies import CERTAIN, POSSIBLE
from ..errors import MemoryFault
from ..finding import Facts, Finding
from ..ring import TAGS, RingRecord, read_tags
from ..scene import Scene
from ..syscall_names import system_call_name
from ..units import Address, Count, Size
from ..writers import routine_and_phase

RULE = "copy-fault"
# The kit's record of the last fault and the function it calls then (docs/ring-format.md).
RECORD, FUNCTION = "ucopy_fault_last", "ucopy_fault"


@dataclass(frozen=True)
class CopyFault:
    """The kit's `struct ucopy_fault_record`."""

    count: int
    fault_address: Address
    instruction: Address
    destination: Address
    source: Address
    size: Size
    remaining: Size
    tag: int
    process: int


class CopyPlace(NamedTuple):
    """Where in which routine a copy faulted, and for what it was made, as far as that is known."""

    routine: Optional[str]
    phase: Optional[str]
    tag: Optional[str]


def copy_fault(scene: Scene) -> Optional[Finding]:
    """Explain the last copy fault, if the target is stopped in it or the process it happened to is running."""
    fault = _last_fault(scene)
    if fault is None:
        return None
    stopped_in_it = scene.frame_in((FUNCTION,)) is not None
    running = scene.process is not None and scene.process.pid & 0xFFFF == fault.process
    if not stopped_in_it and not running:
        return None
    # A handled fault explains a later stop at most possibly.
    told = CopyPlace(*routine_and_phase(scene.target, fault.instruction), _tag(scene, fault))
    return fault_finding(scene, fault, told, CERTAIN if stopped_in_it else POSSIBLE)


def _last_fault(scene: Scene) -> Optional[CopyFault]:
    symbol = scene.target.symbol(RECORD)
    if symbol is None:
        return None
    try:
        words = read_words(scene.target, symbol.address, 8)
    except MemoryFault as fault:
        scene.problems.append(f"{RECORD}: {fault}")
        return None
    if not words[0]:
        return None
    return CopyFault(
        words[0], Address(words[1]), Address(words[2]), Address(words[3]), Address(words[4]),
        Size(words[5]), Size(words[6]), words[7] & 0xFFFF, words[7] >> 16 & 0xFFFF,
    )  # fmt: skip


def fault_finding(scene: Scene, fault: CopyFault, told: CopyPlace, confidence: str) -> Finding:
    """Tell a copy fault, whoever recorded it."""
    routine, phase, tag = told
    record = _record(scene, fault)
    facts = _facts(scene, fault, told, record)
    done = fault.size - fault.remaining
    side = "destination" if fault.destination <= fault.fault_address < fault.destination + fault.size else "source"
    summary = (
        f"copy fault in the {phase or 'unknown'} phase of {routine or 'the copy routine'}: "
        f"{fault.fault_address:#x} ({side}) is not mapped; "
        f"{done} of {fault.size} bytes were copied{f', {tag}' if tag else ''}"
    )
    place = scene.target.location(fault.instruction)
    evidence = [
        f"fault {fault.count} at {fault.instruction:#x} in {place or '??'}, destination {fault.destination:#x}, "
        f"source {fault.source:#x}, {fault.remaining} bytes left"
    ]
    evidence += [f"called by {record.caller} ({record.file}:{record.line})"] if record and record.file else []
    return Finding(summary, RULE, confidence, tuple(evidence), (f"kdbg ring --around {fault.destination:#x}",), facts)


def _facts(scene: Scene, fault: CopyFault, told: CopyPlace, record: Optional[RingRecord]) -> Facts:
    routine, phase, tag = told
    process = scene.process
    mine = process is not None and process.pid & 0xFFFF == fault.process
    return Facts(
        asked=fault.size, wrote=Size(fault.size - fault.remaining), remaining=fault.remaining,
        destination=fault.destination, source=fault.source, fault_address=fault.fault_address,
        instruction=fault.instruction, routine=routine, phase=phase, tag=tag, pid=Count(fault.process),
        sequence=record.sequence if record else None, caller=record.caller if record else None,
        file=record.file if record else None, line=record.line if record else None,
        process=process.name if process and mine else None,
        system_call=system_call_name(process.system_call) if process and mine and process.system_call >= 0 else None,
    )  # fmt: skip


def _record(scene: Scene, fault: CopyFault) -> Optional[RingRecord]:
    """The ring record of the copy that faulted: the newest with the same operands."""
    wanted = (fault.destination, fault.source, fault.size)
    fitting = (r for r in reversed(scene.records) if (r.destination, r.source, r.size) == wanted)
    return next(fitting, None)


def _tag(scene: Scene, fault: CopyFault) -> Optional[str]:
    tags = scene.target.symbol(TAGS)
    return read_tags(scene.target, tags.address, {fault.tag})[fault.tag] if tags and fault.tag else None
