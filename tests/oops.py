"""Logs of kernels that crash, made up: any number of them, of a few mistakes, for what reads many logs."""

from __future__ import annotations

import gzip
import os
import pathlib
import random
from typing import List, NamedTuple, Optional, Sequence

_WORDS = ("frobnicate", "quux", "wibble", "gizmo", "sprocket", "doodad", "widget", "thingamajig")
_VERBS = ("open", "release", "ioctl", "probe", "submit", "teardown", "resize", "poll")
KINDS = ("kasan", "null", "gpf", "warning", "guard")


class Mistake(NamedTuple):
    """A mistake in a function, as one of several checks reports it, with the function's callers."""

    kind: str
    guilty: str
    callers: Sequence[str]


def mistakes(count: int, seed: int = 1) -> List[Mistake]:
    """Return different mistakes."""
    chance = random.Random(seed)
    names = [f"{word}_{verb}" for word in _WORDS for verb in _VERBS]
    chance.shuffle(names)
    return [
        Mistake(KINDS[number % len(KINDS)], names[number % len(names)], (f"{names[-number - 1]}_outer", "vfs_ioctl"))
        for number in range(count)
    ]


def quiet_log(chance: random.Random, lines: int = 40) -> str:
    """Return what a kernel says that does not crash."""
    text = [f"usb 1-{n % 7}: new device number {chance.randrange(99)} using dummy_hcd" for n in range(lines)]
    return "".join(f"[{4 + n / 10:12.6f}] {line}\n" for n, line in enumerate(text))


def crash_log(mistake: Mistake, chance: random.Random, date: Optional[str] = None, before: int = 40) -> str:
    """Return a log that ends in a crash; with a date (`2026-03-01 12:00:00`) its lines bear that instead of a time."""
    lines = [f"eth0: link is up, {chance.randrange(1000)} Mbps" for _ in range(before)] + _report(mistake, chance)
    stamps = [f"{date} " if date else f"[{90 + number / 1000:12.6f}] " for number in range(len(lines))]
    return "".join(f"{stamp}{line}\n" for stamp, line in zip(stamps, lines))


def _report(mistake: Mistake, chance: random.Random) -> List[str]:
    address, task = 0xFFFF888000000000 + 8 * chance.randrange(1 << 28), f"worker/{chance.randrange(3000)}"
    place = f"{mistake.guilty}+0x{chance.randrange(16, 64):x}/0x80"
    frames = [f" {place}", *(f" {caller}+0x{chance.randrange(16, 64):x}/0x90" for caller in mistake.callers)]
    trace = ["Call Trace:", " <TASK>", *frames, " do_syscall_64+0x35/0x80", " </TASK>", "---[ end trace 0 ]---"]
    head = f"CPU: 1 PID: {chance.randrange(9999)} Comm: {task.split('/')[0]} Not tainted 6.9.0-made-up #1"
    registers = [f"RIP: 0010:{place}", "Code: 90 90 <0f> 0b 90", f"RAX: 0000000000000000 RBX: {address:016x}"]
    if mistake.kind == "kasan":
        trace[2:2] = [" dump_stack_lvl+0x10/0x20", " kasan_report+0xb0/0xc0"]
        return ["=" * 66, f"BUG: KASAN: slab-out-of-bounds in {place}",
                f"Write of size 8 at addr {address:016x} by task {task}", "", head, *trace]  # fmt: skip
    if mistake.kind == "null":
        return ["BUG: kernel NULL pointer dereference, address: 0000000000000018",
                "#PF: supervisor read access in kernel mode", "Oops: 0000 [#1] PREEMPT SMP", head, *registers,
                *trace]  # fmt: skip
    if mistake.kind == "gpf":
        return ["general protection fault, probably for non-canonical address 0xdead4ead00000000: 0000 [#1] SMP",
                head, *registers, *trace]  # fmt: skip
    if mistake.kind == "warning":
        return ["------------[ cut here ]------------",
                f"WARNING: CPU: 0 PID: 7 at drivers/made/up.c:{chance.randrange(9)} {place}", head, *registers,
                *trace]  # fmt: skip
    said = f"Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: {place}"
    return [said, head, *trace[:2], " dump_stack_lvl+0x10/0x20", " panic+0x100/0x2f0", " __stack_chk_fail+0x10/0x10",
            *trace[2:], "Rebooting in 1 seconds.."]  # fmt: skip


def write_logs(directory: pathlib.Path, count: int, seed: int = 1, kinds: int = 20, before: int = 40) -> List[Mistake]:
    """Write logs, every tenth without a crash, some compressed; return their mistakes in the order of names."""
    chance, known = random.Random(seed), mistakes(kinds, seed)
    written: List[Mistake] = []
    for number in range(count):
        mistake = known[int(chance.random() ** 2 * kinds)]
        is_quiet = number % 10 == 9
        text = quiet_log(chance, before) if is_quiet else crash_log(mistake, chance, before=before)
        path = directory / f"{number:06d}.log"
        path.write_bytes(gzip.compress(text.encode()) if number % 10 == 3 else text.encode())
        os.utime(path, (1_700_000_000 + 60 * number,) * 2)
        if not is_quiet:
            written.append(mistake)
    return written


def write_trouble(directory: pathlib.Path, count: int, seed: int = 2) -> None:
    """Write what cannot be read: directories, links to nothing, damaged archives, pipes, random bytes, zeros."""
    chance = random.Random(seed)
    for number in range(count):
        path = directory / f"trouble-{number:04d}.log"
        kind = number % 6
        if kind == 0:
            path.symlink_to(directory / "nothing")
        elif kind == 1:
            path.write_bytes(gzip.compress(b"a line of a console\n" * 100)[:40])
        elif kind == 2:
            os.mkfifo(path)
        elif kind == 3:
            path.write_bytes(bytes(chance.randrange(256) for _ in range(3000)))
        elif kind == 4:
            path.write_bytes(b"\0" * 3000)
        else:
            path.write_bytes(b"\x7fELF" + bytes(2000))
