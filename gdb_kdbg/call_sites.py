"""Who went to an address that is no code: the call whose return address is on the stack, and what it read to get there.

A call through memory or a register says itself. A direct call is followed into what it calls: a stub of the PLT, a
function that ends in a jump.
"""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Optional, Sequence

from .blocks import read_available, read_words
from .call_paths import Load, Path
from .disassembly import Instruction, decode
from .errors import KdbgError, MemoryFault
from .function_starts import function_at
from .scope import Scope
from .target import Target
from .units import Address, Size

_LONGEST_CALL = 8
# Further than this from its start a function is not decoded, as far again behind the call.
_FUNCTION = 1 << 16
# What is decoded before a call in code of which nothing is known, and in a stub.
_CONTEXT, _STUB = 48, 64
_STUB_INSTRUCTIONS = 6
_DEPTH = 3


class CallSite(NamedTuple):
    """How control came to an address.

    `call` has put the return address on the stack; `jump` is the last transfer, the same as `call` unless that led to
    a stub or to a function that ended in a jump. `load` read the destination from memory, where `value` is now; `via`
    is the slot that an earlier jump on the way went through. `agrees` tells that the register or the memory it went by
    still has the destination; `rivals` are other ways of which the same is true.
    """

    call: Instruction
    jump: Instruction
    load: Optional[Load]
    value: Optional[int]
    is_sure: bool
    agrees: bool
    rivals: int = 0
    via: Optional[Address] = None

    @property
    def place(self) -> Optional[Address]:
        return self.load.place if self.load else None


class CallSites:
    """Searches the code of a target for the call or jump to an address that is not executable."""

    def __init__(self, target: Target, scope: Scope, registers: Mapping[str, int]) -> None:
        self._target, self._scope, self._registers = target, scope, registers
        self._words: dict[int, Optional[int]] = {}

    def to(self, destination: int, return_address: int) -> Optional[CallSite]:
        """Return the best explanation of how control came to `destination`; None without any."""
        found: list[CallSite] = []
        for path, is_known in self._paths_to_call(return_address):
            found += self._sites(path, path.last, destination, is_known, _DEPTH)
        return _best(found, destination)

    def at(self, pc: int, destination: int) -> Optional[CallSite]:
        """Return what the call or jump at the pc read its destination from: one that could not be executed."""
        path = self.path_at(pc)
        if path is None or not (path.last.is_call or path.last.is_jump):
            return None
        return _best(list(self._ways(path, path.last, destination, True)), destination)

    def path_at(self, pc: int) -> Optional[Path]:
        """Return the instructions of the function around the pc, up to the one there."""
        function = self._function(pc)
        upto = [i for i in function if i.address <= pc]
        if upto and upto[-1].address == pc:
            return Path(upto, self._registers, self._word, function)
        code = read_available(self._target, Address(pc), Size(16))
        alone = decode(code, Address(pc), 1)
        return Path(alone, self._registers, self._word) if alone else None

    def is_return_address(self, address: int) -> bool:
        """Tell whether a call ends at an address."""
        return self._scope.executable_in(address) is not None and any(True for _ in self._paths_to_call(address))

    # The call that ends at a return address: by its function, else by whatever may end there.
    def _paths_to_call(self, return_address: int) -> Iterator[tuple[Path, bool]]:
        if self._scope.executable_in(return_address) is None:
            return
        function = self._function(return_address - 1)
        before = [i for i in function if i.end <= return_address]
        if before and before[-1].end == return_address and before[-1].is_call:
            yield Path(before, self._caller_registers(), self._word, function), True
            return
        code = self._code_before(return_address)
        for length in range(2, _LONGEST_CALL + 1):
            call = decode(code[-length:], Address(return_address - length), 1) if len(code) >= length else ()
            if call and call[0].is_call and call[0].size == length:
                context = _context(code[:-length], Address(return_address - length))
                yield Path([*context, *call], self._caller_registers(), self._word), False

    # What is before may be in a page that is not there.
    def _code_before(self, address: int) -> bytes:
        for start in (address - _CONTEXT - _LONGEST_CALL, address - 1 & ~0xFFF):
            code = read_available(self._target, Address(start), Size(address - start))
            if len(code) == address - start:
                return code
        return b""

    # At the call the return address was not there yet.
    def _caller_registers(self) -> Mapping[str, int]:
        return {**self._registers, "rsp": self._registers.get("rsp", 0) + 8}

    def _sites(self, path: Path, call: Instruction, destination: int, is_sure: bool, depth: int) -> Iterator[CallSite]:
        """Yield how the last instruction of a path, or what it leads to, may have gone to the destination."""
        jump = path.last
        if jump.immediate is not None and not jump.memory:
            yield from self._exits(jump.immediate, call, destination, is_sure, depth)
            return
        for site in self._ways(path, call, destination, is_sure):
            yield site
            # What it called properly may have gone on.
            if not site.agrees and site.value is not None and self._scope.executable_in(site.value) is not None:
                further = self._exits(site.value, call, destination, is_sure and site.is_sure, depth)
                yield from (way._replace(via=way.via or site.place) for way in further)

    # A register may have been loaded in several places.
    def _ways(self, path: Path, call: Instruction, destination: int, is_sure: bool) -> Iterator[CallSite]:
        jump = path.last
        held = self._registers.get(jump.registers[0]) if not jump.memory and jump.registers else None
        loads = path.loads()
        for load in loads:
            value = self._word(load.place) if load.place is not None else None
            agrees = (value if jump.memory else held) == destination
            yield CallSite(call, jump, load, value, is_sure and load.is_sure, agrees)
        if not loads:
            yield CallSite(call, jump, None, None, False, held == destination)

    # A stub is what can be followed without a choice; in a whole function there may be several ways out.
    def _exits(self, start: int, call: Instruction, destination: int, is_sure: bool, depth: int) -> Iterator[CallSite]:
        if not depth or self._scope.executable_in(start) is None:
            return
        function = self._function(start) or self._stub(start)
        body = [i for i in function if i.address >= start]
        for index, instruction in enumerate(body):
            if not instruction.is_jump or instruction.is_call:
                continue
            straight = index < _STUB_INSTRUCTIONS and not any(_branches(i) for i in body[:index])
            leaves = (
                instruction.immediate is None or not function[0].address <= instruction.immediate < function[-1].end
            )
            if leaves or (straight and instruction.mnemonic.endswith("jmp")):
                path = Path(body[: index + 1], self._registers, self._word, body)
                yield from self._sites(path, call, destination, is_sure and straight, depth - 1)
            if straight and instruction.mnemonic.endswith("jmp"):
                return

    def _stub(self, start: int) -> Sequence[Instruction]:
        code = read_available(self._target, Address(start), Size(_STUB))
        return decode(code, Address(start), _STUB_INSTRUCTIONS)

    # All of the function around an address that its symbol or its unwind entry tells the bounds of.
    def _function(self, address: int) -> Sequence[Instruction]:
        bounds = self._bounds(address)
        if bounds is None:
            return ()
        start, end = bounds[0], min(bounds[1], address + _FUNCTION)
        return decode(read_available(self._target, Address(start), Size(end - start)), Address(start))

    def _bounds(self, address: int) -> Optional[tuple[int, int]]:
        found = self._scope.symbols.at(address)
        if found is not None and found[0].size and found[1] < _FUNCTION:
            return found[0].address, found[0].address + found[0].size
        for objfile, elf in self._scope.symbols.holders(address):
            try:
                entry = function_at(elf, address - objfile.load_bias)
            except KdbgError:
                entry = None
            if entry is not None and address - objfile.load_bias - entry.start < _FUNCTION:
                return entry.start + objfile.load_bias, entry.end + objfile.load_bias
        if found is not None and found[0].limit > address and found[1] < _FUNCTION:
            return found[0].address, found[0].limit
        return None

    def _word(self, address: int) -> Optional[int]:
        if address not in self._words:
            try:
                self._words[address] = read_words(self._target, Address(address), 1)[0]
            except MemoryFault:
                self._words[address] = None
        return self._words[address]


def _branches(instruction: Instruction) -> bool:
    return instruction.is_jump or instruction.is_call or instruction.is_return


# x86 code read from a wrong start falls into step within a few instructions; the longest that ends right is taken.
def _context(code: bytes, end: Address) -> Sequence[Instruction]:
    for start in range(max(0, len(code) - _CONTEXT), len(code)):
        decoded = decode(code[start:], Address(end - len(code) + start))
        if decoded and decoded[-1].end == end:
            return decoded
    return ()


# What agrees with the pc comes first, then what is sure, then what names a place in memory.
def _best(sites: Sequence[CallSite], destination: int) -> Optional[CallSite]:
    def rank(site: CallSite) -> tuple[bool, bool, bool, bool]:
        return site.agrees, site.agrees and site.value == destination, site.is_sure, site.place is not None

    best = max(sites, key=rank, default=None)
    if best is None or best.is_sure:
        return best
    if best.load and not best.load.is_sure and best.value != destination:
        # One of several that may have been, of a word that holds something else: it tells nothing.
        return best._replace(load=None, value=None)
    return best._replace(rivals=len({s.place for s in sites if s.agrees and rank(s) >= rank(best)[:2]} - {best.place}))
