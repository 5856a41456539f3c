"""The guard of a user-mode Linux guest's process was changed: by which system call, and by which copy of the kernel."""

from __future__ import annotations

from typing import Optional, Sequence

from ..canary import CORRUPTED, read_canary
from ..copies import CALLER, CERTAIN, LIKELY, PROGRAM, UNDECIDABLE
from ..errors import KdbgError
from ..finding import Facts, Finding
from ..ranges import Range
from ..scene import GuestWrite, Scene
from ..syscall_names import system_call_name
from ..syscalls import SystemCall
from ..target import Location
from ..uml_guest import GuestProcess, running_process
from ..units import Address, Count, Size

RULE = "guest-guard-changed"
# What the kernel writes into a program's memory by (Linux arch/um/kernel/skas/uaccess.c).
USER_COPIES = ("raw_copy_to_user", "__clear_user", "clear_user", "_copy_to_user", "copy_to_user", "__copy_to_user",
               "copy_chunk_to_user", "clear_chunk", "copyout", "put_user")  # fmt: skip
# System calls that fill a buffer with as much as the program says: which arguments are its address and size.
_BUFFERS = {
    "read": (1, 2), "pread64": (1, 2), "recvfrom": (1, 2), "getrandom": (0, 1), "getcwd": (0, 1), "readlink": (1, 2),
    "getdents": (1, 2), "getdents64": (1, 2), "mq_timedreceive": (1, 2), "getxattr": (2, 3),
}  # fmt: skip
_CHAIN = 8


def guest_guard(scene: Scene) -> Optional[Finding]:
    """Tell who changed a guest's guard that kdbg watched or checked, or that it is found changed now."""
    write = scene.note.guest if scene.note else None
    return _found(scene) if write is None else _caught(scene, write)


def _caught(scene: Scene, write: GuestWrite) -> Finding:
    verdict, text = _judged(write)
    evidence = [
        f"guard of {write.task} (pid {write.pid}) at {write.guard_address:#x} "
        f"was {write.before:#018x}, is {write.after:#018x}",
        *(scene.note.evidence if scene.note else ()),
        *_asked_line(write),
        *_writing_lines(scene, write),
    ]
    place = _copy_place(scene) if write.kernel_address is not None else None
    facts = Facts(
        verdict=verdict, process=write.task, pid=Count(write.pid), victim="guard", victim_address=write.guard_address,
        expected=write.before, found=write.after, routine=place.function if place else None,
        system_call=str(system_call_name(write.call.number)) if write.call else None,
        instruction=scene.pc if write.kernel_address is not None else None,
    )  # fmt: skip
    confidence = CERTAIN if verdict == CALLER or write.kernel_address is not None else LIKELY
    return Finding(f"{verdict}: {text}", RULE, confidence, tuple(evidence), ("backtrace", "kdbg canary"), facts)


def _judged(write: GuestWrite) -> tuple[str, str]:
    whose = f"{write.task} (pid {write.pid})"
    if not write.in_call:
        after = f", after {write.previous}" if write.previous else ""
        return PROGRAM, f"the guard in {whose} was overwritten in user mode{after}"
    if write.call is None:
        return UNDECIDABLE, f"the guard in {whose} was overwritten by the kernel, in a system call that began before"
    asked = asked_range(write.call)
    if asked is not None and asked.overlaps(Range(write.guard_address, Size(8))):
        return CALLER, f"{whose} let {write.call} write over its guard"
    return UNDECIDABLE, f"the guard in {whose} was overwritten by the kernel during {write.call}"


def asked_range(call: SystemCall) -> Optional[Range]:
    """Return the range that a program asked a system call to fill; None where its arguments do not say."""
    place = _BUFFERS.get(system_call_name(call.number))
    if place is None or max(place) >= len(call.arguments):
        return None
    return Range(Address(call.arguments[place[0]]), Size(call.arguments[place[1]]))


def _asked_line(write: GuestWrite) -> Sequence[str]:
    asked = asked_range(write.call) if write.call is not None and write.in_call else None
    if asked is None:
        return ()
    covers = "covers" if asked.overlaps(Range(write.guard_address, Size(8))) else "is not over"
    return (f"its buffer, {asked.size} bytes at {asked.start:#x}, {covers} the guard",)


def _writing_lines(scene: Scene, write: GuestWrite) -> Sequence[str]:
    if write.kernel_address is None:
        return ()
    lines = []
    writer = scene.writer_to(Range(write.kernel_address, Size(8)))
    if writer is not None:
        lines.append(
            f"write: `{writer.store.instruction}` in {writer.place or '??'}, the kernel's own view of the page"
        )
    places = _places(scene)
    copy = _copy_place(scene)
    if copy is not None:
        places = places[places.index(copy) + 1 :]
        caller = f", called by {places[0].function}{_line(places[0])}" if places else ""
        lines.append(f"copy: {copy.function}{caller}")
    lines.append(f"on behalf of: {' < '.join(place.function for place in places[:_CHAIN])}")
    return lines


def _places(scene: Scene) -> Sequence[Location]:
    places = (scene.target.location(frame.code_address) for frame in scene.frames)
    return [place for place in places if place is not None]


# The outermost one: it is made of others.
def _copy_place(scene: Scene) -> Optional[Location]:
    return next((place for place in reversed(_places(scene)) if place.function in USER_COPIES), None)


def _line(place: Location) -> str:
    return f" ({place.file}:{place.line})" if place.file else ""


def _found(scene: Scene) -> Optional[Finding]:
    try:
        process = running_process(scene.target)
        if not isinstance(process, GuestProcess):
            return None
        canary = read_canary(process, scene.guards, scene.settings.get("expected-guard", ""))
    except KdbgError:
        return None  # no guest's process runs
    if canary.verdict != CORRUPTED or canary.guard is None or canary.guard_address is None:
        return None
    line = (
        f"guard at {canary.guard_address:#x} is {canary.guard:#018x}, "
        f"should be {canary.expected or 0:#018x} ({canary.expected_from})"
    )
    facts = Facts(
        verdict=UNDECIDABLE, process=process.task.name, pid=Count(process.task.pid), victim="guard",
        victim_address=canary.guard_address, expected=canary.expected, found=canary.guard,
    )  # fmt: skip
    text = f"{UNDECIDABLE}: the guard in {process.task} is overwritten, and nothing tells by whom"
    again = ("kdbg canary --syscalls, then run it again", "kdbg watch guard, then run it again")
    return Finding(text, RULE, LIKELY, (line,), again, facts)
