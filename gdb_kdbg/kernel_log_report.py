"""The text of one report taken apart into its sections: traces of the fault, of the object, registers, locks."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Iterator, Optional, Sequence

from .kernel_log_frames import frame, frames
from .kernel_log_records import Frame, NameOf

# The marks that begin a section; what follows belongs to it until the next mark.
_MARK = re.compile(
    r"\s{0,16}(?=\S)(?:"
    r"(?P<trace>Call [Tt]race:|Backtrace:|\[?Call Trace\]|\(?unwind_backtrace\)|show_backtrace)"
    r"|(?P<allocated>Allocated by task |allocated by task |INFO: Allocated in |Allocated in |page last allocated via"
    r"|kfence-#\d+:)"
    r"|(?P<freed>Freed by task |freed by task |INFO: Freed in |Freed in |page last free )"
    r"|(?P<related>Last potentially related work creation:|Second to last potentially|Last call_rcu|Uninit was |"
    r"Local variable |Bytes \d|Memory state around|value changed: |Stack of task )"
    r"|(?P<dump>stack backtrace:|backtrace(?: \(crc [0-9a-f]{1,8}\))?:)"
    r"|(?P<chain>-> #\d+ \(|the existing dependency chain|the dependencies between|the shortest dependencies)"
    r"|(?P<held>\d+ locks? held by |locks? held by |Showing all locks held|no locks held by )"
    r"|(?P<usage>\{[\w-]{4,32}\} state was registered at:|\.\.\. which became |to a [\w-]+-irq-unsafe lock:)"
    r"|(?P<nmi>NMI backtrace for cpu |Sending NMI )"
    r"|(?P<task>task:\S.{0,40} state:|\S{1,20}\s{1,16}[RSDTtXZIPNWK] {1,3}(?:running task "
    r"|\(NOTLB\) |stopped |[0-9a-f]{1,16} )?\s{0,12}\d{1,10} {1,9}\d{1,10} {1,9}(?:\d{1,10}|0x))"
    r"|(?P<ip>RIP: |RIP  \[<|EIP: |EIP is at |IP: |pc : (?!\[)|PC is at |NIP \[|epc : (?!ffff)|pc\s+: )"
    r"|(?P<access>(?:[Rr]ead|[Ww]rite|read-write)(?: \([a-z ]+\))? (?:of size|to 0x|at addr) ?|assert no )"
    r"|(?P<end>---\[ end |Rebooting in |Modules linked in:|Dumping ftrace buffer|Kernel Offset: |Mem abort info|"
    r"Code: |Stack: ?$|Stack: |Disabling lock debugging|irq event stamp:|hardirqs last |other info that might|"
    r"Reported by Kernel |=====|Mem-Info:|Preemption disabled at:|softirqs last |Exception stack\(|"
    r"Register r\d+ information|lr : |LR is at|ra : )"
    r")"
)


class Section:
    """A stretch of a report: its kind, the line that began it, and its lines, that one included."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind = kind
        self.number = number
        self.lines: list[str] = []
        self.parsed: Optional[Sequence[Frame]] = None

    @property
    def head(self) -> str:
        return self.lines[0] if self.lines else ""


class Report:
    """The lines of one report, without what others printed between them, from its first line to its last."""

    def __init__(self, lines: Sequence[str], name_of: Optional[NameOf] = None) -> None:
        self.lines = lines
        self._name_of = name_of

    @cached_property
    def sections(self) -> Sequence[Section]:
        sections = [Section("head", 0)]
        match = _MARK.match
        inside = False
        for number, line in enumerate(self.lines):
            # Half of all lines are frames; the pattern need not be tried on them.
            mark = None if line[:1] in " [" and "+0x" in line and ": " not in line else match(line)
            if mark and sections[-1].kind == "trace" and _interrupted(mark, line, inside):
                inside = True
                line = _unselected(line[line.find(":") + 1 :])
            elif mark:
                inside = False
                sections.append(Section(str(mark.lastgroup), number))
            sections[-1].lines.append(line)
        return sections

    def of(self, *kinds: str) -> Iterator[Section]:
        """Yield the sections of some kinds, in order."""
        return (section for section in self.sections if section.kind in kinds)

    def frames(self, section: Section) -> Sequence[Frame]:
        """Return the frames of a section; a frame in its first line counts, as `<IRQ>` or a register's does not."""
        if section.parsed is None:
            section.parsed = tuple(frames(section.lines, self._name_of))
        return section.parsed

    def traces(self, *kinds: str) -> Iterator[Sequence[Frame]]:
        """Yield the stacks of some kinds of sections that have frames at all."""
        return (found for section in self.of(*(kinds or ("trace",))) if (found := self.frames(section)))

    def stopped(self, section: Section) -> Optional[Frame]:
        """Return where a register block says that the kernel was; None for a block of user mode."""
        text = section.head
        if "0033:" in text and "+0x" not in text or "0023:" in text:
            return None
        start = max(text.find(":"), text.find(" at ") + 3) + 1
        found = frame(_unselected(text[start:]), "", self._name_of)
        return found or (Frame("") if re.search(r"\s(?:0x0+)$", text) else None)

    def came_from(self, section: Section) -> Optional[Frame]:
        """Return the caller of a null function pointer, which arm and riscv keep in the link register."""
        for line in self.lines[section.number : section.number + 4]:
            if line.lstrip().startswith(("LR is at", "lr :", "ra :")):
                return frame(_unselected(line[max(line.find(":"), line.find(" at ") + 3) + 1 :]))
        return None


# A trace through an interrupt shows the registers there, and goes on behind them.
def _interrupted(mark: re.Match[str], line: str, inside: bool) -> bool:
    if mark.lastgroup == "ip":
        return line.startswith(("RIP: 0010:", "RIP: 0008:"))
    return inside and line.startswith(("Code: ", " Code: "))


# `0010:f+0x1/0x2` is f in segment 0x10; before 4.10 the address stands there twice: `0010:[<a>]  [<a>] f+...`.
def _unselected(text: str) -> str:
    return re.sub(r"^\s*(?:[0-9a-f]{4}:)?(?:\[<[0-9a-f]{8,16}>\]\s*(?=\[<))?", "", text)
