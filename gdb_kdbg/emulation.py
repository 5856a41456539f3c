"""Runs a routine of the target in an emulator: its own machine code, on arguments and memory made for it.

The only importer of unicorn. Code and data of the target are read page by page when the routine touches them, into
the emulator's memory; the target itself is never written. The areas the routine works on lie in an arena of their own
between pages that are not mapped, so that each access outside of them is seen.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional

from .disassembly import decode
from .errors import KdbgError, MemoryFault
from .patience import PATIENCE, Watch
from .target import Memory
from .units import ADDRESS_MASK, Address, Size
from .unsupported import Unsupported, first_unsupported

# Far from where programs and kernels live, in the lower half, where a kernel expects the user.
ARENA = 0x6B64_0000_0000
ARENA_END = ARENA + 0x1000_0000
PAGE = 4096
STACK, STACK_SIZE = ARENA + 0x20_0000, 0x1_0000
THREAD, THREAD_SIZE = ARENA + 0x100_0000, 0x800_0000
RETURN = ARENA + 0x40_0000
AREA_SIZE = 0x3_0000
DESTINATION, SOURCE = ARENA + 0x4_0000, ARENA + 0xC_0000
STACK_TOP = STACK + STACK_SIZE - 0x1008  # as a call leaves it: 8 below a multiple of 16

# How long a run may take that is bounded by its instructions.
_BOUNDED = 60.0
_PAGES = 4096
_PIECE = 64
_LONGEST_INSTRUCTION = 15
_PHYSICAL_BITS = 52

RETURNED, FAULTED, LEFT, UNSUPPORTED, ENDLESS = "returned", "faulted", "left", "unsupported", "endless"
PRESERVED = ("rbx", "rbp", "r12", "r13", "r14", "r15")
READ = (*PRESERVED, "rax", "rcx", "rdx", "rsp", "eflags")
# What the registers hold that are no arguments: values that would show if they were used as such.
NOISE_OF = {name: 0x5EED_0000_0000_0000 | number << 40 | 0xBAD0 for number, name in enumerate(PRESERVED, 1)}
_NOISE = {**NOISE_OF, "rax": 0x5EED_ACC0_BAD0_BAD0, "r10": 0x5EED_1010_BAD0_BAD0, "r11": 0x5EED_1111_BAD0_BAD0}
_RETURN_BYTES = RETURN.to_bytes(8, "little")
DIRECTION_FLAG = 0x400
_GS_FS = {"fs_base": "FS_BASE", "gs_base": "GS_BASE"}
_STAC_CLAC = (b"\x0f\x01\xcb", b"\x0f\x01\xca")
_XTEST = b"\x0f\x01\xd6"
_ZERO_FLAG = 0x40
_EXCEPTIONS = {0: "divide error", 13: "general protection fault", 14: "page fault", 16: "floating-point error"}


@dataclass(frozen=True)
class Exit:
    """How a run ended: `kind`, at which pc, and for FAULTED the address and whether it was a read or a write."""

    kind: str
    pc: Address
    fault_address: Optional[Address] = None
    is_write: bool = False
    detail: str = ""


class Access(NamedTuple):
    """One access to memory in a traced run."""

    pc: int
    address: int
    size: int
    is_write: bool


class Emulator:
    """A processor with the target's memory behind it; one routine after the other can be called."""

    def __init__(
        self, code: Memory, bases: Mapping[str, int], is_code: Callable[[int], bool] = lambda address: True
    ) -> None:
        """Take the memory to read from, fs_base and gs_base, and which addresses can hold instructions.

        Raises KdbgError without unicorn.
        """
        self._unicorn, self._x86 = _library()
        self._code, self._is_code = code, is_code
        self._mapped = 0
        self._ending: Optional[Exit] = None
        self._checked: set[int] = set()
        self._barriers: dict[int, str] = {}
        self._is_stale = False
        self._numbers: dict[str, int] = {}
        self._read_numbers = [self._number(name) for name in READ]
        # Pages of the target the routine wrote to, in the emulator only: a probe's ring, counters.
        self.written_pages: set[int] = set()
        self._uc = self._unicorn.Uc(self._unicorn.UC_ARCH_X86, self._unicorn.UC_MODE_64)
        for start, size in ((STACK, STACK_SIZE), (RETURN, PAGE), (DESTINATION, AREA_SIZE), (SOURCE, AREA_SIZE)):
            self._uc.mem_map(start, size)
        self._set_up(bases)
        self._pristine = self._uc.context_save()
        self._watch = Watch(self._uc.emu_stop)

    def close(self) -> None:
        """End the watch over it."""
        self._watch.close()

    def register(self, name: str) -> int:
        return int(self._uc.reg_read(self._number(name)))

    def set_register(self, name: str, value: int) -> None:
        self._uc.reg_write(self._number(name), value & ADDRESS_MASK)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def registers(self) -> Mapping[str, int]:
        """Return the registers that a call must or may change, read in one go."""
        return dict(zip(READ, self._uc.reg_read_batch(self._read_numbers)))

    def call(self, entry: int, arguments: Mapping[str, int], limit: int = 0) -> Exit:
        """Call a routine with these registers; `limit` bounds the instructions (slow), else only time does."""
        values = {**_NOISE, **arguments, "rsp": STACK_TOP, "eflags": 2}
        self._uc.reg_write_batch([(self._number(name), value & ADDRESS_MASK) for name, value in values.items()])
        self.write(STACK_TOP, _RETURN_BYTES)
        return self.go_on(entry, limit)

    def go_on(self, pc: int, limit: int = 0) -> Exit:
        """Run from an address until the routine returns or something ends it."""
        self._ending = None
        if pc not in self._checked:
            self._check_block(pc)
        self._watch.start(_BOUNDED if limit else PATIENCE)
        try:
            if self._ending is None:
                self._uc.emu_start(pc, RETURN, 0, limit)
        except self._unicorn.UcError as error:
            if self._ending is None:
                return Exit(LEFT, self._pc(), detail=str(error))
            # Only now the processor tells which instruction of its block it was.
            return replace(self._ending, pc=self._pc()) if self._ending.kind == FAULTED else self._ending
        finally:
            late = self._watch.stop()
            self._recover()
        return self._ended(late)

    # A new barrier stands in no block yet that is translated; and an exception leaves the processor handling it.
    def _recover(self) -> None:
        if self._is_stale:
            self._is_stale = False
            self._uc.ctl_flush_tb()
        if self._ending is not None and self._ending.kind == LEFT and self._ending.fault_address is None:
            self._uc.context_restore(self._pristine)

    def _ended(self, late: bool) -> Exit:
        if self._ending is not None:
            return self._ending
        if self._pc() != RETURN:
            return Exit(ENDLESS, self._pc(), detail="time" if late else "instructions")
        return Exit(RETURNED, Address(RETURN))

    @contextlib.contextmanager
    def tracing(self) -> Iterator[list[Access]]:
        """List the accesses of the runs within, in order, until the list is cleared."""
        kinds = self._unicorn.UC_HOOK_MEM_READ | self._unicorn.UC_HOOK_MEM_WRITE
        accesses: list[Access] = []
        hook = self._uc.hook_add(kinds, self._on_access, accesses)
        # What is translated already does not tell of its reads.
        self._uc.ctl_flush_tb()
        try:
            yield accesses
        finally:
            self._uc.hook_del(hook)
            self._uc.ctl_flush_tb()

    def _set_up(self, bases: Mapping[str, int]) -> None:
        hooks = self._unicorn
        protected = hooks.UC_HOOK_MEM_READ_PROT | hooks.UC_HOOK_MEM_WRITE_PROT | hooks.UC_HOOK_MEM_FETCH_PROT
        unmapped = hooks.UC_HOOK_MEM_READ_UNMAPPED | hooks.UC_HOOK_MEM_WRITE_UNMAPPED
        self._uc.hook_add(unmapped | hooks.UC_HOOK_MEM_FETCH_UNMAPPED | protected, self._on_fault)
        self._uc.hook_add(hooks.UC_HOOK_INSN_INVALID, self._on_invalid)
        self._uc.hook_add(hooks.UC_HOOK_INTR, self._on_interrupt)
        self._uc.hook_add(hooks.UC_HOOK_EDGE_GENERATED, self._on_edge)
        for name in _GS_FS:
            # Without thread-local storage of its own a routine gets an empty one; the guard of a frame is 0 then.
            self.set_register(name, bases.get(name) or THREAD + THREAD_SIZE // 2)

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = int(getattr(self._x86, f"UC_X86_REG_{_GS_FS.get(name, name.upper())}"))
        return self._numbers[name]

    def _pc(self) -> Address:
        return Address(self.register("rip"))

    def _on_access(self, uc: Any, kind: int, address: int, size: int, value: int, accesses: list[Access]) -> None:
        pc = self.register("rip")
        accesses.append(Access(pc, _virtual(address), size, kind == self._unicorn.UC_MEM_WRITE))

    def _on_fault(self, uc: Any, kind: int, address: int, size: int, value: int, data: object) -> bool:
        address = _virtual(address)
        hooks = self._unicorn
        is_write = kind in (hooks.UC_MEM_WRITE_UNMAPPED, hooks.UC_MEM_WRITE_PROT)
        if THREAD <= address < THREAD + THREAD_SIZE:
            return self._map(address, None)
        is_fetch = kind in (hooks.UC_MEM_FETCH_UNMAPPED, hooks.UC_MEM_FETCH_PROT)
        is_mapped = kind in (hooks.UC_MEM_WRITE_PROT, hooks.UC_MEM_FETCH_PROT)
        is_ours = ARENA <= address < ARENA_END or (is_fetch and not self._is_code(address))
        if not is_ours and self._take(address, is_write, is_mapped):
            return True
        self._ending = Exit(LEFT if is_fetch else FAULTED, self._pc(), Address(address), is_write)
        return False

    # Bring in a page of the target. It is mapped read-only first, to learn whether the routine writes there.
    def _take(self, address: int, is_write: bool, is_mapped: bool) -> bool:
        page = address // PAGE * PAGE
        if is_write:
            self.written_pages.add(page)
        if is_mapped:
            self._uc.mem_protect(_physical(page), PAGE, self._unicorn.UC_PROT_ALL)
            return True
        content = self._page(page, address)
        if content is None:
            return False
        allowed = self._unicorn.UC_PROT_READ | (self._unicorn.UC_PROT_WRITE if is_write else 0)
        if self._is_code(page) or self._is_code(page + PAGE - 1) or self._is_code(address):
            allowed |= self._unicorn.UC_PROT_EXEC
        return self._map(address, content, allowed)

    # The last page of a file's data is not all there; what the loader puts behind are zeros.
    def _page(self, page: int, address: int) -> Optional[bytes]:
        whole = self._piece(page, PAGE)
        if whole is not None or self._piece(address, 1) is None:
            return whole
        return b"".join(self._piece(place, _PIECE) or bytes(_PIECE) for place in range(page, page + PAGE, _PIECE))

    def _piece(self, address: int, size: int) -> Optional[bytes]:
        try:
            return self._code.read_memory(Address(address), Size(size))
        except MemoryFault:
            return None

    def _map(self, address: int, content: Optional[bytes], allowed: Optional[int] = None) -> bool:
        page = _physical(address // PAGE * PAGE)
        self._mapped += 1
        if self._mapped > _PAGES:
            return False
        self._uc.mem_map(page, PAGE)
        if content:
            self._uc.mem_write(page, content)
        if allowed is not None:
            self._uc.mem_protect(page, PAGE, allowed)
        return True

    def _on_invalid(self, uc: Any, data: object) -> bool:
        pc = self._pc()
        code = self._bytes_at(pc, 3)
        if code in _STAC_CLAC or code == _XTEST:
            # Permission for user pages, which are all permitted here; and "no transaction is running".
            if code == _XTEST:
                self.set_register("eflags", self.register("eflags") | _ZERO_FLAG)
            self.set_register("rip", pc + 3)
            return True
        decoded = decode(self._bytes_at(pc, _LONGEST_INSTRUCTION), pc, 1)
        self._ending = Exit(UNSUPPORTED, pc, detail=str(decoded[0]) if decoded else "undecodable bytes")
        return False

    def _on_interrupt(self, uc: Any, number: int, data: object) -> None:
        self._ending = Exit(LEFT, self._pc(), detail=_EXCEPTIONS.get(number, f"exception {number}"))
        self._uc.emu_stop()

    # Called before a block runs for the first time; from then on it is a barrier that stops whoever comes there.
    def _on_edge(self, uc: Any, current: Any, previous: Any, data: object) -> None:
        if current.pc not in self._checked:
            self._check_block(current.pc)
            if self._ending is not None:
                self._uc.emu_stop()

    def _check_block(self, pc: int) -> None:
        self._checked.add(pc)
        # A block of the emulator ends with its page, but for the last instruction.
        found = first_unsupported(self._bytes_at(pc, PAGE - pc % PAGE + _LONGEST_INSTRUCTION), Address(pc))
        if found is not None:
            self._unsupported(found)

    def _unsupported(self, found: Unsupported) -> None:
        self._ending = Exit(UNSUPPORTED, found.address, detail=found.text)
        if found.address not in self._barriers:
            self._barriers[found.address] = found.text
            self._is_stale = True
            place = _physical(found.address)
            self._uc.hook_add(self._unicorn.UC_HOOK_CODE, self._on_barrier, None, place, place)
            self._uc.hook_add(self._unicorn.UC_HOOK_CODE, self._on_barrier, None, found.address, found.address)

    def _on_barrier(self, uc: Any, pc: int, size: int, data: object) -> None:
        place = self._pc()
        self._ending = Exit(UNSUPPORTED, place, detail=self._barriers.get(place, ""))
        self._uc.emu_stop()

    def _bytes_at(self, pc: int, size: int) -> bytes:
        for length in (size, PAGE - pc % PAGE):
            try:
                return self._code.read_memory(Address(pc), Size(min(size, length)))
            except MemoryFault:
                continue
        return b""


# Without page tables unicorn's processor has 52 address bits; the kernel half's addresses lose their upper ones.
def _physical(address: int) -> int:
    return address & (1 << _PHYSICAL_BITS) - 1


def _virtual(address: int) -> int:
    address &= ADDRESS_MASK
    negative = address >> (_PHYSICAL_BITS - 1) & 1
    return address | (ADDRESS_MASK ^ (1 << _PHYSICAL_BITS) - 1) if negative else address


def _library() -> tuple[Any, Any]:
    try:
        import unicorn
        from unicorn import x86_const
    except ImportError:
        raise KdbgError("unicorn is missing for this python: run scripts/setup, or install it with pip") from None
    return unicorn, x86_const
