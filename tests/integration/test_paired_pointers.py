"""Pointers out of unrelocated slots that go through a vector register, two at once, and through the stack."""

from __future__ import annotations

import pathlib
from typing import Any, Mapping

import pytest
import runtimes
import support

SLOTS = support.ROOT / "tests" / "programs" / "slots"
FLAGS = (
    "-g -O2 -fPIC -fno-plt -nostdlib -nostartfiles -static-pie -fcf-protection=none -fno-stack-protector "
    "-Wa,-mrelax-relocations=no -Wl,--no-relax"
).split()
# The instructions that load the lower and the upper half.
FORMS = {
    "sse2": (["-mno-sse4"], ("movq", "movhps")),
    "sse4": (["-msse4.1", "-mno-avx"], ("movq", "pinsrq")),
    "avx": (["-mavx", "-mno-avx512f"], ("vmovq", "vpinsrq")),
}


def explained(directory: pathlib.Path, *options: str, linker: str = "bfd") -> Mapping[str, Any]:
    support.require("gcc")
    program = str(directory / "program")
    sources = [str(SLOTS / "pairs.c"), str(SLOTS / "pairs_used.c")]
    support.run("gcc", *FLAGS, *runtimes.linker_flags(linker), *options, "-o", program, *sources)
    (finding,) = support.gdb(["run", "kdbg why"], program).data("why")["findings"]
    return dict(finding)


@pytest.mark.parametrize("linker", ["bfd", "lld"])
@pytest.mark.parametrize("high", [0, 1])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", ["call_one", "read_one"])
def test_the_slot_of_one_half_is_named(what: str, form: str, high: int, linker: str, tmp_path: pathlib.Path) -> None:
    options, loads = FORMS[form]
    if form == "avx" and "avx" not in pathlib.Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX")
    finding = explained(tmp_path, *options, f"-DWHAT={what}", f"-DHIGH={high}", linker=linker)
    called, read = ("first", "second"), ("one", "two")
    rule, target = ("unrelocated-call", called) if what == "call_one" else ("unrelocated-pointer", read)
    assert (finding["rule"], finding["confidence"]) == (rule, "certain")
    assert finding["facts"]["symbol"] == target[high]
    assert any(f"loaded by `{loads[high]} " in line for line in finding["evidence"])


@pytest.mark.parametrize("linker", ["bfd", "lld"])
def test_a_pair_that_was_changed_since_is_no_matter_of_slots(linker: str, tmp_path: pathlib.Path) -> None:
    finding = explained(tmp_path, "-DWHAT=call_one", "-DHIGH=1", "-DCHANGED=0x123000", linker=linker)
    assert finding["rule"] == "bad-jump" and "slot_address" not in finding["facts"]
