"""examples/uml does what its README says: it boots, and what shall go wrong goes wrong."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import pytest
import support
import uml

OVERLAP = re.compile(r"dst=0x(\w+) src=0x(\w+) size=(\d+): (\d+) bytes damaged")
LEAF = re.compile(r"(\d+) items, (\d+) damaged")
GUARD = re.compile(r"^guard 0x([0-9a-f]{16}) at 0x[0-9a-f]+ pid (\d+)$", re.MULTILINE)


def copy_of(text: str) -> tuple[int, int, int]:
    """Distance (destination minus source), size and damage of the copy that the module made."""
    found = OVERLAP.search(text)
    assert found, text
    return int(found[1], 16) - int(found[2], 16), int(found[3]), int(found[4])


def items(text: str) -> tuple[int, int]:
    found = LEAF.search(text)
    assert found, text
    return int(found[1]), int(found[2])


def test_it_boots_does_what_it_is_told_and_halts(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path, "guard,files:200,calls:1000") as guest:
        assert guest.wait() == 0, guest.console
        assert GUARD.search(guest.console)
        assert "work: 200 files, all right" in guest.console
        assert "work: 1000 calls" in guest.console
        assert "the files are on a tmpfs" not in guest.console


def test_the_files_are_on_an_ext4_of_their_own(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        assert "200 files, all right" in guest.do("files 200")
        assert "EXT4-fs (ubda): mounted" in guest.console
        assert guest.halt() == 0


@pytest.mark.parametrize("order, distance", [("upwards", 31), ("downwards", -31)])
def test_both_overlaps_damage_data(tmp_path: pathlib.Path, order: str, distance: int) -> None:
    with uml.boot(tmp_path) as guest:
        made, size, damaged = copy_of(guest.do(f"overlap {order}"))
        assert (made, size) == (distance, 171)
        assert damaged > 0


def test_an_overlap_may_do_no_damage(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        assert copy_of(guest.do("overlap lucky")) == (-31, 171, 0)


def test_what_is_no_overlap_does_no_damage(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        assert copy_of(guest.do("overlap adjacent-above")) == (171, 171, 0)
        assert copy_of(guest.do("overlap adjacent-below")) == (-171, 171, 0)
        assert copy_of(guest.do("overlap same")) == (0, 171, 0)
        assert copy_of(guest.do("overlap nothing")) == (0, 0, 0)
        assert copy_of(guest.do("overlap memmove")) == (31, 171, 0)


def test_the_leaf_loses_items_unless_it_is_repaired(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        assert items(guest.do("leaf story")) == (3, 0)
        count, damaged = items(guest.do("leaf fill 1"))
        assert count > 20 and damaged > 0
        assert items(guest.do("leaf repaired 1")) == (count, 0)


def test_a_system_call_writes_over_the_guard(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        healthy, over, frame = (guest.do(command) for command in ("guard", "guard_over", "guard_frame"))
        assert "smashing" not in healthy and healthy.endswith("ended with 0")
        assert "read 8 bytes over it, now 0x4141414141414141" in over
        assert "read 64 bytes into a buffer of 16" in frame
        assert "stack smashing detected" in over and "stack smashing detected" in frame


def test_guest_processes_have_guards_of_their_own(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        guards = dict(GUARD.findall(guest.do("guards 5")))
        assert len(guards) == 5 and len(set(guards.values())) == 5
        assert all(guard.endswith("00") for guard in guards)
        assert len(guest.guests()) >= 6


def test_nothing_is_left_of_a_kernel(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path) as guest:
        guest.do("guards 2")
        assert len(guest.processes()) >= 5
    assert guest.processes() == {}


def test_the_stripped_kernel_of_debian_boots_too(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path, environment={"KDBG_UML_KERNEL": uml.stripped()}) as guest:
        assert GUARD.search(guest.do("guard"))
        assert guest.halt() == 0


def build(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(uml.EXAMPLE / "build")], capture_output=True, text=True, timeout=support.DEADLINE,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_what_is_built_is_used_again() -> None:
    uml.uml_kernel()
    again = build()
    assert again.returncode == 0
    assert len(again.stdout.splitlines()) == 1 and "ready in" in again.stdout


def test_another_machine_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    uname = tmp_path / "uname"
    uname.write_text('#!/bin/sh\n[ "$1" = -m ] && echo aarch64 || echo Linux aarch64\n')
    uname.chmod(0o755)
    done = build(PATH=f"{tmp_path}:{os.environ['PATH']}", KDBG_UML=str(tmp_path / "uml"))
    assert done.returncode == uml.CANNOT_RUN
    assert done.stderr == "uml: cannot run here: this is Linux aarch64, not Linux x86_64\n"


def test_a_host_without_ptrace_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    uml.uml_kernel()
    (tmp_path / "check").write_text("#!/bin/sh\necho 'ptrace: Operation not permitted'\nexit 1\n")
    (tmp_path / "check").chmod(0o755)
    done = build(KDBG_UML=str(tmp_path))
    assert done.returncode == uml.CANNOT_RUN
    assert done.stderr == (
        "uml: cannot run here: this host does not permit what it needs: ptrace: Operation not permitted\n"
    )


def test_too_little_space_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    uml.uml_kernel()
    df = tmp_path / "df"
    df.write_text("#!/bin/sh\necho Avail\necho 12M\n")
    df.chmod(0o755)
    done = build(PATH=f"{tmp_path}:{os.environ['PATH']}", KDBG_UML=str(tmp_path / "uml"))
    assert done.returncode == uml.CANNOT_RUN
    assert re.fullmatch(r"uml: cannot run here: .* has 12 MiB free, and 1500 are needed .*\n", done.stderr)


def test_boot_without_a_kernel_says_what_makes_one(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [str(uml.EXAMPLE / "boot"), "guard"], capture_output=True, text=True, timeout=support.DEADLINE,
        env={**os.environ, "KDBG_UML": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"uml: there is no kernel in {tmp_path}; examples/uml/build makes one\n"


def test_the_shim_sets_registers_where_the_host_has_more_of_them(tmp_path: pathlib.Path) -> None:
    support.require("gcc")
    kernel, program = uml.uml_kernel(), tmp_path / "registers"
    support.run("gcc", "-O1", "-o", str(program), str(support.ROOT / "tests" / "programs" / "registers.c"))
    host = int(support.run(str(kernel.directory / "check")))
    shim = f"LD_PRELOAD={kernel.directory / 'shim.so'}"
    if host > 832:
        assert support.run(str(program), "832").startswith("refused")
        assert support.run("env", shim, str(program), "832") == "set: the same\n"
    assert support.run(str(program), str(host)) == "set: the same\n"
    assert support.run("env", shim, str(program), str(host)) == "set: the same\n"


def test_guests_run_on_a_host_with_more_registers_than_the_kernel_knows(tmp_path: pathlib.Path) -> None:
    with uml.boot(tmp_path / "run", "guards:2,calls:100,files:20", environment=support.large_host(tmp_path)) as guest:
        assert guest.wait() == 0, guest.console
        assert "20 files, all right" in guest.console and "set fp regs failed" not in guest.console


def test_without_the_shim_they_do_not(tmp_path: pathlib.Path) -> None:
    kernel = uml.uml_kernel()
    plain = tmp_path / "kernel"
    preload = support.large_host(tmp_path)["LD_PRELOAD"]
    plain.write_text(f'#!/bin/sh\nLD_PRELOAD={preload} exec {kernel.vmlinux} "$@"\n')
    plain.chmod(0o755)
    with uml.boot(tmp_path / "run", "calls:1", environment={"KDBG_UML_KERNEL": str(plain)}) as guest:
        guest.wait_for("ptrace set fp regs failed, errno = 14|Kernel panic")
