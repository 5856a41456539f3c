"""Object files laid out by kdbg, against the same files linked by ld at the same addresses."""

from __future__ import annotations

import pathlib

import copies
import pytest
import support

from gdb_kdbg.elf import open_elf
from gdb_kdbg.elf_tables import SHF_ALLOC, Section
from gdb_kdbg.object_image import ObjectImage
from gdb_kdbg.ranges import Range
from gdb_kdbg.units import Address, Size

SOURCE = """
#include <stddef.h>
#include <string.h>
extern int other(const char *), more[];
int shared_number;
static int counts[40], kept = 7;
const char *names[] = { "one", "two", "three" };
int (*table[])(const char *) = { other, 0 };
int *middle = counts + 20, *far = more + 5;
int choose(int n, const char *text)
{
    switch (n) {
    case 0: return other(text);
    case 1: return kept++;
    case 2: return counts[n] + shared_number;
    case 3: return strlen(names[n & 1]);
    case 4: return table[0](text);
    case 5: return *far;
    case 6: memcpy(counts, text, 20); return 3;
    default: return other(names[2]) + *middle;
    }
}
"""


def contents(image: ObjectImage, place: Range) -> bytes:
    return image.read_memory(place.start, place.size)


def placed(image: ObjectImage, object_path: pathlib.Path) -> list[tuple[Section, Range]]:
    sections = [s for s in open_elf(str(object_path)).sections if s.flags & SHF_ALLOC and s.size]
    found = [(section, image.section_address(section.name)) for section in sections]
    return [(section, place) for section, place in found if place is not None and section.name != ".eh_frame"]


def linked(image: ObjectImage, object_path: pathlib.Path) -> pathlib.Path:
    """Let ld put each section where the image has it, and define what is undefined as the image does."""
    lines = [
        f"{section.name} {place.start:#x} : {{ *({section.name}) }}" for section, place in placed(image, object_path)
    ]
    addresses = {image.name_of(address): address for address in range(image.undefined.start, image.undefined.end, 16)}
    names = [f"{name} = {address:#x};" for name, address in addresses.items() if name]
    script, output = object_path.with_suffix(".ld"), object_path.with_suffix(".linked")
    shared = image.symbol("shared_number")
    common = [f"COMMON_ {shared.address:#x} (NOLOAD) : {{ *(COMMON) }}"] if shared else []
    script.write_text("\n".join([*names, "SECTIONS {", *lines, *common, "/DISCARD/ : { *(.eh_frame) } }"]))
    support.run("ld", "--no-relax", "-z", "noexecstack", "-T", str(script), "-o", str(output), str(object_path))
    return output


def differing(image: ObjectImage, object_path: pathlib.Path) -> tuple[list[str], int]:
    """Name the sections that ld made otherwise, and count those compared."""
    program = open_elf(str(linked(image, object_path)))
    compared = [(s, place) for s, place in placed(image, object_path) if s.type != "NOBITS"]
    return [s.name for s, place in compared if program.section_bytes(s.name) != contents(image, place)], len(compared)


@pytest.mark.parametrize(
    "options", ["-O0 -fno-pic", "-O2 -fno-pic", "-O2 -fcommon -fno-pic", "-O1 -fPIE -fcf-protection"]
)
def test_c_is_relocated_as_ld_does_it(tmp_path: pathlib.Path, options: str) -> None:
    support.require("gcc", "ld")
    source, path = tmp_path / "choose.c", tmp_path / "choose.o"
    source.write_text(SOURCE)
    support.run("gcc", "-w", *options.split(), "-c", "-o", str(path), str(source))
    image = ObjectImage(open_elf(str(path)))
    found, count = differing(image, path)
    assert found == [] and count >= 3
    assert image.problems == ()


def test_copy_routines_with_both_exception_tables_are_relocated_as_ld_does_it(tmp_path: pathlib.Path) -> None:
    path, _ = copies.build_copies(tmp_path)
    image = ObjectImage(open_elf(str(path)))
    assert differing(image, path) == ([], 4)


def test_a_wrong_address_would_be_seen(tmp_path: pathlib.Path) -> None:
    path, _ = copies.build_copies(tmp_path)
    image, moved = ObjectImage(open_elf(str(path))), ObjectImage(open_elf(str(path)), 0x500000)
    program = open_elf(str(linked(image, path)))
    place = moved.section_address("__ex_table")
    faults = moved.section_address(".ucopy_faults")
    assert place is not None and faults is not None
    assert program.section_bytes(".ucopy_faults") != contents(moved, faults)


def test_slots_of_position_independent_code_hold_what_the_symbol_is(tmp_path: pathlib.Path) -> None:
    support.require("gcc", "ld")
    source, path = tmp_path / "get.c", tmp_path / "get.o"
    source.write_text("extern int outer; int inner = 5; int *get(int n) { return n ? &outer : &inner; }")
    support.run("gcc", "-O1", "-fPIC", "-c", "-o", str(path), str(source))
    image = ObjectImage(open_elf(str(path)))
    slots = image.read_memory(Address(image.range.end - 0x1000), Size(0x1000))
    words = {int.from_bytes(slots[i : i + 8], "little") for i in range(0, 0x1000, 8)}
    inner = image.symbol("inner")
    outer = next(a for a in range(image.undefined.start, image.undefined.end) if image.name_of(a) == "outer")
    assert inner is not None and {inner.address, outer} <= words
