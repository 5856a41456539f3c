"""Dossiers made up for the tests of the page and for the bench: an ordinary one, a hostile one, and a large one."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Optional

from gdb_kdbg.dossier import (
    CopyNote,
    Dossier,
    Excerpt,
    ExcerptLine,
    FrameNote,
    MemoryPicture,
    NamedRange,
    Origin,
    Register,
    SlotTable,
    Stretch,
)
from gdb_kdbg.dossier_memory import bounded_axis, memory_picture, near_copies, window_around
from gdb_kdbg.finding import Facts, Finding
from gdb_kdbg.ranges import Range
from gdb_kdbg.slot_report import Slot
from gdb_kdbg.units import Address, Count, LinkAddress, Size, Word

GUARD = Range(Address(0x7FFF_F7D8_A768), Size(8))
EXPECTED = bytes.fromhex("0062385c0e2706ba")
EDITOR = "editor (pid 3)"
CALLERS = [f"{layer}_{what}" for layer in ("sys", "vfs", "tty", "sock", "pipe") for what in ("read", "write", "ioctl")]
# What must never become anything but text.
HOSTILE = (
    '<img src=x onerror="document.body.dataset.hacked=1">',
    "</script><script>document.body.dataset.hacked=1</script>",
    '"><svg onload=document.body.dataset.hacked=1>',
    "\u202egnp.exe\u202c \x1b[31mred\x07 \u2028 \u2029 \x00tail",
    "{{7*7}} ${7*7} `x` <!-- --> ]]> &lt;b&gt;&#60;",
    "javascript:document.body.dataset.hacked=1",
)
HUGE = "A" * (1 << 20)


def copy(sequence: int, start: int, size: int, caller: str = "tty_ioctl+0x9d", process: str = EDITOR) -> CopyNote:
    """A copy into user memory."""
    source = Address(0xFFFF_FFFF_8011_F128)
    line = ("kernel/tty.c", 64)
    return CopyNote(sequence, sequence, caller, *line, process, "ioctl:TIOCGWINSZ", Address(start), source, Size(size))


def culprit(sequence: int) -> CopyNote:
    """A copy that was asked for 4 bytes before the guard and wrote 8."""
    written = Range(Address(GUARD.start - 4), Size(8))
    return copy(sequence, GUARD.start - 4, 4, "tty_ioctl+0x142")._replace(written=written, role="culprit")


def finding(sequence: int, summary: str = "") -> Finding:
    """The finding about the culprit."""
    facts = Facts(
        verdict="routine at fault", asked=Size(4), wrote=Size(8), destination=Address(GUARD.start - 4),
        sequence=Count(sequence), caller="tty_ioctl+0x142", file="kernel/tty.c", line=62, routine="ucopy_double",
        tag="ioctl:TIOCGPGRP", process="editor", pid=Count(3), victim="guard", victim_address=GUARD.start,
    )  # fmt: skip
    told = "routine at fault: ucopy_double was asked for 4 bytes and wrote 8, over the guard in editor (pid 3)"
    steps = ("disassemble ucopy_double", "kdbg watch guard, then run it again", "apply the relocations earlier")
    return Finding(
        summary or f"{told}; called by x",
        "guard-changed",
        "certain",
        ("the asked range ends at the guard",),
        steps,
        facts,
    )


def dossier(copies: Optional[list[CopyNote]] = None) -> Dossier:
    """An ordinary dossier with every part in it."""
    copies = [copy(i, GUARD.start - 24, 8) for i in range(4)] + [culprit(4)] if copies is None else copies
    blamed = next((c.sequence for c in copies if c.is_marked), 0)
    return Dossier(
        "routine at fault: guard in editor", "0x4002f7 in __stack_chk_fail (user/lib/start.c:41)",
        Origin("core dump", (("Architecture", "i386:x86-64"),)), (finding(blamed),), EDITOR, "ioctl", _memory(copies),
        bounded_axis("copy number", copies, len(copies), 0) if copies else None, (_slots(),),
        (FrameNote(Count(0), Address(0x4002F7), "__stack_chk_fail", "user/lib/start.c", 41),),
        (Register("rip", Word(0x4002F7), "__stack_chk_fail"),),
        (Excerpt("Serial line", (ExcerptLine(Count(7), "a line of the log", True),), Count(3)),),
        ("a page is missing",),
    )  # fmt: skip


# What the builder of a real dossier does.
def _memory(copies: list[CopyNote]) -> MemoryPicture:
    near = near_copies(copies, GUARD, EDITOR)
    window = window_around(GUARD, near)
    data = bytearray(window.size)
    at = GUARD.start - window.start
    data[at : at + 8] = b"\x17\x10\x55\x5e" + EXPECTED[4:]
    around = (NamedRange(Range(Address(GUARD.start - 8), Size(8)), "fs:0x20"),)
    return memory_picture(NamedRange(GUARD, "guard"), near, EXPECTED, (Stretch(window.start, bytes(data)),), around)


def _slots() -> SlotTable:
    slot = Slot(
        Address(0x404018), LinkAddress(0x4018), ".got", "GLOB_DAT", Word(0), "memcpy", "memcpy", Word(0x7F00_1234),
        Word(0x15E0), "", "unrelocated", "",
    )  # fmt: skip
    return SlotTable("/usr/bin/editor", Word(0x400000), "partly relocated", {"unrelocated": 9}, (slot,), Count(8))


def hostile(text: str) -> Dossier:
    """A dossier in which every text of the target's is `text`."""
    copies = [
        copy(i, GUARD.start - 16, 8)._replace(caller=text, file=text, context=text, process=text) for i in range(3)
    ] + [culprit(3)._replace(caller=text, file=text, context=text, process=text)]
    found = finding(3, text)
    facts = found.facts._replace(caller=text, file=text, routine=text, tag=text, process=text, victim=text)
    found = found._replace(facts=facts, evidence=(text,), next=(text, f"kdbg {text}"), rule=text, confidence=text)
    plain = dossier(copies)
    slot = plain.slots[0].slots[0]._replace(section=text, symbol=text, demangled=text, note=text, points_to=text)
    assert plain.memory is not None
    memory = replace(plain.memory, victim=NamedRange(GUARD, text), surroundings=(NamedRange(_before(), text),))
    return replace(
        plain, title=text, stop=text, origin=Origin(text, ((text, text),)), findings=(found, found), process=text,
        system_call=text, memory=memory, slots=(SlotTable(text, Word(0), text, {}, (slot,)),),
        frames=(FrameNote(Count(0), Address(1), text, text, 1, text),), registers=(Register(text, Word(1), text),),
        excerpts=(Excerpt(text, (ExcerptLine(Count(1), text),)),), problems=(text,),
    )  # fmt: skip


def _before() -> Range:
    return Range(Address(GUARD.start - 8), Size(8))


def large(count: int) -> Dossier:
    """A dossier of many copies by many callers and processes, the culprit among the last."""
    draw = random.Random(5)
    copies = [_random_copy(draw, i) for i in range(count)]
    guilty = count * 5 // 6
    copies[guilty] = culprit(guilty)
    for distance in (40, 24, 8, -8):
        at = draw.randrange(guilty)
        copies[at] = copy(at, GUARD.start - distance, 8)
    return dossier(copies)


def _random_copy(draw: random.Random, sequence: int) -> CopyNote:
    caller = CALLERS[min(len(CALLERS) - 1, int(draw.expovariate(0.25)))]
    process = f"program{(sequence // 400 + draw.randrange(2)) % 9} (pid {sequence // 400 % 9})"
    start = 0x1000_0000 + draw.randrange(1 << 20)
    return copy(sequence, start, draw.choice((4, 8, 64, 512)), f"{caller}+{draw.randrange(16, 512):#x}", process)
