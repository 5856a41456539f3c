"""Which cases a routine is exercised with, and what is judged wrong in one call."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Sequence

import pytest
from fakes import FakeMemory

from gdb_kdbg import copy_cases, exception_table
from gdb_kdbg.copy_breaches import (
    FLAG,
    MISSING,
    NOT_RUN,
    OVERFLOW,
    PAST,
    READS_PAST,
    REGISTER,
    RESULT,
    STACK,
    STRAY,
    WRONG,
    WRONG_REMAINDER,
)
from gdb_kdbg.copy_cases import DEFAULT, DESTINATION_END, MARGIN, QUICK, SOURCE_END, THOROUGH, Case
from gdb_kdbg.copy_check import VALUE, CopyCheck
from gdb_kdbg.copy_contracts import CONTRACTS, Contract, contract_of
from gdb_kdbg.copy_culprit import culprit
from gdb_kdbg.copy_unsettled import reads_thread, unsettled
from gdb_kdbg.emulation import DESTINATION, SOURCE, Emulator
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.exception_table import Entry

CODE = 0x401000
RETURN_START = b"\x48\x89\xf8"  # mov rax, rdi
MOVSB = b"\x48\x89\xd1\xf3\xa4"  # mov rcx, rdx; rep movsb
RET = b"\xc3"
GOOD = RETURN_START + MOVSB + RET
MODES = (QUICK, DEFAULT, THOROUGH)
Maker = Callable[..., CopyCheck]


@pytest.fixture
def check() -> Iterator[Maker]:
    emulators = []

    def make(code: bytes, contract: Contract = CONTRACTS["memcpy"], fixups: Mapping[int, Entry] = {}) -> CopyCheck:
        emulators.append(Emulator(FakeMemory({CODE: code.ljust(4096, b"\xcc")}), {}))
        return CopyCheck(emulators[-1], CODE, contract, fixups)

    yield make
    for emulator in emulators:
        emulator.close()


def at(size: int, d: int = 0, s: int = 0) -> Case:
    return Case(size, DESTINATION + MARGIN + d, SOURCE + MARGIN + s)


def kinds(copy: CopyCheck, case: Case) -> list[str]:
    return [breach.kind for breach in copy.run(case)]


# Cases.


@pytest.mark.parametrize("mode", MODES)
def test_no_fault_is_injected_behind_the_last_byte(mode: str) -> None:
    cases = list(copy_cases.fault_cases(CONTRACTS["copy_user"], mode))
    assert cases and all(0 <= case.fault_at < case.size for case in cases)
    assert {case.fault_side for case in cases} == {"dst", "src"}
    assert {case.fault_at for case in cases if case.size == 20} == set(range(20))


@pytest.mark.parametrize("mode", MODES)
def test_every_area_lies_in_its_own(mode: str) -> None:
    contract = CONTRACTS["memmove"]
    made = [copy_cases.edge_cases(contract, mode), copy_cases.traced_cases(contract, mode)]
    made += [copy_cases.overlap_cases(mode)] + ([copy_cases.aligned_cases(contract, mode)] if mode != THOROUGH else [])
    for case in (case for cases in made for case in cases):
        assert DESTINATION <= case.destination <= case.destination + case.size <= DESTINATION_END
        start, end = (SOURCE, SOURCE_END) if case.source >= SOURCE else (DESTINATION, DESTINATION_END)
        assert start <= case.source <= case.source + case.size <= end


def test_the_default_takes_all_sizes_and_alignments_that_matter() -> None:
    cases = list(copy_cases.aligned_cases(CONTRACTS["memcpy"], DEFAULT))
    sizes = {case.size for case in cases}
    assert sizes >= {*range(513), 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537}
    for size in (0, 1, 7, 64, 128):
        assert {(c.destination % 16, c.source % 16) for c in cases if c.size == size} == {
            (d, s) for d in range(16) for s in range(16)
        }
    assert {case.destination % 64 for case in cases} == {case.source % 64 for case in cases} == set(range(64))


def test_overlaps_go_in_both_directions_at_all_near_distances() -> None:
    cases = list(copy_cases.overlap_cases(DEFAULT))
    assert {c.destination - c.source for c in cases if c.size == 20} == set(range(-19, 20))


# Judgements.


def test_a_right_copy_has_no_breach_again_and_again(check: Maker) -> None:
    copy = check(GOOD)
    assert not [kind for size in range(40) for kind in kinds(copy, at(size, size % 7, size % 5))]
    assert copy.stray() is None


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (RETURN_START + b"\x48\x8d\x4a\x01\xf3\xa4" + RET, [PAST]),
        (RETURN_START + b"\x48\x8d\x4a\xff\xf3\xa4" + RET, [MISSING]),
        (RETURN_START + MOVSB + b"\x31\xdb" + RET, [REGISTER]),
        (RETURN_START + MOVSB + b"\xfd" + RET, [FLAG]),
        (RETURN_START + MOVSB + b"\xc2\x08\x00", [STACK]),
        (MOVSB + b"\x48\x89\xf8" + RET, [RESULT]),
        (b"\xe8\xfb\xff\xff\xff", [OVERFLOW]),
        (RETURN_START + MOVSB + b"\xf4" + RET, [NOT_RUN]),
    ],
)
def test_each_mistake_has_its_kind(check: Maker, code: bytes, expected: Sequence[str]) -> None:
    copy = check(code)
    assert kinds(copy, at(8)) == kinds(copy, at(8)) == expected


def test_a_read_of_the_next_page_is_a_breach_and_one_of_the_same_is_none(check: Maker) -> None:
    copy = check(b"\x8a\x44\x16\x07" + GOOD)  # mov al, [rsi + rdx + 7]
    assert kinds(copy, at(8)) == []
    assert kinds(copy, Case(8, DESTINATION + MARGIN, SOURCE_END - 8)) == [READS_PAST]
    assert kinds(copy, Case(8, DESTINATION + MARGIN, SOURCE_END - 16)) == []


def test_the_instruction_that_did_it_is_found(check: Maker) -> None:
    twice = check(GOOD[:-1] + MOVSB + RET)
    clobbers = check(b"\x31\xdb" + GOOD)
    assert culprit(twice, FakeMemory({CODE: GOOD}), twice.run(at(4))[0]) == CODE + 11
    assert culprit(clobbers, FakeMemory({CODE: (b"\x31\xdb" + GOOD).ljust(64)}), clobbers.run(at(4))[0]) == CODE


# mov rax, rdi; mov rcx, rdx; cmp rcx, [address]; jb over; inc rcx; rep movsb; ret
THRESHOLD = RETURN_START + b"\x48\x89\xd1\x48\x3b\x0c\x25\x00\x18\x40\x00\x72\x03\x48\xff\xc1\xf3\xa4" + RET


@pytest.mark.parametrize(("is_settled", "expected"), [(True, []), (False, [CODE + 0x800])])
def test_a_breach_that_hangs_on_data_set_at_the_start_is_doubted(
    check: Maker, is_settled: bool, expected: list[int]
) -> None:
    copy = check(THRESHOLD.ljust(0x800, b"\xcc") + bytes(8))
    (breach,) = copy.run(at(8))
    assert breach.kind == PAST
    assert list(unsettled(copy, breach, lambda address: is_settled)) == expected
    assert kinds(copy, at(8)) == [PAST]


def test_a_breach_that_hangs_on_nothing_is_not_doubted(check: Maker) -> None:
    reads_it = check((b"\x48\x3b\x0c\x25\x00\x18\x40\x00" + GOOD[:-1] + MOVSB + RET).ljust(0x800, b"\xcc") + bytes(8))
    (breach,) = reads_it.run(at(8))
    assert list(unsettled(reads_it, breach, lambda address: False)) == []


def test_a_limit_of_addresses_that_is_not_set_yet_is_doubted(check: Maker) -> None:
    # cmp rsi, [address]; jb over; mov eax, -14; ret
    refuses = b"\x48\x3b\x34\x25\x00\x18\x40\x00\x72\x06\xb8\xf2\xff\xff\xff" + RET
    copy = check((refuses + GOOD).ljust(0x800, b"\xcc") + bytes(8))
    assert list(unsettled(copy, copy.run(at(8))[0], lambda address: False)) == [CODE + 0x800]


def test_what_a_kernel_keeps_at_the_end_of_its_stack_is_not_there(check: Maker) -> None:
    # mov rax, rsp; and rax, -0x1000; mov rax, [rax]; mov al, [rax + 0x40]
    asks_its_thread = check(b"\x48\x89\xe0\x48\x25\x00\xf0\xff\xff\x48\x8b\x00\x8a\x40\x40" + GOOD)
    assert reads_thread(asks_its_thread, asks_its_thread.run(at(8))[0])


# mov rax, fs:[0x20]; mov al, [rax + 0x40]
ASKS_SEGMENT = b"\x64\x48\x8b\x04\x25\x20\x00\x00\x00\x8a\x40\x40"
# mov rax, fs:[0x28]; push rax; mov al, [0x40]; pop rax
HAS_GUARD = b"\x64\x48\x8b\x04\x25\x28\x00\x00\x00\x50\x8a\x04\x25\x40\x00\x00\x00\x58"


@pytest.mark.parametrize(("code", "is_doubted"), [(ASKS_SEGMENT, True), (HAS_GUARD, False)])
def test_what_fs_leads_to_is_made_up(code: bytes, is_doubted: bool, check: Maker) -> None:
    copy = check(code + GOOD)
    (breach,) = copy.run(at(8))
    assert breach.kind == STRAY
    assert bool(unsettled(copy, breach, lambda address: True)) == is_doubted


def test_a_stack_in_disorder_is_no_question_to_the_thread(check: Maker) -> None:
    pops_once_more = check(GOOD[:-1] + b"\x59" + RET)
    assert not reads_thread(pops_once_more, pops_once_more.run(at(8))[0])


USER = b"\x0f\x01\xcb\x48\x89\xd1\xf3\xa4\x0f\x01\xca\x48\x89\xc8" + RET  # stac; copy; clac; mov rax, rcx


def fixup(instruction: int, place: int, *handler: Any) -> Mapping[int, Entry]:
    return {CODE + instruction: Entry(CODE + instruction, CODE + place, *handler)}


def test_a_right_remainder_behind_stac_is_not_accused(check: Maker) -> None:
    copy = check(USER, CONTRACTS["copy_user"], fixup(6, 8))
    cases = [case for case in copy_cases.fault_cases(CONTRACTS["copy_user"], QUICK) if case.size < 12]
    assert cases and not [kind for case in cases for kind in kinds(copy, case)]


def test_a_wrong_remainder_and_a_missing_fixup_are_told(check: Maker) -> None:
    wrong = check(USER.replace(b"\x48\x89\xc8", b"\x48\x89\xd0"), CONTRACTS["copy_user"], fixup(6, 8))
    case = Case(8, DESTINATION + MARGIN, SOURCE_END - 3, "src", 3)
    assert kinds(wrong, case) == [WRONG_REMAINDER]
    (breach,) = check(USER, CONTRACTS["copy_user"], fixup(0, 8)).run(case)
    assert (breach.kind, breach.pc) == (WRONG_REMAINDER, CODE + 6) and "no entry in the exception table" in breach.text


SOURCE_FAULT = Case(8, DESTINATION + MARGIN, SOURCE_END - 3, "src", 3)
# mov rcx, rdx; rep movsb; xor eax, eax; ret; and at 8 where a fault leads to: ret
ASKS_HANDLER = b"\x48\x89\xd1\xf3\xa4\x31\xc0\xc3" + RET


@pytest.mark.parametrize(
    ("before", "handler", "expected"),
    [
        (b"", (exception_table.SET, "rax", 5), []),
        (b"", (exception_table.SET, "rax", 4), [WRONG_REMAINDER]),
        (b"", (exception_table.SET, "rax", -14), [WRONG_REMAINDER]),
        (b"\x6a\x05", (exception_table.POP, "rax"), []),  # push 5
        (b"\x6a\x06", (exception_table.POP, "rax"), [WRONG_REMAINDER]),
        (b"", (exception_table.SET, "rax", 5, ("rdx",)), []),
        (b"", (exception_table.SET, "rax", 5, ("rax",)), [WRONG_REMAINDER]),
        (b"", (7,), [NOT_RUN]),
    ],
)
def test_what_the_handler_of_a_fault_changes(
    before: bytes, handler: tuple[Any, ...], expected: list[str], check: Maker
) -> None:
    entry = fixup(len(before) + 3, len(before) + 8, *handler)
    assert kinds(check(before + ASKS_HANDLER, CONTRACTS["copy_user"], entry), SOURCE_FAULT) == expected


@pytest.mark.parametrize(
    ("kind", "expected"), [(exception_table.COPY, [WRONG_REMAINDER]), (exception_table.UACCESS, [])]
)
def test_the_number_of_the_fault_is_told_to_who_asks_for_it(kind: int, expected: list[str], check: Maker) -> None:
    # Where it is 14, as for a page fault, it is returned: cmp eax, 14; je over; mov eax, ecx; ret
    asks = b"\x48\x89\xd1\xf3\xa4\x31\xc0\xc3\x83\xf8\x0e\x74\x02\x89\xc8\xc3"
    assert kinds(check(asks, CONTRACTS["copy_user"], fixup(3, 8, kind)), SOURCE_FAULT) == expected


@pytest.mark.parametrize(("scale", "expected"), [(8, []), (4, [WRONG_REMAINDER])])
def test_the_length_left_is_what_is_left_of_words_and_behind_them(
    scale: int, expected: list[str], check: Maker
) -> None:
    # mov rcx, rdx; shr rcx, 3; and edx, 7; rep movsq; mov ecx, edx; rep movsb; mov eax, ecx; ret
    words = b"\x48\x89\xd1\x48\xc1\xe9\x03\x83\xe2\x07\xf3\x48\xa5\x89\xd1\xf3\xa4\x89\xc8" + RET
    handler = {**fixup(10, 15, exception_table.COPY_LENGTH, "rdx", scale), **fixup(15, 17)}
    case = Case(21, DESTINATION + MARGIN, SOURCE_END - 11, "src", 11)
    assert kinds(check(words, CONTRACTS["copy_user"], handler), case) == expected


@pytest.mark.parametrize(("filler", "side", "expected"), [(0, "src", []), (1, "src", [WRONG_REMAINDER])])
def test_what_cannot_be_read_may_be_zeroed(filler: int, side: str, expected: list[str], check: Maker) -> None:
    # Behind the fault: mov r8, rcx; mov eax, filler; rep stosb; mov rax, r8; ret
    zeroes = USER.replace(b"\x48\x89\xc8", b"\x49\x89\xc8\xb8" + bytes([filler, 0, 0, 0]) + b"\xf3\xaa\x4c\x89\xc0")
    assert kinds(check(zeroes, CONTRACTS["copy_user"], fixup(6, 8)), SOURCE_FAULT) == expected


def test_a_result_in_any_register_is_looked_at(check: Maker) -> None:
    contract = contract_of("memcpy", None, "result=r9")
    assert kinds(check(b"\x49\x89\xf9" + MOVSB + RET, contract), at(8)) == []
    assert kinds(check(GOOD, contract), at(8)) == [RESULT]


def test_a_routine_may_return_nothing(check: Maker) -> None:
    contract = contract_of("memmove", None, "result=none")
    assert kinds(check(MOVSB + RET, contract), at(8)) == []
    assert kinds(check(MOVSB + b"\x31\xdb" + RET, contract), at(8)) == [REGISTER]
    assert kinds(check(MOVSB + RET, CONTRACTS["memmove"]), at(8)) == [RESULT]


@pytest.mark.parametrize(("filler", "expected"), [(0, []), (VALUE & 0xFF, [WRONG])])
def test_a_routine_may_only_clear(filler: int, expected: list[str], check: Maker) -> None:
    clears = b"\x48\x89\xd1\xb8" + bytes([filler, 0, 0, 0]) + b"\xf3\xaa" + RET
    assert kinds(check(clears, contract_of("memset", None, "value=none,result=none")), at(8)) == expected


def test_a_register_that_takes_an_argument_may_change(check: Maker) -> None:
    contract = contract_of("memcpy", None, "size=rbx")
    assert kinds(check(RETURN_START + b"\x48\x89\xd9\xf3\xa4\x31\xdb" + RET, contract), at(8)) == []


# Contracts.


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("__memcpy_sse2_unaligned", "memcpy"),
        ("__memmove_erms", "memmove"),
        ("__mempcpy", "mempcpy"),
        ("memset", "memset"),
        ("_copy_from_user", "copy_from_user"),
        ("copyout", "copy_to_user"),
        ("ucopy_double", "copy_user"),
        ("strncpy_from_user", "strncpy_from_user"),
    ],
)
def test_names_tell_contracts(name: str, contract: str) -> None:
    assert contract_of(name, None, None).name == contract


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("duplicate", None, None), "the name 'duplicate' tells no contract: --contract takes one of memcpy"),
        (("memcpy", "memcopy", None), "no contract 'memcopy'"),
        (("memcpy", None, "to=rdi"), "no argument 'to' in 'rdi': --args takes ROLE=REGISTER"),
        (("memcpy", None, "dst=edi"), "no argument 'dst' in 'edi'"),
        (("memcpy", None, "dst"), "no argument 'dst' in ''"),
        (("memcpy", None, "dst=rsi"), "two arguments in one register"),
        (("memcpy", None, "src=none"), "no argument 'src' in 'none': .*; result may be none"),
        (("copy_user", None, "result=none"), "no argument 'result' in 'none': .* the roles dst, src, size, result$"),
    ],
)
def test_bad_contracts_are_refused(arguments: tuple[str, str, str], expected: str) -> None:
    with pytest.raises(KdbgError, match=expected):
        contract_of(*arguments)
