"""Code that is looked at before the emulator runs it: what it cannot run stops it, vectors are taken over."""

from __future__ import annotations

from typing import Any, Callable

from .emulated_pages import PAGE, physical, virtual
from .emulated_vectors import EmulatedVectors
from .units import Address
from .unsupported import Line, Unsupported, look_through

_LONGEST_INSTRUCTION = 15
# So many straight lines are looked at ahead.
_FORESEEN = 400


class CheckedCode:
    """The straight lines of code that were looked at; `refuse` is told an address and what cannot be run there.

    Control leaves the code at `outside`.
    """

    def __init__(
        self,
        unicorn: Any,
        uc: Any,
        bytes_at: Callable[[int, int], bytes],
        vectors: EmulatedVectors,
        refuse: Callable[[int, str], None],
        outside: int,
    ) -> None:
        self._unicorn, self._uc = unicorn, uc
        self._bytes_at, self._vectors, self._refuse = bytes_at, vectors, refuse
        self._checked = {outside}
        self._lines: dict[int, Line] = {}
        self._barriers: set[int] = set()
        # There are hooks that are in no block yet that is translated.
        self._is_stale = False

    def check(self, pc: int) -> bool:
        """Look at the line that begins here; return whether the emulator has to stop before it runs it."""
        if pc in self._checked:
            return False
        self._checked.add(pc)
        line = self._line(pc)
        if line.vectors:
            self._take_vectors(pc)
        if line.unsupported is not None:
            self._bar(line.unsupported)
        return self._is_stale or line.unsupported is not None

    def refresh(self) -> bool:
        """Have blocks translated again that lack hooks; return whether there might be some."""
        was, self._is_stale = self._is_stale, False
        if was:
            self._uc.ctl_flush_tb()
        return was

    def _line(self, pc: int) -> Line:
        if pc not in self._lines:
            # A block of the emulator ends with its page, but for the last instruction.
            code = self._bytes_at(pc, PAGE - pc % PAGE + _LONGEST_INSTRUCTION)
            self._lines[pc] = look_through(code, Address(pc))
        return self._lines[pc]

    # Where there is one there are more: all that can be foreseen are taken at once, each time costs all translations.
    def _take_vectors(self, pc: int) -> None:
        waiting, seen = [pc], {pc}
        while waiting and len(seen) < _FORESEEN:
            line = self._line(waiting.pop())
            self._is_stale |= self._vectors.take(line)
            waiting += [place for place in line.next if place not in seen]
            seen.update(line.next)

    # Whoever comes there is stopped, not only who runs the block for the first time.
    def _bar(self, found: Unsupported) -> None:
        self._refuse(found.address, found.text)
        if found.address not in self._barriers:
            self._barriers.add(found.address)
            self._is_stale = True
            for place in {int(found.address), physical(found.address)}:
                self._uc.hook_add(self._unicorn.UC_HOOK_CODE, self._on_barrier, found.text, place, place)

    def _on_barrier(self, uc: Any, place: int, size: int, text: str) -> None:
        self._refuse(virtual(place), text)
        self._uc.emu_stop()
