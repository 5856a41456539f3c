"""The programs that other tests debug do crash as they say, and run on where they are repaired."""

from __future__ import annotations

import pathlib
import resource
import signal
import subprocess

import pytest
import runtimes
import support


def outcome(program: pathlib.Path, *arguments: str) -> tuple[int, str]:
    """Run a program without leaving a core; return its exit status (minus the signal) and what it printed."""
    done = subprocess.run(
        [str(program), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, timeout=support.DEADLINE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("linker", ["bfd", "lld"])
@pytest.mark.parametrize("language", ["c", "rust"])
@pytest.mark.parametrize("shape", runtimes.SHAPES)
def test_a_call_through_a_slot_crashes_before_relocation_only(shape: int, language: str, linker: str) -> None:
    crashing = runtimes.build_shape(runtimes.shared(), shape, language, linker)
    repaired = runtimes.build_shape(runtimes.shared(), shape, language, linker, fixed=True)
    assert outcome(crashing) == (-signal.SIGSEGV, "")
    assert outcome(repaired) == (0, "")


@pytest.mark.parametrize("relr", [False, True])
@pytest.mark.parametrize("linker", ["bfd", "lld"])
@pytest.mark.parametrize("language", ["c", "rust"])
def test_the_example_start_up_crashes_both_ways_and_runs(language: str, linker: str, relr: bool) -> None:
    ends = {
        fault: outcome(runtimes.build_runtime(runtimes.shared(), language, fault, linker, relr))
        for fault in ("memcpy", "vtable", "none")
    }
    assert ends == {"memcpy": (-signal.SIGSEGV, ""), "vtable": (-signal.SIGSEGV, ""), "none": (0, "runtime: up\n")}


@pytest.mark.parametrize("name", runtimes.ORDINARY)
def test_an_ordinary_crash_ends_as_it_says(name: str) -> None:
    assert outcome(runtimes.build_ordinary(runtimes.shared()), name) == (-runtimes.ORDINARY[name], "")


def test_every_ordinary_crash_is_listed() -> None:
    status, names = outcome(runtimes.build_ordinary(runtimes.shared()))
    assert status == 0
    assert sorted(names.replace("_", "-").split()) == sorted(runtimes.ORDINARY)


@pytest.mark.parametrize("access", ["pointer", "variable", "guard"])
def test_thread_local_storage_crashes_without_a_thread_pointer_only(access: str) -> None:
    assert outcome(runtimes.build_tls(runtimes.shared(), access)) == (-signal.SIGSEGV, "")
    assert outcome(runtimes.build_tls(runtimes.shared(), access, fixed=True)) == (0, "")
