"""Whether a breach hangs on data that the emulator does not have.

Of a file only the first values are known of what a program sets when it starts, and nothing of what fs and gs lead to;
and a kernel may keep what belongs to a thread at the end of its stack, which is not the stack that the emulator gives.
"""

from __future__ import annotations

from typing import Callable, Sequence

from .copy_breaches import LEAVES, STRAY, Breach
from .copy_check import CopyCheck
from .emulation import ARENA, ARENA_END, STACK, STACK_SIZE, STACK_TOP, THREAD, THREAD_SIZE, Access

# A threshold above all sizes, one below them, and a limit above all addresses of programs.
_VALUES = (1 << 24, 0, (1 << 47) - 4096)
_AT_MOST = 64
_FOLLOWS = (STRAY, LEAVES)
# What a routine that leaves its stack in disorder may take for its own.
_FRAME = 64


def unsettled(check: CopyCheck, breach: Breach, is_settled: Callable[[int], bool]) -> Sequence[int]:
    """Return the addresses the example reads whose values decide over it: with others in them nothing is wrong."""
    with check.emulator.tracing() as accesses:
        check.call_once(breach.case)
    outside = [a for a in accesses if not a.is_write and (is_thread(a.address) or not ARENA <= a.address < ARENA_END)]
    read = {a.address: a.size for a in outside if is_thread(a.address) or not is_settled(a.address)}
    if not 0 < len(read) <= _AT_MOST:
        return ()
    return sorted(read) if any(_is_right_with(value, check, breach, read) for value in _VALUES) else ()


def is_thread(place: int) -> bool:
    """Tell whether an address is one behind fs or gs that the emulator made up."""
    return THREAD <= place < THREAD + THREAD_SIZE


def reads_thread(check: CopyCheck, breach: Breach) -> bool:
    """Tell whether the example reads what nobody wrote on the stack, far from its frame."""
    with check.emulator.tracing() as accesses:
        check.call_once(breach.case)
    written: set[int] = set()
    for access in accesses:
        if access.is_write:
            written.update(range(access.address, access.address + access.size))
        elif _is_far_on_stack(access) and access.address not in written:
            return True
    return False


def _is_far_on_stack(access: Access) -> bool:
    near = STACK_TOP - _FRAME <= access.address < STACK_TOP + _FRAME
    return STACK <= access.address < STACK + STACK_SIZE and not near


# With a made-up value in the place of a pointer, to data or to code, anything may happen; that says nothing of the
# routine.
def _is_right_with(value: int, check: CopyCheck, breach: Breach, read: dict[int, int]) -> bool:
    before = {address: check.emulator.read(address, size) for address, size in read.items()}
    for address, size in read.items():
        check.emulator.write(address, value.to_bytes(8, "little")[:size].ljust(size, b"\0"))
    breaches = check.run(breach.case)
    is_right = not breaches or any(other.kind in _FOLLOWS and other.place != breach.place for other in breaches)
    for address, data in before.items():
        check.emulator.write(address, data)
    return is_right
