"""The line of each type of event but system calls."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Tuple

from .errors_and_signals import signal_name
from .events import Event, number
from .syscall_names import system_call_name
from .units import ADDRESS_MASK, safe_text

Part = Tuple[str, str]
Parts = List[Part]

_TEXT, _VALUE, _MEMBERS, _ITEMS = 200, 80, 24, 6
# How many arguments the calls have that are met every day; of all others the six registers are shown.
_CALLS = {
    0: "getpid getppid getuid geteuid getgid getegid gettid fork vfork sched_yield pause setsid getpgrp sync "
       "rt_sigreturn",
    1: "close exit exit_group brk dup pipe uname umask chdir fchdir unlink rmdir times sysinfo time alarm fsync "
       "fdatasync set_tid_address getpgid getsid inotify_init1 epoll_create1",
    2: "stat fstat lstat munmap access dup2 kill arch_prctl gettimeofday getrlimit setrlimit getrusage nanosleep "
       "getcwd rename mkdir creat link symlink chmod fchmod truncate ftruncate clock_gettime clock_getres "
       "setpgid sigaltstack tkill pipe2 listen shutdown statfs fstatfs set_robust_list eventfd2 timerfd_create "
       "memfd_create umount2",
    3: "read write open lseek mprotect ioctl readv writev poll mincore madvise socket connect accept bind execve "
       "readlink chown fchown lchown getdents getdents64 fcntl dup3 tgkill getrandom mkdirat unlinkat faccessat "
       "mknod",
    4: "openat newfstatat readlinkat rt_sigaction rt_sigprocmask wait4 pread64 pwrite64 reboot sendfile "
       "clock_nanosleep prlimit64 epoll_ctl epoll_wait accept4 socketpair utimensat renameat rseq ptrace",
    5: "clone select setsockopt getsockopt prctl waitid statx renameat2 linkat mount",
}  # fmt: skip
ARGUMENT_COUNTS = {name: count for count, names in _CALLS.items() for name in names.split()}


class View:
    """The fields of an event as text that is safe to show; addresses of code have their names behind them."""

    def __init__(self, event: Event, name_of: Callable[[int], str]) -> None:
        self.event = event
        self.fields: Mapping[str, Any] = event.fields
        self._name_of = name_of

    def has(self, name: str) -> bool:
        return self.fields.get(name) not in (None, "")

    def text(self, name: str) -> str:
        """A field as text, `?` if it is missing."""
        return self.value(self.fields[name], _TEXT) if name in self.fields else "?"

    def value(self, value: Any, limit: int = _VALUE) -> str:
        return safe_text(value if isinstance(value, str) else str(value).lower(), limit)

    def hex(self, name: str) -> str:
        """An address or a word."""
        return self.hex_of(self.fields, name)

    def hex_of(self, fields: Mapping[str, Any], name: str) -> str:
        found = number(fields.get(name))
        return f"{found & ADDRESS_MASK:#x}" if found is not None else self.value(fields.get(name, "?"))

    def code(self, name: str) -> str:
        """An address of code, with its name."""
        return self.code_of(self.fields, name)

    def code_of(self, fields: Mapping[str, Any], name: str) -> str:
        found = number(fields.get(name))
        named = self._name_of(found & ADDRESS_MASK) if found is not None else ""
        return f"{self.hex_of(fields, name)} {named}".rstrip()

    def items(self, name: str) -> List[Mapping[str, Any]]:
        """The objects of a list."""
        found = self.fields.get(name)
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def plainly(self) -> Parts:
        """The members as they are, for a type without a form of its own."""
        left = [name for name in self.fields if name not in ("type", "seq", "pid")]
        pairs = [f"{safe_text(name, _VALUE)}={self.value(self.fields[name])}" for name in left[:_MEMBERS]]
        more = [f"and {len(left) - _MEMBERS} more"] if len(left) > _MEMBERS else []
        return [(safe_text(self.event.type, _VALUE) or "?", "name"), (" {" + ", ".join([*pairs, *more]) + "}", "")]


def _canary_check(view: View) -> Parts:
    call = view.fields.get("syscall")
    name = system_call_name(call) if type(call) is int else view.text("syscall")
    when = {"pre_syscall": "before", "post_syscall": "after"}.get(view.text("when"), view.text("when"))
    if view.fields.get("corrupted") is not True:
        return [("guard", "name"), (f" intact {when} {name}: {view.hex('found')}", "")]
    there = f"{view.hex('found')} where {view.hex('expected')} should be, fs_base {view.hex('fsbase')}"
    return [(f"guard CORRUPTED {when} {name}: {there}", "failure")]


def _page_fault(view: View) -> Parts:
    area = (
        f", {view.text('vma_type') if view.has('vma_type') else 'area'} {view.hex('vma_start')}-{view.hex('vma_end')}"
    )
    where = f" at {view.hex('vaddr')} ({view.text('reason')}), ip {view.code('ip')}"
    parts: Parts = [("page fault", "fault"), (where + (area if view.has("vma_start") else ""), "")]
    return parts if view.fields.get("resolved") is not False else [*parts, (": not resolved", "failure")]


def _signal_title(view: View) -> str:
    found = view.event.number("signal")
    return view.text("signal_name") if view.has("signal_name") else signal_name(found or 0)


def _signal(view: View) -> Parts:
    handler = f", handler {view.code('handler')}" if view.has("handler") else ""
    return [
        (f"--- {_signal_title(view)} ---", "signal"),
        (f" {view.text('action')}, ip {view.code('ip')}{handler}", ""),
    ]


def _user_fault(view: View) -> Parts:
    sent = signal_name(view.event.number("signal_delivered") or 0)
    return [(f"--- {view.text('exception')} ---", "signal"), (f" ip {view.code('ip')}, {sent} delivered", "")]


def _process_exit(view: View) -> Parts:
    if view.fields.get("by_signal") is True:
        # Kernels give the signal itself, or what a shell shows.
        status = abs(view.event.number("status") or 0)
        return [(f"+++ killed by {signal_name(status - 128 if status > 128 else status)} +++", "failure")]
    return [(f"+++ exited with {view.text('status')} +++", "process")]


def _process_exec(view: View) -> Parts:
    return [(f'+++ executes "{view.text("argv0")}" +++', "process"), (f" entry {view.code('entry')}", "")]


def _process_fork(view: View) -> Parts:
    return [(f"+++ forked {view.text('child_pid')} +++", "process")]


def _panic(view: View) -> Parts:
    frames = view.items("backtrace")
    calls = " < ".join(_frame(view, frame) for frame in frames[:32])
    return [(f"panic: {view.text('message')}", "failure"), (f", at {calls}" if calls else "", "")]


def _frame(view: View, frame: Mapping[str, Any]) -> str:
    symbol = frame.get("sym")
    if isinstance(symbol, str) and symbol:
        return f"{view.value(symbol)}+{view.hex_of(frame, 'off')}"
    return view.code_of(frame, "addr")


def _unimplemented(view: View) -> Parts:
    return [(view.text("name"), "name"), (f"() is not implemented (system call {view.text('nr')})", "failure")]


def _usercopy(view: View) -> Parts:
    words = {
        "to_user": "copy to user",
        "from_user": "copy from user",
        "fill": "fill user",
        "read_cstr": "read user text",
    }
    context = f" ({view.text('ctx')})" if view.has("ctx") else ""
    direction = words.get(view.text("dir"), view.text("dir"))
    return [(direction, "name"), (f" {view.hex('addr')}, {view.text('len')} bytes{context}", "")]


def _usercopy_fault(view: View) -> Parts:
    context = f" ({view.text('ctx')})" if view.has("ctx") else ""
    copy = f"{view.hex('dst')} <- {view.hex('src')}, {view.text('remaining')} of {view.text('orig_len')} bytes left"
    at = f" in {view.text('label')} at {view.hex('fault_addr')}: {copy}{context}, ip {view.code('ip')}"
    return [("copy fault", "fault"), (at, "")]


def _signal_stack_write(view: View) -> Parts:
    moved = f"rsp {view.hex('rsp_before')} -> {view.hex('rsp_after')}"
    at = f" {view.text('what')}, {view.text('len')} bytes at {view.hex('addr')}, {moved}"
    return [(f"frame of {signal_name(view.event.number('signal') or 0)}:", "name"), (at, "")]


def _trace_dump(view: View) -> Parts:
    entries = view.items("entries")
    last = "; ".join(_copy(view, entry) for entry in entries[-_ITEMS:])
    total = f" {len(entries)} of {view.text('total_calls')} ({view.text('trigger')})"
    return [("copies", "fault"), (f"{total}, the last: {last}" if last else total, "")]


def _copy(view: View, entry: Mapping[str, Any]) -> str:
    size = view.value(entry.get("len", "?"))
    return (
        f"{view.hex_of(entry, 'dst')} <- {view.hex_of(entry, 'src')}, {size} bytes, from {view.code_of(entry, 'ret')}"
    )


def _crash_report(view: View) -> Parts:
    calls = ", ".join(f"{view.value(call.get('name', '?'))}()={view.value(call.get('result', '?'))}"
                      for call in view.items("syscalls")[-_ITEMS:])  # fmt: skip
    at = f" of {view.text('cmdline')}: address {view.hex('fault_addr')}, ip {view.code('ip')}"
    return [(f"--- crash by {_signal_title(view)} ---", "failure"), (f"{at}, after {calls}" if calls else at, "")]


def _profile(view: View) -> Parts:
    entries = sorted(view.items("entries"), key=lambda entry: -(number(entry.get("total_ns")) or 0))
    top = ", ".join(_calls(view, entry) for entry in entries[:_ITEMS])
    what = "system calls" if view.event.type == "syscall_profile" else "spans"
    return [
        ("profile", "name"),
        (f" of {len(entries)} {what}, the longest in all: {top}" if top else f" of no {what}", ""),
    ]


def _calls(view: View, entry: Mapping[str, Any]) -> str:
    name, calls, time = (view.value(entry.get(key, "?")) for key in ("name", "calls", "avg_ns"))
    return f"{name} {calls} x {time} ns"


def _page_faults(view: View) -> Parts:
    return [("profile", "name"), (f" of page faults: {view.text('count')} x {view.text('avg_ns')} ns", "")]


def _htrace(view: View) -> Parts:
    depth = min(max(view.event.number("depth") or 0, 0), 16)
    arrow = {"enter": ">", "exit": "<"}.get(view.text("dir"), view.text("dir"))
    at = f" cpu {view.text('cpu')}, tsc {view.text('tsc')}, data {view.hex('data')}"
    return [(f"{'  ' * depth}{arrow} {view.text('name')}", "name"), (at, "")]


def _htrace_summary(view: View) -> Parts:
    at = f" of cpu {view.text('cpu')}: {view.text('total_entries')} entries, the last {view.text('ring_size')} kept"
    return [("trace", "name"), (at, "")]


FORMS: Dict[str, Callable[[View], Parts]] = {
    "canary_check": _canary_check, "page_fault": _page_fault, "signal": _signal, "user_fault": _user_fault,
    "process_exit": _process_exit, "process_exec": _process_exec, "process_fork": _process_fork, "panic": _panic,
    "unimplemented_syscall": _unimplemented, "usercopy": _usercopy, "usercopy_fault": _usercopy_fault,
    "signal_stack_write": _signal_stack_write, "ucopy_trace_dump": _trace_dump, "crash_report": _crash_report,
    "syscall_profile": _profile, "span_profile": _profile, "page_faults": _page_faults, "htrace": _htrace,
    "htrace_summary": _htrace_summary,
}  # fmt: skip


def text_of(parts: Iterable[Part]) -> str:
    """Return a line without roles."""
    return "".join(text for text, _ in parts)
