"""The verdict on every kind of slot by its value: the states it goes through, and what nobody can tell."""

from __future__ import annotations

import pathlib
from typing import Any, Mapping, Optional, Sequence

import dynamic_files as files
import pytest
from dynamic_files import CODE, DATA, RELRO, Rel, Sym

from gdb_kdbg.elf import open_elf
from gdb_kdbg.ranges import Range
from gdb_kdbg.relocation_counts import is_relocated, relative_counts, resolver_counts, symbol_counts
from gdb_kdbg.relocations import (
    ELSEWHERE,
    LAZY,
    ORDER_NOTE,
    RESOLVED,
    UNDECIDABLE,
    UNRELOCATED,
    WEAK_NOTE,
    Judge,
    Verdict,
    counts_of,
)
from gdb_kdbg.scope import Scope
from gdb_kdbg.slots import PlannedSlot, planned_slots
from gdb_kdbg.target import Objfile
from gdb_kdbg.units import Address, Size

PROGRAM, LIBRARY, OTHER = 0x555555554000, 0x7FFFF7D00000, 0x7FFFF7E00000
VDSO = 0x7FFFF7FC0000
PLT = CODE + 0x806
PUTS, SYSTEM, RESOLVER, IMPLEMENTATION, STRLEN = (CODE + offset for offset in (0x100, 0x200, 0x300, 0x400, 0x500))
MASK = (1 << 64) - 1

PROGRAM_SYMBOLS = [
    Sym("puts", version="V2"),
    Sym("absent", binding=files.WEAK),
    Sym("missing"),
    Sym("memcpy"),
    Sym("own", CODE + 0x10),
    Sym("hidden", CODE + 0x20, binding=files.LOCAL),
    Sym("tls_own", 8, files.TLS),
    Sym("tls_other", 0, files.TLS, section=0),
    Sym("number", section=0),
    Sym("plt_of", CODE + 0x30, section=0),
    Sym("weak_here", binding=files.WEAK),
    Sym("system"),
]
LIBRARY_SYMBOLS = [
    Sym("puts", PUTS, version="V2@"),
    Sym("puts", PUTS + 0x40, version="V1"),
    Sym("system", SYSTEM, size=64),
    Sym("memcpy", RESOLVER, files.IFUNC),
    Sym("memmove", IMPLEMENTATION + 0x80, files.FUNC),
    Sym("number", 0x4321, files.NOTYPE, section=files.ABSOLUTE),
    Sym("plt_of", CODE + 0x700),
    Sym("tls_other", 0x18, files.TLS),
    Sym("weak_here", CODE + 0x740, binding=files.WEAK),
]


def scope_of(directory: pathlib.Path, *relocations: Rel, bias: int = PROGRAM, **more: object) -> Scope:
    """A program with these relocations, a library, and one more that interposes `own` only."""
    program = files.write(directory / "program", relocations, PROGRAM_SYMBOLS, **more)  # type: ignore[arg-type]
    library = files.write(directory / "library", (), LIBRARY_SYMBOLS)
    other = files.write(directory / "other", (), [Sym("own", CODE + 0x600), Sym("system", CODE + 0x640)])
    objfiles = [Objfile(program, bias), Objfile(library, LIBRARY), Objfile(other, OTHER)]
    return Scope(objfiles, Range(Address(VDSO), Size(0x2000)))


def verdict_of(
    directory: pathlib.Path,
    relocation: Rel,
    value: Optional[int],
    is_relocated: Optional[bool] = True,
    bias: int = PROGRAM,
    **more: object,
) -> Verdict:
    scope = scope_of(directory, relocation, bias=bias, **more)
    objfile, elf = scope.files[0]
    (slot,) = planned_slots(elf)
    return Judge(scope, objfile, elf, is_relocated).verdict(slot, value)


RELATIVE_CASES = [
    # place, word in the file, value, is the file relocated, verdict
    (RELRO, CODE, PROGRAM + CODE, True, RESOLVED),
    (RELRO, 0, PROGRAM + CODE, None, RESOLVED),
    (RELRO, CODE, CODE, False, UNRELOCATED),
    (RELRO, 0, 0, False, UNRELOCATED),
    (RELRO, 0, CODE, None, UNRELOCATED),
    (RELRO, 0, 0, True, UNRELOCATED),
    (RELRO, CODE, 0, True, ELSEWHERE),
    (RELRO, CODE, 0, None, UNRELOCATED),
    (RELRO, CODE, PROGRAM + CODE + 1, True, ELSEWHERE),
    (RELRO, CODE, LIBRARY + SYSTEM, True, ELSEWHERE),
    (DATA, CODE, PROGRAM + CODE, True, RESOLVED),
    (DATA, CODE, CODE, False, UNRELOCATED),
    (DATA, CODE, CODE, None, UNRELOCATED),
    (DATA, CODE, CODE, True, UNDECIDABLE),
    (DATA, CODE, 0, True, UNDECIDABLE),
    (DATA, 0, 0, None, UNDECIDABLE),
    (DATA, 0, 0, False, UNRELOCATED),
    (DATA, CODE, LIBRARY + SYSTEM, True, UNDECIDABLE),
    (DATA, CODE, 0x4141414141414141, None, UNDECIDABLE),
]


@pytest.mark.parametrize(("place", "word", "value", "relocated", "status"), RELATIVE_CASES)
def test_a_relative_slot(
    place: int, word: int, value: int, relocated: Optional[bool], status: str, tmp_path: pathlib.Path
) -> None:
    slot = Rel(place, files.RELATIVE, CODE)
    found = verdict_of(tmp_path, slot, value, relocated, words={place: word})
    assert (found.status, found.expected) == (status, PROGRAM + CODE)
    assert ("changed" in found.note) == (status == UNDECIDABLE)


def test_with_a_load_bias_of_0_a_relative_slot_is_right_from_the_start(tmp_path: pathlib.Path) -> None:
    found = verdict_of(tmp_path, Rel(RELRO, files.RELATIVE, CODE), CODE, None, bias=0, words={RELRO: CODE})
    assert (found.status, found.note) == (RESOLVED, "the load bias is 0")


def test_a_file_below_where_it_was_linked_to(tmp_path: pathlib.Path) -> None:
    found = verdict_of(tmp_path, Rel(RELRO, files.RELATIVE, 0x1FFF), 0xFFF, bias=-0x1000)
    assert (found.status, found.expected) == (RESOLVED, 0xFFF)


SYMBOL_CASES = [
    # type, symbol, addend, place, value, is the file relocated, verdict, expected value
    (files.GLOB_DAT, "puts", 0, RELRO, LIBRARY + PUTS, True, RESOLVED, LIBRARY + PUTS),
    (files.SYMBOL, "puts", 8, RELRO, LIBRARY + PUTS + 8, True, RESOLVED, LIBRARY + PUTS + 8),
    (files.GLOB_DAT, "puts", 0, RELRO, LIBRARY + PUTS + 0x40, True, RESOLVED, LIBRARY + PUTS + 0x40),
    (files.GLOB_DAT, "puts", 0, RELRO, LIBRARY + SYSTEM, True, ELSEWHERE, LIBRARY + PUTS),
    (files.GLOB_DAT, "puts", 0, RELRO, LIBRARY + PUTS + 4, True, ELSEWHERE, LIBRARY + PUTS),
    (files.GLOB_DAT, "puts", 0, RELRO, 0, False, UNRELOCATED, LIBRARY + PUTS),
    (files.GLOB_DAT, "puts", 0, RELRO, 0, True, UNRELOCATED, LIBRARY + PUTS),
    (files.SYMBOL, "puts", 8, RELRO, 8, None, UNRELOCATED, LIBRARY + PUTS + 8),
    (files.SYMBOL, "puts", 0, DATA, 0, False, UNRELOCATED, LIBRARY + PUTS),
    (files.SYMBOL, "puts", 0, DATA, 0, True, UNDECIDABLE, LIBRARY + PUTS),
    (files.SYMBOL, "puts", 0, DATA, LIBRARY + SYSTEM, True, UNDECIDABLE, LIBRARY + PUTS),
    (files.GLOB_DAT, "absent", 0, RELRO, 0, True, RESOLVED, 0),
    (files.GLOB_DAT, "absent", 0, RELRO, 0, None, UNDECIDABLE, None),
    (files.GLOB_DAT, "absent", 0, RELRO, 0, False, UNDECIDABLE, None),
    (files.GLOB_DAT, "weak_here", 0, RELRO, 0, False, UNRELOCATED, LIBRARY + CODE + 0x740),
    (files.GLOB_DAT, "weak_here", 0, RELRO, 0, True, UNDECIDABLE, LIBRARY + CODE + 0x740),
    (files.GLOB_DAT, "weak_here", 0, RELRO, LIBRARY + CODE + 0x740, True, RESOLVED, LIBRARY + CODE + 0x740),
    (files.GLOB_DAT, "missing", 0, RELRO, 0, False, UNRELOCATED, None),
    (files.GLOB_DAT, "missing", 0, RELRO, LIBRARY + SYSTEM, True, UNDECIDABLE, None),
    (files.GLOB_DAT, "own", 0, RELRO, PROGRAM + CODE + 0x10, True, RESOLVED, PROGRAM + CODE + 0x10),
    (files.GLOB_DAT, "own", 0, RELRO, OTHER + CODE + 0x600, True, RESOLVED, OTHER + CODE + 0x600),
    (files.GLOB_DAT, "own", 0, RELRO, LIBRARY + SYSTEM, True, ELSEWHERE, PROGRAM + CODE + 0x10),
    (files.GLOB_DAT, "number", 0, RELRO, 0x4321, True, RESOLVED, 0x4321),
    (files.GLOB_DAT, "number", 0, RELRO, LIBRARY + 0x4321, True, ELSEWHERE, 0x4321),
    (files.SYMBOL, "hidden", 0, RELRO, PROGRAM + CODE + 0x20, True, RESOLVED, PROGRAM + CODE + 0x20),
    (files.SYMBOL, "hidden", 0, RELRO, 0, False, UNRELOCATED, PROGRAM + CODE + 0x20),
    (files.SYMBOL, "hidden", 0, RELRO, LIBRARY + SYSTEM, True, ELSEWHERE, PROGRAM + CODE + 0x20),
    (files.SYMBOL, "plt_of", 0, RELRO, PROGRAM + CODE + 0x30, True, RESOLVED, PROGRAM + CODE + 0x30),
    (files.SYMBOL, "plt_of", 0, RELRO, 0, False, UNRELOCATED, PROGRAM + CODE + 0x30),
    (files.JUMP_SLOT, "plt_of", 0, RELRO, 0, False, UNRELOCATED, LIBRARY + CODE + 0x700),
]


@pytest.mark.parametrize(
    ("type", "symbol", "addend", "place", "value", "relocated", "status", "expected"), SYMBOL_CASES
)
def test_a_slot_of_a_symbol(
    type: int,
    symbol: str,
    addend: int,
    place: int,
    value: int,
    relocated: Optional[bool],
    status: str,
    expected: Optional[int],
    tmp_path: pathlib.Path,
) -> None:
    found = verdict_of(tmp_path, Rel(place, type, addend, symbol), value, relocated)
    assert (found.status, found.expected) == (status, expected)


@pytest.mark.parametrize("told", [True, None, False])
def test_a_weak_symbol_of_a_program_that_loads_no_other_file_is_right_with_0(
    told: Optional[bool], tmp_path: pathlib.Path
) -> None:
    path = files.write(tmp_path / "program", [Rel(RELRO, files.GLOB_DAT, 0, "absent")], PROGRAM_SYMBOLS)
    scope = Scope([Objfile(path, PROGRAM)])
    objfile, elf = scope.files[0]
    assert Judge(scope, objfile, elf, told).verdict(planned_slots(elf)[0], 0) == (RESOLVED, 0, WEAK_NOTE)


@pytest.mark.parametrize("more", [{"interpreter": "/lib64/ld.so"}, {"tags": {1: 1}}], ids=["interpreter", "needed"])
def test_to_another_program_a_definition_may_be_yet_to_come(more: Any, tmp_path: pathlib.Path) -> None:
    path = files.write(tmp_path / "program", [Rel(RELRO, files.GLOB_DAT, 0, "absent")], PROGRAM_SYMBOLS, **more)
    scope = Scope([Objfile(path, PROGRAM)])
    objfile, elf = scope.files[0]
    assert Judge(scope, objfile, elf, False).verdict(planned_slots(elf)[0], 0).status == UNDECIDABLE


def test_another_definition_than_the_first_is_told(tmp_path: pathlib.Path) -> None:
    first, second, own = LIBRARY + SYSTEM, OTHER + CODE + 0x640, PROGRAM + CODE + 0x10
    scope = scope_of(tmp_path, Rel(RELRO, files.GLOB_DAT, 0, "own"), Rel(RELRO + 8, files.GLOB_DAT, 0, "system"))
    objfile, elf = scope.files[0]
    judge = Judge(scope, objfile, elf, True)
    of_own, of_system = planned_slots(elf)
    for slot, value, note in (
        (of_own, own, ""),
        (of_own, OTHER + CODE + 0x600, ORDER_NOTE),
        (of_system, first, ""),
        (of_system, second, ORDER_NOTE),
    ):
        assert judge.verdict(slot, value) == (RESOLVED, value, note)


def test_what_the_dynamic_linker_offers_is_found_last(tmp_path: pathlib.Path) -> None:
    symbols = [Sym("shared", CODE)]
    paths = [files.write(tmp_path / name, (), symbols) for name in ("ld.so", "libc.so")]
    program = files.write(tmp_path / "program", interpreter="/lib64/ld.so")
    objfiles = [Objfile(path, bias) for path, bias in zip([program, *paths], (PROGRAM, OTHER, LIBRARY))]
    assert [d.address for d in Scope(objfiles).definitions("shared")] == [LIBRARY + CODE, OTHER + CODE]
    static = files.write(tmp_path / "program", tags={30: 0})
    objfiles[0] = Objfile(static, PROGRAM)
    assert [d.address for d in Scope(objfiles).definitions("shared")] == [OTHER + CODE, LIBRARY + CODE]


IFUNC_CASES = [
    (LIBRARY + IMPLEMENTATION, RESOLVED),  # no symbol there
    (LIBRARY + IMPLEMENTATION + 0x80, RESOLVED),  # exported as memmove
    (VDSO + 0x10, RESOLVED),
    (LIBRARY + RESOLVER, UNDECIDABLE),  # the resolver itself
    (LIBRARY + SYSTEM, ELSEWHERE),
    (LIBRARY + SYSTEM + 4, ELSEWHERE),
    (OTHER + CODE, ELSEWHERE),
    (LIBRARY + DATA, ELSEWHERE),
    (0x4141414141414141, ELSEWHERE),
    (0, UNRELOCATED),
]


@pytest.mark.parametrize(("value", "status"), IFUNC_CASES)
@pytest.mark.parametrize("type", [files.GLOB_DAT, files.JUMP_SLOT])
def test_a_slot_of_a_symbol_that_a_resolver_chooses(type: int, value: int, status: str, tmp_path: pathlib.Path) -> None:
    found = verdict_of(tmp_path, Rel(RELRO, type, 0, "memcpy"), value)
    assert (found.status, found.expected) == (status, None)


NOW = {24: 0}
JUMP_CASES = [
    # load bias, value, is the file relocated, tags, verdict
    (PROGRAM, PROGRAM + PLT, True, {}, LAZY),
    (PROGRAM, PLT, False, {}, UNRELOCATED),
    (PROGRAM, PLT, True, {}, UNRELOCATED),
    (PROGRAM, LIBRARY + PUTS, True, {}, RESOLVED),
    (PROGRAM, LIBRARY + SYSTEM, True, {}, ELSEWHERE),
    (PROGRAM, 0, True, {}, UNRELOCATED),
    (PROGRAM, PROGRAM + PLT + 0x10, True, {}, ELSEWHERE),
    (0, PLT, None, {}, LAZY),
    (0, PLT, False, {}, LAZY),
    (0, PLT, False, NOW, UNRELOCATED),
    (0, LIBRARY + PUTS, True, NOW, RESOLVED),
]


@pytest.mark.parametrize(("bias", "value", "relocated", "tags", "status"), JUMP_CASES)
def test_a_slot_of_the_plt(
    bias: int,
    value: int,
    relocated: Optional[bool],
    tags: Mapping[int, int],
    status: str,
    tmp_path: pathlib.Path,
) -> None:
    slot = Rel(DATA, files.JUMP_SLOT, 0, "puts")
    found = verdict_of(tmp_path, slot, value, relocated, bias, words={DATA: PLT}, tags=tags)
    assert (found.status, found.expected) == (status, LIBRARY + PUTS)


IRELATIVE_CASES = [
    # place, word in the file, value, is the file relocated, verdict
    (RELRO, 0, PROGRAM + IMPLEMENTATION, True, RESOLVED),
    (RELRO, 0, VDSO, True, RESOLVED),
    (RELRO, 0, 0, False, UNRELOCATED),
    (RELRO, 0, 0, True, UNDECIDABLE),
    (RELRO, PLT, PLT, None, UNRELOCATED),
    (RELRO, PLT, PROGRAM + PLT, None, UNRELOCATED),
    (RELRO, 0, RESOLVER, None, UNRELOCATED),
    (RELRO, 0, PROGRAM + RESOLVER, True, UNDECIDABLE),
    (RELRO, 0, LIBRARY + SYSTEM, True, ELSEWHERE),
    (DATA, 0, LIBRARY + SYSTEM, True, UNDECIDABLE),
]


@pytest.mark.parametrize(("place", "word", "value", "relocated", "status"), IRELATIVE_CASES)
def test_a_slot_that_a_resolver_of_its_own_file_fills(
    place: int, word: int, value: int, relocated: Optional[bool], status: str, tmp_path: pathlib.Path
) -> None:
    found = verdict_of(tmp_path, Rel(place, files.IRELATIVE, RESOLVER), value, relocated, words={place: word})
    assert (found.status, found.expected) == (status, None)


TLS_CASES = [
    # type, symbol, addend, value, is the file relocated, verdict, expected value
    (files.DTPMOD64, "tls_own", 0, 1, True, RESOLVED, None),
    (files.DTPMOD64, "tls_own", 0, 0, False, UNRELOCATED, None),
    (files.DTPMOD64, "tls_own", 0, 1 << 40, True, UNDECIDABLE, None),
    (files.DTPOFF64, "tls_own", 0, 8, True, RESOLVED, 8),
    (files.DTPOFF64, "tls_own", 0, 0, False, UNRELOCATED, 8),
    (files.DTPOFF64, "tls_own", 0, 0x99, True, ELSEWHERE, 8),
    (files.DTPOFF64, "tls_other", 0, 0x18, True, RESOLVED, 0x18),
    (files.DTPOFF64, "missing", 0, 0, False, UNRELOCATED, None),
    (files.DTPOFF64, "missing", 0, 0, True, UNDECIDABLE, None),
    (files.DTPOFF64, "missing", 0, 0x18, True, UNDECIDABLE, None),
    (files.TPOFF64, "tls_own", 0, 8 - 0x40 & MASK, True, RESOLVED, 8 - 0x40 & MASK),
    (files.TPOFF64, "tls_own", 0, 0, False, UNRELOCATED, 8 - 0x40 & MASK),
    (files.TPOFF64, "tls_other", 0, -0x90 & MASK, True, RESOLVED, None),
    (files.TPOFF64, "tls_other", 0, 0, False, UNRELOCATED, None),
    (files.TPOFF64, "tls_other", 0, 0x90, True, UNDECIDABLE, None),
    (files.TLSDESC, "tls_other", 0, LIBRARY + CODE, True, RESOLVED, None),
    (files.TLSDESC, "tls_other", 0, 0, False, UNRELOCATED, None),
    (files.TLSDESC, "tls_other", 0, 0x41, True, UNDECIDABLE, None),
]


@pytest.mark.parametrize(("type", "symbol", "addend", "value", "relocated", "status", "expected"), TLS_CASES)
def test_a_slot_of_thread_local_storage(
    type: int,
    symbol: str,
    addend: int,
    value: int,
    relocated: Optional[bool],
    status: str,
    expected: Optional[int],
    tmp_path: pathlib.Path,
) -> None:
    found = verdict_of(tmp_path, Rel(RELRO, type, addend, symbol), value, relocated, tls=(0x31, 0x10))
    assert (found.status, found.expected) == (status, expected)


@pytest.mark.parametrize("type", [files.COPY, files.HALF, 0x7F])
def test_what_holds_no_address_is_not_judged(type: int, tmp_path: pathlib.Path) -> None:
    assert verdict_of(tmp_path, Rel(DATA, type, 0, "puts"), 5).status == UNDECIDABLE


@pytest.mark.parametrize("type", [files.RELATIVE, files.GLOB_DAT, files.IRELATIVE, files.TPOFF64])
def test_what_cannot_be_read_is_not_judged(type: int, tmp_path: pathlib.Path) -> None:
    found = verdict_of(tmp_path, Rel(RELRO, type, 0, "puts" if type == files.GLOB_DAT else ""), None)
    assert (found.status, found.note) == (UNDECIDABLE, "cannot be read")


@pytest.mark.parametrize(("tags", "expected"), [({}, PROGRAM), ({16: 0}, OTHER), ({30: 2}, OTHER), ({30: 8}, PROGRAM)])
def test_a_symbolic_library_is_searched_before_the_program(
    tags: Mapping[int, int], expected: int, tmp_path: pathlib.Path
) -> None:
    program = files.write(tmp_path / "program", (), [Sym("f", CODE)])
    library = files.write(tmp_path / "lib", [Rel(RELRO, files.GLOB_DAT, 0, "f")], [Sym("f", CODE)], tags=tags)
    scope = Scope([Objfile(program, PROGRAM), Objfile(library, OTHER)])
    objfile, elf = scope.files[1]
    assert Judge(scope, objfile, elf, True).verdict(planned_slots(elf)[0], 0).expected == expected + CODE


VERSION_CASES = [("V1", CODE + 16), ("V2", CODE + 32), ("", CODE + 32), ("V3", None)]


@pytest.mark.parametrize(("wanted", "expected"), VERSION_CASES)
def test_a_reference_is_bound_to_its_version(wanted: str, expected: Optional[int], tmp_path: pathlib.Path) -> None:
    program = files.write(tmp_path / "program", [Rel(RELRO, files.GLOB_DAT, 0, "f")], [Sym("f", version=wanted)])
    offered = [Sym("f", CODE + 16, version="V1"), Sym("f", CODE + 32, version="V2@")]
    scope = Scope([Objfile(program, PROGRAM), Objfile(files.write(tmp_path / "lib", (), offered), LIBRARY)])
    objfile, elf = scope.files[0]
    found = Judge(scope, objfile, elf, True).verdict(planned_slots(elf)[0], 0)
    assert found.expected == (None if expected is None else LIBRARY + expected)


def slots_of(directory: pathlib.Path, *relocations: Rel) -> Sequence[PlannedSlot]:
    return planned_slots(scope_of(directory, *relocations).files[0][1])


def test_a_file_is_relocated_all_or_partly_or_not(tmp_path: pathlib.Path) -> None:
    slots = slots_of(tmp_path, *(Rel(RELRO + 8 * n, files.RELATIVE, CODE + n) for n in range(4)))
    done, left = [PROGRAM + CODE + n for n in range(4)], [CODE + n for n in range(4)]
    objfile = Objfile("program", PROGRAM)
    for values, told in ((done, True), (left, False), (done[:2] + left[2:], None), ([None] * 4, None)):
        assert is_relocated(*relative_counts(objfile, slots, values)) is told
    assert relative_counts(Objfile("program", 0), slots, left) == (0, 0)


def test_a_few_overwritten_slots_do_not_make_a_file_unrelocated(tmp_path: pathlib.Path) -> None:
    assert is_relocated(1000, 2) is True and is_relocated(1, 1000) is None and is_relocated(0, 0) is None


def test_words_that_the_program_writes_tell_nothing(tmp_path: pathlib.Path) -> None:
    slots = slots_of(tmp_path, *(Rel(DATA + 8 * n, files.RELATIVE, CODE) for n in range(4)))
    assert relative_counts(Objfile("program", PROGRAM), slots, [0] * 4) == (0, 0)


def test_without_relative_slots_symbols_and_resolvers_tell(tmp_path: pathlib.Path) -> None:
    slots = slots_of(
        tmp_path,
        Rel(RELRO, files.GLOB_DAT, 0, "puts"),
        Rel(RELRO + 8, files.GLOB_DAT, 0, "absent"),
        Rel(RELRO + 16, files.IRELATIVE, RESOLVER),
        Rel(RELRO + 24, files.IRELATIVE, RESOLVER),
    )
    assert symbol_counts(slots, [0, 0, 0, 0]) == (0, 1)
    assert symbol_counts(slots, [1, 0, 0, 0]) == (1, 0)
    assert resolver_counts(slots, [0, 0, 0, 0]) == (0, 2)
    assert resolver_counts(slots, [0, 0, CODE, RESOLVER]) == (1, 1)


def test_one_resolver_alone_tells_nothing(tmp_path: pathlib.Path) -> None:
    slots = slots_of(tmp_path, Rel(RELRO, files.IRELATIVE, RESOLVER))
    assert resolver_counts(slots, [0]) == (0, 0)
    assert resolver_counts(slots, [CODE]) == (1, 0)


def test_statuses_are_counted_in_their_order() -> None:
    assert list(counts_of([LAZY, RESOLVED, LAZY]).items()) == [(RESOLVED, 1), (LAZY, 2)]


def test_the_scope_finds_what_each_file_offers(tmp_path: pathlib.Path) -> None:
    scope = scope_of(tmp_path)
    assert [d.address for d in scope.definitions("own")] == [PROGRAM + CODE + 0x10, OTHER + CODE + 0x600]
    assert [d.address for d in scope.definitions("system")] == [LIBRARY + SYSTEM, OTHER + CODE + 0x640]
    assert not scope.definitions("hidden") and not scope.definitions("nothing")
    assert scope.place(LIBRARY + SYSTEM + 4) == "system+0x4 (library)"
    assert scope.place(VDSO + 4) == "vdso" and scope.place(0x1234) == ""
    assert scope.executable_in(LIBRARY + CODE) == scope.files[1][0]
    assert scope.executable_in(LIBRARY + DATA) is None
    program = scope.files[0][0]
    assert scope.place(PROGRAM + CODE + 0x10, program) == "own"
    assert scope.place(PROGRAM + DATA, program) == f"program+{DATA:#x}"
    assert open_elf(program.path) is scope.elf_of(program)
