"""Which process the target is running: its page tables, its fs_base, and what the probe kit says of it."""

from __future__ import annotations

from typing import NamedTuple, Optional

from .blocks import read_words
from .errors import MemoryFault
from .ranges import Range
from .session import ProcessKey
from .target import Target
from .units import Address, Size, Word, is_kernel_half, safe_text

X86_64 = "i386:x86-64"
GUARD_OFFSET = 0x28
# Bits 12..51 of CR3 are the page-table root; the low ones are PCID and flags (Intel SDM vol. 3, 4.5). Bit 12 tells
# Linux's user half of a PTI pair from the kernel half.
_CR3_ROOT = 0x000F_FFFF_FFFF_E000
# A register that only a guest process of a user-mode kernel has: a number that tells it from all others.
PROCESS_MARK = "process_mark"
_PROCESS = "ucopy_process"
_NAME_SIZE = 32
NO_SYSTEM_CALL = -1


class ProbeProcess(NamedTuple):
    """The kit's record of the running process (docs/ring-format.md, `struct probe_process`)."""

    pid: int
    system_call: int
    guard_expected: Word
    guard_intact_at: int
    name: str


def page_table_root(target: Target) -> int:
    """Return the root of the page tables in use, 0 for a native process, and of a guest process its mark."""
    root = target.register("cr3")
    return (target.register(PROCESS_MARK) or 0) if root is None else root & _CR3_ROOT


def fs_base(target: Target) -> Address:
    """Return fs_base, 0 when no thread-local storage is set up."""
    return Address(target.register("fs_base") or 0)


def guard_range(target: Target) -> Optional[Range]:
    """Return where the guard of the running thread lies; None without thread-local storage."""
    base = fs_base(target)
    return Range(Address(base + GUARD_OFFSET), Size(8)) if base else None


def process_key(target: Target) -> ProcessKey:
    """Return what tells this process's guard from that of another at the same address."""
    return page_table_root(target), fs_base(target)


def in_kernel(target: Target) -> bool:
    """Tell whether the program is stopped in the kernel of an emulated machine."""
    return is_kernel_half(target.register("rip") or 0)


def probe_process(target: Target) -> Optional[ProbeProcess]:
    """Read the kit's record of the running process; None without the kit or while no process runs."""
    pointer = target.symbol(_PROCESS)
    if pointer is None:
        return None
    try:
        (where,) = read_words(target, pointer.address, 1)
        data = target.read_memory(Address(where), Size(32 + _NAME_SIZE)) if where else b""
    except MemoryFault:
        return None
    return _decoded(data) if data else None


def _decoded(data: bytes) -> ProbeProcess:
    words = [int.from_bytes(data[i : i + 8], "little", signed=i == 8) for i in range(0, 32, 8)]
    return ProbeProcess(words[0], words[1], Word(words[2]), words[3], safe_text(data[32:], _NAME_SIZE))
