"""What makes words a vtable, on words that a test made up."""

from __future__ import annotations

from typing import Optional

import pytest
from fakes import FakeMemory

from gdb_kdbg.cpp_vtables import cpp_table, group_of
from gdb_kdbg.dynamic_symbols import NO_SYMBOL
from gdb_kdbg.elf import ElfFile
from gdb_kdbg.rust_vtables import rust_table
from gdb_kdbg.scope import Scope
from gdb_kdbg.slots import RELATIVE, PlannedSlot
from gdb_kdbg.symbol_table import ElfSymbol
from gdb_kdbg.target import Objfile
from gdb_kdbg.units import LinkAddress, Size
from gdb_kdbg.vtable_types import split_name
from gdb_kdbg.vtable_words import Cell, NotATable, Words
from gdb_kdbg.vtables import find_table

TABLE = 0x5000
DROP, FMT, NAME, OTHER = 0x1000, 0x1100, 0x1200, 0x1300
DROP_DOG = "_ZN4core3ptr32drop_in_place$LT$shapes..Dog$GT$17h15bc6cc27c2dcc84E"
DROP_FISH = "_ZN4core3ptr33drop_in_place$LT$shapes..Fish$GT$17h15bc6cc27c2dcc84E"
DOG_NAME = "_ZN45_$LT$shapes..Dog$u20$as$u20$shapes..Named$GT$4name17h0fa928d694687685E"
ANY = "_ZN36_$LT$T$u20$as$u20$core..any..Any$GT$7type_id17h0fa928d694687685E"


class MadeUpWords(Words):
    """Words as a test puts them: numbers, and pointers that a relocation fills; code is below 0x2000."""

    def __init__(self) -> None:
        super().__init__(Scope(()), FakeMemory())
        self.cells: dict[int, Cell] = {}
        self.functions: dict[int, tuple[str, ...]] = {}
        self.objects: list[ElfSymbol] = []
        self.middles: set[int] = set()
        self.strings: dict[int, bytes] = {}

    def put(self, address: int, *words: object) -> None:
        """Put numbers as they are and pointers in brackets: `put(a, [DROP], 24, 8)`."""
        for index, word in enumerate(words):
            place = address + 8 * index
            if isinstance(word, list):
                slot = PlannedSlot(
                    LinkAddress(place), ".data.rel.ro", "RELATIVE", RELATIVE, word[0], NO_SYMBOL, 0, True
                )
                self.cells[place] = Cell(place, word[0], slot, word[0])
            else:
                assert isinstance(word, int)
                self.cells[place] = Cell(place, word & (1 << 64) - 1, None, None)

    def symbol(self, name: str, address: int, size: int) -> None:
        self.objects.append(ElfSymbol(name, LinkAddress(address), Size(size), "OBJECT", 1))

    def holder(self, address: int) -> Optional[tuple[Objfile, ElfFile]]:
        return None

    def cell(self, address: int) -> Cell:
        return self.cells.get(address, Cell(address, None, None, None))

    def is_code(self, cell: Cell) -> bool:
        return cell.target is not None and 0x1000 <= cell.target < 0x2000

    def names_at(self, address: int) -> tuple[str, ...]:
        starts = tuple(symbol.name for symbol in self.objects if symbol.address == address)
        return self.functions.get(address, ()) + starts

    def starts_function(self, cell: Cell) -> Optional[bool]:
        return False if cell.target in self.middles else None

    def symbol_over(self, address: int) -> Optional[tuple[ElfSymbol, int]]:
        found = (s for s in self.objects if s.address <= address < s.address + s.size)
        return next(((symbol, address - symbol.address) for symbol in found), None)

    def text(self, address: int, limit: int) -> bytes:
        return self.strings.get(address, b"")[:limit]


@pytest.fixture
def words() -> MadeUpWords:
    made = MadeUpWords()
    made.functions = {DROP: (DROP_DOG,), NAME: (DOG_NAME,)}
    return made


def test_a_header_and_methods_are_a_table(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8, [NAME], [FMT], 0)
    found = rust_table(words, TABLE)
    assert found.names == ("drop_in_place", "size", "align", "method3", "method4")
    assert (found.type, found.trait) == ("shapes::Dog", "shapes::Named")


def test_a_type_with_nothing_to_drop_has_a_zero_there(words: MadeUpWords) -> None:
    words.put(TABLE, 0, 0, 1, [NAME], 0x77)
    assert rust_table(words, TABLE).type == "shapes::Dog"


@pytest.mark.parametrize(
    "header",
    [
        ([DROP], 24, 0),
        ([DROP], 24, 3),
        ([DROP], 20, 8),
        ([DROP], 24, 1 << 30),
        ([DROP], 1 << 47, 8),
        ([DROP], [FMT], 8),
        ([DROP], 24, [FMT]),
        ([0x5100], 24, 8),
        (1, 24, 8),
    ],
)
def test_what_is_no_header_is_no_table(words: MadeUpWords, header: tuple[object, ...]) -> None:
    words.put(TABLE, *header, [NAME], 0x77)
    with pytest.raises(NotATable):
        rust_table(words, TABLE, trusted=True)


def test_an_address_that_is_not_aligned_or_not_mapped_is_no_table(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8)
    for address in (TABLE + 4, TABLE + 8, 0x9000):
        with pytest.raises(NotATable):
            rust_table(words, address)


def test_the_next_table_ends_the_methods(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8, [NAME], [DROP], 24, 8, [FMT], 0x77)
    assert len(rust_table(words, TABLE).names) == 4


def test_the_last_method_before_a_table_that_drops_nothing_begins_none(words: MadeUpWords) -> None:
    # Method, 0, size 8 looks like a header with size 0 and alignment 8.
    words.functions = {DROP: (DROP_DOG,)}
    words.put(TABLE, [DROP], 24, 8, [FMT], 0, 8, 8, [OTHER], 0x77)
    assert len(rust_table(words, TABLE).names) == 4
    with pytest.raises(NotATable):
        rust_table(words, TABLE + 24)


def test_a_first_function_that_drops_nothing_is_no_table(words: MadeUpWords) -> None:
    words.functions[FMT] = ("handle_interrupt",)
    words.put(TABLE, [FMT], 24, 8, [NAME], 0x77)
    with pytest.raises(NotATable, match="handle_interrupt, which drops nothing"):
        rust_table(words, TABLE)


def test_a_pointer_into_a_function_is_no_method(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8, [NAME], 0x77)
    words.middles = {NAME}
    with pytest.raises(NotATable, match="middle of a function"):
        rust_table(words, TABLE)


def test_a_table_of_c_functions_is_no_rust_table(words: MadeUpWords) -> None:
    words.functions[FMT] = ("read_block",)
    words.put(TABLE, 0, 512, 512, [FMT], 0x77)
    with pytest.raises(NotATable, match="no"):
        rust_table(words, TABLE)


def test_without_names_somebody_has_to_know(words: MadeUpWords) -> None:
    words.functions = {}
    words.put(TABLE, [DROP], 24, 8, [FMT], 0x77)
    with pytest.raises(NotATable, match="written in Rust"):
        rust_table(words, TABLE)
    assert len(rust_table(words, TABLE, trusted=True).names) == 4


def test_a_variable_is_no_table(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8, [NAME], 0x77)
    words.symbol("statistics", TABLE - 8, 64)
    with pytest.raises(NotATable, match="part of statistics"):
        rust_table(words, TABLE)


def test_a_further_supertrait_has_a_table_of_its_own(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8, [NAME], [TABLE + 0x100], [FMT], 0x77)
    words.put(TABLE + 0x100, [DROP], 24, 8, [OTHER], 0x77)
    names = rust_table(words, TABLE).names
    assert names[3:] == ("method3", "super_trait_ptr4", "method5")


def test_a_pointer_to_another_type_s_table_is_no_supertrait(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8, [NAME], [TABLE + 0x100], [FMT], 0x77)
    words.put(TABLE + 0x100, [DROP], 16, 8, [OTHER], 0x77)
    assert rust_table(words, TABLE).names[3:] == ("method3",)


@pytest.mark.parametrize("method", [NAME, FMT])
def test_merged_functions_leave_the_type_open(words: MadeUpWords, method: int) -> None:
    words.functions[DROP] = (DROP_FISH,)
    words.put(TABLE, [DROP], 24, 8, [method], 0x77)
    found = rust_table(words, TABLE)
    assert (found.type, found.type_from) == ("", "")
    assert "of type shapes::Fish, or of one that is dropped by the same code" in found.notes


def test_a_parameter_s_name_is_no_type(words: MadeUpWords) -> None:
    words.functions = {NAME: (ANY,)}
    words.put(TABLE, 0, 8, 8, [NAME], 0x77)
    found = rust_table(words, TABLE)
    assert (found.type, found.trait, found.type_from) == ("", "", "")


def test_hostile_memory_ends(words: MadeUpWords) -> None:
    words.put(TABLE, [DROP], 24, 8, *([NAME] for _ in range(5000)))
    assert len(rust_table(words, TABLE).names) <= 512


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a::Dog as a::Pet", ("a::Dog", "a::Pet")),
        ("<a::B as a::C>::D as a::Pet<(u8, u16)>", ("<a::B as a::C>::D", "a::Pet<(u8, u16)>")),
        ("fn(u8) -> u8 as core::ops::Fn<(u8,)>", ("fn(u8) -> u8", "core::ops::Fn<(u8,)>")),
        ("[u8; 4] as a::Pet", ("[u8; 4]", "a::Pet")),
        ("a::Dog", ("a::Dog", "")),
    ],
)
def test_type_and_trait_are_told_apart(text: str, parts: tuple[str, str]) -> None:
    assert split_name(text) == parts


INFO, STRING = 0x6000, 0x7000


@pytest.fixture
def classes() -> MadeUpWords:
    """A class `Horse` with a base at 16, without symbols: group at TABLE, type_info at INFO."""
    made = MadeUpWords()
    made.put(TABLE, 0, [INFO], [FMT], [NAME], -16, [INFO], [OTHER], 0x77)
    made.put(INFO, [0x6210], [STRING])
    made.put(0x6208, [0x6300])
    made.put(0x6300, [0x6210], [STRING + 0x100])
    made.strings = {STRING: b"5Horse", STRING + 0x100: b"N10__cxxabiv120__si_class_type_infoE"}
    return made


def test_the_type_info_names_the_class(classes: MadeUpWords) -> None:
    found = cpp_table(classes, TABLE + 16)
    assert (found.type, found.type_from, found.offset_to_top) == ("Horse", "RTTI", 0)
    assert [i for i in found.names if i >= 0] == [0, 1]


def test_a_base_s_table_is_a_table_too(classes: MadeUpWords) -> None:
    found = cpp_table(classes, TABLE + 48)
    assert (found.type, found.offset_to_top) == ("Horse", -16)


def test_the_symbol_leads_to_the_first_table_and_its_group(classes: MadeUpWords) -> None:
    classes.symbol("_ZTV5Horse", TABLE, 56)
    found = cpp_table(classes, TABLE)
    assert found.address == TABLE + 16
    assert [table.address for table in group_of(classes, found)] == [TABLE + 48]


def test_other_places_of_the_group_are_no_table(classes: MadeUpWords) -> None:
    for address in (TABLE, TABLE + 8, TABLE + 24, TABLE + 32, TABLE + 40, INFO, INFO + 8, 0x9000, TABLE + 17):
        with pytest.raises(NotATable):
            cpp_table(classes, address)


def test_a_pointer_to_anything_else_is_no_type_info(classes: MadeUpWords) -> None:
    classes.strings[STRING + 0x100] = b"5Mouse"
    with pytest.raises(NotATable, match="no type_info"):
        cpp_table(classes, TABLE + 16)


@pytest.mark.parametrize("top", [3, 1 << 40, [INFO], -12])
def test_an_offset_to_top_is_a_small_number(classes: MadeUpWords, top: object) -> None:
    classes.put(TABLE, top)
    with pytest.raises(NotATable, match="offset-to-top"):
        cpp_table(classes, TABLE + 16)


def test_without_rtti_only_a_symbol_vouches(classes: MadeUpWords) -> None:
    classes.put(TABLE, 0, 0, [FMT], [NAME], -16, 0, [OTHER], 0x77)
    with pytest.raises(NotATable, match="without RTTI"):
        cpp_table(classes, TABLE + 16)
    assert cpp_table(classes, TABLE + 16, trusted=True).type == ""
    classes.symbol("_ZTV5Horse", TABLE, 56)
    found = cpp_table(classes, TABLE + 16)
    assert (found.type, found.type_from) == ("Horse", "symbol")
    assert [table.address for table in group_of(classes, found)] == [TABLE + 48]


def test_a_table_that_is_not_copied_yet_is_no_table_without_rtti(classes: MadeUpWords) -> None:
    classes.put(TABLE, 0, 0, 0, 0, 0, 0, 0)
    classes.symbol("_ZTVSt9exception@GLIBCXX_3.4", TABLE, 56)
    with pytest.raises(NotATable, match="all 0"):
        cpp_table(classes, TABLE)


def test_base_pointers_of_a_type_info_make_no_table(classes: MadeUpWords) -> None:
    # A class with several bases: vptr, name, flags and count, then pairs of base and flags, which may be 0.
    classes.put(INFO + 0x80, [0x6210], [STRING], 0x2_0000_0000, [INFO], 0, [INFO], 2, 0x77)
    for index in range(8):
        with pytest.raises(NotATable):
            cpp_table(classes, INFO + 0x80 + 8 * index)


def test_an_address_that_is_neither_says_why_not(classes: MadeUpWords) -> None:
    with pytest.raises(NotATable, match=r"Rust: .*; C\+\+: |C\+\+: .*; Rust: "):
        find_table(classes, STRING)


def test_a_kind_that_is_given_is_the_only_one_tried(classes: MadeUpWords) -> None:
    with pytest.raises(NotATable) as error:
        find_table(classes, TABLE + 16, "rust")
    assert "C++" not in str(error.value)


def test_a_hostile_class_name_is_shown_escaped(classes: MadeUpWords) -> None:
    classes.strings[STRING] = b"5\x1b[31m"
    with pytest.raises(NotATable):
        cpp_table(classes, TABLE + 16)
