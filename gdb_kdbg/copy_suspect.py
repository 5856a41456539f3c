"""Exercises the routine of one recorded copy in the emulator, at that copy's very size and alignment."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Optional, Sequence

from .blocks import read_available
from .check_copy_command import code_test, routine_in
from .copy_breaches import BEFORE, LEAVES, MISALIGNED, MISSING, NO_RETURN, NOT_RUN, OVERFLOW, PAST, STRAY, WRONG, Breach
from .copy_cases import LARGEST, MARGIN, Case
from .copy_check import CopyCheck
from .copy_contracts import CONTRACTS, NOTHING, Contract, contract_of
from .copy_culprit import culprit
from .copy_exercise import Routine
from .copy_report import BREAKS, CONFORMS, UNDECIDABLE
from .emulation import DESTINATION, SOURCE, Emulator
from .errors import KdbgError
from .ring import RingRecord
from .scope import Scope
from .target import Memory, Target
from .units import Address, Size

_LINE, _PAGE, _INSTRUCTION = 64, 4096, 16
# Nothing is said of a routine that does not even begin to copy: it may be called in another way than is assumed here.
_NOT_RUN = (NOT_RUN, LEAVES, NO_RETURN, OVERFLOW, STRAY, MISALIGNED)


class Outcome(NamedTuple):
    """What a routine did when it was exercised: the verdict, bytes written past the end, and a line of evidence."""

    verdict: str
    past: int
    text: str


class _Pages:
    """Memory read page by page, each page once: over a stub each read is a packet at least."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._pages: dict[int, bytes] = {}
        self._heads: dict[int, bytes] = {}

    def read_memory(self, address: Address, size: Size) -> bytes:
        page = address // _PAGE * _PAGE
        found = self._page(page)[address - page : address - page + size]
        if len(found) < size and address + len(found) == page + _PAGE:
            found += self._head(page + _PAGE)[: size - len(found)]
        return found if len(found) == size else self._memory.read_memory(address, size)

    def _page(self, page: int) -> bytes:
        if page not in self._pages:
            self._pages[page] = read_available(self._memory, Address(page), Size(_PAGE))
        return self._pages[page]

    # An instruction may reach into the next page, of which nothing else may be wanted.
    def _head(self, page: int) -> bytes:
        if page not in self._pages and page not in self._heads:
            self._heads[page] = read_available(self._memory, Address(page), Size(_INSTRUCTION))
        return self._pages.get(page) or self._heads.get(page, b"")


def exercise_copy(target: Target, scope: Scope, name: str, record: RingRecord) -> Optional[Outcome]:
    """Make a recorded copy anew in the emulator; None where that cannot be done; raise KdbgError.

    Judged is what it does to memory, the result is not. The routine is taken to have its arguments in rdi, rsi, rdx.
    """
    symbol = target.symbol(name)
    contract = _contract(name)
    apart = abs(record.destination - record.source) >= record.size
    if symbol is None or contract.is_string or record.size > LARGEST or not (apart or contract.is_fill):
        return None
    bases = {base: target.register(base) or 0 for base in ("fs_base", "gs_base")}
    routine = routine_in(target, symbol, bases, {}, code_test(target, scope))
    emulator = Emulator(_Pages(routine.code), routine.bases, routine.is_code)
    try:
        return _outcome(CopyCheck(emulator, routine.address, contract, {}), routine, _cases(record))
    finally:
        emulator.close()


def check_command(name: str) -> str:
    """Return the command that exercises a routine at large."""
    try:
        contract_of(name, None, None)
    except KdbgError:
        return f"kdbg check-copy {name} --contract copy_user"
    return f"kdbg check-copy {name}"


def _contract(name: str) -> Contract:
    try:
        contract = contract_of(name, None, None)
    except KdbgError:
        contract = CONTRACTS["copy_user"]
    return replace(contract, returns=contract.returns if contract.is_string else NOTHING, faults=())


# As the copy lay in its pages, and as it lay in a line of the cache, in the middle of a page.
def _cases(record: RingRecord) -> Sequence[Case]:
    places = {(record.destination % unit, record.source % unit): None for unit in (_PAGE, _LINE)}
    return [Case(record.size, DESTINATION + MARGIN + d, SOURCE + MARGIN + s) for d, s in places]


def _outcome(check: CopyCheck, routine: Routine, cases: Sequence[Case]) -> Outcome:
    breaches = [breach for case in cases for breach in check.run(case)]
    start = f"exercised in the emulator: {routine.name} with {cases[0].size} bytes at this alignment "
    stopped = [breach for breach in breaches if breach.kind in _NOT_RUN]
    if stopped:
        return Outcome(UNDECIDABLE, 0, f"{start}cannot be run to its end: {stopped[0].text}")
    if any(breach.kind in (MISSING, WRONG) and breach.text == "all" for breach in breaches):
        return Outcome(UNDECIDABLE, 0, f"{start}copies nothing when called with destination, source and size")
    if not breaches:
        where = check.stray()
        text = f"writes {cases[0].size}, as asked" if where is None else f"writes elsewhere in the {where}"
        return Outcome(CONFORMS if where is None else BREAKS, 0, start + text)
    past = max((breach.amount for breach in breaches if breach.kind == PAST), default=0)
    return Outcome(BREAKS, past, start + _told(check, routine, breaches[0], past))


def _told(check: CopyCheck, routine: Routine, breach: Breach, past: int) -> str:
    size = breach.case.size
    pc = culprit(check, routine.code, breach)
    label = routine.label(pc) if pc else ""
    by = f", by {label}" if label else ""
    if past:
        return f"writes {size + past} (asked {size}){by}"
    return f"{'writes before the destination' if breach.kind == BEFORE else breach.text or breach.kind}{by}"
