"""The slots of files against `readelf -r`, on every kind of build and on what this machine runs."""

from __future__ import annotations

import os
import pathlib
import shutil
import struct
import subprocess
import sys
from collections import Counter

import builds as builders
import pytest
import slot_truth
import support
from builds import Builds, builds  # noqa: F401  (a fixture)

from gdb_kdbg.elf import open_elf
from gdb_kdbg.slots import (
    COPY,
    IRELATIVE,
    JUMP_SLOT,
    OTHER,
    RELATIVE,
    SYMBOL,
    by_address,
    link_target,
    planned_slots,
    slot_at,
    slots_towards,
)


def machine_files() -> list[str]:
    """The C library, its loader, the C++ library, python, bash, gdb: whatever of them is here."""
    found = [sys.executable, *(path for name in ("bash", "gdb", "python3.11") if (path := shutil.which(name)))]
    found.append("/usr/bin/python3.11")
    for path in list(found):
        for line in subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True).stdout.splitlines():
            found += [word for word in line.split() if word.startswith("/")]
    wanted = ("ld-linux", "libc.", "libm.", "libstdc++", "libpython", "libgcc_s", "python3", "bash", "gdb")
    real = {os.path.realpath(path) for path in found if os.path.isfile(path)}
    return sorted(path for path in real if os.path.basename(path).startswith(wanted) and is_elf(path))


def is_elf(path: str) -> bool:
    return pathlib.Path(path).open("rb").read(4) == b"\x7fELF"


def listed(path: str) -> Counter[tuple[int, str, str, int]]:
    slots = planned_slots(open_elf(path))
    return Counter((slot.address, slot.relocation, slot.symbol.name, slot.addend) for slot in slots)


def expected(path: str) -> Counter[tuple[int, str, str, int]]:
    support.require("readelf")
    return Counter(tuple(entry) for entry in slot_truth.entries(path))


@pytest.mark.parametrize("path", machine_files())
def test_the_slots_of_this_machines_files_equal_readelf(path: str) -> None:
    assert listed(path) == expected(path)
    assert listed(path)


@pytest.mark.parametrize("name", builders.names())
def test_the_slots_of_every_build_equal_readelf(name: str, builds: Builds) -> None:  # noqa: F811
    program = builds.of(name)
    files = [program, *program.parent.glob("*.so")]
    for file in files:
        assert listed(str(file)) == expected(str(file)), file
    assert len(listed(str(program))) >= 15


def test_the_builds_have_every_kind_of_slot(builds: Builds) -> None:  # noqa: F811
    kinds: dict[str, set[str]] = {}
    for name in builders.names():
        for file in (builds.of(name), *builds.of(name).parent.glob("*.so")):
            kinds.setdefault(name, set()).update(slot.relocation for slot in planned_slots(open_elf(str(file))))
    found = set().union(*kinds.values())
    wanted = "RELATIVE RELR GLOB_DAT 64 JUMP_SLOT IRELATIVE DTPMOD64 DTPOFF64 TPOFF64 TLSDESC COPY"
    assert found == set(wanted.split())
    relr = {name for name, here in kinds.items() if "RELR" in here}
    assert relr == {"relr", "static-pie-relr", "lld-relr"}
    assert "JUMP_SLOT" not in kinds["no-plt"] and "TLSDESC" in kinds["tlsdesc"] and kinds["static"] == {"IRELATIVE"}


@pytest.mark.parametrize("name", ["lazy", "emit-relocs"])
def test_relocations_that_the_linker_has_applied_are_no_slots(name: str, builds: Builds) -> None:  # noqa: F811
    elf = open_elf(str(builds.of(name)))
    assert len(planned_slots(elf)) == len(planned_slots(open_elf(str(builds.of("lazy")))))
    assert (elf.section(".rela.text") is not None) == (name == "emit-relocs")


@pytest.mark.parametrize("name", ["lazy", "relr", "no-pie", "lld-now", "static-pie", "no-relro"])
def test_sections_and_words_are_those_of_the_file(name: str, builds: Builds) -> None:  # noqa: F811
    path = str(builds.of(name))
    elf, data, segments = open_elf(path), pathlib.Path(path).read_bytes(), slot_truth.loads(path)
    for slot in planned_slots(elf):
        holder = next(s for s in elf.sections if s.placed and s.address <= slot.address < s.end)
        assert slot.section == holder.name
        assert slot.initial == struct.unpack("<Q", slot_truth.file_bytes(data, segments, slot.address, 8))[0]


@pytest.mark.parametrize("name", ["lazy", "no-relro", "lld-now", "static-pie", "c++"])
def test_only_what_the_loader_alone_writes_is_constant(name: str, builds: Builds) -> None:  # noqa: F811
    for slot in planned_slots(open_elf(str(builds.of(name)))):
        if slot.effect != COPY and not slot.section.startswith("__libc"):
            assert slot.is_constant == (slot.section != ".data"), slot


def test_without_section_headers_only_names_of_sections_are_lost(builds: Builds) -> None:  # noqa: F811
    whole, cut = (open_elf(str(builds.of(name))) for name in ("stripped", "no-sections"))
    assert not cut.sections and whole.sections
    one, other = planned_slots(whole), planned_slots(cut)
    assert [slot._replace(section="") for slot in one if slot.effect != IRELATIVE] == [
        slot._replace(section="") for slot in other if slot.effect != IRELATIVE
    ]
    assert {slot.section for slot in other} == {"RELRO", ""}
    # Nothing but its section tells an IFUNC's slot of the PLT from one in the program's own data.
    assert {(slot.section, slot.is_constant) for slot in other if slot.effect == IRELATIVE} == {
        ("RELRO", True),
        ("", False),
    }


@pytest.mark.parametrize("path", machine_files())
def test_effects_are_known_and_slots_are_found_by_address_and_target(path: str) -> None:
    elf = open_elf(path)
    addresses, slots = by_address(elf)
    assert list(addresses) == sorted(slot.address for slot in planned_slots(elf))
    for slot in slots[:: max(1, len(slots) // 500)]:
        assert slot.effect != OTHER
        for inside in (0, 7):
            found = slot_at(elf, slot.address + inside)
            assert found is not None and found.address == slot.address
        target = link_target(slot)
        if target is not None:
            assert slot in slots_towards(elf, target)
            assert slot.effect in (RELATIVE, SYMBOL, JUMP_SLOT)
        else:
            assert slot.effect != RELATIVE
    assert slot_at(elf, addresses[-1] + 8) is None and slot_at(elf, 0) is None


def symbols_of(path: str) -> dict[int, tuple[str, str, str]]:
    """The dynamic symbols as readelf prints them: name, version, and whether that is the default one."""
    found: dict[int, tuple[str, str, str]] = {}
    for line in slot_truth.run("readelf", "-sDW", path).splitlines():
        words = line.split()
        if len(words) >= 8 and words[0].endswith(":") and words[0][:-1].isdigit():
            name, at, version = words[7].partition("@")
            kind = "" if len(words) > 8 else "@@" if version.startswith("@") else at  # `(5)`: a version it needs
            found[int(words[0][:-1])] = name, version.lstrip("@"), kind
    return found


@pytest.mark.parametrize("path", machine_files())
def test_versions_of_dynamic_symbols_equal_readelf(path: str) -> None:
    support.require("readelf")
    symbols = open_elf(path).dynamic_symbols()
    compared = 0
    for index, (name, version, kind) in symbols_of(path).items():
        ours = symbols[index]
        if not name or name == ours.version:
            continue  # the symbol that names a version itself
        assert (ours.name, ours.version) == (name, version), index
        if kind and ours.is_defined:
            assert ours.is_default == (kind == "@@"), name
        compared += 1
    assert compared
