"""Instructions with vectors in all the forms that kdbg carries out, and what this machine's processor makes of them."""

from __future__ import annotations

import pathlib
import struct
import subprocess
from typing import Iterator, NamedTuple, Optional, Sequence

import support

SOURCE = support.ROOT / "tests" / "programs" / "vectors" / "native.c"
GENERAL = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
PAGE, WINDOW = 4096, 512
_STATE = struct.Struct("<2048s8Q16Q4Q")
_MASKS, _GENERAL, _FLAGS = 2048, 2112, 2240
_WIDE = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_MEMORY = ("[rsi]", "[rsi+64]", "[r13-32]", "[r12+rcx*8-128]")
_MASKED = ("{k1}", "{k7}{z}")


def level() -> str:
    """Return what this machine's processor can do: `avx512`, `avx2` or nothing."""
    cpu = pathlib.Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    flags = set(next((line for line in lines if line.startswith("flags")), "").split())
    return "avx512" if flags >= _WIDE else "avx2" if "avx2" in flags else ""


def vex_forms() -> list[str]:
    """Return the forms that AVX2 has."""
    return [*_vex_moves(), *_vex_others(), *_vex_scalars(), *_bits()]


def _bits() -> Iterator[str]:
    for size, count in ("eax", "ecx"), ("r9d", "r8d"), ("rax", "rcx"), ("r9", "r8"), ("rbx", "rdx"):
        yield from (f"bzhi {size}, {other}, {count}" for other in (size, count, *_MEMORY))


def _vex_moves() -> Iterator[str]:
    for name in ("vmovdqu", "vmovdqa", "vmovups", "vmovupd", "vmovaps", "vmovapd"):
        for v in ("xmm", "ymm"):
            for memory in _MEMORY:
                yield from (f"{{vex}} {name} {v}3, {memory}", f"{{vex}} {name} {memory}, {v}9")
            yield from (f"{{vex}} {name} {v}3, {v}12", f"{{vex}} {{store}} {name} {v}3, {v}12")
    for v in ("xmm", "ymm"):
        for memory in _MEMORY[:3]:
            yield from (f"{{vex}} {name} {memory}, {v}4" for name in ("vmovntdq", "vmovntps", "vmovntpd"))
            yield from (f"{{vex}} {name} {v}14, {memory}" for name in ("vmovntdqa", "vlddqu"))
            yield from (f"{name} {v}5, {v}6, {memory}" for name in ("vpmaskmovd", "vpmaskmovq", "vmaskmovps"))
            yield from (f"{name} {memory}, {v}6, {v}5" for name in ("vpmaskmovd", "vpmaskmovq", "vmaskmovpd"))


def _vex_others() -> Iterator[str]:
    names = (
        "vpxor vpor vpand vpandn vxorps vxorpd vorps vandps vandnpd vpcmpeqb vpcmpeqw vpcmpeqd vpminub vpmaxub vpshufb"
    )
    for v in ("xmm", "ymm"):
        for name in names.split():
            yield from (f"{{vex}} {name} {v}1, {v}2, {other}" for other in (f"{v}3", f"{v}13", "[rsi]", "[rsi+64]"))
        yield from (f"{{vex}} vpalignr {v}1, {v}2, {v}3, {count}" for count in (0, 1, 15, 16, 17, 31, 32, 200))
        yield from (f"vpmovmskb eax, {v}2", f"vpmovmskb r9d, {v}11")
        yield from (f"vptest {v}2, {other}" for other in (f"{v}3", f"{v}2", f"{v}15", "[rsi]"))
    for lane in (0, 1):
        for suffix in ("i128", "f128"):
            yield from (f"vinsert{suffix} ymm1, ymm2, {other}, {lane}" for other in ("xmm3", "[rsi]"))
            yield from (f"vextract{suffix} {other}, ymm2, {lane}" for other in ("xmm3", "[rsi]", "[rsi+64]"))
    yield from ("vzeroupper", "vzeroall")


def _vex_scalars() -> Iterator[str]:
    for scalar, general in (("vmovd", "edi"), ("vmovd", "r10d"), ("vmovq", "rdi"), ("vmovq", "r14")):
        yield from (f"{{vex}} {scalar} xmm1, {general}", f"{{vex}} {scalar} {general}, xmm9")
    for memory in _MEMORY:
        for scalar in ("vmovd", "vmovq", "vmovss", "vmovsd"):
            yield from (f"{{vex}} {scalar} xmm1, {memory}", f"{{vex}} {scalar} {memory}, xmm9")
        for v in ("xmm", "ymm"):
            names = ("vpbroadcastb", "vpbroadcastw", "vpbroadcastd", "vpbroadcastq", "vbroadcastss")
            yield from (f"{{vex}} {name} {v}1, {other}" for name in names for other in (memory, "xmm8"))
        yield from (f"{{vex}} {name} ymm1, {memory}" for name in ("vbroadcastsd", "vbroadcasti128", "vbroadcastf128"))
    yield from ("{vex} vmovq xmm1, xmm9", "{vex} {store} vmovq xmm1, xmm9", "{vex} vbroadcastsd ymm1, xmm2")


def evex_forms() -> list[str]:
    """Return the forms that AVX-512 adds."""
    return [*_evex_moves(), *_evex_others(), *_mask_forms()]


def _evex_moves() -> Iterator[str]:
    names = "vmovdqu8 vmovdqu16 vmovdqu32 vmovdqu64 vmovdqa32 vmovdqa64 vmovups vmovupd vmovaps vmovapd"
    for v in ("xmm", "ymm", "zmm"):
        for name in names.split():
            for memory in _MEMORY:
                yield from (f"{{evex}} {name} {v}3{mask}, {memory}" for mask in ("", *_MASKED))
                yield from (f"{{evex}} {name} {memory}{mask}, {v}20" for mask in ("", "{k3}"))
            yield from (f"{{evex}} {name} {v}30{mask}, {v}12" for mask in ("", *_MASKED))
            yield f"{{evex}} {{store}} {name} {v}3{{k2}}, {v}31"
        for memory in _MEMORY[:2]:
            yield from (f"{{evex}} {name} {memory}, {v}24" for name in ("vmovntdq", "vmovntps", "vmovntpd"))
            yield f"{{evex}} vmovntdqa {v}17, {memory}"


def _evex_others() -> Iterator[str]:
    logic = "vpxord vpxorq vpord vpandq vpandnd vxorps vxorpd vorps vandnps vpminub vpmaxub vpshufb"
    for v in ("xmm", "ymm", "zmm"):
        for name in logic.split():
            yield from (f"{{evex}} {name} {v}1, {v}2, {other}" for other in (f"{v}3", f"{v}19", "[rsi]", "[rsi+64]"))
        for name in ("vpcmpeqb", "vpcmpeqw", "vpcmpeqd"):
            for target in ("k2", "k5{k1}"):
                yield from (f"{name} {target}, {v}18, {other}" for other in (f"{v}3", f"{v}18", "[rsi]"))
        yield from (f"{{evex}} vpalignr {v}16, {v}2, {v}3, {count}" for count in (1, 17, 40))
        for mask in ("", *_MASKED):
            names = ("vpbroadcastb", "vpbroadcastw", "vpbroadcastd", "vpbroadcastq", "vbroadcastss")
            for other in ("xmm8", "xmm21", "[rsi]", "[rsi+8]", "[r12+rcx*8-128]"):
                yield from (f"{{evex}} {name} {v}1{mask}, {other}" for name in names)
            yield from (f"{name} {v}29{mask}, r9d" for name in ("vpbroadcastb", "vpbroadcastw", "vpbroadcastd"))
            yield f"vpbroadcastq {v}3{mask}, rdi"
            if v != "xmm":
                lanes = ("vbroadcasti32x4", "vbroadcastf32x4", "vbroadcasti64x2", "vbroadcastf64x2", "vbroadcastsd")
                yield from (f"{{evex}} {name} {v}1{mask}, {memory}" for name in lanes for memory in _MEMORY[:2])
    for scalar, general in (("vmovd", "edi"), ("vmovq", "r14")):
        yield from (f"{{evex}} {scalar} xmm17, {general}", f"{{evex}} {scalar} {general}, xmm30")
        yield from (f"{{evex}} {scalar} xmm17, [rsi+8]", f"{{evex}} {scalar} [rsi+8], xmm30")
    for name in ("vmovss", "vmovsd"):
        yield from (f"{{evex}} {name} xmm17, [rsi+8]", f"{{evex}} {name} [rsi+8], xmm30")


def _mask_forms() -> Iterator[str]:
    for letter, general in (("b", "edi"), ("w", "edi"), ("d", "r9d"), ("q", "rdi")):
        yield from (f"kmov{letter} k3, {other}" for other in ("k5", general, "[rsi]", "[r13-32]"))
        yield from (f"kmov{letter} {other}, k6" for other in (general, "[rsi]", "[r12+rcx*8-128]"))
        yield from (f"k{name}{letter} k1, k2, k3" for name in ("and", "andn", "or", "xor", "xnor"))
        yield from (f"k{name}{letter} k4, k5" for name in ("not", "ortest", "test"))
        yield from (f"k{name}{letter} k2, k2" for name in ("ortest", "test"))
        yield from (f"kshift{way}{letter} k1, k2, {count}" for way in "lr" for count in (0, 1, 7, 8, 31, 63, 64, 200))


class State(NamedTuple):
    """The processor and the page: both its ends, between which nothing is accessed."""

    vectors: tuple[bytes, ...]
    masks: tuple[int, ...]
    general: tuple[int, ...]
    flags: int
    fault: Optional[int]
    memory: bytes


class Record(NamedTuple):
    """What one instruction made of one state; `page` is where the memory was."""

    text: str
    code: bytes
    address: int
    page: int
    before: State
    after: State


def records(forms: Sequence[str], directory: pathlib.Path, rounds: int) -> Iterator[Record]:
    """Assemble instructions and run each on this machine, on so many states."""
    program = _build(forms, directory)
    output = subprocess.run([program, str(rounds)], stdout=subprocess.PIPE, check=True, timeout=support.DEADLINE).stdout
    codes = _codes(program, len(forms))
    size = _STATE.size + 2 * WINDOW
    (page,) = struct.unpack_from("<Q", output)
    assert len(output) == 8 + 2 * size * rounds * len(forms)
    for number in range(rounds * len(forms)):
        before, after = (_state(output, 8 + (2 * number + n) * size) for n in (0, 1))
        address, code = codes[number // rounds]
        yield Record(forms[number // rounds], code, address, page, before, after)


def _state(data: bytes, offset: int) -> State:
    vectors, *numbers = _STATE.unpack_from(data, offset)
    memory = data[offset + _STATE.size : offset + _STATE.size + 2 * WINDOW]
    flags, fault, address, _ = numbers[24:]
    parts = tuple(vectors[at : at + 64] for at in range(0, 2048, 64))
    return State(parts, tuple(numbers[:8]), tuple(numbers[8:24]), flags, address if fault else None, memory)


def _build(forms: Sequence[str], directory: pathlib.Path) -> pathlib.Path:
    support.require("gcc")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "stubs.s").write_text(_assembly(forms))
    program = directory / "native"
    support.run("gcc", "-O1", "-no-pie", "-o", str(program), str(SOURCE), str(directory / "stubs.s"))
    return program


def _codes(program: pathlib.Path, count: int) -> list[tuple[int, bytes]]:
    from gdb_kdbg.elf import open_elf
    from gdb_kdbg.units import LinkAddress, Size

    elf = open_elf(str(program))
    table = elf.symbol_table()
    found = []
    for number in range(count):
        begin, end = table.by_name(f"insn_{number}"), table.by_name(f"behind_{number}")
        assert begin is not None and end is not None
        found.append((begin.address, elf.read(LinkAddress(begin.address), Size(end.address - begin.address))))
    return found


def _assembly(forms: Sequence[str]) -> str:
    lines = [
        ".intel_syntax noprefix",
        '.section .note.GNU-stack,"",@progbits',
        ".bss",
        "held: .skip 8",
        "given: .skip 8",
        ".text",
    ]
    for number, form in enumerate(forms):
        lines += [f"stub_{number}:", *_enter(), f".globl insn_{number}, behind_{number}", f"insn_{number}:", form]
        lines += [f"behind_{number}:", *_leave()]
    lines += [".data", ".globl stubs, behind, count", f"count: .quad {len(forms)}"]
    for table, prefix in (("stubs", "stub"), ("behind", "behind")):
        lines += [f"{table}:", *(f".quad {prefix}_{number}" for number in range(len(forms)))]
    return "\n".join(lines) + "\n"


_SAVED = ("rbx", "rbp", "r12", "r13", "r14", "r15")


def _vector_moves(line: str) -> list[str]:
    wide = level() == "avx512"
    name, v = ("vmovdqu64", "zmm") if wide else ("vmovdqu", "ymm")
    moves = [line.format(name=name, register=f"{v}{n}", offset=64 * n) for n in range(32 if wide else 16)]
    masks = [line.format(name="kmovq", register=f"k{n}", offset=_MASKS + 8 * n) for n in range(8)]
    return moves + (masks if wide else [])


def _enter() -> list[str]:
    lines = [*(f"push {name}" for name in _SAVED), "mov [rip+given], rdi"]
    lines += _vector_moves("{name} {register}, [rdi+{offset}]")
    lines += [f"push qword ptr [rdi+{_FLAGS}]", "popfq"]
    names = [*(n for n in GENERAL if n not in ("rsp", "rdi")), "rdi"]
    return lines + [f"mov {name}, [rdi+{_GENERAL + 8 * GENERAL.index(name)}]" for name in names]


def _leave() -> list[str]:
    lines = ["mov [rip+held], rdi", "mov rdi, [rip+given]"]
    lines += [f"mov [rdi+{_GENERAL + 8 * GENERAL.index(n)}], {n}" for n in GENERAL if n not in ("rsp", "rdi")]
    lines += ["pushfq", f"pop qword ptr [rdi+{_FLAGS}]", "mov rax, [rip+held]", f"mov [rdi+{_GENERAL + 56}], rax"]
    lines += _vector_moves("{name} [rdi+{offset}], {register}")
    return [*lines, *(f"pop {name}" for name in reversed(_SAVED)), "vzeroupper", "ret"]
