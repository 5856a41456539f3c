"""Copy routines with AVX and AVX-512: our own, right and wrong, and the variants of the C library."""

from __future__ import annotations

import functools
import pathlib
from typing import Mapping

import copies
import support
from copies import MISSING, PAST_END, READS_PAST, REGISTER, REMAINDER, UNSUPPORTED, WRONG, Mistake

MISALIGNED = "misaligned vector access"

CORRECT: Mapping[str, str] = {
    "good_avx2": "memcpy",
    "good_without_vzeroupper": "memcpy",
    "good_avx2_aligned": "memcpy",
    "good_mixed": "memcpy",
    "good_avx512": "memcpy",
    "good_memmove_avx512": "memmove",
    "good_memset_avx2": "memset",
    "good_memset_avx512": "memset",
    "good_avx2_to_user": "copy_to_user",
    "good_avx512_from_user": "copy_from_user",
}

MISTAKES: tuple[Mistake, ...] = (
    Mistake("vector_tail_lost", "memcpy", MISSING, 32),
    Mistake("vector_too_many", "memcpy", PAST_END, 33),
    Mistake("vector_half_a_tail", "memcpy", MISSING, 32),
    Mistake("vector_upper_half_lost", "memcpy", WRONG, 32),
    Mistake("vector_all_lost", "memcpy", WRONG, 32),
    Mistake("vector_aligned_load", "memcpy", MISALIGNED, 33, "aligned to 32 bytes"),
    Mistake("vector_aligned_store", "memcpy", MISALIGNED, 33, "aligned to 32 bytes"),
    Mistake("vector_aligned_tail", "memcpy", MISALIGNED, 32, "aligned to 32 bytes"),
    Mistake("vector_of_64", "memcpy", PAST_END, 32, "2 x size"),
    Mistake("vector_shifted", "memcpy", WRONG, 32),
    Mistake("vector_reads_all", "memcpy", READS_PAST, 1),
    Mistake("mask_one_less", "memcpy", MISSING, 1),
    Mistake("mask_one_more", "memcpy", PAST_END, 1),
    Mistake("mask_of_32", "memcpy", MISSING, 33),
    Mistake("mask_of_16", "memcpy", MISSING, 17),
    Mistake("mask_not_set", "memcpy", PAST_END, 0),
    Mistake("mask_shifted", "memcpy", PAST_END, 1),
    Mistake("move_avx512_forward", "memmove", WRONG, 129),
    Mistake("move_avx512_backward", "memmove", WRONG, 129),
    Mistake("vector_clobbers_rbx", "memcpy", REGISTER, 0, "rbx"),
    Mistake("set_without_broadcast", "memset", WRONG, 32),
    Mistake("vector_without_fixup", "copy_to_user", REMAINDER, 32, "no entry in the exception table"),
    Mistake("vector_remainder_less", "copy_to_user", REMAINDER, 32),
    Mistake("gathers", "memcpy", UNSUPPORTED, 32, "vpgatherdd"),
    Mistake("permutes", "memcpy", UNSUPPORTED, 64, "vpermb"),
    Mistake("of_a_segment", "memcpy", UNSUPPORTED, 32, "vmovdqu"),
    Mistake("repeats_an_element", "memcpy", UNSUPPORTED, 64, "vpandd"),
    Mistake("adds_masks", "memcpy", UNSUPPORTED, 64, "kaddq"),
)
# Which instruction did it, where that is worth a word.
BY: Mapping[str, str] = {
    "vector_aligned_load": "vmovdqa ymm0, ymmword ptr [rsi]",
    "vector_aligned_tail": "vmovntdq ymmword ptr [r8], ymm1",
    "vector_of_64": "vmovdqu64 zmmword ptr [rdi], zmm0",
    "vector_too_many": "vmovdqu ymmword ptr [rdi], ymm0",
    "vector_reads_all": "vmovdqu64 zmm16, zmmword ptr [rsi]",
    "vector_clobbers_rbx": "vmovq rbx, xmm2",
    "vector_without_fixup": "vmovdqu ymmword ptr [rdi], ymm0",
}


LOOPS: Mapping[str, str] = {"loop_memcpy": "memcpy", "loop_memmove": "memmove", "loop_memset": "memset"}


@functools.lru_cache(maxsize=None)
def build_loops(directory: pathlib.Path, machine: str) -> pathlib.Path:
    """Have the compiler make vectors of plain loops, with what a machine has."""
    support.require("gcc")
    directory.mkdir(parents=True, exist_ok=True)
    output = directory / f"loops-{machine}.o"
    options = ["-O3", "-fno-tree-loop-distribute-patterns", "-fno-builtin", f"-march={machine}"]
    support.run("gcc", *options, "-c", "-o", str(output), str(copies.SOURCES / "loops.c"))
    assert "%ymm" in support.run("objdump", "-d", str(output))
    return output


@functools.lru_cache(maxsize=None)
def build_vectors(directory: pathlib.Path) -> pathlib.Path:
    """Build all routines as one object file, once per directory."""
    support.require("gcc")
    directory.mkdir(parents=True, exist_ok=True)
    output = directory / "vectors.o"
    support.run("gcc", "-c", "-o", str(output), str(copies.SOURCES / "vectors.S"))
    return output
