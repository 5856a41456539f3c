"""What a report tells beside its stack: the task, the kernel, the access, the registers."""

from __future__ import annotations

import re
from typing import Iterator, Optional, Sequence

from .kernel_log_records import Access, Kernel, Register, Task
from .kernel_log_report import Report
from .units import Address, Count, Size, Word, safe_text

_CPU_LINE = re.compile(
    r"(?:CPU: (?P<cpu>\d{1,6}) (?:UID: \d{1,10} )?PID: |Pid: )(?P<pid>\d{1,10})(?:,)? [Cc]omm: (?P<comm>.{0,60}?),? "
    r"(?P<taint>Not tainted|Tainted: [A-Z ]{1,40}(?:\[[^\]]{0,80}\],? ?)?)\s{0,40}(?P<version>\S{1,120})"
)
_ARM_TASK = re.compile(r"Process (?P<comm>.{1,60}) \(pid: (?P<pid>\d{1,10})")
_HEAD_TASK = re.compile(
    r"INFO: task (?P<comm>.{1,40}?):(?P<pid>\d{1,10}) |\[(?P<comm2>[^\]:]{1,40}):(?P<pid2>\d{1,10})\]$"
    r"|by task (?P<comm3>.{1,40})/(?P<pid3>\d{1,10})"
)
_ACCESS = re.compile(
    r"([Rr]ead|[Ww]rite|read-write)(?: \([a-z ]+\))? (?:of size (\d{1,10}) at addr ([0-9a-f]{4,16})"
    r"|at addr ([0-9a-f]{4,16})|to 0x([0-9a-f]{4,16}) of (\d{1,10}) bytes|of size (\d{1,10}) by task)"
)
_AT = re.compile(
    r"(?:virtual address|at address|for address:|dereference(?:, address:)? at|dereference, address:|request at"
    r"|fault at addr|memory at addr|non-canonical address|\) at) (?:0x)?([0-9a-f]{4,16})"
)
_ERROR_CODE = re.compile(
    r"#PF: \w+ (read|write|instruction fetch)|WnR = ([01])|error_code\(0x([0-9a-f]{4})\)|[Oo]ops: ([0-9a-f]{4}) \["
)
_REGISTER = re.compile(
    r"\b(R?[A-Z]{2}|R\d{1,2}|E[A-Z]{2}|CR[0-4]|[xrast]\d{1,2}|sp|lr|pc|fp|ip|gp|tp|ra|epc)"
    r" ?: ?((?:[0-9a-f]{4}:)?[0-9a-f]{8,16})\b"
)
# What follows are registers of user mode, if any.
_TRACE = ("Call Trace:", "Call trace:", "Backtrace:", "Backtrace: ")
# Words that only one architecture prints, the most telling first.
_ARCHITECTURES = (
    (
        "um",
        (
            "Segfault with no mm",
            "Kernel mode fault at addr",
            "Kernel tried to access user memory",
            "Kernel mode signal",
            "new_thread_handler+",
            "um_set_signals+",
        ),
    ),
    ("riscv", ("epc : ", "__riscv_sys", "do_trap_ecall", "badaddr: ")),
    (
        "arm64",
        ("pstate: ", "__arm64_sys", "ESR = 0x", "el0_sync", "el1_sync", "el0t_64", "el0_svc", "el1h_64", "EL0_SVC"),
    ),
    ("powerpc", ("NIP [", "NIP: ", "] [c0000000")),
    ("s390", ("Krnl PSW", "__s390")),
    ("arm", ("PC is at ", ") from [<", "psr: ", "ret_fast_syscall", " from __")),
    ("i386", ("EIP: ", "EIP is at", "EAX: ", "entry_INT80_32")),
    ("x86-64", ("RIP: ", "R10: ", "entry_SYSCALL_64", "do_syscall_64", "RSP: ", "[<ffffffff8")),
)
_UML_PLACE = re.compile(r"RIP: 0033:\S*[A-Za-z_]\w*\+0x")


def task_of(report: Report) -> tuple[Task, Kernel]:
    """Return who ran and on which kernel, from the line `CPU: ... PID: ... Comm: ...` or what else names them."""
    found = next((m for line in report.lines if "omm: " in line and (m := _CPU_LINE.search(line))), None)
    architecture = _architecture(report)
    if found:
        taint = found["taint"][9:].split("[")[0].replace(" ", "") if found["taint"].startswith("Tainted") else ""
        cpu = None if found["cpu"] is None else Count(int(found["cpu"]))
        return Task(safe_text(found["comm"]), Count(int(found["pid"])), cpu), Kernel(
            safe_text(found["version"], 120), architecture, taint
        )
    return _other_task(report), Kernel(architecture=architecture)


def _other_task(report: Report) -> Task:
    for line in report.lines[:40]:
        found = _HEAD_TASK.search(line) or _ARM_TASK.search(line)
        if found:
            names = [value for value in found.groups() if value]
            return Task(safe_text(names[0]), Count(int(names[1])))
    return Task()


def _architecture(report: Report) -> str:
    text = "\n".join(report.lines[:40])
    # Most are this, and looking for all words takes long.
    if "RIP: 0010:" in text or "entry_SYSCALL_64" in text:
        return "x86-64"
    if "RIP: 0033:" in text and _UML_PLACE.search(text):
        return "um"
    for name, words in _ARCHITECTURES:
        for word in words:
            if word in text:
                return name
    return ""


def access_of(report: Report) -> Optional[Access]:
    """Return the access that failed, as far as the report tells; None if it tells nothing of one."""
    text = [line for line in report.lines[:60] if not line.startswith(" ")]
    for line in text:
        told = ("ead" in line or "rite" in line) and (" of " in line or " at addr " in line)
        found = _ACCESS.search(line) if told else None
        if found:
            size, address = found[2] or found[6] or found[7], found[3] or found[4] or found[5]
            kind = "write" if "rite" in found[1] else "read"
            return Access(kind, Address(int(address, 16)) if address else None, Size(int(size)) if size else None)
    named = (line for line in text[:12] if "addr" in line or " at " in line)
    address_found = next((m for line in named if (m := _AT.search(line))), None)
    return Access(_kind(report.lines), Address(int(address_found[1], 16))) if address_found else None


def _kind(lines: Sequence[str]) -> str:
    for line in lines[:30]:
        found = (
            _ERROR_CODE.search(line)
            if "#PF" in line or "WnR" in line or "ops: " in line or "error_code" in line
            else None
        )
        if found:
            # Page-fault error code (Intel SDM vol. 3, 4.7): bit 1 is a write, bit 4 an instruction fetch.
            code = int(found[3] or found[4] or "0", 16) if not found[1] else 0
            words = found[1] or ("write" if found[2] == "1" or code & 2 else "execute" if code & 16 else "read")
            return "execute" if words == "instruction fetch" else words
    return ""


def registers_of(report: Report) -> tuple[Register, ...]:
    """Return the registers at the fault: the first block of the kernel's, never that of the system call's user side."""
    start = next((section.number for section in report.of("ip") if _is_kernel(section.head)), None)
    if start is None:
        return ()
    seen: dict[str, int] = {}
    for name, value in _values(report.lines[start : start + 40]):
        if name in seen and len(seen) > 8:
            break
        seen.setdefault(name, value)
    return tuple(Register(name, Word(value)) for name, value in seen.items())


def _values(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    for line in lines:
        if line.endswith(_TRACE):
            return
        if "+0x" in line and not line.startswith(("RIP", "EIP", "pc", "lr")):
            if "Call " in line:
                return
            continue
        for name, value in _REGISTER.findall(line):
            yield name.lower(), int(value.split(":")[-1], 16)


def _is_kernel(head: str) -> bool:
    return "+0x" in head or not ("0033:" in head or "0023:" in head)
