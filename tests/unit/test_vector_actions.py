"""Instructions with vectors by themselves: what they compute, from fixed values, and which of them are known."""

from __future__ import annotations

import random
from typing import Optional

import pytest

from gdb_kdbg.disassembly import decode
from gdb_kdbg.units import Address
from gdb_kdbg.vector_actions import compile_action
from gdb_kdbg.vector_encoding import decode_vector
from gdb_kdbg.vector_forms import form_of
from gdb_kdbg.vector_machine import Stopped, VectorMachine
from gdb_kdbg.vector_operands import registers_read

PAGE = 0x10000
SIZE = 256
TEXT = bytes(range(SIZE))


class _Around:
    """One page of memory; what an instruction does to the rest of the processor."""

    def __init__(self) -> None:
        self.content = bytearray(TEXT)
        self.general: dict[str, int] = {}
        self.flags: Optional[tuple[bool, bool, bool]] = None

    def set_general(self, name: str, value: int) -> None:
        self.general[name] = value

    def set_flags(self, is_zero: bool, is_carry: bool, is_sign: bool = False) -> None:
        self.flags = is_zero, is_carry, is_sign

    def reach(self, address: int, size: int, is_write: bool) -> Optional[int]:
        return next((place for place in range(address, address + size) if not 0 <= place - PAGE < SIZE), None)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.content[address - PAGE : address - PAGE + size])

    def write(self, address: int, data: bytes) -> None:
        self.content[address - PAGE : address - PAGE + len(data)] = data


class _Processor:
    def __init__(self) -> None:
        self.around = _Around()
        nowhere = (0, 0, memoryview(b""))
        self.machine = VectorMachine(self.around, (nowhere, nowhere))
        self.machine.general.update({"rsi": PAGE, "rdi": PAGE + 128, "rcx": 2})

    def run(self, *codes: str) -> _Processor:
        for code in codes:
            found = form_of(bytes.fromhex(code))
            assert found is not None and found[0].size == len(code) // 2
            assert registers_read(*found) <= self.machine.general.keys()
            compile_action(self.machine, *found, PAGE)()
        return self

    def vector(self, number: int, size: int = 64) -> bytes:
        return self.machine.vector(number, size)


def with_masks(*masks: int) -> _Processor:
    processor = _Processor()
    processor.machine.masks[1 : 1 + len(masks)] = masks
    return processor


LOAD_64, STORE_64 = "62e1fe486f06", "62e1fe487f07"  # vmovdqu64 zmm16, [rsi] and [rdi], zmm16


def test_the_rest_of_a_register_becomes_zero() -> None:
    # vmovdqu64 zmm0, [rsi]; then vmovdqu ymm0, [rsi], or xmm0
    for code, size in (("62f1fe486f06", 64), ("c5fe6f06", 32), ("c5fa6f06", 16)):
        assert _Processor().run("62f1fe486f06", code).vector(0) == TEXT[:size].ljust(64, b"\0")


def test_displacements() -> None:
    assert _Processor().run("c5fe6f4e20").vector(1, 32) == TEXT[32:64]  # vmovdqu ymm1, [rsi+32]
    assert _Processor().run("c5fe6f4cce04").vector(1, 32) == TEXT[20:52]  # vmovdqu ymm1, [rsi+rcx*8+4]
    # vmovdqu64 zmm16, [rsi+64]; its displacement is 1 times 64
    assert _Processor().run("62e1fe486f4601").vector(16) == TEXT[64:128]
    # vmovdqu ymm0, [rip-0xf0]
    with pytest.raises(Stopped) as stopped:
        _Processor().run("c5fe6f0510ffffff")
    assert stopped.value.address == PAGE - 0xF0


def test_masks_choose_bytes() -> None:
    merging, zeroing = "62e17f496f06", "62e17fc96f06"  # vmovdqu8 zmm16{k1}, [rsi] and {k1}{z}
    assert with_masks(0b101).run(LOAD_64, zeroing).vector(16) == bytes([0, 0, 2]).ljust(64, b"\0")
    processor = with_masks(0b101)
    processor.machine.registers[16] = b"\xee" * 64
    assert processor.run(merging).vector(16) == b"\0\xee\x02" + b"\xee" * 61
    # vmovdqu8 [rdi]{k1}, zmm16
    assert with_masks(0b110).run(LOAD_64, "62e17f497f07").around.content[127:132] == b"\x7f\x80\x01\x02\x83"


def test_masks_choose_elements() -> None:
    # vmovdqu32 zmm16{k1}{z}, [rsi]
    assert with_masks(0b10).run("62e17ec96f06").vector(16, 8) == bytes(4) + TEXT[4:8]


def test_broadcasts() -> None:
    processor = _Processor()
    processor.machine.general["rax"] = 0x1122334455667788
    assert processor.run("62e27d487ac0").vector(16) == b"\x88" * 64  # vpbroadcastb zmm16, eax
    # vmovd xmm0, [rsi+4]; vpbroadcastb ymm0, xmm0
    assert processor.run("c5f96e4604", "c4e27d78c0").vector(0) == (b"\x04" * 32).ljust(64, b"\0")


def test_logic_and_comparison() -> None:
    processor = _Processor().run("c5fe6f06", "c5fd74c8", "c5fdefc0")  # load; vpcmpeqb ymm1, ymm0, ymm0; vpxor ymm0
    assert processor.vector(1) == (b"\xff" * 32).ljust(64, b"\0") and processor.vector(0) == bytes(64)
    processor.run("c5fdd7c1")  # vpmovmskb eax, ymm1
    assert processor.around.general == {"rax": 0xFFFF_FFFF}
    processor.run("62f17d4874c8")  # vpcmpeqb k1, zmm0, zmm0
    assert processor.machine.masks[1] == (1 << 64) - 1


def test_flags() -> None:
    assert _Processor().run("c4e27d17c0").around.flags == (True, True, False)  # vptest ymm0, ymm0
    assert _Processor().run("c5fe6f06", "c4e27d17c0").around.flags == (False, True, False)
    assert with_masks(0).run("c4e1f898c9").around.flags == (True, False, False)  # kortestq k1, k1
    assert with_masks((1 << 64) - 1).run("c4e1f898c9").around.flags == (False, True, False)


@pytest.mark.parametrize(
    ("count", "kept"), [(0, 0), (1, 1), (63, 63), (64, 64), (65, 64), (255, 64), (256, 0), (257, 1)]
)
def test_bits_that_are_kept(count: int, kept: int) -> None:
    processor = _Processor()
    processor.machine.general.update({"rax": (1 << 64) - 1, "rdx": count})
    processor.run("c4e2e8f5c0")  # bzhi rax, rax, rdx
    assert processor.around.general == {"rax": (1 << kept) - 1}
    assert processor.around.flags == (not kept, count & 255 >= 64, kept == 64)


def test_nothing_is_written_where_something_is_missing() -> None:
    processor = _Processor()
    processor.machine.general["rdi"] = PAGE + SIZE - 63
    with pytest.raises(Stopped) as stopped:
        processor.run(LOAD_64, STORE_64)
    assert (stopped.value.address, stopped.value.is_write) == (PAGE + SIZE, True)
    assert processor.around.content == TEXT


def test_alignment() -> None:
    processor = _Processor()
    processor.machine.general["rsi"] = PAGE + 33
    with pytest.raises(Stopped) as stopped:
        processor.run("c5fd6f06")  # vmovdqa ymm0, [rsi]
    assert stopped.value.text == "needs an address aligned to 32 bytes, got 1 above one"
    assert processor.run("c5fe6f06").vector(0, 4) == TEXT[33:37]


@pytest.mark.parametrize(
    "code",
    [
        "62f275488dc0",  # vpermb zmm0, zmm1, zmm0
        "c4e2759004ce",  # vpgatherdd ymm0, [rsi+ymm1*8], ymm1
        "62f17558db06",  # vpandd zmm0, zmm1, [rsi]{1to16}
        "62f1fe686f06",  # vmovdqu64 of 128 bytes
        "62f1fec86f06",  # {z} without a mask
        "c5f66f06",  # vmovdqu with a second operand
        "c5ff6f06",  # of VEX there is no vmovdqu8
        "c4e27d18",  # cut off
        "c5fe6f",
        "62f1fe48",
        "c4",
        "",
        "64c5fe6f06",  # fs:
        "f3c5fe6f06",
        "90",
    ],
)
def test_what_is_not_known(code: str) -> None:
    assert form_of(bytes.fromhex(code)) is None


def test_any_bytes_are_taken_or_refused_and_lengths_agree() -> None:
    chance = random.Random(3)
    known = 0
    for _ in range(20_000):
        code = bytes([chance.choice((0xC5, 0xC4, 0x62))]) + chance.randbytes(chance.randrange(15))
        encoded, found = decode_vector(code), form_of(code)
        decoded = decode(code, Address(0), 1) if found else ()
        assert encoded is None or encoded.size <= len(code)
        if found and decoded:
            known += 1
            assert decoded[0].size == found[0].size, code.hex()
            assert decoded[0].mnemonic.startswith(("v", "k", "bzhi")), code.hex()
    assert known > 50
