"""What kdbg finds out about a stop: findings with their facts, as `kdbg why` returns them."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Optional

from .units import Address, Count, LinkAddress, Size, Word

RANKS = CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"


class Facts(NamedTuple):
    """What a finding knows, for scripts; unknown facts are left out."""

    verdict: Optional[str] = None
    asked: Optional[Size] = None
    wrote: Optional[Size] = None
    destination: Optional[Address] = None
    source: Optional[Address] = None
    sequence: Optional[Count] = None
    caller: Optional[str] = None
    file: Optional[str] = None
    line: Optional[int] = None
    routine: Optional[str] = None
    exercised: Optional[str] = None
    phase: Optional[str] = None
    tag: Optional[str] = None
    process: Optional[str] = None
    pid: Optional[Count] = None
    system_call: Optional[str] = None
    instruction: Optional[Address] = None
    function: Optional[str] = None
    victim: Optional[str] = None
    victim_address: Optional[Address] = None
    expected: Optional[Word] = None
    found: Optional[Word] = None
    fault_address: Optional[Address] = None
    remaining: Optional[Size] = None
    call_site: Optional[Address] = None
    slot_address: Optional[Address] = None
    slot_link_address: Optional[LinkAddress] = None
    slot_name: Optional[str] = None
    section: Optional[str] = None
    relocation: Optional[str] = None
    addend: Optional[Word] = None
    symbol: Optional[str] = None
    target: Optional[str] = None
    objfile: Optional[str] = None
    objfile_state: Optional[str] = None
    operand_address: Optional[Address] = None
    alignment: Optional[Size] = None

    @property
    def SPARSE(self) -> bool:
        """Unknown facts are left out of JSON."""
        return True


class Finding(NamedTuple):
    """One explanation: the rule that made it, how sure it is, what it says and on what evidence."""

    summary: Annotated[str, {"label": ""}]
    rule: str
    confidence: str
    evidence: tuple[str, ...]
    next: tuple[str, ...]
    facts: Annotated[Facts, {"text": False}]


class WhyReport(NamedTuple):
    """Where the target stopped and what explains it, best finding first."""

    stop: str
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
