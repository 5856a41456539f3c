"""Instructions with vectors within runs of the emulator: when they are carried out, what they see, how they fault."""

from __future__ import annotations

from typing import Callable, Iterator, Mapping

import pytest
from fakes import FakeMemory

from gdb_kdbg import emulation
from gdb_kdbg.emulation import (
    DESTINATION,
    ENDLESS,
    FAULTED,
    RETURNED,
    SOURCE,
    STACK_TOP,
    UNALIGNED,
    UNSUPPORTED,
    Access,
    Emulator,
    Exit,
)  # fmt: skip

CODE = 0x401000
KERNEL_CODE = 0xFFFF_FFFF_8110_0000
DATA = 0x405000
SOURCE_END, DESTINATION_END = SOURCE + emulation.AREA_SIZE, DESTINATION + emulation.AREA_SIZE
LOAD = bytes.fromhex("c5fe6f06")  # vmovdqu ymm0, [rsi]
STORE = bytes.fromhex("c5fe7f07")  # vmovdqu [rdi], ymm0
ALIGNED_LOAD = bytes.fromhex("c5fd6f06")  # vmovdqa ymm0, [rsi]
ALIGNED_STORE = bytes.fromhex("c5fde707")  # vmovntdq [rdi], ymm0
LOAD_64, STORE_64 = bytes.fromhex("62e1fe486f06"), bytes.fromhex("62e1fe487f07")  # zmm16
ZERO_UPPER, ZERO_ALL = bytes.fromhex("c5f877"), bytes.fromhex("c5fc77")
LEGACY_LOAD = bytes.fromhex("f30f6f06")  # movdqu xmm0, [rsi]
LEGACY_STORE = bytes.fromhex("f30f7f07")  # movdqu [rdi], xmm0
MASK = bytes.fromhex("c4e1fb92ca")  # kmovq k1, rdx
MASKED_LOAD = bytes.fromhex("62e17fc96f06")  # vmovdqu8 zmm16{k1}{z}, [rsi]
MASKED_STORE = bytes.fromhex("62e17f497f07")  # vmovdqu8 [rdi]{k1}, zmm16
COUNT = b"\x48\xff\xc0"  # inc rax
PERMUTE = bytes.fromhex("62f275488dc0")  # vpermb zmm0, zmm1, zmm0
RET = b"\xc3"
TEXT = bytes(range(1, 129))
Maker = Callable[..., Emulator]


@pytest.fixture
def make() -> Iterator[Maker]:
    made = []

    def emulator(code: bytes, at: int = CODE, data: bytes = b"") -> Emulator:
        page = at // 4096 * 4096
        memory = FakeMemory({page: code.rjust(at - page + len(code), b"\xcc").ljust(8192, b"\xcc")})
        if data:
            memory.map(DATA, data.ljust(8192, b"\0"))
        made.append(Emulator(memory, {}, lambda address: address < DATA or address > SOURCE_END))
        made[-1].write(SOURCE, TEXT)
        return made[-1]

    yield emulator
    for one in made:
        one.close()


def arguments(size: int = 0, source: int = SOURCE, destination: int = DESTINATION) -> Mapping[str, int]:
    return {"rdi": destination, "rsi": source, "rdx": size, "rax": 0}


@pytest.mark.parametrize("at", [CODE, KERNEL_CODE, CODE + 4096 - 2, CODE + 4096 - len(LOAD)])
@pytest.mark.parametrize("limit", [0, 1000])
def test_vectors_are_copied_where_the_code_stands(make: Maker, at: int, limit: int) -> None:
    emulator = make(LOAD + STORE + ZERO_UPPER + RET, at)
    for _ in range(2):
        emulator.write(DESTINATION, bytes(64))
        assert emulator.call(at, arguments(), limit).kind == RETURNED
        assert emulator.read(DESTINATION, 64) == TEXT[:32] + bytes(32)


@pytest.mark.parametrize("limit", [0, 1000])
def test_what_stands_before_and_behind_is_run_once(make: Maker, limit: int) -> None:
    # inc rax; jmp over the nop; inc rax, vector, inc rax, vector, inc rax
    emulator = make(COUNT + b"\xeb\x01\x90" + COUNT + LOAD + COUNT + STORE + COUNT + RET)
    for _ in range(2):
        assert emulator.call(CODE, arguments(), limit).kind == RETURNED
        assert emulator.register("rax") == 4


def test_flags_pass_by_vectors(make: Maker) -> None:
    # cmp rdx, 5; vector; ja over the inc rax
    emulator = make(b"\x48\x83\xfa\x05" + LOAD + b"\x77\x03" + COUNT + RET)
    for size, counted in ((4, 1), (5, 1), (6, 0), (1 << 63, 0)):
        emulator.call(CODE, arguments(size))
        assert emulator.register("rax") == counted


def test_a_jump_into_the_middle_of_vectors(make: Maker) -> None:
    # test rdx, rdx; jne behind the load
    emulator = make(b"\x48\x85\xd2\x75\x04" + LOAD + STORE + RET)
    emulator.call(CODE, arguments(1))
    assert emulator.read(DESTINATION, 32) == bytes(32)
    emulator.call(CODE, arguments(0))
    assert emulator.read(DESTINATION, 32) == TEXT[:32]


def test_the_code_reads_as_it_is(make: Maker) -> None:
    # mov rax, [rip-7-8]: the two vectors in front
    code = LOAD + STORE + bytes.fromhex("488b05f1ffffff")
    emulator = make(code + RET)
    emulator.call(CODE, arguments())
    assert emulator.register("rax").to_bytes(8, "little") == LOAD + STORE


def test_a_constant_of_the_target(make: Maker) -> None:
    # vmovdqu ymm0, [rip+...]
    load = bytes.fromhex("c5fe6f05") + (DATA + 4080 - CODE - 8).to_bytes(4, "little")
    emulator = make(load + STORE + RET, data=b"\x11" * 4096 + b"\x22" * 4096)
    assert emulator.call(CODE, arguments()).kind == RETURNED
    assert emulator.read(DESTINATION, 32) == b"\x11" * 16 + b"\x22" * 16
    assert emulator.written_pages == set()


def test_the_target_is_written_in_the_emulator_only(make: Maker) -> None:
    emulator = make(LOAD + STORE + RET, data=b"\x11" * 8192)
    assert emulator.call(CODE, arguments(destination=DATA + 4090)).kind == RETURNED
    assert emulator.read(DATA + 4090, 32) == TEXT[:32]
    assert emulator.written_pages == {DATA, DATA + 4096}


def test_a_vector_on_the_stack(make: Maker) -> None:
    # vmovdqu [rsp-32], ymm0; vmovdqu ymm0, [rsp-32]
    emulator = make(LOAD + bytes.fromhex("c5fe7f4424e0") + bytes.fromhex("c5fe6f4424e0") + STORE + RET)
    assert emulator.call(CODE, arguments()).kind == RETURNED
    assert emulator.read(DESTINATION, 32) == TEXT[:32] == emulator.read(STACK_TOP - 32, 32)


# Registers that the emulator has too.


def test_registers_are_shared_with_the_emulator(make: Maker) -> None:
    # movdqu changes the lower half only; movdqu [rdi+32], xmm0 sees what a vector loaded
    second = bytes.fromhex("c5fe6f06") + bytes.fromhex("f30f7f4720")
    emulator = make(LOAD + bytes.fromhex("f30f6f4640") + STORE + second + RET)
    for _ in range(2):
        assert emulator.call(CODE, arguments()).kind == RETURNED
        assert emulator.read(DESTINATION, 48) == TEXT[64:80] + TEXT[16:32] + TEXT[:16]


def test_a_half_that_is_cleared(make: Maker) -> None:
    for clear, expected in ((ZERO_UPPER, TEXT[:16] + bytes(16)), (ZERO_ALL, bytes(32))):
        for code in (LOAD + clear + STORE, LEGACY_LOAD + LOAD + clear + STORE):
            emulator = make(code + RET)
            emulator.call(CODE, arguments())
            assert emulator.read(DESTINATION, 32) == expected
    emulator = make(LOAD + ZERO_ALL + LEGACY_STORE + RET)
    emulator.call(CODE, arguments())
    assert emulator.read(DESTINATION, 16) == bytes(16)


def test_registers_above_are_not_cleared(make: Maker) -> None:
    emulator = make(LOAD_64 + ZERO_ALL + STORE_64 + RET)
    emulator.call(CODE, arguments())
    assert emulator.read(DESTINATION, 64) == TEXT[:64]


def test_nothing_is_left_of_the_call_before(make: Maker) -> None:
    emulator = make(b"\x48\x85\xd2\x75\x06" + LOAD_64 + STORE_64 + MASKED_STORE + RET)
    emulator.call(CODE, arguments(0))
    emulator.call(CODE, arguments(1))
    assert emulator.read(DESTINATION, 64) == bytes(64)


# Faults.


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_load_faults_at_the_missing_page(make: Maker, limit: int) -> None:
    emulator = make(COUNT + STORE + LOAD + COUNT + RET)
    at = CODE + len(COUNT + STORE)
    for source, fault in ((SOURCE_END - 31, SOURCE_END), (SOURCE_END + 5, SOURCE_END + 5), (SOURCE - 1, SOURCE - 1)):
        assert emulator.call(CODE, arguments(0, source), limit) == Exit(FAULTED, at, fault, False)
        assert emulator.register("rax") == 1 and emulator.register("rip") == at
    assert emulator.call(CODE, arguments(0, SOURCE_END - 32), limit).kind == RETURNED


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_store_that_faults_writes_nothing(make: Maker, limit: int) -> None:
    emulator = make(LOAD + STORE + RET)
    for destination, fault in ((DESTINATION_END - 31, DESTINATION_END), (DESTINATION - 9, DESTINATION - 9)):
        ending = emulator.call(CODE, arguments(0, SOURCE, destination), limit)
        assert ending == Exit(FAULTED, CODE + len(LOAD), fault, True)
        assert emulator.read(DESTINATION_END - 64, 64) == bytes(64) == emulator.read(DESTINATION, 64)


def test_a_kernel_goes_on_behind_a_fault(make: Maker) -> None:
    emulator = make(LOAD + STORE + RET + COUNT + STORE + RET)
    ending = emulator.call(CODE, arguments(0, SOURCE, DESTINATION_END - 4), 1000)
    assert ending.kind == FAULTED
    emulator.set_register("rdi", DESTINATION)
    assert emulator.go_on(CODE + len(LOAD + STORE + RET), 1000).kind == RETURNED
    assert emulator.register("rax") == 1 and emulator.read(DESTINATION, 32) == TEXT[:32]


def test_what_is_masked_out_does_not_fault(make: Maker) -> None:
    emulator = make(MASK + MASKED_LOAD + MASKED_STORE + RET)
    emulator.write(SOURCE_END - 8, TEXT[:8])
    ending = emulator.call(CODE, arguments(0xFF, SOURCE_END - 8, DESTINATION_END - 8))
    assert ending.kind == RETURNED and emulator.read(DESTINATION_END - 8, 8) == TEXT[:8]
    assert emulator.call(CODE, arguments(0x100, SOURCE_END - 8)).fault_address == SOURCE_END
    assert emulator.call(CODE, arguments(0, 5, 6)).kind == RETURNED


def test_a_masked_store_that_faults_writes_nothing(make: Maker) -> None:
    emulator = make(MASK + LOAD_64 + MASKED_STORE + RET)
    ending = emulator.call(CODE, arguments(0b1_0000_0101, SOURCE, DESTINATION_END - 8))
    assert (ending.kind, ending.fault_address) == (FAULTED, DESTINATION_END)
    assert emulator.read(DESTINATION_END - 8, 8) == bytes(8)


@pytest.mark.parametrize(("code", "is_write"), [(ALIGNED_LOAD, False), (ALIGNED_STORE, True)])
def test_what_must_be_aligned(make: Maker, code: bytes, is_write: bool) -> None:
    emulator = make(code + RET)
    assert emulator.call(CODE, arguments()).kind == RETURNED
    ending = emulator.call(CODE, arguments(0, SOURCE + 16, DESTINATION + 16))
    assert (ending.kind, ending.pc, ending.is_write) == (UNALIGNED, CODE, is_write)
    assert ending.detail == "needs an address aligned to 32 bytes, got 16 above one"
    assert emulator.call(CODE, arguments()).kind == RETURNED


def test_endless_vectors_are_ended(make: Maker) -> None:
    emulator = make(LOAD + b"\xeb\xfa" + RET)
    assert emulator.call(CODE, arguments(), 1000).kind == ENDLESS


# Who looks on.


def test_accesses_of_vectors_are_listed(make: Maker) -> None:
    emulator = make(LOAD + STORE + MASK + MASKED_LOAD + RET)
    with emulator.tracing() as accesses:
        emulator.call(CODE, arguments(0b110))
    masked = CODE + len(LOAD + STORE + MASK)
    assert accesses[:-1] == [
        Access(CODE, SOURCE, 32, False, STACK_TOP),
        Access(CODE + len(LOAD), DESTINATION, 32, True, STACK_TOP),
        Access(masked, SOURCE + 1, 2, False, STACK_TOP),
    ]
    emulator.call(CODE, arguments())
    assert len(accesses) == 4


@pytest.mark.parametrize("at", [CODE, KERNEL_CODE])
def test_instructions_with_vectors_are_followed(make: Maker, at: int) -> None:
    emulator = make(LOAD + STORE + COUNT + RET, at)
    behind = at + len(LOAD + STORE)
    for _ in range(2):
        with emulator.following() as executed:
            emulator.call(at, arguments())
        assert executed == [at, at + len(LOAD), behind, behind + len(COUNT)]
    with emulator.following() as executed:
        emulator.call(at, arguments(0, SOURCE, DESTINATION_END))
    assert executed[:1] + executed[-1:] == [at, at + len(LOAD)]


@pytest.mark.parametrize("limit", [0, 100_000])
def test_a_thousand_vectors_in_a_row(make: Maker, limit: int) -> None:
    emulator = make(COUNT + LOAD * 999 + STORE + COUNT + RET)
    assert emulator.call(CODE, arguments(), limit).kind == RETURNED
    assert emulator.register("rax") == 2 and emulator.read(DESTINATION, 32) == TEXT[:32]


def test_an_access_over_the_end_of_all_addresses(make: Maker) -> None:
    ending = make(LOAD + RET).call(CODE, arguments(0, (1 << 64) - 8))
    assert (ending.kind, ending.pc) == (FAULTED, CODE)


# What is not carried out.


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (PERMUTE, "vpermb zmm0, zmm1, zmm0 (neither"),
        (b"\x64" + LOAD, "vmovdqu ymm0, ymmword ptr fs:[rsi] (neither"),
        (b"\x67" + LOAD, "vmovdqu ymm0, ymmword ptr [esi] (neither"),
        (bytes.fromhex("c4e26bf5c7"), "pdep eax, edx, edi (the emulator gets it wrong)"),
    ],
)
def test_what_is_not_carried_out_is_named(make: Maker, code: bytes, name: str) -> None:
    emulator = make(LOAD + STORE + code + RET)
    for _ in range(2):
        ending = emulator.call(CODE, arguments())
        assert (ending.kind, ending.pc) == (UNSUPPORTED, CODE + len(LOAD + STORE))
        assert ending.detail.startswith(name)


def test_code_in_a_page_that_is_not_all_there() -> None:
    # kmovd k1, edx; kmovd eax, k1: the emulator would take these for conditional moves
    code = bytes.fromhex("c5fb92ca" + "c5fb93c1") + PERMUTE + RET
    memory = FakeMemory({CODE: code.ljust(128, b"\xcc")})
    emulator = Emulator(memory, {})
    try:
        assert emulator.call(CODE, arguments(77)).kind == UNSUPPORTED
        memory.put(CODE + 8, RET)
    finally:
        emulator.close()
    emulator = Emulator(memory, {})
    try:
        assert emulator.call(CODE, arguments(77)).kind == RETURNED
        assert emulator.register("rax") == 77
    finally:
        emulator.close()
