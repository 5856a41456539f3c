"""symbol_table.py and symbols.py: names and places, of one file and of several with load biases."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Optional

import pytest
from elf_builder import ALLOC, LOAD, NOBITS, PROGBITS, TLS, Builder, Sym
from hypothesis import given, settings
from hypothesis import strategies as st

from gdb_kdbg.elf import open_elf
from gdb_kdbg.errors import BadFile
from gdb_kdbg.intervals import Intervals
from gdb_kdbg.symbol_table import Area, RawSymbols, SymbolTable
from gdb_kdbg.symbols import Symbols
from gdb_kdbg.target import Objfile

TEXT, DATA = Area(0x1000, 0x2000, 1), Area(0x2000, 0x3000, 2)


def table_of(*symbols: Sym, areas: tuple[Area, ...] = (TEXT, DATA), versions: bytes = b"") -> SymbolTable:
    strings, entries = b"\0", bytes(24)
    for symbol in symbols:
        entries += symbol.pack(len(strings))
        strings += symbol.name.encode() + b"\0"
    return SymbolTable(RawSymbols(entries, strings, versions, 64, "<"), areas)


def name_at(table: SymbolTable, address: int) -> Optional[str]:
    found = table.at(address)
    return found.name if found else None


def name_near(table: SymbolTable, address: int) -> Optional[str]:
    found = table.nearest(address)
    return found.name if found else None


def test_a_sized_function_beats_the_labels_in_it() -> None:
    table = table_of(Sym("copy", 0x1000, 0x40), Sym("byte_copy", 0x1020, kind=0, binding=0))
    assert name_at(table, 0x1024) == "copy"
    assert name_near(table, 0x1024) == "byte_copy"
    assert name_near(table, 0x101F) == "copy"


def test_unsized_code_is_named_by_the_nearest_label() -> None:
    table = table_of(Sym("entry", 0x1000, kind=0), Sym("loop", 0x1010, kind=0), Sym("sized", 0x1100, 16))
    assert name_at(table, 0x10FF) == "loop"
    assert name_at(table, 0x1110) is None, "behind a function whose end is known"
    assert name_near(table, 0x1110) == "sized"


def test_the_innermost_of_nested_functions() -> None:
    table = table_of(Sym("outer", 0x1000, 0x100), Sym("inner", 0x1040, 0x10))
    assert [name_at(table, a) for a in (0x103F, 0x1040, 0x104F, 0x1050)] == ["outer", "inner", "inner", "outer"]


def test_a_sized_label_names_only_what_no_function_covers() -> None:
    table = table_of(Sym("area", 0x1000, 0x100, kind=0), Sym("function", 0x1010, 0x10))
    assert [name_at(table, a) for a in (0x1008, 0x1018, 0x1020)] == ["area", "function", "area"]


def test_sections_are_not_crossed() -> None:
    end = Sym("code_end", 0x2000, kind=0)
    table = table_of(Sym("last_code", 0x1F00, kind=0), end, Sym("ring", 0x2010, 0, 1, section=2))
    assert name_at(table, 0x1FFF) == "last_code"
    assert name_at(table, 0x2008) is None, "code_end belongs to the section before"
    assert name_at(table, 0x2011) == "ring"
    assert name_at(table, 0x3000) is None
    assert table.next_after(0x1F00) == 0x2000
    assert table.next_after(0x2010) == 0x3000
    assert table.next_after(0x4000) is None


def test_what_is_not_an_address_is_found_by_name_only() -> None:
    undefined = Sym("undefined", 0, section=0)
    table = table_of(Sym("tls", 0x1000, 8, kind=6), Sym("absolute", 0x1000, section=0xFFF1), undefined)
    assert name_near(table, 0x1004) is None
    tls, absolute = table.by_name("tls"), table.by_name("absolute")
    assert tls is not None and tls.kind == "TLS"
    assert absolute is not None and absolute.section_index == 0xFFF1
    assert table.by_name("undefined") is None


def test_global_names_win_and_then_the_default_version() -> None:
    table = table_of(Sym("name", 0x1000, 8, binding=0), Sym("name", 0x1100, 8), Sym("name", 0x1200, 8, binding=2))
    found = table.by_name("name")
    assert found is not None and found.address == 0x1100
    versions = b"\0\0" + (0x8002).to_bytes(2, "little") + (3).to_bytes(2, "little")
    table = table_of(Sym("memcpy", 0x1000, 8), Sym("memcpy", 0x1100, 8), versions=versions)
    found = table.by_name("memcpy")
    assert found is not None and found.address == 0x1100


def test_the_default_version_is_no_part_of_a_name() -> None:
    table = table_of(Sym("create@@V_2", 0x1000, 8), Sym("create@V_1", 0x1100, 8))
    found = table.by_name("create")
    assert found is not None and (found.name, found.address) == ("create", 0x1000)
    assert table.by_name("create@V_1") is not None


def test_prefix_and_order() -> None:
    table = table_of(Sym("ring_b", 0x1200), Sym("ring_a", 0x1100), Sym("other", 0x1000))
    assert [s.name for s in table.by_prefix("ring")] == ["ring_b", "ring_a"][::-1]
    assert [s.address for s in table] == [0x1000, 0x1100, 0x1200]
    assert sorted(table.names()) == ["other", "ring_a", "ring_b"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=60), st.integers(0, 300))
def test_intervals_against_a_plain_search(pairs: list[tuple[int, int]], address: int) -> None:
    ordered = sorted((start, start + size) for start, size in pairs)
    intervals = Intervals([p[0] for p in ordered], [p[1] for p in ordered])
    expected = [i for i, (start, end) in enumerate(ordered) if start <= address < end]
    assert list(intervals.covering(address)) == expected[::-1]


class Counting(list[int]):
    """Ends of intervals that count how often one is looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)


def test_one_interval_around_many_costs_no_search_through_all() -> None:
    starts = list(range(0, 2_000_000, 10))
    ends = Counting([1 << 40, *(start + 5 for start in starts)])
    intervals = Intervals([0, *starts], ends)
    places = range(1_000_007, 1_990_007, 1000)
    assert all(intervals.innermost(place) == 0 for place in places)
    assert ends.looks < 5000 * len(places)  # up to 200,000 start before each place


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0x1000, 0x1080), st.integers(1, 40)), max_size=20), st.integers(0x1000, 0x10C0))
def test_at_against_a_plain_search(places: list[tuple[int, int]], address: int) -> None:
    table = table_of(*(Sym(f"f{i}", start, size) for i, (start, size) in enumerate(places)))
    covering = [start for start, size in places if start <= address < start + size]
    found = table.at(address)
    assert (found.address if found else None) == max(covering, default=None)


def library(folder: Path, name: str, *symbols: Sym) -> str:
    builder = Builder(type=3)
    builder.segment(LOAD, 0x1000, bytes(0x1000), memory_size=0x2000)
    builder.section(".text", PROGBITS, 0x1000, bytes(0x1000))
    builder.section(".tbss", NOBITS, 0x2000, b"", ALLOC | TLS, size=64)
    builder.section(".bss", NOBITS, 0x2000, b"", size=0x1000)
    builder.symbols(list(symbols))
    path = folder / name
    path.write_bytes(builder.build())
    return str(path)


@pytest.fixture
def loaded(tmp_path: Path) -> Symbols:
    ring = [Sym("ring", 0x2100, 0, 1, section=3), Sym("ring_end", 0x2200, 0, 0, section=3)]
    one = library(tmp_path, "one", Sym("main", 0x1000, 64), *ring)
    counter = Sym("counter", 8, 8, kind=6, section=2)
    two = library(tmp_path, "two", Sym("helper", 0x1000, 64), Sym("main", 0x1100, 8), counter)
    return Symbols([Objfile(one, 0x10000), Objfile(two, 0x7F0000000000), Objfile(str(tmp_path / "gone"), 0)])


def test_runtime_addresses(loaded: Symbols) -> None:
    ring = loaded.symbol("ring")
    assert ring is not None
    assert (ring.address, ring.size, ring.limit) == (0x12100, 0, 0x12200)
    main = loaded.symbol("main")
    assert main is not None and main.objfile.endswith("one"), "the first objfile that has it"
    assert loaded.symbol("counter") is None, "thread-local: an offset, not an address"


def test_the_objfile_is_found_by_its_segments(loaded: Symbols) -> None:
    found = loaded.at(0x7F0000001010)
    assert found is not None
    assert (found[0].name, found[0].address, found[1]) == ("helper", 0x7F0000001000, 0x10)
    near = loaded.nearest(0x12180)
    assert near is not None and near.name == "ring"
    assert loaded.at(0x1010) is None
    assert loaded.nearest(0x13000) is None


def test_an_unreadable_objfile_is_a_problem_not_an_error(loaded: Symbols) -> None:
    assert len(loaded.files) == 2
    assert len(loaded.problems) == 1 and "gone" in loaded.problems[0]


def test_suggestions(loaded: Symbols) -> None:
    assert loaded.suggest("helpr") == ["helper"]
    assert "ring" in loaded.suggest("rnig")
    assert loaded.suggest("entirely_different") == []
    assert loaded.suggest("") == []


def test_opening_is_cached(tmp_path: Path) -> None:
    path = library(tmp_path, "x", Sym("f", 0x1000))
    assert open_elf(path).symbol_table() is open_elf(path).symbol_table()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0x1000, 0x1080), st.integers(0, 40), st.sampled_from([0, 1, 2])), max_size=20),
    st.lists(st.integers(0xFF0, 0x10C0), max_size=20),
)
def test_the_quick_way_to_a_name_agrees(places: list[tuple[int, int, int]], addresses: list[int]) -> None:
    table = table_of(*(Sym(f"f{i}", start, size, kind) for i, (start, size, kind) in enumerate(places)))
    for address in addresses:
        found = table.at(address)
        assert table.name_at(address) == (found and (found.name, address - found.address))


def test_the_quick_way_through_objfiles(loaded: Symbols) -> None:
    found = loaded.name_at(0x7F0000001010)
    assert found is not None
    assert (found[0], found[1]) == ("helper", 0x10) and found[2].load_bias == 0x7F0000000000
    assert loaded.name_at(0x1010) is None


def test_all_symbols_of_a_place_and_all_of_a_name() -> None:
    table = table_of(Sym("weak", 0x1000, 8, binding=2), Sym("strong", 0x1000, 8), Sym("strong", 0x1100, 8, binding=0))
    assert [s.name for s in table.starting_at(0x1000)] == ["weak", "strong"]
    assert table.starting_at(0x1001) == ()
    assert [s.address for s in table.matching(b"strong".__eq__)] == [0x1000, 0x1100]


def test_32_bit_and_big_endian_tables_read_alike() -> None:
    strings = b"\0one\0two\0"
    rows = [(1, 0x1000, 8, 0x12), (5, 0x1010, 4, 0x11)]
    for bits, order in ((32, "<"), (32, ">"), (64, "<"), (64, ">")):
        entries = bytes(24 if bits == 64 else 16)
        for name, address, size, info in rows:
            fields = (name, info, 0, 1, address, size) if bits == 64 else (name, address, size, info, 0, 1)
            entries += struct.pack(order + ("IBBHQQ" if bits == 64 else "IIIBBH"), *fields)
        table = SymbolTable(RawSymbols(entries + b"cut", strings, b"", bits, order), [TEXT])
        assert [(s.name, s.address, s.size, s.kind) for s in table] == [
            ("one", 0x1000, 8, "FUNC"),
            ("two", 0x1010, 4, "OBJECT"),
        ]


def test_names_that_share_one_long_tail_are_bounded() -> None:
    strings = b"\0" + b"a" * 100_000 + b"\0"
    entries = bytes(24) + b"".join(struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x1000 + i, 0) for i in range(2000))
    table = SymbolTable(RawSymbols(entries, strings, b"", 64, "<"), [TEXT])
    with pytest.raises(BadFile, match="unfold to more than"):
        list(table.matching(lambda name: False))
    with pytest.raises(BadFile, match="unfold to more than"):
        table.by_name("x")


def test_a_size_beyond_the_address_space_ends_there() -> None:
    table = table_of(Sym("huge", 0x1000, (1 << 64) - 1), Sym("small", 0x1100, 8))
    assert [name_at(table, a) for a in (0x1050, 0x1104, 0x1FFF)] == ["huge", "small", "huge"]
