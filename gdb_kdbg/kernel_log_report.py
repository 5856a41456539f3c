"""The text of one report taken apart into its sections: traces of the fault, of the object, registers, locks."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Iterator, Optional, Sequence

from .kernel_log_frames import frame, frames
from .kernel_log_records import Frame, NameOf

# The marks that begin a section; what follows belongs to it until the next mark.
_MARKS = {
    "trace": ("Call Trace:", "Call trace:", "Backtrace:", "[Call Trace]", "Call Trace]", "(unwind_backtrace)",
              "unwind_backtrace)", "show_backtrace"),
    "allocated": ("Allocated by task ", "allocated by task ", "INFO: Allocated in ", "Allocated in ",
                  "page last allocated via"),
    "freed": ("Freed by task ", "freed by task ", "INFO: Freed in ", "Freed in ", "page last free "),
    "related": ("Last potentially related work creation:", "Second to last potentially", "Last call_rcu",
                "Uninit was ", "Local variable ", "Memory state around", "value changed: ", "Stack of task "),
    "dump": ("stack backtrace:", "backtrace:"),
    "chain": ("-> #", "the existing dependency chain", "the dependencies between", "the shortest dependencies"),
    "held": ("lock held by ", "locks held by ", "Showing all locks held", "no locks held by "),
    "usage": ("... which became ",),
    "nmi": ("NMI backtrace for cpu ", "Sending NMI "),
    "ip": ("RIP: ", "RIP  [<", "EIP: ", "EIP is at ", "IP: ", "PC is at ", "NIP ["),
    "access": ("assert no ",),
    "end": ("---[ end ", "Rebooting in", "Modules linked in:", "Dumping ftrace buffer", "Kernel Offset: ",
            "Mem abort info", "Code: ", "Stack:", "Disabling lock debugging", "irq event stamp:", "hardirqs last ",
            "other info that might", "Reported by Kernel ", "=====", "Mem-Info:", "Preemption disabled at:",
            "softirqs last ", "Exception stack(", "lr : ", "LR is at", "ra : "),
}  # fmt: skip
# The others: what they begin with, and the whole of it.
_PATTERNS = (
    ("allocated", "kfence-#", r"kfence-#\d+:"),
    ("related", "Bytes ", r"Bytes \d"),
    ("dump", "backtrace (crc ", r"backtrace \(crc [0-9a-f]{1,8}\):"),
    ("usage", "to a ", r"to a [\w-]+-irq-unsafe lock:"),
    ("task", "task:", r"task:\S.{0,40} state:"),
    ("ip", "pc : ", r"pc : (?!\[)"),
    ("ip", "pc ", r"pc\s+: "),
    ("ip", "epc : ", r"epc : (?!ffff)"),
    *(("access", word, r"(?:[Rr]ead|[Ww]rite|read-write)(?: \([a-z ]+\))? (?:of size|to 0x|at addr) ?")
      for word in ("Read", "read", "Write", "write")),
    ("end", "Register r", r"Register r\d+ information"),
)  # fmt: skip
_STATE = re.compile(r"\{[\w-]{4,32}\} state was registered at:")
_NUMBERED = re.compile(r"\d+ locks? held by ")
_TASK = re.compile(
    r"\S{1,20}\s{1,16}[RSDTtXZIPNWK] {1,3}(?:running task |\(NOTLB\) |stopped |[0-9a-f]{1,16} )?"
    r"\s{0,12}\d{1,10} {1,9}\d{1,10} {1,9}(?:\d{1,10}|0x)"
)
_STATES = frozenset("RSDTtXZIPNWK")
_KEY = 3


# By the first letters of a mark: what it begins with, its kind, and the pattern if that is not all of it.
def _starts() -> dict[str, list[tuple[str, str, str]]]:
    found: dict[str, list[tuple[str, str, str]]] = {}
    plain = [(start, kind, "") for kind, starts in _MARKS.items() for start in starts]
    for start, kind, pattern in (*plain, *((start, kind, pattern) for kind, start, pattern in _PATTERNS)):
        found.setdefault(start[:_KEY], []).append((start, kind, pattern))
    return found


_STARTS = _starts()


def _mark(line: str) -> str:
    """Return the kind of section that a line begins; empty if it begins none."""
    text = line.lstrip()
    key = text[:_KEY]
    if key in _STARTS:
        for start, kind, pattern in _STARTS[key]:
            if text.startswith(start) and (not pattern or re.match(pattern, text)):
                return kind
    elif text[3:5] == ": ":  # registers
        return ""
    if text[:1] == "{" and _STATE.match(text):
        return "usage"
    if " held by " in text and _NUMBERED.match(text):
        return "held"
    words = text.split(None, 2)
    return "task" if len(words) > 2 and words[1] in _STATES and _TASK.match(text) else ""


class Section:
    """A stretch of a report: its kind, the line that began it, and its lines, that one included."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind = kind
        self.number = number
        self.lines: Sequence[str] = ()
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
        lines = list(self.lines)
        inside = False
        # Half of all lines are frames; it need not be asked what they begin.
        for number, mark in [
            (number, mark)
            for number, line in enumerate(lines)
            if not ("+0x" in line and line[0] in " [" and ": " not in line) and (mark := _mark(line))
        ]:
            line = lines[number]
            inside = sections[-1].kind in ("trace", "nmi") and _interrupted(mark, line, inside)
            if inside:
                lines[number] = _unselected(line[line.find(":") + 1 :])
            else:
                sections.append(Section(mark, number))
        for section, after in zip(sections, (*sections[1:], None)):
            section.lines = lines[section.number : after.number if after else None]
        return sections

    def of(self, *kinds: str) -> Iterator[Section]:
        """Yield the sections of some kinds, in order."""
        return (section for section in self.sections if section.kind in kinds)

    def frames(self, section: Section) -> Sequence[Frame]:
        """Return the frames of a section; a frame in its first line counts, as `<IRQ>` or a register's does not."""
        if section.parsed is None:
            section.parsed = frames(section.lines, self._name_of)
        return section.parsed

    def traces(self, *kinds: str) -> Iterator[Sequence[Frame]]:
        """Yield the stacks of some kinds of sections that have frames at all."""
        return (found for section in self.of(*(kinds or ("trace",))) if (found := self.frames(section)))

    def stopped(self, section: Section) -> Optional[Frame]:
        """Return where a register block says that the kernel was; None for a block of user mode."""
        text = section.head
        if "0033:" in text and "+0x" not in text or "0023:" in text:
            return None
        found = frame(_unselected(text[_behind_name(text) :]), "", self._name_of)
        return found or (Frame("") if re.search(r"\s(?:0x0+)$", text) else None)

    @cached_property
    def stops(self) -> Sequence[Frame]:
        """Where the kernel was, if registers stand before the first trace: the functions inlined there come first."""
        stops: list[Frame] = []
        for section in self.of("ip", "trace"):
            found = None if section.kind == "trace" else self.stopped(section)
            if found and not found.function and not found.address:
                found = self.came_from(section)
            stops += [found] if found else []
            if section.kind == "trace" or (found and not found.inline):
                break
        return stops

    def came_from(self, section: Section) -> Optional[Frame]:
        """Return the caller of a null function pointer, which arm and riscv keep in the link register."""
        for line in self.lines[section.number : section.number + 4]:
            if line.lstrip().startswith(("LR is at", "lr :", "ra :")):
                return frame(_unselected(line[_behind_name(line) :]))
        return None


# A place ends the name of its register (`NIP [<address>]` has no colon); the file that symbolising adds has one, too.
def _behind_name(line: str) -> int:
    end = line.find("+0x") if "+0x" in line else len(line)
    colon = max(line.find(":", 0, end), line.find(" at ", 0, end) + 3 if " at " in line[:end] else -1)
    return colon + 1 if colon >= 0 else 4 if line.startswith("NIP ") else 0


# A trace through an interrupt shows the registers there, and goes on behind them.
def _interrupted(mark: str, line: str, inside: bool) -> bool:
    if mark == "ip":
        return line.startswith(("RIP: 0010:", "RIP: 0008:"))
    return line.startswith("Exception stack(") or (inside and line.startswith(("Code: ", " Code: ")))


# `0010:f+0x1/0x2` is f in segment 0x10; before 4.10 the address stands there twice: `0010:[<a>]  [<a>] f+...`.
def _unselected(text: str) -> str:
    return re.sub(r"^\s*(?:[0-9a-f]{4}:)?(?:\[<[0-9a-f]{8,16}>\]\s*(?=\[<))?", "", text)
