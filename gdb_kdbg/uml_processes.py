"""The user-mode Linux kernels that run on this machine, among the many processes that each of them is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Optional, Sequence

from .elf import ElfFile, open_elf
from .errors import KdbgError, NotSupported
from .units import safe_text

# Sections of arch/um/include/asm/common.lds.S; they are in stripped kernels too.
_SECTIONS = (".uml.setup.init", ".uml.exitcall", ".syscall_stub")
_MACHINE = "x86-64"
_PATH_LIMIT = 200
# Linux include/linux/threads.h: no process id is as large.
_PID_LIMIT = 1 << 22


@dataclass(frozen=True)
class KernelProcess:
    """The process that is a kernel; `executable` is the path of its file, which may be gone."""

    pid: int
    executable: str
    command: str

    def __str__(self) -> str:
        return f"{self.pid} ({safe_text(self.executable, 60)})"


class Processes:
    """What /proc says of the processes of this machine; another directory in tests."""

    def __init__(self, root: str = "/proc") -> None:
        self._root = root

    def ids(self) -> Sequence[int]:
        return sorted(int(name) for name in os.listdir(self._root) if name.isdigit())

    def exists(self, pid: int) -> bool:
        return os.path.isdir(f"{self._root}/{pid}")

    def file(self, pid: int) -> str:
        """Return the path at which the executable can be opened, even if its own is gone."""
        return f"{self._root}/{pid}/exe"

    def executable(self, pid: int) -> str:
        """Return the executable's path, or raise OSError."""
        return os.readlink(self.file(pid))

    def identity(self, pid: int) -> Optional[tuple[int, int]]:
        """Return what tells one executable from another; None where it may not be looked at."""
        try:
            found = os.stat(self.file(pid))
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def status(self, pid: int) -> dict[str, str]:
        """Return /proc/PID/status by its words; empty if the process is gone."""
        try:
            with open(f"{self._root}/{pid}/status", encoding="utf-8", errors="backslashreplace") as file:
                pairs = (line.partition(":") for line in file)
                return {name: value.strip() for name, _, value in pairs}
        except OSError:
            return {}

    def word(self, pid: int, address: int) -> int:
        """Return 4 bytes of a process's memory, or raise OSError."""
        with open(f"{self._root}/{pid}/mem", "rb", buffering=0) as file:
            return int.from_bytes(os.pread(file.fileno(), 4, address), "little")

    def command(self, pid: int) -> str:
        try:
            with open(f"{self._root}/{pid}/cmdline", "rb") as file:
                return file.read(4096).replace(b"\0", b" ").decode("utf-8", "backslashreplace").strip()
        except OSError:
            return ""

    def number(self, pid: int, name: str) -> int:
        """Return a number of /proc/PID/status, 0 without it."""
        word = (self.status(pid).get(name, "").split() or ["0"])[0]
        return int(word) if word.isdigit() else 0


def kernels(processes: Optional[Processes] = None) -> Sequence[KernelProcess]:
    """Return the kernels that run, by their process ids."""
    processes = processes or Processes()
    recognised: dict[tuple[int, int], bool] = {}
    found = []
    for pid in processes.ids():
        identity = processes.identity(pid)
        if identity is None or identity == processes.identity(processes.number(pid, "PPid")):
            continue
        if identity not in recognised:
            recognised[identity] = _is_kernel(processes.file(pid))
        if recognised[identity] and not _is_orphan(processes, pid):
            found.append(_described(processes, pid))
    return found


# A helper lives on when its kernel is killed. In the memory that they shared the kernel says who it was. Since 6.11 its
# helpers die with it, and the variable holds a pointer.
def _is_orphan(processes: Processes, pid: int) -> bool:
    try:
        symbol = open_elf(processes.file(pid)).symbol_table().by_name("cpu_tasks")
        main = processes.word(pid, symbol.address) if symbol is not None else None
    except (KdbgError, OSError):
        return False
    return main is not None and main < _PID_LIMIT and main != pid


def choose(wanted: str, processes: Optional[Processes] = None) -> KernelProcess:
    """Return the kernel of a process id, or the only one that runs; raise KdbgError with the reason why not."""
    processes = processes or Processes()
    if wanted:
        return _wanted(wanted, processes)
    found = kernels(processes)
    if not found:
        raise KdbgError("no user-mode Linux kernel runs here, as far as may be seen (kdbg connect uml PID)")
    if len(found) > 1:
        raise KdbgError(f"several kernels run: {', '.join(map(str, found))}; say which: kdbg connect uml PID")
    _require_untraced(processes, found[0].pid)
    return found[0]


def _wanted(text: str, processes: Processes) -> KernelProcess:
    if not text.isdigit():
        raise KdbgError(f"not a process id: {text!r} (kdbg connect uml PID)")
    pid = int(text)
    if not processes.exists(pid):
        raise KdbgError(f"there is no process {pid}")
    _require_kernel(processes, pid)
    pid = _main_process(processes, pid)
    _require_untraced(processes, pid)
    return _described(processes, pid)


def _require_kernel(processes: Processes, pid: int) -> None:
    try:
        path = processes.executable(pid)
        processes.identity(pid)
        elf_path = processes.file(pid)
        os.close(os.open(elf_path, os.O_RDONLY))
    except PermissionError:
        owner = processes.number(pid, "Uid")
        why = f"which belongs to user {owner} (this GDB runs as {os.getuid()})"
        if owner == os.getuid():
            why = "although it belongs to the same user (that takes the capability CAP_SYS_PTRACE)"
        raise KdbgError(f"no permission to look at process {pid}, {why}") from None
    except OSError as error:
        raise KdbgError(f"process {pid} has no executable: {error.strerror}") from None
    if not _is_kernel(elf_path):
        raise NotSupported(f"process {pid} ({safe_text(path, _PATH_LIMIT)}) is no user-mode Linux kernel")
    machine = open_elf(elf_path).machine
    if machine != _MACHINE:
        raise NotSupported(f"process {pid} is a user-mode Linux kernel for {machine}: kdbg knows x86-64 only")


# A helper of the kernel runs the same file, and its parent does too.
def _main_process(processes: Processes, pid: int) -> int:
    parent = processes.number(pid, "PPid")
    while parent and processes.identity(parent) == processes.identity(pid):
        pid, parent = parent, processes.number(parent, "PPid")
    return pid


def _require_untraced(processes: Processes, pid: int) -> None:
    tracer = processes.number(pid, "TracerPid")
    if tracer and tracer != os.getpid():
        name = processes.status(tracer).get("Name", "?")
        raise KdbgError(f"process {pid} is traced already, by process {tracer} ({safe_text(name)}): detach that first")


def _described(processes: Processes, pid: int) -> KernelProcess:
    path = processes.executable(pid)
    return KernelProcess(pid, path if os.path.exists(path) else processes.file(pid), processes.command(pid))


def _is_kernel(path: str) -> bool:
    try:
        return is_kernel_file(open_elf(path))
    except KdbgError:
        return False


def is_kernel_file(elf: ElfFile) -> bool:
    """Tell whether a file is a user-mode Linux kernel, stripped or not."""
    names = {section.name for section in elf.sections}
    return all(name in names for name in _SECTIONS)
