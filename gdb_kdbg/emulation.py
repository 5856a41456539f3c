"""Runs a routine of the target in an emulator: its own machine code, on arguments and memory made for it.

The only importer of unicorn. Code and data of the target are read page by page when the routine touches them, into
the emulator's memory; the target itself is never written. The areas the routine works on lie in an arena of their own
between pages that are not mapped, so that each access outside of them is seen.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from typing import AbstractSet, Any, Callable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .checked_code import CheckedCode
from .disassembly import decode
from .emulated_pages import PAGE, TargetPages, physical, virtual
from .emulated_vectors import EmulatedVectors, MappedArea
from .errors import KdbgError
from .patience import PATIENCE, Watch
from .target import Memory
from .units import ADDRESS_MASK, Address
from .vector_machine import Stopped

# Far from where programs and kernels live, in the lower half, where a kernel expects the user.
ARENA = 0x6B64_0000_0000
ARENA_END = ARENA + 0x1000_0000
STACK, STACK_SIZE = ARENA + 0x20_0000, 0x10_0000
THREAD, THREAD_SIZE = ARENA + 0x100_0000, 0x800_0000
RETURN = ARENA + 0x40_0000
AREA_SIZE = 0x3_0000
DESTINATION, SOURCE = ARENA + 0x4_0000, ARENA + 0xC_0000
STACK_TOP = STACK + STACK_SIZE - 0x1008  # as a call leaves it: 8 below a multiple of 16

# Older ones crash on kernel addresses, or name the wrong instruction of a fault: that would accuse right routines.
_OLDEST = (2, 1, 4)
# How long a run may take that is bounded by its instructions.
_BOUNDED = 60.0
_LONGEST_INSTRUCTION = 15

RETURNED, FAULTED, LEFT, UNSUPPORTED, ENDLESS = "returned", "faulted", "left", "unsupported", "endless"
UNALIGNED = "unaligned"
PRESERVED = ("rbx", "rbp", "r12", "r13", "r14", "r15")
GENERAL = (
    *PRESERVED, "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
)  # fmt: skip
# What the registers hold that are no arguments: values that would show if they were used as such.
NOISE_OF = {name: 0x5EED_0000_0000_BAD0 | number << 40 for number, name in enumerate(GENERAL, 1)}
_RETURN_BYTES = RETURN.to_bytes(8, "little")
DIRECTION_FLAG, ALIGNMENT_FLAG = 0x400, 0x4_0000
_GS_FS = {"fs_base": "FS_BASE", "gs_base": "GS_BASE"}
_STAC, _CLAC, _XTEST = b"\x0f\x01\xcb", b"\x0f\x01\xca", b"\x0f\x01\xd6"
_ZERO_FLAG = 0x40
# Permission for user pages, which are all permitted here; and "no transaction is running": flags to clear and to set.
_CHANGES = {_STAC: (0, ALIGNMENT_FLAG), _CLAC: (ALIGNMENT_FLAG, 0), _XTEST: (0, _ZERO_FLAG)}
# As a program starts, and the bits that belong to the caller: of MXCSR all but the sticky ones of exceptions.
_STATE = {
    "mxcsr": ("MXCSR", 0x1F80, 0xFFC0),
    "fpcw": ("the x87 control word", 0x37F, 0xFFFF),
    "fptag": ("the x87 stack", 0xFFFF, 0xFFFF),
}
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
    """One access to memory in a traced run; `stack` is the stack pointer at that moment."""

    pc: int
    address: int
    size: int
    is_write: bool
    stack: int


class Emulator:
    """A processor with the target's memory behind it; one routine after the other can be called."""

    def __init__(
        self, code: Memory, bases: Mapping[str, int], is_code: Callable[[int], bool] = lambda address: True
    ) -> None:
        """Take the memory to read from, fs_base and gs_base, and which addresses can hold instructions.

        Raises KdbgError without unicorn.
        """
        self._unicorn, self._x86 = _library()
        self._ending: Optional[Exit] = None
        self._failure: Optional[BaseException] = None
        self._is_counting = False
        self._numbers: dict[str, int] = {}
        self._skipped: dict[int, bytes] = {}
        self._uc = self._unicorn.Uc(self._unicorn.UC_ARCH_X86, self._unicorn.UC_MODE_64)
        self._pages = TargetPages(self._unicorn, self._uc, code, is_code)
        for start, size in ((STACK, STACK_SIZE), (RETURN, PAGE)):
            self._uc.mem_map(start, size)
        areas = [MappedArea(self._unicorn, self._uc, start, AREA_SIZE) for start in (DESTINATION, SOURCE)]
        processor = (self._unicorn, self._uc)
        self._vectors = EmulatedVectors(*processor, areas, self._number, self._on_fault, self._on_stopped_vector)
        self._checked = CheckedCode(*processor, self._pages.bytes_at, self._vectors, self._refuse, RETURN)
        self._set_up(bases)
        self._pristine = self._uc.context_save()
        self._watch = Watch(self._uc.emu_stop)

    @property
    def written_pages(self) -> AbstractSet[int]:
        """Pages of the target the routine wrote to, in the emulator only."""
        return self._pages.written

    def close(self) -> None:
        """End the watch over it."""
        self._watch.close()

    def register(self, name: str) -> int:
        return int(self._uc.reg_read(self._number(name)))

    def set_register(self, name: str, value: int) -> None:
        self._uc.reg_write(self._number(name), value & ADDRESS_MASK)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(physical(address), size))

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(physical(address), data)

    def registers(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return some registers, read in one go."""
        return dict(zip(names, self._uc.reg_read_batch([self._number(name) for name in names])))

    def call(self, entry: int, arguments: Mapping[str, int], limit: int = 0) -> Exit:
        """Call a routine with these registers; `limit` bounds the instructions (slow), else only time does."""
        self._uc.context_restore(self._pristine)
        self._vectors.reset()
        for name, value in arguments.items():
            self.set_register(name, value)
        self.write(STACK_TOP, _RETURN_BYTES)
        return self.go_on(entry, limit)

    def go_on(self, pc: int, limit: int = 0) -> Exit:
        """Run from an address until the routine returns or something ends it."""
        self._ending = self._failure = None
        self._checked.check(pc)
        if limit and not self._is_counting:
            # What is translated already does not count.
            self._uc.ctl_flush_tb()
        self._is_counting = bool(limit)
        self._watch.start(_BOUNDED if limit else PATIENCE)
        try:
            self._run(pc, limit)
        except self._unicorn.UcError as error:
            if self._failure is not None:
                raise self._failure from None
            if self._ending is None:
                return Exit(LEFT, self._pc(), detail=str(error))
            # Only now the processor tells which instruction of its block it was.
            return replace(self._ending, pc=self._pc()) if self._ending.kind == FAULTED else self._ending
        finally:
            late = self._watch.stop()
            self._recover()
        return self._ended(late)

    # Where a new block has what is carried out here, hooks were put into it: it has to be translated again.
    def _run(self, pc: int, limit: int) -> None:
        self._checked.refresh()
        while self._ending is None:
            self._uc.emu_start(pc, RETURN, 0, limit)
            if not self._checked.refresh():
                return
            pc = self._pc()

    # An exception leaves the processor handling it.
    def _recover(self) -> None:
        if self._ending is not None and self._ending.kind == LEFT and self._ending.fault_address is None:
            self._uc.context_restore(self._pristine)

    def _ended(self, late: bool) -> Exit:
        if self._ending is not None:
            return self._ending
        if self._pc() != RETURN:
            return Exit(ENDLESS, self._pc(), detail="time" if late else "instructions")
        return Exit(RETURNED, Address(RETURN))

    def changed_state(self) -> Sequence[str]:
        """Name what of the floating-point state is not as it was before the call: all of it belongs to the caller."""
        after = self.registers(tuple(_STATE))
        return [what for name, (what, before, mask) in _STATE.items() if (after[name] ^ before) & mask]

    @contextlib.contextmanager
    def tracing(self) -> Iterator[list[Access]]:
        """List the accesses of the runs within, in order, until the list is cleared."""
        kinds = self._unicorn.UC_HOOK_MEM_READ | self._unicorn.UC_HOOK_MEM_WRITE
        accesses: list[Access] = []
        hook = self._uc.hook_add(kinds, self._on_access, accesses)
        # What is translated already does not tell of its reads.
        self._uc.ctl_flush_tb()
        self._vectors.watch(lambda *access: accesses.append(Access._make((*access, self.register("rsp")))))
        try:
            yield accesses
        finally:
            self._vectors.watch(None)
            self._uc.hook_del(hook)
            self._uc.ctl_flush_tb()

    @contextlib.contextmanager
    def following(self) -> Iterator[list[int]]:
        """List the instructions that the runs within execute, in order."""
        executed: list[int] = []
        hook = self._uc.hook_add(self._unicorn.UC_HOOK_CODE, lambda uc, place, *_: executed.append(virtual(place)))
        self._uc.ctl_flush_tb()
        self._vectors.follow(executed)
        try:
            yield executed
        finally:
            self._vectors.follow(None)
            self._uc.hook_del(hook)
            self._uc.ctl_flush_tb()

    def _set_up(self, bases: Mapping[str, int]) -> None:
        hooks = self._unicorn
        protected = hooks.UC_HOOK_MEM_READ_PROT | hooks.UC_HOOK_MEM_WRITE_PROT | hooks.UC_HOOK_MEM_FETCH_PROT
        unmapped = hooks.UC_HOOK_MEM_READ_UNMAPPED | hooks.UC_HOOK_MEM_WRITE_UNMAPPED
        self._uc.hook_add(unmapped | hooks.UC_HOOK_MEM_FETCH_UNMAPPED | protected, self._remembering(self._on_fault))
        self._uc.hook_add(hooks.UC_HOOK_INSN_INVALID, self._remembering(self._on_invalid))
        self._uc.hook_add(hooks.UC_HOOK_INTR, self._on_interrupt)
        self._uc.hook_add(hooks.UC_HOOK_EDGE_GENERATED, self._on_edge)
        for name in _GS_FS:
            # Without thread-local storage of its own a routine gets an empty one; the guard of a frame is 0 then.
            self.set_register(name, bases.get(name) or THREAD + THREAD_SIZE // 2)
        state = {name: before for name, (_, before, _) in _STATE.items()}
        for name, value in {**NOISE_OF, **state, "rsp": STACK_TOP, "eflags": 2}.items():
            self.set_register(name, value)

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = int(getattr(self._x86, f"UC_X86_REG_{_GS_FS.get(name, name.upper())}"))
        return self._numbers[name]

    def _pc(self) -> Address:
        return Address(self.register("rip"))

    def _on_access(self, uc: Any, kind: int, address: int, size: int, value: int, accesses: list[Access]) -> None:
        pc, stack = self.register("rip"), self.register("rsp")
        accesses.append(Access(pc, virtual(address), size, kind == self._unicorn.UC_MEM_WRITE, stack))

    # Unicorn forgets what a hook raises (Ctrl-C, a stub that is gone) where it has an error of its own to raise.
    def _remembering(self, hook: Callable[..., bool]) -> Callable[..., bool]:
        def remembering(*arguments: Any) -> bool:
            try:
                return hook(*arguments)
            except BaseException as error:
                self._failure = error
                raise

        return remembering

    def _on_fault(self, uc: Any, kind: int, address: int, size: int, value: int, data: object) -> bool:
        address = virtual(address)
        hooks = self._unicorn
        is_write = kind in (hooks.UC_MEM_WRITE_UNMAPPED, hooks.UC_MEM_WRITE_PROT)
        if THREAD <= address < THREAD + THREAD_SIZE:
            return self._pages.map(address, None)
        is_fetch = kind in (hooks.UC_MEM_FETCH_UNMAPPED, hooks.UC_MEM_FETCH_PROT)
        is_mapped = kind in (hooks.UC_MEM_WRITE_PROT, hooks.UC_MEM_FETCH_PROT)
        is_ours = ARENA <= address < ARENA_END or (is_fetch and not self._pages.is_code(address))
        if not is_ours and self._pages.take(address, is_write, is_mapped):
            return True
        self._ending = Exit(LEFT if is_fetch else FAULTED, self._pc(), Address(address), is_write)
        return False

    def _on_invalid(self, uc: Any, data: object) -> bool:
        pc = self._pc()
        code = self._skipped.get(pc) or self._pages.bytes_at(pc, 3)
        if code in _CHANGES:
            self._skipped[pc] = code
            clear, change = _CHANGES[code]
            self.set_register("eflags", self.register("eflags") & ~clear | change)
            self.set_register("rip", pc + 3)
            return True
        decoded = decode(self._pages.bytes_at(pc, _LONGEST_INSTRUCTION), pc, 1)
        self._ending = Exit(UNSUPPORTED, pc, detail=str(decoded[0]) if decoded else "undecodable bytes")
        return False

    def _on_interrupt(self, uc: Any, number: int, data: object) -> None:
        self._ending = Exit(LEFT, self._pc(), detail=_EXCEPTIONS.get(number, f"exception {number}"))
        self._uc.emu_stop()

    # Called before a block runs for the first time; from then on it is a barrier that stops whoever comes there.
    def _on_edge(self, uc: Any, current: Any, previous: Any, data: object) -> None:
        if self._checked.check(current.pc):
            self._uc.emu_stop()

    def _on_stopped_vector(self, pc: int, stopped: Stopped) -> None:
        kind = UNALIGNED if stopped.alignment else FAULTED
        self._ending = Exit(kind, Address(pc), Address(stopped.address), stopped.is_write, stopped.text)
        self._uc.emu_stop()

    def _refuse(self, pc: int, text: str) -> None:
        self._ending = Exit(UNSUPPORTED, Address(pc), detail=text)


def _library() -> tuple[Any, Any]:
    try:
        import unicorn
        from unicorn import x86_const
    except ImportError:
        raise KdbgError("unicorn is missing for this python: run scripts/setup, or install it with pip") from None
    version = getattr(unicorn, "__version__", "0")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise KdbgError(f"unicorn {version} is too old: {oldest} is the first that tells where it faulted")
    return unicorn, x86_const
