"""The target's pages in an emulator's memory: read when they are first touched, written there and nowhere else.

Without page tables unicorn's processor has 52 address bits; the kernel half's addresses lose their upper ones.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from .errors import MemoryFault
from .target import Memory
from .units import ADDRESS_MASK, Address, Size

PAGE = 4096
_PAGES = 4096
_PIECE = 64
_PHYSICAL_BITS = 52


class TargetPages:
    """What of the target's memory the emulator has; `unicorn` is the library, `uc` its processor."""

    def __init__(self, unicorn: Any, uc: Any, code: Memory, is_code: Callable[[int], bool]) -> None:
        self._unicorn, self._uc = unicorn, uc
        self._code, self.is_code = code, is_code
        self._mapped = 0
        self._partial: dict[int, bytes] = {}
        # Pages the routine wrote to, in the emulator only: a probe's ring, counters.
        self.written: set[int] = set()

    def take(self, address: int, is_write: bool, is_mapped: bool) -> bool:
        """Bring in a page of the target. It is mapped read-only first, to learn whether the routine writes there."""
        page = address // PAGE * PAGE
        if is_write:
            self.written.add(page)
        if is_mapped:
            self._uc.mem_protect(physical(page), PAGE, self._unicorn.UC_PROT_ALL)
            return True
        content = self._page(page, address)
        if content is None:
            return False
        allowed = self._unicorn.UC_PROT_READ | (self._unicorn.UC_PROT_WRITE if is_write else 0)
        if self.is_code(page) or self.is_code(page + PAGE - 1) or self.is_code(address):
            allowed |= self._unicorn.UC_PROT_EXEC
        return self.map(address, content, allowed)

    def map(self, address: int, content: Optional[bytes], allowed: Optional[int] = None) -> bool:
        """Map one page, zeros without content; return whether there was room."""
        page = physical(address // PAGE * PAGE)
        self._mapped += 1
        if self._mapped > _PAGES:
            return False
        self._uc.mem_map(page, PAGE)
        if content:
            self._uc.mem_write(page, content)
        if allowed is not None:
            self._uc.mem_protect(page, PAGE, allowed)
        return True

    def bytes_at(self, pc: int, size: int) -> bytes:
        """Return up to `size` bytes of code as it is run, fewer where the next page cannot be read."""
        for length in (size, PAGE - pc % PAGE):
            try:
                return self._code.read_memory(Address(pc), Size(min(size, length)))
            except MemoryFault:
                continue
        page = pc // PAGE * PAGE
        if page not in self._partial:
            self._partial[page] = self._page(page, pc) or b""
        return self._partial[page][pc - page : pc - page + size]

    # The last page of a file's data is not all there; what the loader puts behind are zeros.
    def _page(self, page: int, address: int) -> Optional[bytes]:
        whole = self._piece(page, PAGE)
        if whole is not None or self._piece(address, 1) is None:
            return whole
        return b"".join(self._readable(place, _PIECE) for place in range(page, page + PAGE, _PIECE))

    # Bytes that cannot be read are zeros; one by one only where the file ends within a piece.
    def _readable(self, place: int, size: int) -> bytes:
        whole = self._piece(place, size)
        if whole is not None:
            return whole
        if size == 1 or not any(self._piece(end, 1) for end in (place, place + size - 1)):
            return bytes(size)
        return self._readable(place, size // 2) + self._readable(place + size // 2, size // 2)

    def _piece(self, address: int, size: int) -> Optional[bytes]:
        try:
            return self._code.read_memory(Address(address), Size(size))
        except MemoryFault:
            return None


def physical(address: int) -> int:
    """Return the address the emulator knows an address by."""
    return address & (1 << _PHYSICAL_BITS) - 1


def virtual(address: int) -> int:
    """Return the address that the emulator's address stands for."""
    address &= ADDRESS_MASK
    negative = address >> (_PHYSICAL_BITS - 1) & 1
    return address | (ADDRESS_MASK ^ (1 << _PHYSICAL_BITS) - 1) if negative else address
