"""What a log tells beside guards: faults, panics, leaks, system calls; each with its twin that is no finding."""

from __future__ import annotations

from typing import Any

import pytest
from event_log import Hex
from log_lines import (
    GUARD,
    KERNEL,
    analyse,
    check,
    dump,
    entry,
    exec_of,
    finding,
    findings,
    killed,
    page_fault,
    returned,
    signal,
    usercopy,
)

ENTRY = {"type": "syscall_entry", "pid": 3, "name": "read", "nr": 0, "args": [0, 0, 0, 0, 0, 0]}
COPY_FAULT = {
    "type": "usercopy_fault", "pid": 3, "fault_addr": Hex(0x10001000), "ip": Hex(KERNEL), "label": "bulk_qwords",
    "dst": Hex(0x10000FFE), "src": Hex(KERNEL + 64), "remaining": 2, "orig_len": 4, "ctx": "ioctl:TIOCGPGRP",
}  # fmt: skip


def crash_report(**more: Any) -> dict[str, Any]:
    """What the real kernel writes when a program dies of a signal."""
    return {"type": "crash_report", "pid": 3, "signal": 11, "signal_name": "SIGSEGV", "cmdline": "/bin/sh -c x",
            "fault_addr": Hex(0x5000), "ip": Hex(0x401000), "fsbase": Hex(0x410000), "regs": {"rax": Hex(0)},
            "vmas": [{"start": Hex(0x400000), "end": Hex(0x410000), "type": "file"}], **more}  # fmt: skip


def test_a_copy_fault_has_its_phase_and_tag() -> None:
    found = finding(
        exec_of("/bin/edges"), COPY_FAULT, dump(entry(0x10000FFE, 4, KERNEL + 64), trigger="usercopy_fault")
    )
    facts = found.facts
    assert (found.rule, facts.phase, facts.tag) == ("copy-fault", "bulk", "ioctl:TIOCGPGRP")
    assert (facts.asked, facts.remaining, facts.process, facts.sequence) == (4, 2, "edges", 0)
    assert found.summary.startswith("copy fault in the bulk phase of the copy routine: 0x10001000 (destination) is not")


def test_copy_faults_of_a_kind_are_told_once_and_counted() -> None:
    found = findings(COPY_FAULT, COPY_FAULT, {**COPY_FAULT, "label": "strncpy"})
    assert [one.facts.phase for one in found] == ["bulk", "strncpy"]
    assert "2 times in all, last in line 2" in found[0].evidence


def test_the_page_fault_of_a_copy_is_no_finding_of_its_own() -> None:
    found = finding(page_fault(0x10001000, ip=KERNEL), COPY_FAULT, returned("ioctl", -14, "EFAULT"), ENTRY)
    assert found.rule == "copy-fault"


@pytest.mark.parametrize(
    ("fault", "rule", "words"),
    [
        (page_fault(0x8), "null-dereference", "0x401000 accessed 0x8"),
        (page_fault(0x0, ip=0), "null-call", "the pc went to 0x0"),
        (page_fault(0x7000_0000), "no-mapping", "where nothing is mapped"),
        (page_fault(0x40_0000, vma_start=Hex(0x40_0000), vma_end=Hex(0x41_0000), vma_type="file"), "protection",
         "(file)"),
    ],
)  # fmt: skip
def test_a_fault_that_ends_a_program_is_named(fault: Any, rule: str, words: str) -> None:
    found = finding(exec_of("/bin/sh"), fault, signal(11, ip=0x401000), killed(11))
    assert (found.rule, found.confidence, found.facts.process) == (rule, "certain", "sh")
    assert words in found.summary and len(found.evidence) == 3


@pytest.mark.parametrize(
    "parts",
    [
        # It has a handler.
        [page_fault(0x8), signal(11, "handler"), ENTRY],
        # It goes on as if nothing had been.
        [page_fault(0x8), ENTRY],
        # The fault was resolved: that is how memory is got.
        [{**page_fault(0x8), "resolved": True}, killed(15)],
        # It was ended by somebody, or ended in its own time.
        [signal(15), killed(15)],
        [signal(2), killed(2)],
        [signal(13), killed(13)],
        [{"type": "process_exit", "pid": 3, "status": 11, "by_signal": False}],
        [signal(17, "ignore")],
    ],
)
def test_a_program_that_lives_on_or_is_told_to_end_is_no_finding(parts: list[Any]) -> None:
    assert findings(exec_of("/bin/sh"), *parts) == ()


def test_an_exception_and_an_abort_are_told_as_what_they_are() -> None:
    fault = {
        "type": "user_fault",
        "pid": 3,
        "exception": "general protection",
        "ip": Hex(0x401000),
        "signal_delivered": 11,
    }
    found = findings(fault, killed(11), signal(6, pid=4), killed(6, pid=4))
    assert [one.rule for one in found] == ["exception", "fatal-signal"]
    assert found[0].summary.startswith("general protection at 0x401000") and "SIGABRT" in found[1].summary


@pytest.mark.parametrize("status", [11, -11, 139])
def test_a_status_may_be_written_in_three_ways(status: int) -> None:
    assert finding({**killed(11), "status": status}).summary.startswith("killed by SIGSEGV")


@pytest.mark.parametrize(
    ("address", "rule"), [(0x5000, "no-mapping"), (0x400010, "protection"), (0x10, "null-dereference")]
)
def test_a_crash_report_tells_the_mappings_itself(address: int, rule: str) -> None:
    found = finding(crash_report(fault_addr=Hex(address)))
    assert found.rule == rule and found.confidence == "certain"


def test_the_same_death_is_told_once_and_counted() -> None:
    parts = [part for pid in range(3, 10) for part in (page_fault(0x8, pid=pid), killed(11, pid=pid))]
    assert "7 times in all" in finding(*parts).evidence


def test_a_panic_names_the_first_function_that_is_no_machinery() -> None:
    names = ("core::panicking::panic_fmt", "kevlar::mm::fault", "kevlar::boot")
    frames = [{"addr": Hex(KERNEL + n), "sym": name, "off": Hex(16)} for n, name in enumerate(names)]
    found = finding({"type": "panic", "message": 'called "unwrap" on None', "backtrace": frames})
    assert found.rule == "panic" and found.facts.function == "kevlar::mm::fault"
    assert found.summary == 'the kernel panicked, in kevlar::mm::fault: called "unwrap" on None'
    assert [line.partition(" in ")[2] for line in found.evidence[1:]] == [f"{name}+0x10" for name in names]


def test_a_panic_without_names_blames_nobody() -> None:
    found = finding(
        {"type": "panic", "message": "x\x1b[2J", "backtrace": [{"addr": Hex(KERNEL), "sym": "", "off": Hex(0)}]}
    )
    assert found.facts.function is None and "\x1b" not in found.summary


def test_missing_system_calls_are_counted_by_name() -> None:
    call = {"type": "unimplemented_syscall", "pid": 3, "name": "rseq", "nr": 334}
    found = finding(call, call, {**call, "name": "unknown", "nr": 186})
    assert found.summary == "the kernel does not have 2 system calls that programs made: rseq, gettid"
    assert found.evidence == ("line 1: rseq, 2 times, by pid 3", "line 3: gettid, once, by pid 3")


@pytest.mark.parametrize(("name", "errno"), [("write", "EBADF"), ("openat", "EINVAL"), ("close", "ENOENT")])
def test_a_call_that_fails_on_and_on_is_a_storm(name: str, errno: str) -> None:
    found = finding(*[returned(name, -9, errno)] * 64)
    assert found.rule == "error-storm" and found.confidence == "possible"
    assert found.summary == f"{name} failed 64 times in a row with {errno} in pid 3"
    assert finding(*[returned(name, -9, errno)] * 256).confidence == "likely"


@pytest.mark.parametrize(
    "calls",
    [
        [returned("write", -9, "EBADF")] * 63,
        [returned("write", -9, "EBADF")] * 40 + [returned("write", 1)] + [returned("write", -9, "EBADF")] * 40,
        [returned("write", -9, "EBADF"), returned("write", -22, "EINVAL")] * 100,
        [part for pid in range(100) for part in [returned("write", -9, "EBADF", pid)] * 3],
        # Along PATH, and at the end of what is there to read.
        [returned("execve", -2, "ENOENT")] * 500,
        [returned("newfstatat", -2, "ENOENT")] * 500,
        [returned("read", -11, "EAGAIN")] * 500,
        [returned("futex", -110, "ETIMEDOUT")] * 500,
        [returned("read", 0)] * 500,
    ],
)
def test_ordinary_failures_are_no_storm(calls: list[Any]) -> None:
    assert findings(*calls) == ()


@pytest.mark.parametrize(
    "part",
    [
        returned("mmap", KERNEL - (1 << 64) - (1 << 40)),
        returned("mmap", 0xFFFF_8800_0012_3000),
        check(0xFFFF_8800_0012_3458, "post_syscall"),
    ],
)
def test_an_address_of_the_kernel_that_got_out_is_told(part: Any) -> None:
    found = [one for one in analyse(part).findings if one.rule == "kernel-pointer-leak"]
    assert len(found) == 1 and found[0].facts.found is not None and found[0].facts.found >= 0xFFFF_8000_0000_0000


@pytest.mark.parametrize(
    "part",
    [
        returned("read", -14, "EFAULT"),
        returned("read", -4095),
        # A negative number of 32 bits looks the same as an address of the kernel's code.
        returned("lseek", -100_000),
        returned("times", 0xFFFF_FFFF_8000_1234),
        returned("mmap", 0x7FFF_FFFF_F000),
        returned("getrandom", 0x8000_0000_0000_0000),
        crash_report(regs={"rax": Hex(0xFFFF_8800_0012_3000)}),
        usercopy(GUARD, 8),
    ],
)
def test_a_large_number_is_no_leak(part: Any) -> None:
    assert [one for one in findings(part) if one.rule == "kernel-pointer-leak"] == []


def test_the_gravest_comes_first() -> None:
    storm = [returned("write", -9, "EBADF")] * 64
    missing = {"type": "unimplemented_syscall", "pid": 3, "name": "rseq", "nr": 334}
    panic = {"type": "panic", "message": "x", "backtrace": []}
    guard = [check(pid=9), check(1, "post_syscall", pid=9)]
    found = findings(missing, *storm, page_fault(8, pid=5), killed(11, pid=5), COPY_FAULT, panic, *guard)
    assert [one.rule for one in found] == [
        "guard-changed", "panic", "copy-fault", "null-dereference", "error-storm", "missing-system-calls",
    ]  # fmt: skip


def test_oops_text_and_events_are_read_together_with_their_lines() -> None:
    printed = ["BUG: kernel NULL pointer dereference, address: 0000000000000008", "#PF: supervisor read",
            "CPU: 0 PID: 7 Comm: tool Not tainted 6.1.0 #1", "RIP: 0010:driver_poke+0x12/0x40",
            "Call Trace:", " <TASK>", " driver_ioctl+0x22/0x80",
            " __x64_sys_ioctl+0x8c/0xd0", " </TASK>", "---[ end trace 0 ]---"]  # fmt: skip
    oops = [f"[    1.000000] {line}" for line in printed]
    analysis = analyse(check(), *oops, COPY_FAULT)
    (crash,) = analysis.crashes
    assert (crash.guilty, crash.first_line, crash.stack[:2]) == ("driver_poke", 2, ("driver_poke", "driver_ioctl"))
    assert analysis.finding_lines == ((12,),) and analysis.events.total == 2 and analysis.lines == 12


def test_an_events_own_text_is_no_oops() -> None:
    panic = {
        "type": "panic",
        "message": "Kernel panic - not syncing: BUG: unable to handle",
        "backtrace": [],
    }
    assert analyse(panic).crashes == ()
