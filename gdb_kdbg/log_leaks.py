"""Addresses of the kernel where programs can see them: in results of system calls, in damaged guards, in registers.

Not every large number is an address. In the upper 2 GiB a negative 32-bit number looks the same as an address of the
kernel's own code, so that there a value counts only if a file with symbols has something at it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from .events import Event, number
from .finding import LIKELY, POSSIBLE, Facts, Finding
from .log_story import LEAK, STORIES, Programs, Story, event_line
from .log_symbols import Symbolic
from .units import ADDRESS_MASK, Count, Word, is_kernel_half, safe_text

RULE = "kernel-pointer-leak"
# The canonical kernel half below the last 2 GiB (Intel SDM vol. 1, 3.3.7.1), without its first page.
_FIRST, _AMBIGUOUS = 0xFFFF_8000_0000_1000, 0xFFFF_FFFF_8000_0000
_NAME = 64
_WORD = 8


class _Leak(NamedTuple):
    """An address that got out: by what, to whom, which, in which lines."""

    what: str
    value: int
    whose: str
    pid: Optional[int]
    system_call: Optional[str]
    confidence: str
    first: Event
    times: List[int]


class Leaks:
    """Looks at what programs get to see."""

    def __init__(self, symbols: Symbolic, programs: Programs) -> None:
        self._symbols = symbols
        self._programs = programs
        self._leaks: Dict[tuple[Any, ...], _Leak] = {}
        self._untold = 0
        self.handlers = {"syscall_exit": self._exit, "canary_check": self._check, "crash_report": self._report}

    @property
    def problems(self) -> Sequence[str]:
        return [f"{self._untold} more addresses of the kernel got out"] if self._untold else ()

    def stories(self) -> Iterator[Story]:
        for leak in self._leaks.values():
            yield Story(self._finding(leak), (leak.first.line,), LEAK)

    def _exit(self, event: Event) -> None:
        result = event.fields.get("result")
        if type(result) is int and 0 <= result < _FIRST:
            return
        value = number(result)
        if value is None or -4096 < value < 0 or event.fields.get("errno") is not None:
            return
        name = safe_text(str(event.fields.get("name", "")), _NAME)
        self._seen(event, value & ADDRESS_MASK, f"the result of {name}", name, LIKELY)

    # All of a guard is changed to an address: kernel data was copied there.
    def _check(self, event: Event) -> None:
        if event.fields.get("corrupted") is not True:
            return
        found, expected = event.number("found"), event.number("expected")
        if found is None or expected is None:
            return
        found &= ADDRESS_MASK
        pairs = zip(found.to_bytes(_WORD, "little"), (expected & ADDRESS_MASK).to_bytes(_WORD, "little"))
        if all(one != other for one, other in pairs):
            self._seen(event, found, "the word over the stack guard", None, LIKELY)

    def _report(self, event: Event) -> None:
        registers, ip = event.fields.get("regs"), event.number("ip")
        if not isinstance(registers, dict) or (ip is not None and is_kernel_half(ip & ADDRESS_MASK)):
            return
        for name, text in list(_values(registers))[:32]:
            self._seen(event, text & ADDRESS_MASK, f"the program's {name}", None, POSSIBLE, needs_name=True)

    def _seen(
        self, event: Event, value: int, what: str, call: Optional[str], confidence: str, needs_name: bool = False
    ) -> None:
        is_plain = _FIRST <= value < _AMBIGUOUS and not needs_name
        if not is_plain and not (value >= _FIRST and self._symbols.name_of(value)):
            return
        pid = event.pid
        key = (what, self._programs.name(pid) or pid)
        if key in self._leaks:
            self._leaks[key].times[0] += 1
        elif len(self._leaks) >= STORIES:
            self._untold += 1
        else:
            self._leaks[key] = _Leak(what, value, self._programs.whose(pid), pid, call, confidence, event, [1])

    def _finding(self, leak: _Leak) -> Finding:
        named = self._symbols.name_of(leak.value)
        place = f" ({named[0]}+{named[1]:#x})" if named else ""
        to = f" to {leak.whose}" if leak.whose else ""
        lines = [event_line(leak.first, self._symbols.name)]
        lines += [f"{leak.times[0]} times in all"] if leak.times[0] > 1 else []
        facts = Facts(
            pid=None if leak.pid is None else Count(leak.pid), found=Word(leak.value), system_call=leak.system_call,
            symbol=named[0] if named else None,
        )  # fmt: skip
        summary = f"an address of the kernel got out{to}: {leak.what} is {leak.value:#x}{place}"
        steps = (f"kdbg events LOG --pid {leak.pid}",) if leak.pid is not None else ()
        return Finding(summary, RULE, leak.confidence, tuple(lines), steps, facts)


def _values(registers: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, text in registers.items():
        value = number(text)
        if value is not None:
            yield safe_text(str(name), 8), value
