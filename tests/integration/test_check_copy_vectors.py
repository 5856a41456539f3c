"""`kdbg check-copy` on routines with AVX and AVX-512: a verdict on each, by name."""

from __future__ import annotations

import pathlib
from typing import Callable, Optional

import copies
import pytest
import vector_copies
from copies import UNSUPPORTED, Mistake, ThirdParty
from support import require
from vector_copies import BY, CORRECT, LOOPS, MISTAKES

from gdb_kdbg.check_copy_command import check_copy
from gdb_kdbg.copy_report import CopyReport
from gdb_kdbg.offline.session import OfflineSession

Check = Callable[..., CopyReport]
# The sizes at which these go wrong are among the quick exercise's.
ALL_CASES = ("good_avx2_aligned", "good_avx512", "good_memset_avx512")
LIBC_ALL_CASES = ("__memset_avx2_unaligned_erms", "__memmove_evex_unaligned_erms")


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("vectors")


@pytest.fixture(scope="session")
def check(directory: pathlib.Path) -> Check:
    def call(
        routine: str, contract: Optional[str], mode: str = "quick", path: Optional[pathlib.Path] = None
    ) -> CopyReport:
        file = path or vector_copies.build_vectors(directory)
        return check_copy(OfflineSession(None, [str(file)], {}), routine, contract, None, mode)

    return call


def third_party(directory: pathlib.Path) -> list[ThirdParty]:
    require("gcc", "ld", "nm")
    found = copies.third_party(directory / "third", vectors=True)
    assert found, "the C library's archive (libc6-dev) is missing, or has none of its variants"
    return found


@pytest.mark.parametrize("symbol", CORRECT)
def test_what_is_right_is_cleared(symbol: str, check: Check) -> None:
    report = check(symbol, CORRECT[symbol])
    assert (report.verdict, report.breaches, report.problems) == ("conforms", (), ())


@pytest.mark.parametrize("symbol", ALL_CASES)
def test_what_is_right_is_cleared_by_all_cases(symbol: str, check: Check) -> None:
    report = check(symbol, CORRECT[symbol], "default")
    assert (report.verdict, report.breaches) == ("conforms", ())
    assert report.cases > 30_000


@pytest.mark.parametrize("machine", ["haswell", "skylake-avx512", "znver3"])
def test_what_a_compiler_makes_of_loops_is_cleared(machine: str, directory: pathlib.Path, check: Check) -> None:
    require("objdump")
    path = vector_copies.build_loops(directory, machine)
    for symbol, contract in LOOPS.items():
        report = check(symbol, contract, "quick", path)
        assert (report.verdict, report.breaches) == ("conforms", ())


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.symbol)
def test_each_mistake_is_found(mistake: Mistake, check: Check) -> None:
    report = check(mistake.symbol, mistake.contract)
    first = report.breaches[0]
    assert (first.kind, first.smallest) == (mistake.kind, mistake.size), report.breaches
    assert mistake.text in first.summary
    assert report.verdict == ("undecidable" if mistake.kind == UNSUPPORTED else "breaks")
    assert first.by.endswith(BY.get(mistake.symbol, ""))


def test_what_is_outside_of_the_set_is_named_with_its_address(check: Check) -> None:
    (breach,) = check("permutes", "memcpy").breaches
    assert "vpermb zmm0, zmm1, zmm0 (neither the emulator nor kdbg has it) at 0x" in breach.summary


def test_the_c_library_is_cleared_variant_by_variant(directory: pathlib.Path, check: Check) -> None:
    found = third_party(directory)
    reports = {one.symbol: check(one.symbol, one.contract, "quick", one.file) for one in found}
    assert {symbol: report.breaches for symbol, report in reports.items() if report.verdict != "conforms"} == {}
    for family in ("memmove_avx_", "memmove_evex", "memmove_avx512", "memset_avx2", "memset_evex", "memset_avx512"):
        assert any(family in symbol for symbol in reports), family


@pytest.mark.parametrize("symbol", LIBC_ALL_CASES)
def test_the_c_library_is_cleared_by_all_cases(symbol: str, directory: pathlib.Path, check: Check) -> None:
    routine = next((one for one in third_party(directory) if one.symbol == symbol), None)
    if routine is None:
        pytest.skip(f"this C library has no {symbol}")
    assert check(routine.symbol, routine.contract, "default", routine.file).verdict == "conforms"
