"""Copy routines to be checked: our own, right and wrong, and those of others that are on this machine."""

from __future__ import annotations

import functools
import pathlib
import shutil
import subprocess
from typing import Mapping, NamedTuple

import support

SOURCES = support.ROOT / "tests" / "programs" / "copies"

PAST_END, BEFORE_START = "writes past the end", "writes before the start"
MISSING, WRONG = "bytes missing", "bytes wrong"
READS_PAST, READS_BEFORE = "reads past the end", "reads before the start"
REGISTER, STACK, DIRECTION = "register changed", "stack pointer changed", "direction flag set"
VALUE, REMAINDER = "wrong return value", "wrong remainder"
OVERFLOW, MISALIGNED = "stack overflow", "misaligned vector access"
SOURCE_WRITTEN, CALLERS_STACK = "writes to the source", "writes to the caller's stack"
BELOW_STACK, STATE = "uses the stack below its end", "floating-point state changed"
USER_ACCESS = "user access left open"
LEAVES, ENDLESS, UNSUPPORTED = "leaves the routine", "does not return", "unsupported instruction"


class Mistake(NamedTuple):
    """A wrong routine: what is to be found, the smallest size at which it is wrong, and what the report has to say."""

    symbol: str
    contract: str
    kind: str
    size: int
    text: str = ""


CORRECT: Mapping[str, str] = {
    "good_rep_movsb": "memcpy",
    "good_phases": "memcpy",
    "good_byte_loop": "memcpy",
    "good_sse2": "memcpy",
    "good_sse2_unrolled": "memcpy",
    "good_aligned_words": "memcpy",
    "good_saves_registers": "memcpy",
    "good_calls": "memcpy",
    "good_tail_jump": "memcpy",
    "good_jump_table": "memcpy",
    "good_mmx": "memcpy",
    "good_red_zone": "memcpy",
    "good_memmove_std": "memmove",
    "good_memmove_sse2": "memmove",
    "good_mempcpy": "mempcpy",
    "good_memset_rep_stosb": "memset",
    "good_memset_sse2": "memset",
    "good_copy_to_user": "copy_to_user",
    "good_copy_from_user": "copy_from_user",
    "good_strncpy_from_user": "strncpy_from_user",
}

MISTAKES: tuple[Mistake, ...] = (
    Mistake("double_small", "memcpy", PAST_END, 1, "2 x size"),
    Mistake("leading_one_more", "memcpy", PAST_END, 16),
    Mistake("leading_one_less", "memcpy", MISSING, 16),
    Mistake("bulk_one_more", "memcpy", PAST_END, 16),
    Mistake("bulk_one_less", "memcpy", MISSING, 16),
    Mistake("trailing_one_more", "memcpy", PAST_END, 16),
    Mistake("trailing_one_less", "memcpy", MISSING, 16),
    Mistake("small_one_more", "memcpy", PAST_END, 1),
    Mistake("small_one_less", "memcpy", MISSING, 1),
    Mistake("tail_lost", "memcpy", MISSING, 16),
    Mistake("words_only", "memcpy", MISSING, 1),
    Mistake("words_rounded_up", "memcpy", PAST_END, 1),
    Mistake("tail_shifted", "memcpy", WRONG, 17),
    Mistake("head_twice", "memcpy", WRONG, 16),
    Mistake("move_forward", "memmove", WRONG, 2),
    Mistake("move_backward", "memmove", WRONG, 2),
    Mistake("move_test_reversed", "memmove", WRONG, 2),
    Mistake("move_near_8", "memmove", WRONG, 2),
    Mistake("move_near_16", "memmove", WRONG, 17),
    Mistake("move_far_64", "memmove", WRONG, 65),
    Mistake("direction_left_set", "memmove", DIRECTION, 2),
    Mistake("clobbers_rbx", "memcpy", REGISTER, 0, "rbx"),
    Mistake("clobbers_rbp", "memcpy", REGISTER, 1, "rbp"),
    Mistake("clobbers_r12", "memcpy", REGISTER, 64, "r12"),
    Mistake("clobbers_r15", "memcpy", REGISTER, 128, "r15"),
    Mistake("saves_in_wrong_order", "memcpy", REGISTER, 0, "r13"),
    Mistake("pops_too_much", "memcpy", STACK, 0),
    Mistake("pops_too_little", "memcpy", STACK, 0),
    Mistake("returns_and_pops", "memcpy", STACK, 0),
    Mistake("returns_end", "memcpy", VALUE, 1),
    Mistake("returns_half", "memcpy", VALUE, 0),
    Mistake("returns_start", "mempcpy", VALUE, 1),
    Mistake("set_returns_end", "memset", VALUE, 1),
    Mistake("remainder_one_less", "copy_to_user", REMAINDER, 1),
    Mistake("remainder_of_nothing", "copy_from_user", REMAINDER, 2),
    Mistake("remainder_zero", "copy_to_user", REMAINDER, 1),
    Mistake("remainder_in_words", "copy_from_user", REMAINDER, 8),
    Mistake("remainder_without_tail", "copy_to_user", REMAINDER, 9),
    Mistake("clobbers_rbx_on_fault", "copy_from_user", REGISTER, 1, "rbx"),
    Mistake("user_double_small", "copy_to_user", PAST_END, 1, "2 x size"),
    Mistake("reads_a_vector", "memcpy", READS_PAST, 1),
    Mistake("reads_a_vector_backward", "memcpy", READS_BEFORE, 1),
    Mistake("reads_ahead", "memcpy", READS_PAST, 48),
    Mistake("restores_past_end", "memcpy", PAST_END, 1),
    Mistake("clears_before_start", "memcpy", BEFORE_START, 1),
    Mistake("backward_one_more", "memcpy", BEFORE_START, 1),
    Mistake("zero_writes", "memcpy", PAST_END, 0),
    Mistake("one_destination", "memcpy", MISSING, 1),
    Mistake("one_source", "memcpy", WRONG, 1),
    Mistake("above_a_page", "memcpy", MISSING, 4097),
    Mistake("exactly_256", "memcpy", MISSING, 256),
    Mistake("size_of_8_bits", "memcpy", MISSING, 256),
    Mistake("size_of_16_bits", "memcpy", MISSING, 65536),
    Mistake("jumps_out", "memcpy", LEAVES, 100),
    Mistake("calls_undefined", "memcpy", LEAVES, 0),
    Mistake("endless_at_13", "memcpy", ENDLESS, 13),
    Mistake("halts", "memcpy", UNSUPPORTED, 32),
    Mistake("writes_a_model_register", "memcpy", UNSUPPORTED, 32),
    Mistake("copies_with_avx2", "memcpy", UNSUPPORTED, 32, "vpermq"),
    Mistake("copies_with_avx512", "memcpy", UNSUPPORTED, 64, "vpermq"),
    Mistake("writes_source_back", "memcpy", SOURCE_WRITTEN, 1),
    Mistake("callers_frame", "memcpy", CALLERS_STACK, 0),
    Mistake("below_red_zone", "memcpy", BELOW_STACK, 0, "160 bytes below"),
    Mistake("rounding_left_changed", "memcpy", STATE, 0, "MXCSR"),
    Mistake("mmx_left_in_use", "memcpy", STATE, 8, "the x87 stack"),
    Mistake("access_left_open", "copy_from_user", USER_ACCESS, 1, "stac without clac"),
    Mistake("aligned_from_2048", "memcpy", MISALIGNED, 2048),
    Mistake("set_one_less", "memset", MISSING, 1),
    Mistake("set_one_more", "memset", PAST_END, 1),
    Mistake("set_second_byte", "memset", WRONG, 1),
    Mistake("set_not_spread", "memset", WRONG, 8),
    Mistake("string_counts_its_end", "strncpy_from_user", VALUE, 1),
    Mistake("string_ended_past_size", "strncpy_from_user", PAST_END, 1),
    Mistake("string_reads_past_size", "strncpy_from_user", REMAINDER, 1),
    Mistake("string_without_its_end", "strncpy_from_user", MISSING, 1),
)

# These do not even get wrong.
CRASHES: tuple[Mistake, ...] = (
    Mistake("stack_overflow", "memcpy", OVERFLOW, 33, "1024 KiB of stack"),
    Mistake("traps", "memcpy", UNSUPPORTED, 32, "ud2"),
)


@functools.lru_cache(maxsize=None)
def build_copies(directory: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Build all routines as one object file and as a static program, once per directory."""
    support.require("gcc", "ld")
    directory.mkdir(parents=True, exist_ok=True)
    parts = [directory / f"{name}.o" for name in ("correct", "mistakes")]
    for part in parts:
        support.run("gcc", "-c", "-o", str(part), str(SOURCES / f"{part.stem}.S"))
    together, program = directory / "copies.o", directory / "copies"
    support.run("ld", "-r", "-z", "noexecstack", "-o", str(together), *map(str, parts))
    # Somebody calls what nobody defines: that is one of the mistakes.
    options = ["-static", "-no-pie", "-Wl,--unresolved-symbols=ignore-all", "-Wl,-z,noexecstack"]
    support.run("gcc", "-g", *options, "-o", str(program), str(SOURCES / "main.c"), str(together))
    return together, program


class ThirdParty(NamedTuple):
    """A copy routine that others wrote: the file, the symbol and its contract."""

    file: pathlib.Path
    symbol: str
    contract: str


# Those of the C library that need nothing but SSE, and the words they read at run time.
_LIBC_MEMBERS = (
    "memmove-sse2-unaligned-erms.o",
    "memmove-ssse3.o",
    "memmove-erms.o",
    "memset-sse2-unaligned-erms.o",
    "memset-erms.o",
)
_LIBC_VECTORS = (
    "memmove-avx-unaligned-erms.o",
    "memmove-avx-unaligned-erms-rtm.o",
    "memmove-avx512-no-vzeroupper.o",
    "memmove-avx512-unaligned-erms.o",
    "memmove-evex-unaligned-erms.o",
    "memset-avx2-unaligned-erms.o",
    "memset-avx2-unaligned-erms-rtm.o",
    "memset-avx512-no-vzeroupper.o",
    "memset-avx512-unaligned-erms.o",
    "memset-evex-unaligned-erms.o",
)
_CONTRACTS = ("memcpy", "memmove", "mempcpy", "memset")


def third_party(directory: pathlib.Path, vectors: bool = False) -> list[ThirdParty]:
    """Return the routines of the C library's archive, each variant by name, and of the kernel images found.

    With `vectors`, those that need AVX instead.
    """
    members = _LIBC_VECTORS if vectors else _LIBC_MEMBERS
    found = [routine for member in members for routine in _of_member(member, directory)]
    return found if vectors else found + _of_kernels()


# A member alone lacks the thresholds it reads, which the library has only once it has started: it is linked with
# plausible ones, still relocatable.
def _of_member(member: str, directory: pathlib.Path) -> list[ThirdParty]:
    archive = _libc_archive()
    if archive is None or member not in _members(archive):
        return []
    output = directory / member
    if not output.exists():
        directory.mkdir(parents=True, exist_ok=True)
        parts = directory / f"{member}.d"
        parts.mkdir()
        support.run("ar", "x", str(archive), member, cwd=parts)
        support.run("gcc", "-c", "-o", str(parts / "thresholds.o"), str(SOURCES / "thresholds.c"))
        support.run("ld", "-r", "-o", str(output), str(parts / member), str(parts / "thresholds.o"))
    names = [line.split()[-1] for line in support.run("nm", str(output)).splitlines() if " T " in line]
    return [ThirdParty(output, name, contract) for name in names if (contract := _contract_of(name))]


# `__memcpy_chk_erms` has a fourth argument, and `__wmemset_...` counts in words.
def _contract_of(name: str) -> str:
    stem = name.lstrip("_").split("_")[0]
    return stem if stem in _CONTRACTS and "_chk" not in name else ""


def _of_kernels() -> list[ThirdParty]:
    images = sorted(pathlib.Path("/usr/lib/debug/boot").glob("vmlinux-*"))[:1]
    return [ThirdParty(image, f"__{contract}", contract) for image in images for contract in ("memcpy", "memmove")]


def _libc_archive() -> pathlib.Path | None:
    if not all(map(shutil.which, ("gcc", "ar", "ld", "nm"))):
        return None
    done = subprocess.run(["gcc", "-print-file-name=libc.a"], capture_output=True, text=True, check=True)
    archive = pathlib.Path(done.stdout.strip())
    return archive if archive.is_absolute() else None


@functools.lru_cache(maxsize=None)
def _members(archive: pathlib.Path) -> frozenset[str]:
    return frozenset(support.run("ar", "t", str(archive)).split())
