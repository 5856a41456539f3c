"""Programs that call through slots before they are relocated, and programs that crash for ordinary reasons."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
import signal
import tempfile

import support

SLOTS = support.ROOT / "tests" / "programs" / "slots"
RUNTIME = support.ROOT / "examples" / "runtime"
SHAPES = range(1, 7)

# Both linkers would turn a call through the GOT into a direct one, were they not told otherwise.
_C_FLAGS = (
    "-std=gnu11 -g -O1 -fPIE -ffreestanding -fcf-protection=none -fno-stack-protector -mgeneral-regs-only -Wall "
    "-Wextra -Wa,-mrelax-relocations=no -nostdlib -static-pie -Wl,--no-relax"
).split()
_RUST_FLAGS = (
    "--edition 2021 -g -C opt-level=1 -C panic=abort -C relocation-model=pic -C default-linker-libraries=no "
    "-C linker=gcc -C link-arg=-nostdlib -C link-arg=-nostartfiles -C link-arg=-static-pie -C link-arg=-Wl,--no-relax"
).split()
_TLS_FLAGS = (
    "-std=gnu11 -g -O1 -ffreestanding -fno-pic -no-pie -fcf-protection=none -fstack-protector-explicit -Wall -Wextra "
    "-nostdlib -static"
).split()
_ORDINARY_FLAGS = (
    "-std=gnu11 -g -O1 -fPIE -pie -fno-builtin -U_FORTIFY_SOURCE -fcf-protection=none -fno-stack-protector "
    "-fstack-protector-explicit -Wall -Wextra"
).split()

# Crashes without anything wrong about a relocation: what to pass to `build_ordinary`'s program, and how it then ends.
# GDB stops at each of the signals but SIGALRM.
ORDINARY = {
    **dict.fromkeys(
        "null-read null-write null-member wild-read non-canonical-read negative-index string-null literal-write "
        "read-only-write misaligned-movaps raised-signal stack-overflow smashed-return smashed-return-wide "
        "smashed-return-null null-call null-callback small-call wild-call non-canonical-call baseless-call jump-nx "
        "jump-nx-stack jump-nx-data unmapped-code runs-into-data cleared-handler weak-call either-null either-small "
        "either-weak virtual-zeroed virtual-freed virtual-overwritten".split(),
        signal.SIGSEGV,
    ),
    **dict.fromkeys(
        "call-abort failed-assertion smashed-canary double-free invalid-free heap-overflow".split(), signal.SIGABRT
    ),
    **dict.fromkeys("misaligned-read bus-error".split(), signal.SIGBUS),
    "breakpoint": signal.SIGTRAP,
    "illegal-instruction": signal.SIGILL,
    "division-by-zero": signal.SIGFPE,
    "endless-loop": signal.SIGQUIT,
    "alarm-clock": signal.SIGALRM,
}
_TLS_ACCESSES = {"pointer": 1, "variable": 2, "guard": 3}
_VARIANTS = {"memcpy": "memcpy", "vtable": "vtable", "none": "fixed"}
_RELR = {"bfd": "-Wl,-z,pack-relative-relocs", "lld": "-Wl,--pack-dyn-relocs=relr"}


@functools.lru_cache(maxsize=None)
def _shared() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="kdbg-runtimes-")


def shared() -> pathlib.Path:
    """Return a directory for all modules, so that each program is built once; it goes with the process."""
    return pathlib.Path(_shared().name)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a debugger should name for one shape: the slot, and the function that the call should have reached."""

    slot: str  # the symbol that the GOT slot is for; in shape 4 the table that the slot lies in
    index: int  # of the slot in the table; 0 for a slot of the GOT
    target: str  # the function that was meant
    in_table: bool  # the slot has a symbol of its own (shape 4), it is not one of the GOT
    faults_on_call: bool  # the pc is that of the call, and the address that cannot be read is what tells (shape 5)
    caller: str = "use_slot"


def expected(shape: int, language: str = "c") -> Expected:
    """Say what a debugger should name; the names of Rust are demangled, without their hash."""
    crate, table, data = ("", "handlers", "bell") if language == "c" else ("shapes::", "HANDLERS", "BELL")
    target = f"{crate}ring_bell"
    slot = {4: f"{crate}{table}", 5: f"{crate}{data}"}.get(shape, target)
    return Expected(slot, 2 if shape == 4 else 0, target, shape == 4, shape == 5)


@functools.lru_cache(maxsize=None)
def build_shape(
    directory: pathlib.Path,
    shape: int,
    language: str = "c",
    linker: str = "bfd",
    fixed: bool = False,
    relr: bool = False,
    stripped: bool = False,
    applied: bool = False,
) -> pathlib.Path:
    """Build one shape; `applied` (lld only) writes addends into the slots, as GNU ld and all of RELR always do."""
    support.require("gcc")
    marks = [
        word for word, on in (("fixed", fixed), ("relr", relr), ("stripped", stripped), ("applied", applied)) if on
    ]
    output = directory / "-".join(["shape", str(shape), language, linker, *marks])
    link = [*linker_flags(linker, language), *([_RELR[linker]] if relr else []), *(["-s"] if stripped else [])]
    link += ["-Wl,--apply-dynamic-relocs"] if applied else []
    if language == "c":
        source = str(SLOTS / "shapes.c")
        support.run("gcc", *_C_FLAGS, f"-DSHAPE={shape}", f"-DFIXED={int(fixed)}", *link, "-o", str(output), source)
    else:
        options = [word for flag in link for word in ("-C", f"link-arg={flag}")]
        options += ["--cfg", f'shape="{shape}"', *(["--cfg", "fixed"] if fixed else [])]
        support.run(rustc(), *_RUST_FLAGS, *options, "-o", str(output), str(SLOTS / "shapes.rs"))
    return output


def shows_addend(linker: str, relr: bool = False, applied: bool = False) -> bool:
    """Whether slots hold their link-time values before relocation, so that the pc of a crash is one; else it is 0."""
    return linker == "bfd" or relr or applied


def rustc() -> str:
    """Return rustc, on the path or where rustup puts it; skip the test without one."""
    path = os.pathsep.join([os.environ.get("PATH", ""), os.path.expanduser("~/.cargo/bin")])
    found = shutil.which("rustc", path=path)
    if found is None:
        support.require("rustc")
    return str(found)


def linker_flags(linker: str, language: str = "c") -> list[str]:
    """Return the options of gcc for a linker; for Rust the lld of its toolchain is taken where it has one."""
    if linker == "bfd":
        return ["-fuse-ld=bfd"]
    own = _rust_lld() if language == "rust" else None
    if own is None:
        support.require("ld.lld")
    return ["-fuse-ld=lld", *([f"-B{own}"] if own else [])]


@functools.lru_cache(maxsize=None)
def _rust_lld() -> pathlib.Path | None:
    compiler = rustc()
    sysroot = pathlib.Path(support.run(compiler, "--print", "sysroot").strip())
    host = next(x.split()[1] for x in support.run(compiler, "-vV").splitlines() if x.startswith("host:"))
    place = sysroot / "lib" / "rustlib" / host / "bin" / "gcc-ld"
    return place if (place / "ld.lld").exists() else None


@functools.lru_cache(maxsize=None)
def build_runtime(
    directory: pathlib.Path, language: str = "c", fault: str = "memcpy", linker: str = "bfd", relr: bool = False
) -> pathlib.Path:
    """Build the example start-up, which crashes by `memcpy` or `vtable`, or with `none` says that it is up."""
    support.require("gcc", "make")
    compiler = [f"RUSTC={rustc()}"] if language == "rust" else []
    linker_flags(linker, language)
    output = directory / ("relr" if relr else "rela")
    name = f"{language}-{_VARIANTS[fault]}-{linker}"
    support.run("make", "-s", "-C", str(RUNTIME), f"O={output}", f"RELR={int(relr)}", *compiler, name)
    return output / name


@functools.lru_cache(maxsize=None)
def build_ordinary(directory: pathlib.Path) -> pathlib.Path:
    """Build the program that crashes as its first argument says, one of `ORDINARY`."""
    support.require("gcc")
    output = directory / "ordinary"
    support.run("gcc", *_ORDINARY_FLAGS, "-o", str(output), str(SLOTS / "ordinary.c"))
    return output


@functools.lru_cache(maxsize=None)
def build_tls(directory: pathlib.Path, access: str = "pointer", fixed: bool = False) -> pathlib.Path:
    """Build a program that uses fs with fs_base 0: the thread `pointer`, a `variable` below it, the `guard` above."""
    support.require("gcc")
    output = directory / f"tls-{access}{'-fixed' if fixed else ''}"
    options = [f"-DACCESS={_TLS_ACCESSES[access]}", f"-DSET={int(fixed)}"]
    support.run("gcc", *_TLS_FLAGS, *options, "-o", str(output), str(SLOTS / "tls.c"))
    return output
