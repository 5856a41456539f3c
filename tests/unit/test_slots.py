"""Slots as a file tells them: tables of every kind, what is constant, and finding a slot."""

from __future__ import annotations

import pathlib
import struct

import dynamic_files as files
import pytest
from dynamic_files import CODE, DATA, RELRO, Rel, Sym

from gdb_kdbg.elf import open_elf
from gdb_kdbg.errors import BadFile, KdbgError
from gdb_kdbg.slots import (
    COPY,
    IRELATIVE,
    JUMP_SLOT,
    OTHER,
    RELATIVE,
    SYMBOL,
    TLS_DESCRIPTOR,
    TLS_MODULE,
    TLS_OFFSET,
    TLS_STATIC,
    PlannedSlot,
    by_address,
    has_slots,
    link_target,
    planned_slots,
    slot_at,
    slots_towards,
)

SYMBOLS = [Sym("puts"), Sym("own", CODE + 0x100), Sym("weak", binding=files.WEAK), Sym("data", kind=files.OBJECT)]


def slots_of(path: pathlib.Path, *relocations: Rel, **more: object) -> list[PlannedSlot]:
    files.write(path / "file", relocations, SYMBOLS, **more)  # type: ignore[arg-type]
    return list(planned_slots(open_elf(str(path / "file"))))


@pytest.mark.parametrize(
    ("type", "name", "effect"),
    [
        (files.RELATIVE, "RELATIVE", RELATIVE),
        (files.SYMBOL, "64", SYMBOL),
        (files.GLOB_DAT, "GLOB_DAT", SYMBOL),
        (files.JUMP_SLOT, "JUMP_SLOT", JUMP_SLOT),
        (files.IRELATIVE, "IRELATIVE", IRELATIVE),
        (files.COPY, "COPY", COPY),
        (files.DTPMOD64, "DTPMOD64", TLS_MODULE),
        (files.DTPOFF64, "DTPOFF64", TLS_OFFSET),
        (files.TPOFF64, "TPOFF64", TLS_STATIC),
        (files.TLSDESC, "TLSDESC", TLS_DESCRIPTOR),
        (files.HALF, "32", OTHER),
        (0x7F, "0x7f", OTHER),
    ],
)
def test_each_type_has_its_name_and_effect(type: int, name: str, effect: str, tmp_path: pathlib.Path) -> None:
    (slot,) = slots_of(tmp_path, Rel(RELRO, type, 0x10))
    # That of a JUMP_SLOT tells its PLT entry (`ld -z mark-plt`), and is no part of the value.
    assert (slot.relocation, slot.effect, slot.address) == (name, effect, RELRO)
    assert slot.addend == (0 if effect == JUMP_SLOT else 0x10)


def test_a_slot_has_symbol_addend_and_word_of_its_file(tmp_path: pathlib.Path) -> None:
    (slot,) = slots_of(tmp_path, Rel(RELRO + 8, files.SYMBOL, -8, "own"), words={RELRO + 8: 0x77})
    assert (slot.symbol.name, slot.symbol.is_defined, slot.addend, slot.initial) == ("own", True, -8, 0x77)


def test_a_relr_table_is_decoded_and_its_addends_are_in_the_file(tmp_path: pathlib.Path) -> None:
    bitmap = 1 | 1 << 1 | 1 << 3 | 1 << 63
    words = {RELRO: CODE, RELRO + 8: CODE + 1, RELRO + 24: CODE + 2, RELRO + 8 * 63: CODE + 3, RELRO + 8 * 65: CODE + 4}
    slots = slots_of(tmp_path, words=words, relr=[RELRO, bitmap, 1 | 1 << 2])
    assert [(slot.address, slot.addend) for slot in slots] == list(words.items())
    assert {(slot.relocation, slot.effect) for slot in slots} == {("RELR", RELATIVE)}


def test_a_relr_table_that_unfolds_to_more_than_the_file_is_refused(tmp_path: pathlib.Path) -> None:
    full = (1 << 64) - 1
    assert len(slots_of(tmp_path, relr=[RELRO, *[full] * 40])) == 1 + 40 * 63
    with pytest.raises(BadFile, match="RELR"):
        slots_of(tmp_path, relr=[RELRO, *[full] * 41])


@pytest.mark.parametrize(
    ("address", "type", "constant"),
    [
        (RELRO, files.RELATIVE, True),
        (RELRO, files.SYMBOL, True),
        (DATA, files.RELATIVE, False),
        (DATA, files.SYMBOL, False),
        (DATA, files.GLOB_DAT, True),
        (DATA, files.JUMP_SLOT, True),
        (DATA, files.IRELATIVE, False),
        (CODE, files.SYMBOL, True),
    ],
)
def test_constant_is_what_only_the_loader_writes(
    address: int, type: int, constant: bool, tmp_path: pathlib.Path
) -> None:
    (slot,) = slots_of(tmp_path, Rel(address, type, 0, "puts" if type != files.RELATIVE else ""))
    assert slot.is_constant == constant
    assert slot.section == ("RELRO" if address == RELRO else "")


def test_a_slot_is_found_by_any_of_its_bytes(tmp_path: pathlib.Path) -> None:
    slots_of(tmp_path, Rel(DATA, files.RELATIVE, 1), Rel(RELRO, files.RELATIVE, 2))
    elf = open_elf(str(tmp_path / "file"))
    assert list(by_address(elf)[0]) == [RELRO, DATA]
    for address, addend in ((RELRO, 2), (RELRO + 7, 2), (DATA + 3, 1)):
        slot = slot_at(elf, address)
        assert slot is not None and slot.addend == addend
    assert slot_at(elf, RELRO - 1) is None and slot_at(elf, RELRO + 8) is None and slot_at(elf, DATA + 8) is None


def test_slots_are_found_by_what_they_are_to_point_at(tmp_path: pathlib.Path) -> None:
    slots_of(
        tmp_path,
        Rel(RELRO, files.RELATIVE, CODE + 0x100),
        Rel(RELRO + 8, files.SYMBOL, 0, "own"),
        Rel(RELRO + 16, files.SYMBOL, 4, "own"),
        Rel(RELRO + 24, files.GLOB_DAT, 0, "puts"),
        Rel(RELRO + 32, files.IRELATIVE, CODE + 0x100),
    )
    elf = open_elf(str(tmp_path / "file"))
    assert [slot.address for slot in slots_towards(elf, CODE + 0x100)] == [RELRO, RELRO + 8]
    assert [slot.address for slot in slots_towards(elf, CODE + 0x104)] == [RELRO + 16]
    assert not slots_towards(elf, CODE)
    assert [link_target(slot) for slot in planned_slots(elf)][3:] == [None, None]


def test_a_file_without_relocations_has_no_slots(tmp_path: pathlib.Path) -> None:
    assert slots_of(tmp_path) == []
    assert not has_slots(open_elf(str(tmp_path / "file")))


def test_a_symbol_index_outside_of_the_table_has_no_name(tmp_path: pathlib.Path) -> None:
    path = files.write(tmp_path / "file", [Rel(RELRO, files.GLOB_DAT, 0, "puts")], SYMBOLS)
    data = bytearray(pathlib.Path(path).read_bytes())
    place = data.index(struct.pack("<QQ", RELRO, 1 << 32 | files.GLOB_DAT))
    struct.pack_into("<Q", data, place + 8, 0x7FFFFFFF << 32 | files.GLOB_DAT)
    pathlib.Path(path).write_bytes(bytes(data))
    (slot,) = planned_slots(open_elf(path))
    assert slot.symbol.name == "" and slot.relocation == "GLOB_DAT"


@pytest.mark.parametrize("tag", [7, 23, 36])
@pytest.mark.parametrize("value", [0x900000, (1 << 64) - 8])
def test_a_table_outside_of_the_file_is_one_clear_error(tag: int, value: int, tmp_path: pathlib.Path) -> None:
    sizes = {7: 8, 23: 2, 36: 35}
    with pytest.raises(KdbgError, match="file"):
        slots_of(tmp_path, tags={tag: value, sizes[tag]: 0x48})


def test_a_slot_outside_of_the_file_is_listed_all_the_same(tmp_path: pathlib.Path) -> None:
    (slot,) = slots_of(tmp_path, Rel(0x99999000, files.RELATIVE, 1))
    assert (slot.address, slot.initial, slot.section) == (0x99999000, 0, "")


def test_versions_are_read_and_a_broken_table_of_them_costs_only_them(tmp_path: pathlib.Path) -> None:
    symbols = [Sym("f", CODE, version="V1"), Sym("f", CODE + 16, version="V2@"), Sym("g", CODE + 32)]
    table = open_elf(files.write(tmp_path / "good", (), symbols)).dynamic_symbols()
    assert [(s.version, s.is_default) for s in table.definitions(b"f")] == [("V1", False), ("V2", True)]
    assert [(s.version, s.is_default) for s in table.definitions(b"g")] == [("", True)]
    broken = open_elf(files.write(tmp_path / "bad", (), symbols, tags={0x6FFFFFFC: 1 << 40})).dynamic_symbols()
    assert [s.version for s in broken.definitions(b"f")] == ["", ""]
    assert list(table.names_at(CODE + 16)) == ["f"] and not table.names_at(CODE + 1)
