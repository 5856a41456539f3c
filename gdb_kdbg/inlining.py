"""Inlined calls in DWARF: where a function's own source calls what the compiler inlined at an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Optional

if TYPE_CHECKING:
    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.dwarfinfo import DWARFInfo

_PLACE = ("DW_AT_call_file", "DW_AT_call_line")
_SCOPES = ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine")


def entry_ranges(dwarf: DWARFInfo, unit: CompileUnit, attributes: Any) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) link-time ranges of a unit, function or block from its attributes."""
    low = attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in attributes else None
    if low is not None and "DW_AT_high_pc" in attributes:
        high = attributes["DW_AT_high_pc"]
        # A constant is the size, an address the end (DWARF 5, 2.17.2).
        yield low, high.value if high.form in ("DW_FORM_addr", "DW_FORM_addrx") else low + high.value
    lists: Any = dwarf.range_lists()
    if "DW_AT_ranges" not in attributes or lists is None:
        return
    base = _unit_base(unit)
    for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu=unit):
        if not hasattr(entry, "begin_offset"):
            base = entry.base_address
        else:
            origin = 0 if getattr(entry, "is_absolute", False) else base
            yield origin + entry.begin_offset, origin + entry.end_offset


def _unit_base(unit: CompileUnit) -> int:
    attributes = unit.get_top_DIE().attributes
    return int(attributes["DW_AT_low_pc"].value) if "DW_AT_low_pc" in attributes else 0


def inlined_calls(dwarf: DWARFInfo, unit: CompileUnit, address: int) -> list[tuple[int, int]]:
    """Return (file number, line) of each call whose inlined body holds `address`, the outermost first.

    The first is the call that stands in the source of the function itself; their number is how many frames GDB
    shows above the function's own.
    """
    calls: list[tuple[int, int]] = []
    scope = _holding(dwarf, unit, unit.get_top_DIE(), address, ("DW_TAG_subprogram", "DW_TAG_namespace"))
    while scope is not None:
        scope = _holding(dwarf, unit, scope, address, (*_SCOPES, "DW_TAG_subprogram"))
        if scope is not None and scope.tag == "DW_TAG_inlined_subroutine":
            calls.append(_call_of(scope))
    return calls


def _holding(dwarf: DWARFInfo, unit: CompileUnit, parent: DIE, address: int, tags: tuple[str, ...]) -> Optional[DIE]:
    for child in parent.iter_children():
        if child.tag == "DW_TAG_namespace" and child.tag in tags:
            found = _holding(dwarf, unit, child, address, tags)
            if found is not None:
                return found
        elif child.tag in tags:
            ranges = entry_ranges(dwarf, unit, child.attributes)
            if any(start <= address < end for start, end in ranges):
                return child
    return None


def _call_of(inlined: DIE) -> tuple[int, int]:
    attributes = inlined.attributes
    file, line = (attributes[name].value if name in attributes else 0 for name in _PLACE)
    return file, line
