"""The sequence numbers of events: which are missing, and where they begin anew."""

from __future__ import annotations

from typing import Any, Optional, Sequence

# Processors that take turns are a few events apart; a number from further back is a kernel that started again.
_LATE = 4096


class SequenceNumbers:
    """Follows the numbers; one that comes late is missing no more."""

    def __init__(self) -> None:
        self.missing = 0
        self.restarts = 0
        self._highest: Optional[int] = None
        self._gaps: set[int] = set()

    def note(self, numbers: Sequence[Any]) -> None:
        """Take the numbers of the next events, None for an event without."""
        first = numbers[0] if numbers else None
        if type(first) is int and first == self._next and numbers == list(range(first, first + len(numbers))):
            self._highest = first + len(numbers) - 1
            return
        for number in numbers:
            if type(number) is int and number >= 0:
                self._one(number)

    @property
    def _next(self) -> Optional[int]:
        return None if self._highest is None else self._highest + 1

    def _one(self, number: int) -> None:
        if self._highest is None:
            self._highest = number
        elif number > self._highest:
            self._skip(self._highest + 1, number)
            self._highest = number
        elif number in self._gaps:
            self._gaps.discard(number)
            self.missing -= 1
        elif number < self._highest - _LATE or number == 0:
            self.restarts += 1
            self._gaps.clear()
            self._highest = number

    def _skip(self, start: int, end: int) -> None:
        self.missing += end - start
        self._gaps.update(range(max(start, end - _LATE), end))
        if len(self._gaps) > 2 * _LATE:
            self._gaps = {number for number in self._gaps if number > end - _LATE}
