"""From the lines of one report to the crash that it tells of: title, type, guilty function and details."""

from __future__ import annotations

import re
from typing import Optional, Sequence

from .kernel_log_details import access_of, registers_of, task_of
from .kernel_log_frames import plain
from .kernel_log_kinds import HEAD_LIMIT, Kind
from .kernel_log_picks import Verdict, verdict
from .kernel_log_records import Access, Crash, Frame, NameOf
from .kernel_log_report import Report
from .units import NAME_LIMIT, Count, safe_text

_NUMBERS = (
    (re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,16}\b"), "ADDR"),
    (re.compile(r"\b\d+\b"), "NUM"),
    (re.compile(r"\s+"), " "),
)
_TITLE_LIMIT = 120
_PLACE = re.compile(r"\{(\w+)\}")
# Warnings by the file that warns: what these files warn of is the mistake of who called.
_WARNERS = (
    ("lib/refcount.c", r"refcount_\w+", "WARNING: refcount bug in {f}", "REFCOUNT_WARNING"),
    ("lib/debugobjects.c", r"debug_(?:print|check)\w+", "WARNING: ODEBUG bug in {f}", "WARNING"),
    ("kernel/locking/lockdep.c", r"\w+", "WARNING: locking bug in {f}", "LOCKDEP"),
    ("mm/slab_common.c", r"kmalloc_\w+", "WARNING: kmalloc bug in {f}", "WARNING"),
    ("mm/util.c", r"kvmalloc\w*", "WARNING: kmalloc bug in {f}", "WARNING"),
    ("mm/slub.c", r"\w*kvmalloc\w*", "WARNING: kmalloc bug in {f}", "WARNING"),
    ("lib/kobject.c", r"kobject_\w+", "WARNING: kobject bug in {f}", "WARNING"),
    ("fs/sysfs/dir.c", r"sysfs_warn\w+", "WARNING: kobject bug in {f}", "WARNING"),
    ("fs/proc/generic.c", r"proc_register\w*", "WARNING: proc registration bug in {f}", "WARNING"),
)
# BUG() by its file: what was found broken there.
_BUG_FILES = {
    "lib/list_debug.c": ("BUG: corrupted list in {f}", "MEMORY_SAFETY_BUG"),
    "mm/usercopy.c": ("BUG: bad usercopy in {f}", "BUG"),
}


def crash_from(
    kind: Kind, lines: Sequence[str], head: int, first: int, last: int, name_of: Optional[NameOf] = None
) -> Optional[Crash]:
    """Return the crash that the lines of a report tell of; `head` is the number of the line that gave its kind."""
    report = Report(lines, name_of)
    found = kind.pattern.search(lines[head][:HEAD_LIMIT])
    if not found:
        return None
    title, type_ = _special(kind, found)
    guilty = verdict(kind, found, report, title != kind.title)
    access = access_of(report)
    task, kernel = task_of(report)
    reason = _doubt(title, guilty, report)
    text = _filled(title, found, guilty, access, lines, head)
    return Crash(
        title=text,
        type=_filled_type(type_, text, access),
        guilty=_safe(guilty.name, NAME_LIMIT),
        guilty_file=guilty.file or _named_file(found),
        headline=_safe(lines[head]),
        task=task,
        kernel=kernel,
        access=access,
        stack=tuple(guilty.stack),
        registers=registers_of(report),
        allocated=_object(report, "allocated"),
        freed=_object(report, "freed"),
        corrupted=reason,
        first_line=Count(first),
        last_line=Count(last),
    )


def _special(kind: Kind, found: re.Match[str]) -> tuple[str, str]:
    if kind.title.startswith("kernel BUG") and found.groups() and found[1]:
        return _BUG_FILES.get(found[1].lstrip("./"), (kind.title, kind.type))
    if kind.pick != "warning":
        return kind.title, kind.type
    function = plain((found["f"] or "").split("+")[0])
    for file, names, title, type_ in _WARNERS:
        if file in found[1] and (not function or re.fullmatch(rf"_*{names}", function)):
            return title, type_
    return kind.title, kind.type


def _filled(
    title: str, found: re.Match[str], guilty: Verdict, access: Optional[Access], lines: Sequence[str], head: int
) -> str:
    groups = ["undefined-behaviour" if text == "Undefined behaviour" else text or "" for text in found.groups()]
    named = next((text for text in groups if text), "")
    values = {
        "f": guilty.name or "corrupted",
        "free": "invalid-free" if "invalid" in named else "double-free",
        "access": {"read": "Read", "write": "Write"}.get(access.kind if access else "", ""),
        "what": _what(lines[head]) if "{what}" in title else "",
        "next": lines[head + 1].strip() if head + 1 < len(lines) else "panic",
    }
    values.update((str(number), group) for number, group in enumerate(groups))
    text = _PLACE.sub(lambda key: values.get(key[1], ""), title)
    return _safe(" ".join(text.split()), _TITLE_LIMIT)


def _safe(text: str, limit: int = 240) -> str:
    return text if len(text) <= limit and text.isprintable() else safe_text(text, limit)


def _what(line: str) -> str:
    for mark in ("not syncing: ", "ernel panic: ", "ernel Panic: ", "UBSAN: ", "KMSAN: ", "WARNING: ", "BUG: "):
        if mark in line:
            line = line.split(mark, 1)[1]
            break
    line = line.split(" in ")[0] if "UBSAN" in line or "infoleak" in line else line
    for pattern, word in _NUMBERS:
        line = pattern.sub(word, line)
    return line.strip(" .!")


def _filled_type(type_: str, title: str, access: Optional[Access]) -> str:
    named = title.lower()
    access_word = "WRITE" if " write in " in named or (access and access.kind == "write") else "READ"
    if "KFENCE" in type_:
        return type_.replace("{what}", _kfence(named, access_word))
    if "KMSAN" in type_:
        return type_.replace("{what}", "USE-AFTER-FREE-READ" if "use-after-free" in named else "UNINIT-VALUE")
    if "KASAN" in type_ and "{" in type_:
        return type_.replace("{access}", _kasan(named, access_word))
    if type_ == "UBSAN" and "array-index-out-of-bounds" in named:
        return "MEMORY_SAFETY_UBSAN"
    return type_.replace("{race}", "ASSERT" if "assert" in named else "DATARACE")


def _kasan(title: str, access: str) -> str:
    for word, name in (("use-after-free", "USE-AFTER-FREE-"), ("null-ptr-deref", "NULL-POINTER-DEREFERENCE-")):
        if word in title:
            return name + access
    return access


def _kfence(title: str, access: str) -> str:
    for word, name in (("invalid free", "INVALID-FREE"), ("memory corruption", "MEMORY-CORRUPTION")):
        if word in title:
            return name
    return ("USE-AFTER-FREE-" if "use-after-free" in title else "") + access


def _named_file(found: re.Match[str]) -> str:
    groups = [text for text in found.groups() if text]
    return _safe(f"{groups[0]}:{groups[1]}") if len(groups) > 1 and re.search(r"\.(?:[chS]|rs)$", groups[0]) else ""


def _object(report: Report, kind: str) -> tuple[Frame, ...]:
    return tuple(next(report.traces(kind), ()))


def _doubt(title: str, guilty: Verdict, report: Report) -> str:
    if "{f}" not in title or guilty.name:
        return ""
    return "no function could be found guilty" if guilty.stack else "the report has no stack"
