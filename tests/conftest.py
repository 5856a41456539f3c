"""Fixtures of real binaries: built once a session, by real compilers."""

from __future__ import annotations

import functools
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import support  # noqa: E402
from support import KernelBuilder  # noqa: E402  (the path is set above)

# What a shell starts in the background ignores the signals of the keyboard, what nohup starts that of a terminal that
# goes away; and so would all that is started here, unless the signal has its default or a handler, which is not passed
# on. Python ignores two itself, and the last three stop who writes to a terminal.
_ITS_OWN = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_HANDLERS = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: lambda *_: None}
for number in signal.valid_signals() - _ITS_OWN:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, _HANDLERS.get(number, signal.SIG_DFL))


# What a user's environment may have that changes what programs print, how they are built, or where they are loaded.
_CHANGING = (
    "NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE GCC_COLORS COLUMNS LINES LANGUAGE DEBUGINFOD_URLS GDBHISTFILE "
    "LD_BIND_NOW LD_BIND_NOT LD_PRELOAD GLIBC_TUNABLES MALLOC_CHECK_ MALLOC_PERTURB_ MALLOC_ARENA_MAX "
    "MAKEFLAGS MFLAGS MAKELEVEL GNUMAKEFLAGS CPATH C_INCLUDE_PATH LIBRARY_PATH SOURCE_DATE_EPOCH RUSTFLAGS "
    "O DEBUG SIZES PROBE RING FAULT DEBUG_EVENTS RELR STRIP PYTHONWARNINGS"
).split()
for name in (*_CHANGING, *(key for key in os.environ if key == "LANG" or key.startswith("LC_"))):
    if not (name in ("LANG", "LC_ALL", "LC_CTYPE") and os.environ.get(name, "").startswith("C")):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> KernelBuilder:
    """Builds the example kernel with make variables, each variant once."""
    directory = tmp_path_factory.mktemp("kernels")

    @functools.lru_cache(maxsize=None)
    def build(**options: int) -> pathlib.Path:
        name = "-".join(f"{key}{value}" for key, value in sorted(options.items())) or "default"
        return support.build_kernel(directory / name, **options)

    return build


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> KernelBuilder:
    """Builds tests/programs/runtime.c, a native program with the probe kit's copy routines."""
    directory = tmp_path_factory.mktemp("runtime")

    @functools.lru_cache(maxsize=None)
    def build(debug: int = 1, sizes: int = 1) -> pathlib.Path:
        support.require("gcc")
        output = directory / f"runtime-{debug}{sizes}"
        kit = support.KERNEL_SOURCE / "probe"
        programs = support.ROOT / "tests" / "programs"
        sources = [str(programs / "runtime.c"), *map(str, sorted(kit.glob("*.[cS]")))]
        support.run(
            "gcc", "-std=gnu11", "-g" if debug else "-g0", "-O1", "-no-pie", "-fno-pic", "-fstack-protector-all",
            "-DUCOPY_PROBE=1", "-DUCOPY_RING=32", f"-DASM_SIZES={sizes}", f"-I{support.KERNEL_SOURCE}",
            f"-Wl,-T,{programs / 'runtime.ld'}", "-Wl,-z,noexecstack", "-o", str(output), *sources,
        )  # fmt: skip
        return output

    return build
