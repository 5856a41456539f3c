"""A process of a user-mode Linux guest as a target: registers as the kernel saved them, memory by its page tables.

Source: Linux arch/um/include/asm/pgtable-3level.h and pgtable.h.
"""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

from .blocks import read_words
from .errors import KdbgError, MemoryFault
from .process import PROCESS_MARK, X86_64
from .target import ArrayType, Frame, Location, Objfile, Signal, Symbol, Target
from .uml_kernel import Task, UmlKernel, find_kernel
from .units import ADDRESS_MASK, Address, Size

KIND = "guest process"
_PAGE_SHIFT, _BITS_A_LEVEL = 12, 9
_PAGE = 1 << _PAGE_SHIFT
# _PAGE_PRESENT and _PAGE_PROTNONE; the flags are below, and what lies above no machine has.
_PRESENT, _FRAME = 0x11, 0x000F_FFFF_FFFF_F000


class GuestProcess:
    """What one thread of a guest sees; a snapshot, good until the kernel goes on.

    Names of symbols are those of the kernel and not of the guest's program, so there are none.
    """

    kind = KIND
    is_system = False
    problems: Sequence[str] = ()
    architecture = X86_64

    def __init__(self, kernel: UmlKernel, task: Task) -> None:
        """Take a task with memory of its own; raise KdbgError for a thread of the kernel."""
        if not task.mm:
            raise KdbgError(
                f"the kernel runs {task}, which is a thread of its own and no guest process: "
                "kdbg canary --all goes over all of them"
            )
        self.kernel = kernel
        self.task = task
        self._tables: Optional[int] = None
        self._pages: dict[int, Optional[int]] = {}

    def register(self, name: str) -> Optional[int]:
        return self.task.mark if name == PROCESS_MARK else self.task.register(name)

    def translate(self, address: int) -> Address:
        """Return where the kernel has the byte at a guest's address, or raise MemoryFault."""
        page = address >> _PAGE_SHIFT
        if page not in self._pages:
            self._pages[page] = self._walk(page)
        frame = self._pages[page]
        if frame is None:
            raise MemoryFault(address, 1, f"not mapped in {self.task}")
        return Address(frame + address % _PAGE)

    def read_memory(self, address: Address, size: Size) -> bytes:
        data = b""
        while len(data) < size:
            at = address + len(data) & ADDRESS_MASK
            step = min(size - len(data), _PAGE - at % _PAGE)
            data += self.kernel.memory.read_memory(self.translate(at), Size(step))
        return data

    def _walk(self, page: int) -> Optional[int]:
        kernel = self.kernel
        if page >> _BITS_A_LEVEL * kernel.levels:
            return None
        if self._tables is None:
            self._tables = self._word(self.task.mm + kernel.offsets["pgd"])
        table = self._tables
        for level in range(kernel.levels - 1, -1, -1):
            index = page >> _BITS_A_LEVEL * level & (1 << _BITS_A_LEVEL) - 1
            entry = self._word(table + 8 * index)
            if not entry & _PRESENT:
                return None
            table = kernel.physical_memory + (entry & _FRAME)
        return table

    def _word(self, address: int) -> int:
        return read_words(self.kernel.memory, Address(address & ADDRESS_MASK), 1)[0]

    def auxiliary_vector(self) -> Mapping[int, int]:
        offsets, found = self.kernel.offsets, {}
        try:
            words = read_words(self.kernel.memory, Address(self.task.mm + offsets["auxv"]), 2 * _AUXILIARY)
        except MemoryFault:
            return {}
        for kind, value in zip(words[::2], words[1::2]):
            if not kind:
                break
            found[kind] = value
        return found

    def symbol(self, name: str) -> Optional[Symbol]:
        return None

    def location(self, address: Address) -> Optional[Location]:
        return None

    def label(self, address: Address) -> Optional[Symbol]:
        return None

    def objfiles(self) -> Sequence[Objfile]:
        return ()

    def variable_type(self, name: str) -> Optional[ArrayType]:
        return None

    def member(self, of: str, path: str) -> Optional[tuple[int, int]]:
        return None

    def frames(self, limit: int) -> Sequence[Frame]:
        return ()

    def stop_signal(self) -> Optional[Signal]:
        return None


# The kernel keeps no more than these (AT_VECTOR_SIZE, 23 pairs); the list ends at a 0 before that.
_AUXILIARY = 20


def running_process(target: Target) -> Target:
    """Return whose guard it is: of a user-mode Linux the guest process that it runs, else the target itself."""
    kernel = find_kernel(target)
    return target if kernel is None else GuestProcess(kernel, kernel.current())
