"""Panics in a log of events, with their backtraces by name."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from .events import Event, number
from .finding import CERTAIN, Facts, Finding
from .log_story import PANIC, STORIES, Story
from .log_symbols import Symbolic
from .units import ADDRESS_MASK, Address, Size, safe_text

RULE = "panic"
_FRAMES, _MESSAGE, _NAME = 32, 300, 120
# What a backtrace of a panic begins with: it made the panic and is not to blame.
_MACHINERY = ("panic", "rust_panic", "begin_panic", "panic_fmt", "rust_begin_unwind", "panic_handler", "dump_stack",
              "backtrace", "event_panic", "unwrap_failed", "expect_failed", "__stack_chk_fail")  # fmt: skip


class Panics:
    """Remembers panics."""

    def __init__(self, symbols: Symbolic) -> None:
        self._symbols = symbols
        self._panics: List[Event] = []
        self._untold = 0
        self.handlers = {"panic": self._panic}

    @property
    def problems(self) -> Sequence[str]:
        return [f"{self._untold} more panics"] if self._untold else ()

    def stories(self) -> Iterator[Story]:
        for event in self._panics:
            yield Story(self._finding(event), (event.line,), PANIC, event)

    def _panic(self, event: Event) -> None:
        if len(self._panics) < STORIES:
            self._panics.append(event)
        else:
            self._untold += 1

    def _finding(self, event: Event) -> Finding:
        message = safe_text(str(event.fields.get("message", "")), _MESSAGE)
        frames = panic_frames(event, self._symbols)
        guilty = next((name for name, _ in frames if name and not is_machinery(name)), None)
        lines = [f"line {event.line}: panic: {message}"]
        lines += [f"#{level} {text}" for level, (_, text) in enumerate(frames)]
        place = _first_place(event, self._symbols, guilty)
        facts = Facts(function=guilty, instruction=place)
        where = f", in {guilty}" if guilty else ""
        steps = (f"list *{place:#x}",) if place is not None and self._symbols.objfiles else ()
        return Finding(f"the kernel panicked{where}: {message}", RULE, CERTAIN, tuple(lines), steps, facts)


def panic_frames(event: Event, symbols: Symbolic) -> Sequence[tuple[str, str]]:
    """Return the backtrace of a panic: each frame's function ("" if unknown) and how it is shown."""
    items = event.fields.get("backtrace")
    frames = [item for item in items[:_FRAMES] if isinstance(item, dict)] if isinstance(items, list) else []
    return [_frame(item, symbols) for item in frames]


def _frame(item: Mapping[str, Any], symbols: Symbolic) -> tuple[str, str]:
    address, name = _address(item), safe_text(str(item.get("sym") or ""), _NAME)
    # Addresses of a backtrace are those that calls return to.
    place = symbols.location(address - 1) if address else None
    if place is not None:
        line = f" ({place.file}:{place.line})" if place.file else ""
        return place.function, f"{address:#x} in {place.function}+{Size(place.offset + 1):#x}{line}"
    if name:
        return name, f"{address or 0:#x} in {name}+{number(item.get('off')) or 0:#x}"
    return "", f"{address or 0:#x}"


def _address(item: Mapping[str, Any]) -> Optional[int]:
    found = number(item.get("addr"))
    return None if found is None else found & ADDRESS_MASK


def is_machinery(name: str) -> bool:
    """Tell whether a function only makes a panic of what went wrong elsewhere."""
    last = name.split("::")[-1]
    return last in _MACHINERY or "::panicking::" in name or last.startswith("panic_")


def _first_place(event: Event, symbols: Symbolic, guilty: Optional[str]) -> Optional[Address]:
    items: Dict[str, int] = {}
    raw = event.fields.get("backtrace")
    for item in raw[:_FRAMES] if isinstance(raw, list) else ():
        address = _address(item) if isinstance(item, dict) else None
        if address:
            items.setdefault(_frame(item, symbols)[0], address)
    found = items.get(guilty or "")
    return None if found is None else Address(found)
