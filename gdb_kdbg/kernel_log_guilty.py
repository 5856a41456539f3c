"""Which functions on a stack are never the culprit: by the class of work they do.

A report's stack begins in what found the error (sanitizers, the dump itself), then in what every part of the kernel
calls (copying, locking, allocating); the culprit is the first function below these.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Iterable

from .kernel_log_classes import SERVING

# One of several alternatives, groups in it and all.
_ALTERNATIVE = re.compile(r"(?:[^|()\[\\]|\\.|\[[^\]]*\]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+")
_WORD = re.compile(r"\w*")

# A task that waits, by whatever means: the culprit is who waits, in the first function that does something else.
_WAITS = re.compile(
    r"\w*(?:sched|_lock|slowlock|down|rwsem|rwbase|completion|wait|kthread|context_switch|switch_to|semaphore|"
    r"percpu_rwsem|cancel_\w*work|rcu_barrier|msleep|usleep|read_timeout|freezer|refrigerator|fdatawait|mutex|"
    r"futex_lock)\w*"
)
# What nobody who waits for it has to answer for: the grace period that never ends, the one lock of all networking.
_SHARED = re.compile(r"_*(?:(synchronize_(?:s?rcu|net|sched)\w*)|(rtnl_lock\w*))")

# Everything that runs anything: system calls, softirqs, timers, workers, callbacks of files and sockets.
_DISPATCH = re.compile(
    r"_*(?:do_syscall_\w+|do_fast_syscall\w*|do_int80\w*|do_syscall|entry_\w+|sysenter\w*|system_call\w*|"
    r"tracesys\w*|x64_sys_call|ia32_sys_call|invoke_syscall\w*|el0_\w+|do_el0\w*|syscall_\w+|ret_fast_syscall|"
    r"int_ret_from\w*|process_one_work|process_scheduled_works|worker_thread|kthread(?:_worker_fn)?|ret_from_fork\w*|"
    r"kernel_thread_helper|smpboot_thread_fn|run_ksoftirqd|do_softirq\w*|softirqentry\w*|handle_softirqs|"
    r"irq_exit\w*|call_timer_fn|expire_timers|run_timer\w*|hrtimer_run\w*|run_hrtimer\w*|"
    r"tasklet_(?:hi_)?action\w*|start_secondary|cpu_startup_entry|start_kernel|rest_init|"
    r"secondary_startup\w*|netif_receive_skb\w*|net_rx_action|process_backlog|napi_poll|rcu_core\w*|"
    "rcu_do_batch|vfs_(?:read|write|ioctl|iter_read|iter_write|fsync|fsync_range)|(?:do_)?vfs_ioctl|(?:new|"
    r"do)_sync_(?:read|write)|(?:do_)?iter_(?:read|write)\w*|do_iter_\w+|do_(?:read|write)v\w*|"
    r"do_loop_readv_writev\w*|call_(?:read|write)_iter|kernel_(?:write|read)|ksys_\w+|do_splice\w*|splice_\w+|"
    r"do_vfs_ioctl|file_ioctl|vfs_ioctl|compat_ksys_\w+|compat_SyS_ioctl|compat_sys_\w*ioctl|(?:S[yY]S[C]?|"
    "C_SYSC|se_sys|do_sys|x64_sys|sys)_(?:ioctl|read|write|connect|bind|setsockopt|getsockopt|listen)|"
    "sock_(?:sendmsg|recvmsg|ioctl|do_ioctl|release|close|write_iter|read_iter|common_setsockopt|"
    r"common_getsockopt)\w*|sock_sendmsg_nosec|kernel_(?:sendmsg|recvmsg|setsockopt|listen|connect)|do_fault|"
    r"do_read_fault|do_shared_fault|do_cow_fault|fput\w*|task_work_run|exit_to_usermode\w*|"
    r"exit_to_user_mode\w*|prepare_exit_to\w*|rtnetlink_rcv_msg|netlink_dump|genl_lock_dumpit|"
    r"\w+_compat_ioctl|blkdev_(?:driver_)?ioctl|tty_ioctl|sk_common_release|do_softirq_own_stack)"
)
# A CPU that has nothing to do, and the thread that counts grace periods, are not what stalls.
_IDLE = re.compile(
    r"rcu_gp_\w+|rcu_\w*kthread\w*|default_idle\w*|native_safe_halt|acpi_(?:safe_halt|idle\w*)|mwait_idle\w*|"
    r"intel_idle\w*|cpuidle_\w+|arch_cpu_idle|cpu_do_idle|pv_native_safe_halt|do_idle|poll_idle|kvm_wait_idle|"
    "khungtaskd|watchdog"
)
_CROSS_CALL = re.compile(r"(smp_call_function)\w*")
# From the interrupt that noticed the stall outwards to what it interrupted.
_INTERRUPT = re.compile(
    r"_*(?:asm_)?(?:sysvec_)?(?:smp_|xen_hvm_callback|trace_|x86_)*(?:apic_timer_interrupt|call_function\w*|"
    r"common_interrupt|hyperv_stimer0|irq_svc|el1_irq\w*|el1h_64_irq\w*|el1_interrupt|nmi|end_repeat_nmi|"
    "asm_exc_nmi|reschedule_interrupt)"
)
_SYSCALL = re.compile(
    "(?:__se_|__do_|compat_)*(?:__(?:x64|ia32|arm64|riscv|s390x?|ppc|mips)_)?(?:compat_)?(?:sys_|SyS_|SYSC_|"
    "C_SYSC_|compat_SyS_|compat_sys_)"
)


class _Serving:
    """What serves: whole names, starts of names, and patterns of others; most are no patterns, which take long to
    compile and to try."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._starts: set[str] = set()
        others = []
        for pattern in _ALTERNATIVE.findall("|".join(patterns)):
            name = pattern[:-3] if pattern.endswith((r"\w*", r"\w+")) else pattern
            # Patterns that begin in `_` share it with what may stand before any name.
            if not name.isidentifier() or name[0] == "_":
                others.append(pattern)
                continue
            if not pattern.endswith(r"\w+"):
                self._names.add(name)
            if name != pattern:
                self._starts.add(name)
        self._others = re.compile(rf"_*(?:{'|'.join(others)})")

    def __contains__(self, name: str) -> bool:
        bare = name.lstrip("_")
        if bare in self._names or self._others.fullmatch(name):
            return True
        return any(bare[:end] in self._starts for end in range(1, len(bare))) and _WORD.fullmatch(bare) is not None


@lru_cache(maxsize=1)
def _serving() -> _Serving:
    return _Serving(SERVING.values())


@lru_cache(maxsize=8192)
def never_guilty(name: str) -> bool:
    """Tell whether a function only serves others, or reports what they did."""
    return not name or name in _serving()


@lru_cache(maxsize=4096)
def waits(name: str) -> bool:
    """Tell whether a function is there to wait for something."""
    return never_guilty(name) or _WAITS.fullmatch(name) is not None


def shared_wait(name: str) -> str:
    """Return what the whole kernel shares and a function waits for: `synchronize_rcu`; empty for other functions."""
    found = _SHARED.fullmatch(name)
    return "" if not found else "synchronize_rcu" if found[1] else found[2]


@lru_cache(maxsize=4096)
def dispatches(name: str) -> bool:
    """Tell whether a function runs whatever it is given: a callback of a file, a timer, a worker, a system call."""
    return _DISPATCH.fullmatch(name) is not None


def idles(name: str) -> bool:
    """Tell whether a function is where an idle CPU, or the thread of the grace periods, is always found."""
    return _IDLE.fullmatch(name) is not None


def cross_call(name: str) -> str:
    """Return `smp_call_function` for all functions that wait for other CPUs to run something; empty for others."""
    found = _CROSS_CALL.fullmatch(name)
    return found[1] if found else ""


def interrupts(name: str) -> bool:
    """Tell whether a function is the entry of the interrupt by which a stalled CPU was caught."""
    return _INTERRUPT.fullmatch(name) is not None


def call_name(name: str) -> str:
    """Return the system call's name for the functions that wrap it: `__se_sys_pause` is `pause`."""
    if name.startswith(("__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__riscv_sys_")):
        return "sys_" + name.split("_sys_", 1)[1]
    found = _SYSCALL.match(name)
    return name[found.end() :] if found and name[found.end() :] else name
