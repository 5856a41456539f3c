"""A kernel that starts again in the middle of a log, with nothing said about why: a reset, a triple fault."""

from __future__ import annotations

import re

from .kernel_log_kinds import Kind

REBOOT = Kind(re.compile(""), "unexpected kernel reboot", "REBOOT", "none")

_BANNER = re.compile(r"^Linux version \d|^Booting the kernel|^Booting Linux on physical CPU")
_STAMP = re.compile(r"^(?:<\d{1,3}>)?\[ {0,9}(\d{1,10})\.\d{3,9}\]", re.MULTILINE)
# Said before a shutdown that somebody asked for.
_ORDERLY = re.compile(
    r"reboot: |[Rr]estarting system|Power down|Rebooting|machine restart|kexec|System halted|sysrq: |Kernel panic"
)
_TAIL = 8192
# A kernel that ran for less did not get far; seconds.
_RAN = 5


class Boots:
    """Watches the blocks of a log for starts of kernels."""

    def __init__(self) -> None:
        self._before = ""
        self._quiet_until = 0

    def keep(self, block: str) -> None:
        """Remember the end of a block, for what the next one begins with."""
        self._before = (self._before + block)[-_TAIL:] if len(block) < _TAIL else block[-_TAIL:]

    def is_start(self, text: str) -> bool:
        """Tell whether a message is one of the first that a kernel prints."""
        return _BANNER.match(text) is not None

    def unexpected(self, block: str, start: int, number: int) -> bool:
        """Tell whether a kernel ran right before the one that starts in line `number`, and was not asked to stop."""
        if number < self._quiet_until:
            return False
        tail = (self._before if start < _TAIL else "") + "\n" + block[max(0, start - _TAIL) : start]
        stamps = _STAMP.findall(tail)
        if not stamps or int(stamps[-1]) < _RAN or _ORDERLY.search(tail):
            return False
        # A start has several first lines, of the loader and of the kernel itself.
        self._quiet_until = number + 100
        return True
