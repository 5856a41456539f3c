"""Frames and registers of all architectures."""

from __future__ import annotations

from typing import Optional

import pytest
from kernel_reports import WHO, report, stamped, trace

from gdb_kdbg.kernel_log import crashes_in
from gdb_kdbg.kernel_log_frames import frame, frames


@pytest.mark.parametrize(
    ("line", "function", "offset", "size", "module", "reliable", "address"),
    [
        (" bake_pie+0x8e8/0x2070", "bake_pie", 0x8E8, 0x2070, "", True, None),
        ("  ? bake_pie+0x1/0x2 [oven]", "bake_pie", 1, 2, "oven", False, None),
        (" bake_pie+0x1/0x2 [oven 0123456789abcdef]", "bake_pie", 1, 2, "oven", True, None),
        (" [<ffffffff81000010>] ? bake_pie+0x1/0x2", "bake_pie", 1, 2, "", False, 0xFFFFFFFF81000010),
        (" <IRQ>  [<ffffffff81000010>] bake_pie+0x1/0x2", "bake_pie", 1, 2, "", True, 0xFFFFFFFF81000010),
        (" [<c1000010>] bake_pie+0x1/0x2", "bake_pie", 1, 2, "", True, 0xC1000010),
        (
            "[c000000012345670] [c000000000000010] bake_pie+0x1/0x2 (unreliable)",
            "bake_pie",
            1,
            2,
            "",
            False,
            0xC000000000000010,
        ),
        ("[<80100010>] (eat_pie) from [<80200020>] (bake_pie+0x1/0x2)", "bake_pie", 1, 2, "", True, 0x80200020),
        (" eat_pie from bake_pie+0x1/0x2", "bake_pie", 1, 2, "", True, None),
        (" bake_pie.isra.7+0x1/0x2 fs/oven.c:12", "bake_pie.isra.7", 1, 2, "", True, None),
        (" _RNvCs1_4oven4bake+0x1/0x2", "_RNvCs1_4oven4bake", 1, 2, "", True, None),
    ],
)
def test_a_frame_is_read(
    line: str, function: str, offset: int, size: int, module: str, reliable: bool, address: Optional[int]
) -> None:
    found = frame(line)
    assert found is not None
    assert found[:5] == (function, offset, size, module, reliable)
    assert found.address == address


def test_symbolised_frames_keep_their_files() -> None:
    plain_frame, inline = frame(" bake_pie+0x1/0x2 fs/oven.c:12"), frame(" eat_pie fs/oven.h:3 [inline]")
    assert plain_frame is not None and plain_frame.file == "fs/oven.c:12"
    assert inline is not None and (inline.function, inline.file, inline.inline) == ("eat_pie", "fs/oven.h:3", True)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "RAX: 0000000000000000 RBX: 0000000000000001",
        " ffff880012345d58 ffffffff81234567",
        "+0x1/0x2",
        "hello +0x/0x",
    ],
)
def test_other_lines_are_no_frames(line: str) -> None:
    assert frame(line) is None


@pytest.mark.parametrize(
    "between",
    [
        "",
        " <IRQ>",
        " </IRQ>",
        "Code: 0f 0b <0f> 0b 5d c3",
        "a line at 0x12345678",
        " 0xffffffff81000010",
        " [<ffffffff81000010>]",
        " bake_pie+0x1/0x2 (T)",
        " bake_pie+0x1/0x2 fs/oven.c:12",
        " eat_pie fs/oven.c:12 [inline]",
        "[<80100010>] (eat_pie) from [<80200020>] (bake_pie+0x1/0x2)",
        " <NMI>  [<ffffffff81000010>] bake_pie+0x1/0x2",
    ],
)
def test_frames_of_a_trace_are_those_of_its_lines(between: str) -> None:
    lines = [
        "Call Trace:",
        " knead+0x1/0x20",
        between,
        " ? [<ffffffff81000010>] roll+0x2/0x20",
        " serve+0x3/0x20 [oven]",
    ]
    alone = [found for line in lines if (found := frame(line))]
    together = frames(lines)
    assert [found._replace(context="") for found in together] == [found._replace(context="") for found in alone]
    assert {found.context for found in together[1:]} <= {"irq", "nmi", ""}


def test_frames_in_interrupts_are_marked() -> None:
    lines = [" <IRQ>", " tick+0x1/0x2", " </IRQ>", " <TASK>", " bake_pie+0x1/0x2", " </TASK>"]
    assert [(found.function, found.context) for found in frames(lines)] == [("tick", "irq"), ("bake_pie", "")]


def test_addresses_without_names_are_named_by_a_file_of_symbols() -> None:
    lines = report(
        "Kernel panic - not syncing: oven", WHO, "Call Trace:", " [<ffffffff81000010>]", " [<ffffffff82000020>]"
    )
    lines.append(" [<ffffffff83000030>] ? 0xffffffff83000030")
    bare = next(crashes_in(lines))
    assert [found.address for found in bare.stack] == [0xFFFFFFFF81000010, 0xFFFFFFFF82000020, 0xFFFFFFFF83000030]
    assert [found.reliable for found in bare.stack] == [True, True, False]
    assert bare.guilty == ""
    known = {0xFFFFFFFF81000010: ("panic", 0x10), 0xFFFFFFFF82000020: ("bake_pie", 0x20)}
    named = next(crashes_in(lines, known.get))
    assert named.guilty == "bake_pie" and named.stack[1].offset == 0x20


def test_arm64() -> None:
    lines = report(
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000018",
        "Mem abort info:",
        "  ESR = 0x0000000096000044",
        "  CM = 0, WnR = 1",
        "Internal error: Oops: 0000000096000044 [#1] PREEMPT SMP",
        WHO,
        "pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)",
        "pc : bake_pie+0x10/0x20",
        "lr : oven_open+0x10/0x20",
        "sp : ffff800010002bc0",
        "x29: ffff800010002bd0 x28: 0000000000000001 x27: ffff80000a1b2000",
        trace("bake_pie", "oven_open", "invoke_syscall", "el0_svc", head="Call trace:"),
        "Code: aa0003f3 f9400000 (b9401801)",
        "---[ end trace 0000000000000000 ]---",
    )
    crash = next(crashes_in(stamped(lines, "T7")))
    assert (crash.guilty, crash.type, crash.kernel.architecture) == ("bake_pie", "NULL-POINTER-DEREFERENCE", "arm64")
    assert crash.access is not None and (crash.access.kind, crash.access.address) == ("write", 0x18)
    assert dict(crash.registers)["x29"] == 0xFFFF800010002BD0


def test_i386() -> None:
    lines = report(
        "BUG: unable to handle kernel NULL pointer dereference at 00000018",
        "IP: bake_pie+0x10/0x20",
        "Oops: 0002 [#1] SMP",
        WHO,
        "EIP: bake_pie+0x10/0x20",
        "EAX: 00000000 EBX: c1234567 ECX: 00000001 EDX: 00000000",
        trace("oven_open", "do_int80_syscall_32"),
    )
    crash = next(crashes_in(lines))
    assert (crash.guilty, crash.kernel.architecture) == ("bake_pie", "i386")
    assert dict(crash.registers)["ebx"] == 0xC1234567


def test_x86_before_names_in_registers() -> None:
    lines = report(
        "BUG: unable to handle kernel paging request at ffffc90000123000",
        "IP: [<ffffffff81000010>] bake_pie+0x10/0x20",
        "Oops: 0000 [#1] SMP",
        WHO,
        "RIP: 0010:[<ffffffff81000010>]  [<ffffffff81000010>] bake_pie+0x10/0x20",
        "RSP: 0018:ffff880012345d58  EFLAGS: 00010246",
        trace("memset", "oven_open", form="[<{a:016x}>] {mark}{name}+0x{offset:x}/0x200"),
    )
    crash = next(crashes_in(lines))
    assert crash.guilty == "bake_pie"
    assert crash.stack[0].address == 0xFFFFFFFF81000010


def test_a_null_function_is_its_callers_fault_on_arm() -> None:
    lines = report(
        "Unable to handle kernel NULL pointer dereference at virtual address 00000000",
        "Internal error: Oops: 80000207 [#1] SMP ARM",
        WHO,
        "PC is at 0x0",
        "LR is at bake_pie+0x10/0x20",
        "Backtrace: ",
        "[<80100010>] (eat_pie) from [<80200020>] (oven_open+0x1/0x2)",
    )
    assert next(crashes_in(lines)).guilty == "bake_pie"


UML = report(
    "Modules linked in:",
    "Pid: 1, comm: cook Not tainted 7.1.0-pie",
    "RIP: 0033:bake_pie+0xa9/0xe4",
    "RSP: 0000000060403e20  EFLAGS: 00010202",
    "RAX: 0000000000000000 RBX: 0000000060403e48 RCX: 0000000000000001",
    "Kernel panic - not syncing: Segfault with no mm",
    "CPU: 0 PID: 1 Comm: cook Not tainted 7.1.0-pie #1",
    "Stack:",
    " 60403e48 00000000 60403e90 60003d1b",
    trace("?crumbs", "oven_init", "new_thread_handler", form="[<{a:016x}>] {mark}{name}+0x{offset:x}/0x200"),
)


def test_user_mode_linux_shows_its_registers_before_the_panic() -> None:
    crash = next(crashes_in(UML))
    assert (crash.title, crash.type) == ("kernel panic: Segfault with no mm", "DoS")
    assert (crash.guilty, crash.kernel.architecture, crash.task.comm) == ("bake_pie", "um", "cook")
    assert dict(crash.registers)["rbx"] == 0x60403E48
    assert crash.first_line == 2


def test_without_a_symbol_segment_33_is_user_mode() -> None:
    lines = [line.replace("bake_pie+0xa9/0xe4", "0x40001234") for line in UML]
    assert next(crashes_in(lines)).guilty == "oven_init"
