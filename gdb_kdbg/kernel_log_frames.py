"""Stack frames and register lines as kernels print them, of all architectures.

x86, arm64 and riscv print `f+0x1/0x2`, older ones with `[<address>]` before it; arm `(f) from [<a>] (g+0x1/0x2)`;
ppc the stack pointer and the address in brackets. Symbolised logs add `file:line`, and `[inline]` frames.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from itertools import repeat
from operator import not_
from typing import Callable, Iterable, Iterator, Optional, Sequence

from .kernel_log_records import Frame, NameOf
from .units import Address, Size

# Printable ASCII but for the signs that end a name.
_NAME = r"[A-Za-z_$.<][!-'*,-Z\\^-~]{0,511}"
_FRAME = re.compile(
    r"\s{0,40}(?P<context>(?:</?[A-Z#_]{1,12}>\s{0,8}){0,4})"
    r"(?:(?:\(?\[<(?P<address>[0-9a-f]{8,16})>\]\)?|\[(?P<stack>[0-9a-f]{8,16})\])\s{0,8})?"
    r"(?:\[(?P<second>[0-9a-f]{8,16})\]\s{0,8})?"
    r"(?P<doubt>\? )?\s{0,8}\(?"
    rf"(?P<name>{_NAME})\+0x(?P<offset>[0-9a-f]{{1,16}})/0x(?P<size>[0-9a-f]{{1,16}})\)?"
    r"(?: \[(?P<module>[!-Z\\^-~]{1,100})[^\]]{0,60}\])?"
    r"(?P<rest>.{0,400})"
)
_FILE_NAME = r" ([\w./+-]{1,300}\.[chSs]?[rc]?s?p{0,2}:[0-9]{1,7})"
_PLAIN = (
    r"(?:\[<([0-9a-f]{8,16})>\] )?(\? )?([A-Za-z_][0-9A-Za-z_.]{0,511})\+0x([0-9a-f]{1,16})/0x([0-9a-f]{1,16})"
    rf"(?: \[([!-Z\\^-~]{{1,100}})[^\]\n]{{0,60}}\])?(?:{_FILE_NAME})?[ \t]{{0,8}}$"
)
# What nearly all frames of a trace look like, found all at once, and the signs of stacks between them. That it begins
# in one character makes it twice as fast.
_COMMON = re.compile(rf"\n[ \t]{{0,40}}(?:{_PLAIN}|<(/?)([A-Z#_]{{1,12}})>)", re.MULTILINE)
_SINGLE = re.compile(rf"[ \t]{{0,40}}{_PLAIN}")
_INLINE = re.compile(
    rf"\s{{0,40}}(?:\[<(?P<address>[0-9a-f]{{8,16}})>\] )?(?P<doubt>\? )?(?P<name>{_NAME}) "
    r"(?P<file>[\w./+-]{1,300}:\d{1,7}) \[inline\]"
)
_ARM = re.compile(
    rf"\s{{0,40}}(?:\[<(?P<address>[0-9a-f]{{8,16}})>\] )?\(?{_NAME}\)? from (?:\[<(?P<caller>[0-9a-f]{{8,16}})>\] )?"
    rf"\(?(?P<name>{_NAME})\+0x(?P<offset>[0-9a-f]{{1,8}})/0x(?P<size>[0-9a-f]{{1,8}})\)?"
    r"(?: \[(?P<module>[!-Z\\^-~]{1,100})\])?(?P<rest>.{0,400})"
)
_BARE = re.compile(
    r"\s{0,40}(?:<[A-Z]{2,8}>\s{0,8})?"
    r"(?:\[<(?P<a>[0-9a-f]{8,16})>\](?P<doubt> \?)?(?: 0x[0-9a-f]{8,16})?"
    r"|(?P<unsure>\? )?0x(?P<b>[0-9a-f]{8,16}))\s{0,8}$"
)
_BARE_LINE = re.compile(r"\n\s{0,40}(?:<[A-Z]{2,8}>\s{0,8})?(?:\? )?0x[0-9a-f]{8,16}\s{0,8}$", re.MULTILINE)
_FILE = re.compile(_FILE_NAME)
_CONTEXT = re.compile(r"<(/?)([A-Z#_]{1,12})>")
# GCC's and Clang's clones of a function.
_CLONE = re.compile(r"\.(?:constprop|isra|part|cold|llvm|__uniq|lto_priv|cfi|cfi_jt|specialized)\b.*")


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """Return a function's name without what compilers put before and behind it: `f.isra.0` is `f`."""
    for prefix in ("__pfx_", "__cfi_"):
        if name.startswith(prefix):
            name = name[len(prefix) :]
    return _CLONE.sub("", name) if "." in name else name


# Nearly all frames are made by this, which takes half the time of the class.
_frame: Callable[[tuple[object, ...]], Frame] = partial(tuple.__new__, Frame)


def frames(lines: Sequence[str], name_of: Optional[NameOf] = None) -> Sequence[Frame]:
    """Return the frames in the lines of one trace, the unreliable ones too; other lines are passed over."""
    text = "\n" + "\n".join(lines)
    common = None if "[inline]" in text or ") from " in text else _common(text)
    return list(_each(lines, name_of)) if common is None else common


# None if there are, or may be, others among them.
def _common(text: str) -> Optional[Sequence[Frame]]:
    found = _COMMON.findall(text)
    rows = [row for row in found if row[2]]
    count = len(rows)
    if text.count("0x") != 2 * count and (text.count("+0x") != count or _BARE_LINE.search(text)):
        return None
    signs = len(found) - count
    brackets = text.count("[<") if "<" in text else 0
    if brackets + signs != text.count("<") and len(_CONTEXT.findall(text)) != signs:
        return None
    if not rows:
        return None if brackets else rows
    addresses, doubts, names, offsets, sizes, modules, files, _, _ = zip(*rows)
    if brackets != count - addresses.count(""):
        return None
    places = [int(address, 16) if address else None for address in addresses] if brackets else repeat(None)
    contexts = _contexts(found) if signs else repeat("")
    columns = (
        names, map(int, offsets, repeat(16)), map(int, sizes, repeat(16)), modules, map(not_, doubts), repeat(False),
        places, files, contexts,
    )  # fmt: skip
    return list(map(_frame, zip(*columns)))


def _contexts(found: Iterable[tuple[str, ...]]) -> Iterator[str]:
    context = ""
    for row in found:
        if row[2]:
            yield context
        else:
            context = _in(row[7], row[8])


def _each(lines: Iterable[str], name_of: Optional[NameOf]) -> Iterator[Frame]:
    context = ""
    for line in lines:
        if "<" in line:
            context = _context(line, context)
        found = _named(line, context) if "/0x" in line and "+0x" in line else frame(line, context, name_of)
        if found:
            yield found


def frame(line: str, context: str = "", name_of: Optional[NameOf] = None) -> Optional[Frame]:
    """Return the frame that a line shows, None if it shows none."""
    if "/0x" in line and "+0x" in line:
        return _named(line, context)
    if "[inline]" in line:
        found = _INLINE.match(line)
        return found and Frame(
            found["name"], reliable=not found["doubt"], inline=True, file=found["file"], context=context
        )
    return _bare(line, context, name_of) if "[<" in line or "0x" in line else None


# Reports of one log, and those of many, have many lines in common.
@lru_cache(maxsize=2048)
def _named(line: str, context: str) -> Optional[Frame]:
    single = _SINGLE.match(line)
    if single:
        place, doubt, name, offset, size, module, file_name = single.groups("")
        at = Address(int(place, 16)) if place else None
        return Frame(name, Size(int(offset, 16)), Size(int(size, 16)), module, not doubt, False, at, file_name, context)
    found = (_ARM if " from " in line else _FRAME).match(line)
    if not found:
        return None
    text = found.groupdict()
    address = text.get("second") or text.get("caller") or text["address"]
    rest = text["rest"]
    file = _FILE.match(rest) if ":" in rest else None
    return Frame(
        text["name"],
        Size(int(text["offset"], 16)),
        Size(int(text["size"], 16)),
        text["module"] or "",
        not text.get("doubt") and "(unreliable)" not in rest,
        False,
        Address(int(address, 16)) if address else None,
        file[1] if file else "",
        context,
    )


# Kernels without names of their own (CONFIG_KALLSYMS off) print addresses only; a file of symbols can name them.
def _bare(line: str, context: str, name_of: Optional[NameOf]) -> Optional[Frame]:
    found = _BARE.match(line)
    address = int(found["a"] or found["b"], 16) if found else 0
    # Old kernels end a stack in 0xffffffffffffffff (ULONG_MAX).
    if not found or address in (0, (1 << 64) - 1, (1 << 32) - 1):
        return None
    name, offset = (name_of(address) if name_of else None) or ("", None)
    known = None if offset is None else Size(offset)
    return Frame(
        name, known, reliable=not (found["doubt"] or found["unsure"]), address=Address(address), context=context
    )


def _context(line: str, context: str) -> str:
    for end, name in _CONTEXT.findall(line[:80]):
        context = _in(end, name)
    return context


def _in(end: str, name: str) -> str:
    return "" if end or name in ("EOI", "EOE", "TASK") else name.lower()
