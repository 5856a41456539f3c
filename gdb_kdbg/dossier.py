"""Everything a report page tells, whatever it was learnt from.

A dossier is made by a builder: `dossier_scene` makes one of a stopped target. A builder for another source (a log, say)
fills the same values, and needs nothing of a target:

- `findings` as the diagnosis gives them. The page takes the verdict, its facts and what to type next from the first.
- Every copy that is known becomes a `CopyNote`. `at` is where it stands on the axis, which is named by `CopyAxis.unit`:
  the copy's number in a ring, seconds in a log that has times.
- `memory_picture` (in `dossier_memory`) makes the picture from a victim and the notes that `near_copies` chooses. A log
  that tells no memory leaves out `contents`.
- Lines of a log go into an `Excerpt` each, the marked ones are those that a finding rests on.
- What the source does not tell stays empty; the page leaves it out.

Text in a dossier may be the target's own: the page escapes all of it. What may come by the thousand is bounded by the
builder (`bounded_axis`), with the number that was left out beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, NamedTuple, Optional

from .finding import Finding
from .ranges import Range
from .slot_report import Slot
from .units import Address, Count, Size, Word


@dataclass(frozen=True)
class Origin:
    """What was looked at: the kind of target or log, and labelled facts about it in the order to show them."""

    kind: str
    facts: tuple[tuple[str, str], ...] = ()
    is_log: bool = False


class CopyNote(NamedTuple):
    """One copy as the page shows it: `at` is its place on the axis, `written` None where nobody knows it.

    `process` names who it was made for (`editor (pid 3)`), "" if unknown. `role` is one word for why a copy stands out
    (`culprit`, `faulted`), "" for all others.
    """

    sequence: int
    at: float
    caller: str
    file: Optional[str]
    line: Optional[int]
    process: str
    context: str
    destination: Address
    source: Address
    size: Size
    written: Optional[Range] = None
    role: str = ""
    is_torn: bool = False

    @property
    def is_marked(self) -> bool:
        return bool(self.role)

    @property
    def asked(self) -> Range:
        return Range(self.destination, self.size)

    @property
    def touched(self) -> Range:
        """The asked and the written range together."""
        if self.written is None or not self.written.size:
            return self.asked
        start, end = min(self.asked.start, self.written.start), max(self.asked.end, self.written.end)
        return Range(start, Size(end - start))

    @property
    def function(self) -> str:
        """The calling function without the offset in it."""
        return self.caller.rpartition("+0x")[0] or self.caller


@dataclass(frozen=True)
class AxisMark:
    """A moment worth a line across the axis: `the guard was still intact`."""

    at: float
    text: str


@dataclass(frozen=True)
class CopyAxis:
    """The copies in their order. `lost` were made but not kept by the target, `left_out` are too many for a page."""

    unit: str
    copies: tuple[CopyNote, ...]
    total: Count
    lost: Count = Count(0)
    left_out: Count = Count(0)
    marks: tuple[AxisMark, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """Bytes of memory as they are now."""

    start: Address
    data: bytes


@dataclass(frozen=True)
class NamedRange:
    """What lies in a range: `fs:0x28`, `return address to main+0x12`."""

    range: Range
    name: str


@dataclass(frozen=True)
class MemoryPicture:
    """Memory around a victim: the bytes that are there and should be, how it is called, and copies near it.

    `window` is what is to be drawn; copies may reach out of it. `left_out` more copies are near.
    """

    victim: NamedRange
    window: Range
    expected: Optional[bytes] = None
    contents: tuple[Stretch, ...] = ()
    surroundings: tuple[NamedRange, ...] = ()
    copies: tuple[CopyNote, ...] = ()
    left_out: Count = Count(0)


@dataclass(frozen=True)
class SlotTable:
    """The slots of one file that do not hold what they should; `counts` is of all of them by status."""

    objfile: str
    load_bias: Word
    state: str
    counts: Mapping[str, int]
    slots: tuple[Slot, ...] = ()
    left_out: Count = Count(0)


@dataclass(frozen=True)
class FrameNote:
    """One frame of a backtrace; `note` says what is special about it."""

    level: Count
    pc: Address
    function: str
    file: Optional[str] = None
    line: Optional[int] = None
    note: str = ""


@dataclass(frozen=True)
class Register:
    """A register, its value, and what that is the address of, "" if of nothing known."""

    name: str
    value: Word
    points_to: str = ""


@dataclass(frozen=True)
class ExcerptLine:
    """One line of a log: its number, counted from 1, and whether a finding rests on it."""

    number: Count
    text: str
    is_marked: bool = False


@dataclass(frozen=True)
class Excerpt:
    """Lines of a log as they are; `left_out` of them are not shown."""

    title: str
    lines: tuple[ExcerptLine, ...]
    left_out: Count = Count(0)


@dataclass(frozen=True)
class Dossier:
    """All that is told of one stop or crash, best finding first. `stop` says where in one line."""

    title: str
    stop: str
    origin: Origin
    findings: tuple[Finding, ...] = ()
    process: str = ""
    system_call: str = ""
    memory: Optional[MemoryPicture] = None
    axis: Optional[CopyAxis] = None
    slots: tuple[SlotTable, ...] = ()
    frames: tuple[FrameNote, ...] = ()
    registers: tuple[Register, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    problems: tuple[str, ...] = ()
