"""The stories of copies that faulted."""

from __future__ import annotations

from .events import Event
from .finding import CERTAIN, Finding
from .log_copies import Faulted
from .log_ring import ring_records
from .log_scene import LogScene, kernel_process
from .log_story import COPY, Programs, Story, event_line
from .log_symbols import Symbolic
from .rules.copy_fault import CopyFault, CopyPlace, fault_finding
from .units import ADDRESS_MASK, Address, Size, safe_text
from .writers import routine_and_phase

_TAG = 63
# How the labels of a copy routine call the phases that kdbg names.
_PHASES = {"leading_bytes": "leading", "bulk_qwords": "bulk", "trailing_bytes": "trailing"}


def fault_story(faulted: Faulted, symbols: Symbolic, programs: Programs) -> Story:
    """Tell the copies that faulted in one place, by the rule that tells them on a machine."""
    event = faulted.first
    records = ring_records(faulted.dumps[0], symbols) if faulted.dumps else ()
    fault, place = _fault_of(event), _place(event, symbols)
    process = kernel_process(event.pid, programs.name(event.pid))
    scene = LogScene(symbols.target(), f"line {event.line}", process, records)
    finding = fault_finding(scene, fault, place, CERTAIN)
    lines = [event_line(event, symbols.name), *finding.evidence[1:]]
    if len(faulted.lines) > 1:
        lines.append(f"{len(faulted.lines)} times in all, last in line {faulted.lines[-1]}")
    finding = finding._replace(evidence=tuple(lines), next=(f"kdbg events LOG --type usercopy --pid {event.pid}",))
    return Story(_whose(finding, programs.whose(event.pid)), tuple(faulted.lines), COPY, event, *faulted.dumps[:1])


def _place(event: Event, symbols: Symbolic) -> CopyPlace:
    label = safe_text(str(event.fields.get("label", "")), _TAG)
    tag = safe_text(str(event.fields.get("ctx", "")), _TAG)
    target, at = symbols.target(), event.number("ip") or 0
    routine = routine_and_phase(target, Address(at & ADDRESS_MASK))[0] if target.objfiles() else ""
    known = routine if routine and not routine.startswith("0x") else None
    return CopyPlace(known, _PHASES.get(label, label) or None, tag or None)


def _whose(finding: Finding, whose: str) -> Finding:
    return finding._replace(summary=f"{finding.summary}, for {whose}") if whose else finding


def _fault_of(event: Event) -> CopyFault:
    def value(name: str) -> int:
        return (event.number(name) or 0) & ADDRESS_MASK

    return CopyFault(
        1, Address(value("fault_addr")), Address(value("ip")), Address(value("dst")), Address(value("src")),
        Size(value("orig_len")), Size(min(value("remaining"), value("orig_len"))), 0, value("pid") & 0xFFFF,
    )  # fmt: skip
