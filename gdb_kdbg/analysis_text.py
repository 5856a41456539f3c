"""An analysis as lines for a person: what was found first, then the crashes, then what was read."""

from __future__ import annotations

from typing import Iterator, List, Tuple

from .analysis import Analysis, LogCrash
from .finding import Finding
from .units import counted, shown

Parts = List[Tuple[str, str]]
_WIDTH = 110
_FRAMES, _CRASHES = 6, 10


def analysis_lines(analysis: Analysis, is_named: bool) -> Iterator[Parts]:
    """Tell one log; its name stands above if there are others."""
    yield [(f"{shown(analysis.source)}:", "name"), (f" {_counts(analysis)}", "")]
    for finding in analysis.findings:
        yield from _finding(finding)
    for crash in analysis.crashes[:_CRASHES]:
        yield from _crash(crash)
    more = len(analysis.crashes) - _CRASHES + analysis.crashes_left_out
    if more > 0:
        yield [(f"  and {counted(more, 'more crash')}", "")]
    for problem in analysis.problems:
        yield [(f"  problem: {problem}", "problem")]
    if analysis.kind and not analysis.tells:
        yield [("  nothing found", "")]
    yield [("", "")]


def _counts(analysis: Analysis) -> str:
    if not analysis.kind:
        return "not read"
    told = f"{analysis.kind}, {counted(analysis.lines, 'line')}"
    if analysis.events.total:
        most = ", ".join(f"{count} {name}" for name, count in list(analysis.events.by_type.items())[:3])
        told += (
            f", {counted(analysis.events.total, 'event')} ({most}{', ...' if len(analysis.events.by_type) > 3 else ''})"
        )
    crashes = len(analysis.crashes) + analysis.crashes_left_out
    return told + (f", {counted(crashes, 'crash')}" if crashes else "")


def _finding(finding: Finding) -> Iterator[Parts]:
    yield from _wrapped(finding.summary, "  ", "  ", "summary")
    yield [(f"    {finding.rule}, {finding.confidence}", "")]
    for line in finding.evidence:
        yield from _wrapped(line, "    - ", "      ", "")
    for line in finding.next:
        yield from _wrapped(line, "    > ", "      ", "")


def _wrapped(text: str, first: str, others: str, role: str) -> Iterator[Parts]:
    import textwrap

    for line in textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=others) or [first]:
        yield [(line, role)]


def _crash(crash: LogCrash) -> Iterator[Parts]:
    yield [(f"  {crash.title}", "failure")]
    kind = f"{crash.type}, " if crash.type else ""
    guilty = f", guilty: {crash.guilty}" if crash.guilty else ""
    yield [(f"    {kind}lines {crash.first_line}-{crash.last_line}{guilty}{_who(crash)}", "")]
    if crash.stack:
        more = f" < ... {len(crash.stack) - _FRAMES} more" if len(crash.stack) > _FRAMES else ""
        yield from _wrapped(" < ".join(crash.stack[:_FRAMES]) + more, "    ", "      ", "")
    if crash.corrupted:
        yield [(f"    not to be trusted: {crash.corrupted}", "problem")]


def _who(crash: LogCrash) -> str:
    parts = [f"{crash.task.comm} (pid {crash.task.pid})" if crash.task.comm else "", crash.kernel.version]
    return "".join(f", {part}" for part in parts if part)
