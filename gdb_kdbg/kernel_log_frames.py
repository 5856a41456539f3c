"""Stack frames and register lines as kernels print them, of all architectures.

x86, arm64 and riscv print `f+0x1/0x2`, older ones with `[<address>]` before it; arm `(f) from [<a>] (g+0x1/0x2)`;
ppc the stack pointer and the address in brackets. Symbolised logs add `file:line`, and `[inline]` frames.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Callable, Iterable, Iterator, Optional

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
# What nearly all frames look like: found in a third of the time.
_COMMON = re.compile(
    r"\s{0,40}(?:\[<([0-9a-f]{8,16})>\] )?(\? )?([A-Za-z_][\w.]{0,511})\+0x([0-9a-f]{1,16})/0x([0-9a-f]{1,16})\s{0,8}$"
)
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
_FILE = re.compile(r" ([\w./+-]{1,300}\.[chSs]?[rc]?s?p{0,2}:\d{1,7})")
_CONTEXT = re.compile(r"<(/?)([A-Z#_]{1,12})>")
# GCC's and Clang's clones of a function.
_CLONE = re.compile(r"\.(?:constprop|isra|part|cold|llvm|__uniq|lto_priv|cfi|cfi_jt|specialized)\b.*")


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """Return a function's name without what compilers put before and behind it: `f.isra.0` is `f`."""
    for prefix in ("__pfx_", "__cfi_"):
        if name.startswith(prefix):
            name = name[len(prefix) :]
    return _CLONE.sub("", name)


# Nearly all frames are made by this, which takes half the time of the class.
_frame: Callable[[tuple[object, ...]], Frame] = partial(tuple.__new__, Frame)


def frames(lines: Iterable[str], name_of: Optional[NameOf] = None) -> Iterator[Frame]:
    """Yield the frames in the lines of one trace, the unreliable ones too; other lines are passed over."""
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


def _named(line: str, context: str) -> Optional[Frame]:
    common = _COMMON.match(line)
    if common:
        address, doubt, name, offset, size = common.groups()
        place = None if address is None else int(address, 16)
        return _frame((name, int(offset, 16), int(size, 16), "", not doubt, False, place, "", context))
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
        context = "" if end or name in ("EOI", "EOE", "TASK") else name.lower()
    return context
