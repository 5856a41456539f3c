"""Which functions on a stack are never the culprit: by the class of work they do.

A report's stack begins in what found the error (sanitizers, the dump itself), then in what every part of the kernel
calls (copying, locking, allocating); the culprit is the first function below these.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product
from typing import Iterable

from .kernel_log_classes import DISPATCHING, EXCEPT, PARTS, PATTERNS, SERVING

# By so many letters words are looked up; none is shorter.
_KEY = 3
_IOCTL = re.compile(r"_*compat_sys_\w*ioctl|\w+_compat_ioctl")

# A task that waits, by whatever means: the culprit is who waits, in the first function that does something else.
_WAITS = re.compile(
    r"\w*(?:sched|_lock|slowlock|down|rwsem|rwbase|completion|wait|kthread|context_switch|switch_to|semaphore|"
    r"percpu_rwsem|cancel_\w*work|rcu_barrier|msleep|usleep|read_timeout|freezer|refrigerator|fdatawait|mutex|"
    r"futex_lock)\w*"
)
# What nobody who waits for it has to answer for: the grace period that never ends, the one lock of all networking.
_SHARED = re.compile(r"_*(?:(synchronize_(?:s?rcu|net|sched)\w*)|(rtnl_lock\w*))")

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


# Words in braces are written out: `{,un}lock*` means `lock*` and `unlock*`.
def _expanded(text: str) -> list[str]:
    words: list[str] = []
    for word in text.split():
        if "{" in word:
            parts = word.replace("}", "{").split("{")
            words.extend(map("".join, product(*[part.split(",") for part in parts])))
        else:
            words.append(word)
    return words


class _Names:
    """Names by words that they are or begin with: `dump_stack*`. The first letters say which words may be meant."""

    def __init__(self, text: str, excepted: str = "") -> None:
        words = _expanded(text)
        self._excepted = tuple([word[:-1] for word in _expanded(excepted)])
        self._whole = {word.rstrip("*") for word in words if word[-1] != "+"}
        self._longer = {word[:-1] for word in words if word[-1] == "+"}
        starts: dict[str, list[str]] = {}
        for word in words:
            if word[-1] in "*+":
                starts.setdefault(word[:_KEY], []).append(word[:-1])
        self._starts = {key: tuple(found) for key, found in starts.items()}

    def __contains__(self, bare: str) -> bool:
        if bare in self._whole:
            return True
        starts = self._starts.get(bare[:_KEY])
        if starts is None or not bare.startswith(starts) or bare in self._longer or not _is_word(bare):
            return False
        return not bare.startswith(self._excepted) or _longest(bare, starts) > _longest(bare, self._excepted)


def _longest(name: str, starts: Iterable[str]) -> int:
    return max(map(len, filter(name.startswith, starts)))


def _is_word(name: str) -> bool:
    return name.isascii() and name.replace("_", "a").isalnum()


@lru_cache(maxsize=1)
def _serving() -> tuple[_Names, tuple[str, ...], re.Pattern[str]]:
    names = _Names(" ".join(SERVING.values()), EXCEPT)
    return names, tuple(_expanded(PARTS)), re.compile(rf"_*(?:{'|'.join(PATTERNS)})")


@lru_cache(maxsize=1)
def _dispatching() -> _Names:
    return _Names(DISPATCHING)


@lru_cache(maxsize=8192)
def never_guilty(name: str) -> bool:
    """Tell whether a function only serves others, or reports what they did."""
    if not name:
        return True
    names, parts, others = _serving()
    if name.lstrip("_") in names or others.fullmatch(name):
        return True
    return any(map(name.__contains__, parts)) and _is_word(name)


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
    bare = name.lstrip("_")
    return bare in _dispatching() or ("ioctl" in name and _IOCTL.fullmatch(name) is not None)


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
