"""The emulator under the exercises: what it runs, what it refuses to run, and how runs end."""

from __future__ import annotations

import sys
import threading
import time
from typing import Callable, Iterator, Mapping

import pytest
from fakes import FakeMemory

from gdb_kdbg import emulation
from gdb_kdbg.disassembly import decode
from gdb_kdbg.emulated_pages import physical, virtual
from gdb_kdbg.emulation import (
    DESTINATION,
    ENDLESS,
    FAULTED,
    LEFT,
    NOISE_OF,
    RETURNED,
    SOURCE,
    STACK,
    STACK_SIZE,
    UNSUPPORTED,
    Emulator,
)  # fmt: skip
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.units import Address, Size
from gdb_kdbg.unsupported import first_unsupported, needs_alignment

CODE = 0x401000
KERNEL_CODE = 0xFFFF_FFFF_8110_0000
MOVSB = b"\x48\x89\xd1\xf3\xa4"  # mov rcx, rdx; rep movsb
RET = b"\xc3"
Maker = Callable[..., Emulator]


@pytest.fixture
def make() -> Iterator[Maker]:
    made = []

    def emulator(code: bytes, at: int = CODE, is_code: Callable[[int], bool] = lambda address: True) -> Emulator:
        page = at // 4096 * 4096
        memory = FakeMemory({page: code.rjust(at - page + len(code), b"\xcc").ljust(8192, b"\xcc")})
        made.append(Emulator(memory, {}, is_code))
        return made[-1]

    yield emulator
    for one in made:
        one.close()


def arguments(size: int, source: int = SOURCE, destination: int = DESTINATION) -> Mapping[str, int]:
    return {"rdi": destination, "rsi": source, "rdx": size}


@pytest.mark.parametrize("at", [CODE, KERNEL_CODE])
def test_a_copy_is_run_where_it_stands(make: Maker, at: int) -> None:
    emulator = make(MOVSB + RET, at)
    emulator.write(SOURCE, b"copied")
    assert emulator.call(at, arguments(6)).kind == RETURNED
    assert emulator.read(DESTINATION, 7) == b"copied\0"


def test_registers_that_are_no_arguments_hold_noise_at_every_call(make: Maker) -> None:
    emulator = make(b"\x48\x89\xd8\x31\xdb" + RET)  # mov rax, rbx; xor ebx, ebx
    for _ in range(2):
        assert emulator.call(CODE, arguments(0)).kind == RETURNED
        assert emulator.registers(("rax", "rbx", "r15")) == {"rax": NOISE_OF["rbx"], "rbx": 0, "r15": NOISE_OF["r15"]}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (b"\xf4", "hlt"),
        (b"\xe4\x60", "in al, 0x60"),
        (b"\xec", "in al, dx"),
        (b"\xe6\x60", "out 0x60, al"),
        (b"\xfa", "cli"),
        (b"\xfb", "sti"),
        (b"\x0f\x30", "wrmsr"),
        (b"\x0f\x32", "rdmsr"),
        (b"\x0f\x05", "syscall"),
        (b"\x0f\x34", "sysenter"),
        (b"\xcc", "int3"),
        (b"\xcd\x80", "int 0x80"),
        (b"\x0f\x0b", "ud2"),
        (b"\x0f\x20\xc0", "mov rax, cr0"),
        (b"\x0f\x01\xf8", "swapgs"),
        (b"\xc5\xed\xfc\xc1", "vpaddb ymm0, ymm2, ymm1"),
        (b"\xc5\xe9\xfc\xc1", "vpaddb xmm0, xmm2, xmm1"),
        (b"\x62\xf1\x6d\x48\xfc\xc1", "vpaddb zmm0, zmm2, zmm1"),
        (b"\xc4\xe1\xec\x4a\xd9", "kaddq k3, k2, k1"),
    ],
)
def test_what_cannot_be_run_is_named_with_its_address_every_time(make: Maker, code: bytes, name: str) -> None:
    emulator = make(MOVSB + code + RET)
    for _ in range(3):
        ending = emulator.call(CODE, arguments(4))
        assert (ending.kind, ending.pc) == (UNSUPPORTED, CODE + len(MOVSB))
        assert ending.detail.startswith(name)


@pytest.mark.parametrize("limit", [0, 1000])
def test_what_is_not_reached_hinders_nothing(make: Maker, limit: int) -> None:
    # test rdx, rdx; je over the hlt
    emulator = make(b"\x48\x85\xd2\x74\x01\xf4" + RET)
    assert emulator.call(CODE, arguments(0), limit).kind == RETURNED
    assert emulator.call(CODE, arguments(1), limit).kind == UNSUPPORTED
    assert emulator.call(CODE, arguments(0), limit).kind == RETURNED


def test_undecodable_bytes_cannot_be_run(make: Maker) -> None:
    assert make(b"\x06" * 16 + RET).call(CODE, arguments(0)).kind == UNSUPPORTED


@pytest.mark.parametrize("skipped", [b"\x0f\x01\xcb", b"\x0f\x01\xca"])
def test_a_fault_behind_stac_and_clac_is_the_copying_instruction(make: Maker, skipped: bytes) -> None:
    emulator = make(skipped + MOVSB + skipped + RET)
    missing = SOURCE + emulation.AREA_SIZE
    for place in (1, 3, 0):
        ending = emulator.call(CODE, arguments(8, missing - place), 1000)
        assert (ending.kind, ending.fault_address, ending.is_write) == (FAULTED, missing, False)
        assert ending.pc == CODE + len(skipped) + 3
        assert emulator.register("rcx") == 8 - place
    assert emulator.call(CODE, arguments(8)).kind == RETURNED


def test_a_kernel_goes_on_behind_a_fault(make: Maker) -> None:
    emulator = make(b"\x0f\x01\xcb" + MOVSB + b"\x0f\x01\xca\x48\x89\xc8" + RET)  # ... mov rax, rcx
    emulator.call(CODE, arguments(8, SOURCE + emulation.AREA_SIZE - 5))
    assert emulator.go_on(CODE + 3 + len(MOVSB)).kind == RETURNED
    assert emulator.register("rax") == 3


def test_xtest_says_that_no_transaction_runs(make: Maker) -> None:
    emulator = make(b"\x0f\x01\xd6\x0f\x94\xc0" + RET)  # xtest; sete al
    assert emulator.call(CODE, arguments(0)).kind == RETURNED
    assert emulator.register("rax") & 0xFF == 1


def test_an_endless_loop_ends_by_its_instructions_even_if_it_was_run_without_counting(make: Maker) -> None:
    emulator = make(b"\x48\x85\xd2\x75\xfb" + RET)  # 1: test rdx, rdx; jne 1b
    assert emulator.call(CODE, arguments(0)).kind == RETURNED
    before = time.process_time()
    ending = emulator.call(CODE, arguments(1), 100_000)
    assert (ending.kind, ending.detail) == (ENDLESS, "instructions")
    assert time.process_time() - before < 5
    assert emulator.call(CODE, arguments(0)).kind == RETURNED


def test_an_endless_loop_that_is_not_counted_ends_by_time(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "PATIENCE", 0.1)
    ending = make(b"\x48\x85\xd2\x75\xfb" + RET).call(CODE, arguments(1))
    assert (ending.kind, ending.detail) == (ENDLESS, "time")


def test_a_stack_that_overflows_faults_right_below_it(make: Maker) -> None:
    ending = make(b"\xe8\xfb\xff\xff\xff").call(CODE, arguments(0))  # call itself
    assert (ending.kind, ending.is_write, ending.fault_address) == (FAULTED, True, STACK - 8)
    assert STACK_SIZE == 1 << 20


def test_control_that_leaves_is_told_with_where_to(make: Maker) -> None:
    jump = make(b"\x31\xc0\xff\xe0", is_code=lambda address: address // 4096 == CODE // 4096)
    ending = jump.call(CODE, arguments(0))
    assert (ending.kind, ending.fault_address) == (LEFT, 0)
    divide = make(b"\x31\xc9\xf7\xf1" + RET).call(CODE, arguments(0))
    assert (divide.kind, divide.detail, divide.pc) == (LEFT, "divide error", CODE + 2)


def test_the_target_is_written_in_the_emulator_only() -> None:
    data = 0x500000
    code = b"\xc6\x04\x25" + data.to_bytes(4, "little") + b"\x07\x8a\x04\x25" + data.to_bytes(4, "little") + RET
    memory = FakeMemory({CODE: code.ljust(4096, b"\xcc"), data: bytes(4096)})
    emulator = Emulator(memory, {}, lambda address: address < data)
    try:
        assert emulator.call(CODE, {}).kind == RETURNED
        assert emulator.register("rax") & 0xFF == 7
    finally:
        emulator.close()
    assert emulator.written_pages == {data} and memory.peek(data, 4096) == bytes(4096)


def test_accesses_and_instructions_are_listed(make: Maker) -> None:
    emulator = make(b"\x8a\x06\x88\x07" + RET)  # mov al, [rsi]; mov [rdi], al
    emulator.call(CODE, arguments(0))
    with emulator.tracing() as accesses:
        emulator.call(CODE, arguments(0))
    assert [(a.pc, a.address, a.size, a.is_write) for a in accesses[:2]] == [
        (CODE, SOURCE, 1, False),
        (CODE + 2, DESTINATION, 1, True),
    ]
    with emulator.following() as executed:
        emulator.call(CODE, arguments(0))
    assert list(dict.fromkeys(executed)) == [CODE, CODE + 2, CODE + 4]


def test_thread_local_memory_is_there_without_a_thread(make: Maker) -> None:
    emulator = make(b"\x64\x48\x8b\x04\x25\x28\x00\x00\x00" + RET)  # mov rax, fs:[0x28]
    assert emulator.call(CODE, arguments(0)).kind == RETURNED
    assert emulator.register("rax") == 0


def test_the_watch_leaves_no_thread_behind(make: Maker) -> None:
    before = set(threading.enumerate())
    emulator = Emulator(FakeMemory(), {})
    (watch,) = set(threading.enumerate()) - before
    emulator.close()
    assert not watch.is_alive()


@pytest.mark.parametrize("address", [0, CODE, DESTINATION, KERNEL_CODE, 0xFFFF_8000_0000_0000, (1 << 64) - 1])
def test_addresses_come_back_from_the_emulator(address: int) -> None:
    assert virtual(physical(address)) == address and physical(address) < 1 << 52


def test_the_reason_is_said() -> None:
    def reason(code: bytes) -> str:
        found = first_unsupported(code, Address(CODE))
        return found.text if found else ""

    assert reason(b"\xf4") == "hlt (privileged)"
    assert reason(b"\xcc") == "int3 (a trap)"
    assert reason(b"\xc5\xed\xfc\xc1") == "vpaddb ymm0, ymm2, ymm1 (neither the emulator nor kdbg has it)"
    assert reason(b"\xc5\xf8\x77") == ""  # vzeroupper: carried out by kdbg
    assert reason(b"\x0f\x00\xe0") == ""  # verr: no vector
    assert reason(b"\xc4\xe2\xf8\xf2\xc7") == reason(b"\x64\xc4\xe2\xf8\xf2\x07") == ""  # andn
    assert reason(b"\x64\xc5\xfe\x6f\x06").startswith("vmovdqu ymm0, ymmword ptr fs:[rsi] (neither")
    assert "neither" in reason(b"\xc4\xe2\x7b\x4b\x04\x0e") or "undecodable" in reason(b"\xc4\xe2\x7b\x4b\x04\x0e" * 4)
    assert reason(RET + b"\xf4") == ""


def test_which_operands_must_be_aligned() -> None:
    (aligned,), (unaligned,) = decode(b"\x0f\x29\x07", Address(0)), decode(b"\x0f\x11\x07", Address(0))
    assert needs_alignment(aligned) and not needs_alignment(unaligned)


def test_without_unicorn_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(KdbgError, match="unicorn is missing for this python: run scripts/setup"):
        Emulator(FakeMemory(), {})


@pytest.mark.parametrize(("start", "behind"), [(CODE, 2), (CODE + 0x80, 2), (CODE + 0x83, 100)])
def test_code_of_which_the_page_is_not_all_there_is_run(start: int, behind: int) -> None:
    emulator = Emulator(FakeMemory({start: MOVSB + RET + bytes(behind)}), {})
    emulator.write(SOURCE, b"copied")
    try:
        assert emulator.call(start, arguments(6)).kind == RETURNED
        assert emulator.read(DESTINATION, 7) == b"copied\0"
        assert emulator.read(start, 8) == MOVSB + RET + bytes(2)
    finally:
        emulator.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, KdbgError])
def test_what_ends_a_read_of_the_target_is_no_fault_of_the_routine(error: type[BaseException]) -> None:
    class Gone(FakeMemory):
        def read_memory(self, address: Address, size: Size) -> bytes:
            if address < CODE:
                raise error("gone")
            return super().read_memory(address, size)

    # mov eax, [0x400000]
    emulator = Emulator(Gone({CODE: b"\x8b\x04\x25\x00\x00\x40\x00" + RET + bytes(4088)}), {})
    try:
        with pytest.raises(error, match="gone"):
            emulator.call(CODE, arguments(0))
    finally:
        emulator.close()
