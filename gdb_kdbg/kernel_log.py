"""Crashes of Linux kernels in the text of their consoles: x86, arm, riscv, powerpc and User Mode Linux.

Text is read in blocks. Outside of reports only a few words are looked for; inside, each line is given to the report of
the task or CPU that printed it. What is kept is bounded: `LINES_A_REPORT` lines of `OPEN_REPORTS` reports.
"""

from __future__ import annotations

import re
from itertools import compress
from typing import Iterable, Iterator, Optional, Union

from .kernel_log_boot import REBOOT, Boots
from .kernel_log_crash import crash_from
from .kernel_log_kinds import NEEDLES, Kind, kind_of
from .kernel_log_lines import LINE_LIMIT, message, messages
from .kernel_log_records import Crash, NameOf

LINES_A_REPORT = 1200
OPEN_REPORTS = 16
_BLOCK = 1 << 18
# How far behind a mark (`cut here`, registers) the head of its report may follow.
_PREAMBLE = 60
# After these a report tells nothing new.
_LAST = ("---[ end ", "Rebooting in", "Showing all locks held in the system")
_LAST_STARTS = frozenset(text[0] for text in _LAST)
# Where lines must be looked at one by one: they may end a report, or belong to that of a CPU which cannot print.
_TURNS = (*_LAST, "NMI backtrace")
_EARLY = re.compile(r"-\[ cut here \]-|^Pid: \d+, comm: ")


def crashes_in(lines: Iterable[Union[str, bytes]], name_of: Optional[NameOf] = None) -> Iterator[Crash]:
    """Yield the crashes in the lines of a log, in the order of their first lines.

    Lines come with or without their line ends, as text or as bytes of any kind. `name_of` names addresses in logs of
    kernels without symbols.
    """
    return crashes_in_blocks(_blocks(lines), name_of)


def crashes_in_blocks(blocks: Iterable[str], name_of: Optional[NameOf] = None) -> Iterator[Crash]:
    """Yield the crashes in a log that comes in blocks of whole lines; twice as fast as line by line.

    The last line of a block may lack its line end.
    """
    reader = _Reader(name_of)
    for block in blocks:
        yield from reader.read(block.rstrip("\n") if block.endswith("\n") else block)
    yield from reader.finish()


def _blocks(lines: Iterable[Union[str, bytes]]) -> Iterator[str]:
    pending: list[str] = []
    size = 0
    for line in lines:
        if not isinstance(line, str):
            line = line[: 4 * LINE_LIMIT].decode("utf-8", "backslashreplace")
        pending.append(line[:-1] if line.endswith("\n") else line)
        size += len(line) + 1
        if size > _BLOCK:
            yield "\n".join(pending)
            pending, size = [], 0
    if pending:
        yield "\n".join(pending)


class _Open:
    """A report that may still go on."""

    def __init__(self, key: str, number: int, kind: Optional[Kind]) -> None:
        self.key = key
        self.first = self.last = number
        self.kind = kind
        self.head = 0
        self.lines: list[str] = []
        self.done = False

    def add(self, number: int, text: str) -> None:
        self.lines.append(text)
        self.last = number
        if text[:1] in _LAST_STARTS and text.startswith(_LAST) or len(self.lines) >= LINES_A_REPORT:
            self.done = True

    @property
    def is_weak(self) -> bool:
        """No head, or one that only a stack makes a report's."""
        return self.kind is None or (self.kind.then == "stack" and not self.has_stack)

    # The same for many lines at once, none of which may end it: most logs are one report's.
    def take(self, number: int, lines: str) -> None:
        callers, texts = messages(lines)
        own = callers.count(self.key)
        if own:
            self.lines += texts if own == len(texts) else compress(texts, map(self.key.__eq__, callers))
            self.last = number + len(callers) - 1 - callers[::-1].index(self.key)

    @property
    def has_stack(self) -> bool:
        return any(line.lstrip()[:11] in ("Call Trace:", "Call trace:", "Backtrace:") for line in self.lines)


class _Reader:
    """Reads blocks, and holds the reports that are open: one a caller, in the order of their first lines."""

    def __init__(self, name_of: Optional[NameOf]) -> None:
        self._name_of = name_of
        self._reports: list[_Open] = []
        self._aliases: dict[str, _Open] = {}
        self._number = 1
        self._crashed = False
        self._boots = Boots()

    def read(self, block: str) -> Iterator[Crash]:
        place = 0
        if "\r" in block:
            block = block.replace("\r", "")
        for start in _candidates(block):
            yield from self._stretch(block, place, start)
            end = block.find("\n", start)
            end = len(block) if end < 0 else end
            yield from self._candidate(block[start:end], block, start)
            place = end + 1
        yield from self._stretch(block, place, len(block) + 1)
        self._boots.keep(block)

    def finish(self) -> Iterator[Crash]:
        for report in self._reports:
            report.done = True
        yield from self._closed()

    # Lines without any word that begins a report.
    def _stretch(self, block: str, start: int, end: int) -> Iterator[Crash]:
        if start >= end:
            return
        text = block[start : end - 1]
        number = self._number
        self._number += text.count("\n") + 1
        if any(not report.done for report in self._reports):
            before = self._before_turn(text)
            if before:
                self._reports[0].take(number, text[: before - 1])
                number += text.count("\n", 0, before)
            for place, line in enumerate(text[before:].split("\n") if before <= len(text) else (), number):
                if self._line(place, line):
                    break
        yield from self._closed()

    # How much of a text, in whole lines, is that of the one open report or nobody's, and does not end it.
    def _before_turn(self, text: str) -> int:
        if len(self._reports) > 1 or self._aliases:
            return 0
        places = [place for mark in _TURNS if (place := text.find(mark)) >= 0]
        end = text.rfind("\n", 0, min(places)) + 1 if places else len(text) + 1
        return end if len(self._reports[0].lines) + text.count("\n", 0, end) < LINES_A_REPORT else 0

    # Returns whether no report takes lines any more.
    def _line(self, number: int, line: str) -> bool:
        return self._given(number, *message(line))

    def _given(self, number: int, caller: str, text: str) -> bool:
        report = self._of(caller)
        if report is None:
            if text.startswith("NMI backtrace for cpu") and (stalled := self._stalled()):
                self._aliases[caller] = stalled
                stalled.add(number, text)
        elif not report.done:
            report.add(number, text)
            return report.done and len(self._reports) == 1
        return False

    def _candidate(self, line: str, block: str, start: int) -> Iterator[Crash]:
        number = self._number
        self._number += 1
        caller, text = message(line, LINE_LIMIT)
        report, kind = self._of(caller), kind_of(text)
        if kind is None and self._boots.is_start(text):
            self._boot(number, caller, text, self._boots.unexpected(block, start, number))
        elif kind is None:
            self._no_head(number, caller, text, report)
        elif report and report.kind is None and number - report.first <= _PREAMBLE:
            report.kind, report.head = kind, len(report.lines)
            report.add(number, text)
        elif report and not report.is_weak and _goes_on(report, kind):
            report.add(number, text)
        elif kind.then != "end" or not self._crashed:
            self._begin(number, caller, kind, text, single=kind.pick == "none" and not kind.then)
        yield from self._closed()

    # What a kernel that starts prints belongs to nothing that was before.
    def _boot(self, number: int, caller: str, text: str, unexpected: bool) -> None:
        for report in self._reports:
            report.done = True
        if unexpected and not self._crashed:
            self._begin(number, caller, REBOOT, text)
            self._reports[-1].done = True
        self._crashed = False

    def _no_head(self, number: int, caller: str, text: str, report: Optional[_Open]) -> None:
        if report and not report.done:
            report.add(number, text)
        elif _EARLY.search(text):
            self._begin(number, caller, None, text)
        else:
            self._given(number, caller, text)

    def _begin(self, number: int, caller: str, kind: Optional[Kind], text: str, single: bool = False) -> None:
        old = self._of(caller)
        if single and old and not old.done and not old.is_weak:
            return  # one line in the middle of a report
        if old:
            old.done = True
        self._aliases.pop(caller, None)
        report = _Open(caller, number, kind)
        report.add(number, text)
        self._reports.append(report)
        self._crashed = self._crashed or not report.is_weak
        if len(self._reports) > OPEN_REPORTS:
            self._reports[0].done = True

    def _of(self, caller: str) -> Optional[_Open]:
        for report in reversed(self._reports):
            if report.key == caller:
                return report
        return self._aliases.get(caller)

    def _stalled(self) -> Optional[_Open]:
        return next(
            (r for r in reversed(self._reports) if r.kind and r.kind.pick in ("stall", "lockup") and not r.done), None
        )

    # A report that is done still takes in the panic that follows, until its caller begins another one.
    def _closed(self) -> Iterator[Crash]:
        while self._reports and self._reports[0].done:
            report = self._reports.pop(0)
            if report.is_weak:
                continue
            crash = report.kind and crash_from(
                report.kind, report.lines, report.head, report.first, report.last, self._name_of
            )
            if crash:
                yield crash


def _goes_on(report: _Open, kind: Kind) -> bool:
    if kind.then == "end" or kind.then == "panic":
        return True
    led = kind.pick == "warning" and report.kind is not None and report.kind.then == "lead"
    return (kind.then == "same" or led) and not report.has_stack


def _candidates(block: str) -> Iterator[int]:
    """Yield the starts of the lines that have a word of a report's head in them."""
    starts = set()
    for needle in NEEDLES:
        place = block.find(needle)
        while place >= 0:
            end = place + len(needle)
            # `panic+0x12/0x34` is a function of a stack.
            if block[end : end + 1] != "+":
                starts.add(block.rfind("\n", 0, place) + 1)
            place = block.find(needle, end)
    return iter(sorted(starts))
