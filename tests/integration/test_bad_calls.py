"""Calls through slots that are not relocated: slot, symbol and relocation named; live, on cores, over stubs."""

from __future__ import annotations

import functools
import pathlib
import subprocess
from typing import Any, Mapping, Optional, Sequence

import pytest
import runtimes
import support

LINKERS, LANGUAGES = ("bfd", "lld"), ("c", "rust")
_FLAGS = "-g -O1 -nostdlib -nostartfiles -fcf-protection=none -Wa,-mrelax-relocations=no -Wl,--no-relax".split()
_LIBC_FLAGS = "-g -O1 -fno-plt -fPIE -pie -Wl,-z,norelro -Wl,-z,lazy -Wa,-mrelax-relocations=no".split()
# The numbers of faults.c.
HOISTED, RELOADED, TWO_WAYS, ENTRY_RETURNS, MISALIGNED, PLT, TAIL, COPIED, UNBOUND = range(1, 10)
OVERWRITTEN, NO_ADDRESS, TO_DATA = range(10, 13)


@functools.lru_cache(maxsize=None)
def build(fault: int, linker: str = "bfd") -> str:
    """Build one of the programs of faults.c."""
    support.require("gcc")
    output = runtimes.shared() / f"fault-{fault}-{linker}"
    flags = [*_FLAGS, "-fPIE", "-static-pie"]
    if fault in (PLT, UNBOUND):
        flags = [*_FLAGS, "-fPIC", "-shared", "-Wl,-e,_start"]
    elif fault >= OVERWRITTEN:
        flags = _LIBC_FLAGS
    source = runtimes.SLOTS / "faults.c"
    support.run("gcc", *flags, *runtimes.linker_flags(linker), f"-DFAULT={fault}", "-o", str(output), str(source))
    return str(output)


def run_each(programs: Sequence[object]) -> Sequence[Mapping[str, Any]]:
    """Run programs one after the other in one GDB; return what `kdbg why` says of each."""
    lines = [line for p in programs for line in (f"file {p}", "run > /dev/null", "kdbg why", "kill")]
    output = support.gdb(lines)
    found = [item["data"] for item in output.objects if item["command"] == "why"]
    assert len(found) == len(programs), output.text
    return found


def finding_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    assert len(data["findings"]) == 1, data
    found: Mapping[str, Any] = data["findings"][0]
    return found


def assert_shape(data: Mapping[str, Any], shape: int, language: str, linker: str, relocation: str) -> None:
    """Everything that a person would have had to look up: slot, relocation, symbol, the state of the file."""
    finding, wanted = finding_of(data), runtimes.expected(shape, language)
    facts = finding["facts"]
    assert finding["confidence"] == "certain", finding
    assert finding["rule"] == ("unrelocated-pointer" if wanted.faults_on_call else "unrelocated-call")
    assert facts["target"] == wanted.target
    assert facts["symbol"] == (wanted.slot if wanted.faults_on_call else wanted.target)
    assert facts.get("slot_name") == (f"{wanted.slot}+{8 * wanted.index:#x}" if wanted.in_table else None)
    assert facts["relocation"] == relocation
    assert facts["function"].split("+")[0] == wanted.caller
    bias = int(facts["slot_address"], 16) - int(facts["slot_link_address"], 16)
    assert int(facts["expected"], 16) == bias + int(facts["addend"], 16)
    assert facts["found"] == (facts["addend"] if linker == "bfd" or relocation == "RELR" else "0x0")
    assert facts["objfile_state"].startswith("relocations not applied yet: 0 of ")


@pytest.mark.parametrize("relr", [False, True], ids=["rela", "relr"])
@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_shape_names_slot_symbol_and_relocation(language: str, linker: str, relr: bool) -> None:
    built = [runtimes.build_shape(runtimes.shared(), s, language, linker, relr=relr) for s in runtimes.SHAPES]
    for shape, data in zip(runtimes.SHAPES, run_each(built)):
        assert_shape(data, shape, language, linker, "RELR" if relr else "R_X86_64_RELATIVE")


@pytest.mark.parametrize("language", LANGUAGES)
def test_addends_that_lld_leaves_in_the_slots_are_understood(language: str) -> None:
    built = [runtimes.build_shape(runtimes.shared(), s, language, "lld", applied=True) for s in runtimes.SHAPES]
    for data in run_each(built):
        finding = finding_of(data)
        assert (finding["confidence"], finding["facts"]["found"]) == ("certain", finding["facts"]["addend"])


@pytest.mark.parametrize("linker", LINKERS)
def test_a_stripped_program_has_its_slot_and_relocation_named(linker: str) -> None:
    whole = run_each([runtimes.build_shape(runtimes.shared(), s, "c", linker) for s in runtimes.SHAPES])
    bare = run_each([runtimes.build_shape(runtimes.shared(), s, "c", linker, stripped=True) for s in runtimes.SHAPES])
    for one, other in zip(map(finding_of, whole), map(finding_of, bare)):
        same = (
            "slot_address",
            "slot_link_address",
            "relocation",
            "addend",
            "call_site",
            "section",
            "expected",
            "found",
        )
        assert [one["facts"][name] for name in same] == [other["facts"][name] for name in same]
        assert (other["confidence"], other["facts"].get("symbol")) == ("certain", None)
        assert "(no symbol)" in other["summary"]


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_repaired_program_exits_and_has_nothing_to_explain(language: str, linker: str) -> None:
    programs = [runtimes.build_shape(runtimes.shared(), s, language, linker, fixed=True) for s in runtimes.SHAPES]
    lines = [
        line for p in programs for line in (f"file {p}", "break use_slot", "run", "kdbg why", "delete", "continue")
    ]
    output = support.gdb(["set breakpoint pending on", *lines])
    assert [item["data"]["findings"] for item in output.objects if item["command"] == "why"] == [[]] * len(programs)
    assert output.text.count("exited normally") == len(programs), output.text


@pytest.mark.parametrize(("language", "linker"), [("c", "bfd"), ("rust", "lld")])
@pytest.mark.parametrize("shape", runtimes.SHAPES)
def test_a_core_dump_and_gdbserver_tell_the_same(
    shape: int, language: str, linker: str, tmp_path: pathlib.Path
) -> None:
    support.require("gdbserver")
    program, core = str(runtimes.build_shape(runtimes.shared(), shape, language, linker)), tmp_path / "core"
    live = support.gdb(["run", "kdbg why", f"generate-core-file {core}"], program).data("why")
    assert_shape(live, shape, language, linker, "R_X86_64_RELATIVE")
    assert support.gdb(["kdbg why"], program, str(core)).data("why") == live
    assert support.kdbg("why", "--core", str(core), program).data("why") == live
    remote = support.gdb([f"target remote | gdbserver --once - {program}", "continue", "kdbg why"], program)
    assert remote.data("why") == live


@pytest.mark.parametrize(("language", "linker"), [("c", "bfd"), ("rust", "lld")])
@pytest.mark.parametrize("shape", runtimes.SHAPES)
def test_under_qemu_user_without_signal_information(
    shape: int, language: str, linker: str, tmp_path: pathlib.Path
) -> None:
    support.require("qemu-x86_64")
    program, stub = str(runtimes.build_shape(runtimes.shared(), shape, language, linker)), tmp_path / "stub"
    emulator = subprocess.Popen(["qemu-x86_64", "-g", str(stub), program], stderr=subprocess.DEVNULL)
    try:
        support.wait_for_socket(stub, emulator)
        output = support.gdb([f"target remote {stub}", "kdbg why", "continue", "kdbg why"], program)
    finally:
        emulator.kill()
        emulator.wait()
    assert output.data("why", 0)["findings"] == []
    assert_shape(output.data("why"), shape, language, linker, "R_X86_64_RELATIVE")


@pytest.mark.parametrize("relr", [False, True], ids=["rela", "relr"])
@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_start_up_is_explained_both_ways(language: str, linker: str, relr: bool) -> None:
    faults = ("memcpy", "vtable")
    programs = [runtimes.build_runtime(runtimes.shared(), language, fault, linker, relr) for fault in faults]
    copy, table = map(finding_of, run_each(programs))
    assert (copy["rule"], copy["confidence"]) == (table["rule"], table["confidence"]) == ("unrelocated-call", "certain")
    assert copy["facts"]["target"] == "memcpy" and any("by reference" in step for step in copy["next"])
    assert table["facts"]["section"] == ".data.rel.ro" and any("table" in step for step in table["next"])
    assert "apply" in table["facts"]["target"]


@pytest.mark.parametrize(
    ("fault", "rule", "confidence", "target"),
    [
        (HOISTED, "unrelocated-call", "certain", "ring_bell"),
        (RELOADED, "unrelocated-call", "possible", "ring_bell"),
        (PLT, "unrelocated-call", "certain", "use_slot"),
        (TAIL, "unrelocated-call", "likely", "ring_bell"),
        (COPIED, "unrelocated-call", "certain", "ring_bell"),
        (UNBOUND, "unbound-call", "certain", "ring_bell"),
        (ENTRY_RETURNS, "smashed-return", "likely", None),
        (MISALIGNED, "misaligned-operand", "certain", None),
    ],
)
@pytest.mark.parametrize("linker", LINKERS)
def test_less_plain_ways_to_the_same(
    fault: int, rule: str, confidence: str, target: Optional[str], linker: str
) -> None:
    finding = finding_of(run_each([build(fault, linker)])[0])
    assert (finding["rule"], finding["confidence"]) == (rule, confidence)
    assert finding["facts"].get("target") == target


def test_of_two_ways_to_a_call_memory_decides_or_none_is_asserted() -> None:
    by_value, by_none = map(finding_of, run_each([build(TWO_WAYS, "bfd"), build(TWO_WAYS, "lld")]))
    assert (by_value["confidence"], by_value["facts"]["target"]) == ("likely", "ring_bell")
    assert by_none["confidence"] == "possible" and "possibly" in by_none["summary"]


def test_a_misaligned_stack_is_traced_to_the_call_that_began_it() -> None:
    finding = finding_of(run_each([build(MISALIGNED)])[0])
    assert "the stack is misaligned since the call in _start" in finding["summary"]
    assert finding["facts"]["alignment"] == 16


@pytest.mark.parametrize("fault", [OVERWRITTEN, NO_ADDRESS, TO_DATA])
def test_an_overwritten_slot_is_told_from_one_that_is_not_relocated(fault: int) -> None:
    finding = finding_of(run_each([build(fault)])[0])
    assert (finding["rule"], finding["confidence"]) == ("overwritten-slot", "certain")
    assert (finding["facts"]["target"], finding["facts"]["relocation"]) == ("puts", "R_X86_64_GLOB_DAT")
    assert finding["facts"]["objfile_state"].startswith("relocated: ")


@pytest.mark.parametrize("access", ["pointer", "variable", "guard"])
def test_thread_local_storage_that_is_not_set_up_is_named(access: str) -> None:
    programs = [runtimes.build_tls(runtimes.shared(), access)]
    finding = finding_of(run_each(programs)[0])
    assert (finding["rule"], finding["confidence"]) == ("no-tls", "certain")
    wanted = {"pointer": "the thread pointer", "variable": "a thread-local variable", "guard": "the stack guard"}
    assert wanted[access] in finding["summary"]


@pytest.mark.parametrize(("fixed", "limit"), [(True, 0), (False, 6)], ids=["healthy", "crashed"])
def test_what_it_costs_over_a_stub(fixed: bool, limit: int, tmp_path: pathlib.Path) -> None:
    support.require("gdbserver")
    program = str(runtimes.build_shape(runtimes.shared(), 1, "c", "bfd", fixed=fixed))
    reads = []
    for times in (1, 2):
        log = tmp_path / f"log{times}"
        start = [f"set remotelogfile {log}", f"target remote | gdbserver --once - {program}", "break use_slot"]
        support.gdb([*start, "continue", *([] if fixed else ["continue"]), *["kdbg why"] * times], program)
        reads.append(len(support.read_packets(log)))
    assert reads[1] - reads[0] <= limit
