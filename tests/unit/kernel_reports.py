"""Reports of kernels for the tests: the shapes are Linux's, every name and number is made up."""

from __future__ import annotations

from typing import Sequence

REGISTERS = """\
RSP: 0018:ffffc90000123b40 EFLAGS: 00010246
RAX: dffffc0000000000 RBX: 0000000000000000 RCX: 1ffff92000024fca
R13: ffff888012345780 R14: 00000000180000fa R15: ffffc90000123cd0
CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033
CR2: 0000000000000018 CR3: 0000000034a4a000 CR4: 00000000000006f0"""
WHO = "CPU: 1 PID: 4242 Comm: eater Tainted: G        W          7.1.0-pie+ #3"
USER = """\
RIP: 0033:0x7f1234567abc
RSP: 002b:00007ffe00012348 EFLAGS: 00000246 ORIG_RAX: 0000000000000019
RAX: ffffffffffffffda RBX: 0000200000000000 RCX: 00007f1234567abc"""
TAIL = "Modules linked in:\n---[ end trace 0000000000000000 ]---"


def calls(*names: str, form: str = "{mark}{name}+0x{offset:x}/0x200") -> str:
    """Return frames, one a name; `?name` is an unreliable one."""
    lines = []
    for number, name in enumerate(names):
        mark = "? " if name.startswith("?") else ""
        lines.append(
            " " + form.format(mark=mark, name=name.lstrip("?"), offset=0x10 + number, a=0xFFFFFFFF81000000 + number)
        )
    return "\n".join(lines)


def trace(*names: str, head: str = "Call Trace:", form: str = "{mark}{name}+0x{offset:x}/0x200") -> str:
    return head + "\n" + calls(*names, form=form)


def report(*parts: str) -> list[str]:
    return "\n".join(parts).split("\n")


def stamped(lines: Sequence[str], caller: str = "", start: float = 12.0) -> list[str]:
    """Return lines as printk shows them, with time and, if given, the caller."""
    who = f"[{caller:>7}]" if caller else ""
    return [f"[{start + number / 1000:12.6f}]{who} {line}" for number, line in enumerate(lines)]


def gpf(name: str = "apple_pie_open", *callers: str) -> list[str]:
    return report(
        "general protection fault, probably for non-canonical address 0xdffffc0000000003: 0000 [#1] SMP KASAN",
        "KASAN: null-ptr-deref in range [0x0000000000000018-0x000000000000001f]",
        WHO,
        f"RIP: 0010:{name}+0x25a/0x2c00",
        "Code: c0 0f 85 0e <80> 78 04 00",
        REGISTERS,
        trace("?__pfx_crumbs", *(callers or ("bakery_open", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"))),
        USER,
        TAIL,
    )
