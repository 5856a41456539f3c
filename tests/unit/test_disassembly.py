"""What an instruction stores, and where a function keeps its canary. The bytes stand next to their assembly."""

from __future__ import annotations

from typing import Optional

import pytest

from gdb_kdbg.disassembly import CanarySlot, Instruction, Store, canary_slot, decode, decode_to, store_after
from gdb_kdbg.ranges import Range
from gdb_kdbg.units import Address, Size

AT = Address(0x1000)
DOWN = 0x400  # the direction flag


def one(code: str) -> Instruction:
    (instruction,) = decode(bytes.fromhex(code), AT)
    return instruction


def of(start: int, size: int) -> Range:
    return Range(Address(start), Size(size))


def stored(code: str, **registers: int) -> Optional[Store]:
    """The store seen when `code` has just been executed."""
    return store_after(one(code), None, registers)


@pytest.mark.parametrize(
    ("code", "assembly", "size"),
    [
        ("8807", "mov byte ptr [rdi], al", 1),
        ("488907", "mov qword ptr [rdi], rax", 8),
        ("480fc307", "movnti qword ptr [rdi], rax", 8),
        ("480107", "add qword ptr [rdi], rax", 8),
        ("488707", "xchg qword ptr [rdi], rax", 8),
        ("f0480fb10f", "lock cmpxchg qword ptr [rdi], rcx", 8),
        ("8f07", "pop qword ptr [rdi]", 8),
        ("0f9407", "sete byte ptr [rdi]", 1),
        ("0f1107", "movups xmmword ptr [rdi], xmm0", 16),
        ("f30f7f07", "movdqu xmmword ptr [rdi], xmm0", 16),
        ("660fe707", "movntdq xmmword ptr [rdi], xmm0", 16),
        ("f20f1107", "movsd qword ptr [rdi], xmm0", 8),  # no string instruction
        ("c5fe7f07", "vmovdqu ymmword ptr [rdi], ymm0", 32),
        ("c5fde707", "vmovntdq ymmword ptr [rdi], ymm0", 32),
        ("62f17c481107", "vmovups zmmword ptr [rdi], zmm0", 64),
        ("c5f9d607", "vmovq qword ptr [rdi], xmm0", 8),
        ("c4e37d390701", "vextracti128 xmmword ptr [rdi], ymm0, 1", 16),
    ],
)
def test_a_store_writes_its_memory_operand(code: str, assembly: str, size: int) -> None:
    assert str(one(code)) == assembly
    assert stored(code, rdi=0x5000) == Store(one(code), of(0x5000, size), None)


@pytest.mark.parametrize(
    "code",
    [
        "488b07",  # mov rax, [rdi]
        "483907",  # cmp [rdi], rax
        "488507",  # test [rdi], rax
        "488d07",  # lea rax, [rdi]
        "0f1007",  # movups xmm0, [rdi]
        "c5fe6f07",  # vmovdqu ymm0, [rdi]
        "0f1f07",  # nop dword ptr [rdi]
        "0f180f",  # prefetcht0 [rdi]
        "a6",  # cmpsb
        "31c0",  # xor eax, eax
        "c3",  # ret
    ],
)
def test_an_instruction_that_only_reads_stores_nothing(code: str) -> None:
    assert stored(code, rdi=0x5000, rsi=0x6000, rsp=0x7000) is None


@pytest.mark.parametrize(
    ("code", "start"),
    [
        ("c744870805000000", 0x5000 + 2 * 4 + 8),  # mov dword ptr [rdi + rax*4 + 8], 5
        ("48890cc500010000", 0x110),  # mov [rax*8 + 0x100], rcx
        ("48890510000000", 0x1017),  # mov [rip + 0x10], rax
        ("644889042528000000", 0x9028),  # mov fs:[0x28], rax
        ("65488907", 0xF000),  # mov gs:[rdi], rax
        ("48a38877665544332211", 0x1122334455667788),  # movabs [0x1122334455667788], rax
    ],
)
def test_the_address_of_a_store_is_computed_from_the_registers(code: str, start: int) -> None:
    store = stored(code, rdi=0x5000, rax=2, fs_base=0x9000, gs_base=0xA000)
    assert store is not None and store.done.start == start


def test_an_address_made_of_an_unknown_register_is_no_store() -> None:
    assert stored("644889042528000000", rax=2) is None
    assert stored("488907", rax=2) is None


def test_addresses_wrap_at_64_bits() -> None:
    store = stored("48894708", rdi=(1 << 64) - 8)  # mov [rdi + 8], rax
    assert store is not None and store.done.start == 0


@pytest.mark.parametrize("code", ["50", "ff37", "6a05", "9c", "ffd0"])  # push rax/[rdi]/5, pushfq, call rax
def test_push_and_call_store_at_the_stack_pointer(code: str) -> None:
    store = stored(code, rsp=0x8000, rdi=0x5000)
    assert store is not None and (store.done, store.rest) == (of(0x8000, 8), None)


def test_a_running_rep_movsb_has_written_one_byte_and_has_the_rest_to_go() -> None:
    store = store_after(None, one("f3a4"), {"rdi": 0x5005, "rcx": 3, "eflags": 2})
    assert store is not None and (store.done, store.rest) == (of(0x5004, 1), of(0x5005, 3))
    assert str(store.instruction) == "rep movsb"


def test_a_running_rep_stosq_counts_in_words() -> None:
    store = store_after(None, one("f348ab"), {"rdi": 0x5010, "rcx": 2})
    assert store is not None and (store.done, store.rest) == (of(0x5008, 8), of(0x5010, 16))


def test_a_backward_rep_movsb_has_the_bytes_below_to_go() -> None:
    store = store_after(None, one("f3a4"), {"rdi": 0x5004, "rcx": 3, "eflags": DOWN})
    assert store is not None and (store.done, store.rest) == (of(0x5005, 1), of(0x5002, 3))


def test_a_finished_rep_movsb_has_nothing_to_go() -> None:
    store = store_after(one("f3a4"), one("c3"), {"rdi": 0x5008, "rcx": 0})
    assert store is not None and (store.done, store.rest) == (of(0x5007, 1), None)


def test_a_rep_at_the_pc_with_nothing_left_is_not_running() -> None:
    store = store_after(one("488907"), one("f3a4"), {"rdi": 0x5000, "rcx": 0})
    assert store is not None and str(store.instruction) == "mov qword ptr [rdi], rax"


def test_a_string_store_without_rep_has_written_what_lies_behind_rdi() -> None:
    store = stored("48ab", rdi=0x5008, rcx=7)  # stosq
    assert store is not None and (store.done, store.rest) == (of(0x5000, 8), None)


def test_a_string_instruction_that_stores_nothing_is_none() -> None:
    assert store_after(None, one("f3a6"), {"rdi": 0x5000, "rsi": 0x6000, "rcx": 3}) is None  # repe cmpsb


def test_nothing_before_the_pc_stored_nothing() -> None:
    assert store_after(None, one("c3"), {"rdi": 0x5000}) is None
    assert store_after(None, None, {}) is None


# gcc -O1: sub rsp, 0x18; mov rax, fs:[0x28]; mov [rsp + 8], rax; xor eax, eax; add rsp, 0x18; ret
BY_RSP = "4883ec1864488b042528000000488944240831c04883c418c3"
# gcc -O0: push rbp; mov rbp, rsp; sub rsp, 0x20; mov rax, fs:[0x28]; mov [rbp - 8], rax; xor eax, eax
BY_RBP = "554889e54883ec2064488b042528000000488945f831c0"
# push r12; sub rsp, 0x120; mov rbx, fs:[0x28]; mov [rsp + 0x118], rbx
BY_RBX = "41544881ec2001000064488b1c252800000048899c2418010000"


@pytest.mark.parametrize(
    ("code", "slot"),
    [
        (BY_RSP, CanarySlot("rsp", 8, Address(0x1012))),
        (BY_RBP, CanarySlot("rbp", -8, Address(0x1015))),
        (BY_RBX, CanarySlot("rsp", 0x118, Address(0x101A))),
    ],
)
def test_the_canary_slot_is_where_the_prologue_saves_the_guard(code: str, slot: CanarySlot) -> None:
    assert canary_slot(decode(bytes.fromhex(code), AT)) == slot


@pytest.mark.parametrize(
    "code",
    [
        "5331c05bc3" + BY_RSP,  # push rbx; xor eax, eax; pop rbx; ret; and the next function
        "64488b042528000000488907c3",  # mov rax, fs:[0x28]; mov [rdi], rax; ret
        "64488b0425100000004889442408c3",  # mov rax, fs:[0x10]; mov [rsp + 8], rax; ret
        "488b54240864482b1425280000004889542408c3",  # mov rdx, [rsp+8]; sub rdx, fs:[0x28]; mov [rsp+8], rdx; ret
        "64488b042528000000488944cc08c3",  # mov rax, fs:[0x28]; mov [rsp + rcx*8 + 8], rax; ret
        "64488b04252800000048894c2410c3",  # mov rax, fs:[0x28]; mov [rsp + 16], rcx; ret
        "",
    ],
)
def test_a_function_that_saves_no_guard_has_no_canary_slot(code: str) -> None:
    assert canary_slot(decode(bytes.fromhex(code), AT)) is None


def test_other_stores_between_load_and_save_do_not_hide_the_canary() -> None:
    # mov rax, fs:[0x28]; mov rcx, [rsp+8]; mov [rsp+16], rcx; mov [rsp+24], rax
    code = bytes.fromhex("64488b042528000000488b4c240848894c24104889442418")
    assert canary_slot(decode(code, AT)) == CanarySlot("rsp", 24, Address(0x1018))


def test_control_flow_is_told_apart() -> None:
    call, jump, leave = one("ffd0"), one("eb00"), one("c3")
    assert (call.is_call, call.is_jump, call.is_return) == (True, False, False)
    assert (jump.is_call, jump.is_jump, jump.is_return) == (False, True, False)
    assert (leave.is_call, leave.is_jump, leave.is_return) == (False, False, True)


def test_the_target_of_a_direct_call_is_its_immediate() -> None:
    assert one("e8fb000000").immediate == 0x1100
    assert one("ffd0").immediate is None
    assert one("ff1500010000").memory[0].address == 0x1106  # call [rip + 0x100]


def test_decoding_stops_at_bytes_that_are_no_instruction() -> None:
    assert [i.mnemonic for i in decode(bytes.fromhex("90c306"), AT)] == ["nop", "ret"]
    assert [i.mnemonic for i in decode(bytes.fromhex("9090c3"), AT, 2)] == ["nop", "nop"]


def test_decoding_up_to_an_address_leaves_out_what_crosses_it() -> None:
    code = bytes.fromhex("90488907c3")
    assert [i.mnemonic for i in decode_to(code, AT, Address(0x1004))] == ["nop", "mov"]
    assert [i.mnemonic for i in decode_to(code, AT, Address(0x1003))] == ["nop"]
    assert decode_to(code, AT, AT) == []
