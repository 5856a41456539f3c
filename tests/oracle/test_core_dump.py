"""CoreTarget against what GDB says of the same dumps: of crashed programs, and of a guest that QEMU dumped."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from support import DEADLINE

from gdb_kdbg.dumps.core import CoreTarget
from gdb_kdbg.dwarf import line_at
from gdb_kdbg.elf import open_elf
from gdb_kdbg.errors import BadFile, KdbgError, MemoryFault, NotSupported
from gdb_kdbg.units import Address, Size

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
GENERAL = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)), "rip", "eflags"]
SEGMENTS = ["cs", "ss", "ds", "es", "fs", "gs", "fs_base", "gs_base"]


def need(*tools: str) -> None:
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        required = set(os.environ.get("KDBG_REQUIRE", "").split(","))
        named = {tool.split("-")[0] for tool in missing}
        (pytest.fail if required & (named | set(missing)) else pytest.skip)(f"missing: {', '.join(missing)}")


def gdb(folder: Path, *arguments: str, expect: str = "") -> str:
    command = ["gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=DEADLINE)
    assert expect in done.stdout, done.stdout + done.stderr
    return done.stdout


# What GDB says, thread by thread. Inlined calls and tail calls are frames to GDB, but not on the stack.
SURVEY = """
import gdb, json
def number(value): return int(value) & (1 << 64) - 1
def line(pc):
    found = gdb.find_pc_line(pc)
    return [found.symtab.filename, found.line] if found.symtab else None
def own_line(frame):
    found = frame.find_sal()
    return [found.symtab.filename, found.line] if found.symtab else None
def memory(start, size):
    try: return bytes(gdb.selected_inferior().read_memory(start, size)).hex()
    except gdb.MemoryError: return None
def frames():
    frame = gdb.newest_frame()
    while frame is not None:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            saved = {name: number(frame.read_register(name)) for name in ("rbx", "rbp", "rsp", "r12", "r15")}
            yield {"pc": frame.pc(), "registers": saved, "line": line(frame.pc()),
                   "own_line": own_line(frame)}
        frame = frame.older()
def survey(thread):
    thread.switch()
    stack = number(gdb.parse_and_eval("$rsp"))
    return {"number": thread.ptid[1], "registers": {n: number(gdb.parse_and_eval("$" + n)) for n in NAMES},
            "frames": list(frames()), "stack": [stack, memory(stack, 512)]}
def symbol(name):
    address = number(gdb.parse_and_eval("(long)&" + name))
    return [address, memory(address, 64), gdb.execute("info symbol %#x" % address, to_string=True).split()[0]]
threads = sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num)
result = {"threads": [survey(thread) for thread in threads], "symbols": {name: symbol(name) for name in SYMBOLS}}
print("SURVEY" + json.dumps(result))
"""


def survey(folder: Path, symbols: list[str], *arguments: str, more: tuple[str, ...] = ()) -> Any:
    script = folder / "survey.py"
    script.write_text(f"NAMES, SYMBOLS = {GENERAL + SEGMENTS + list(more)!r}, {symbols!r}\n{SURVEY}")
    # Without the kill GDB gives QEMU five seconds to go by itself.
    out = gdb(folder, *arguments, "-x", str(script), "-ex", "kill", expect="SURVEY")
    return json.loads(out.split("SURVEY", 1)[1].splitlines()[0])


@dataclass
class Dump:
    core: Path
    program: Path
    target: CoreTarget
    gdb: Any


def build(folder: Path, position: str) -> Path:
    program = folder / "crash"
    code = ["-fPIE"] if position == "-pie" else ["-fno-pie"]
    library = ["gcc", "-g", "-O1", "-shared", "-fPIC", "-o", "libcrash.so", str(PROGRAMS / "crash_library.c")]
    subprocess.run(library, cwd=folder, check=True)
    source = [str(PROGRAMS / "crash.c"), "-L.", "-lcrash", f"-Wl,-rpath,{folder}", "-pthread"]
    subprocess.run(["gcc", "-g", "-O1", *code, position, "-o", program.name, *source], cwd=folder, check=True)
    return program


# The kernel, unlike GDB, leaves the unchanged pages of mapped files out.
def dump_by_kernel(program: Path) -> Path:
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("core_pattern is not `core`: the dump goes elsewhere")

    def allow() -> None:
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    process = subprocess.Popen([str(program)], cwd=program.parent, preexec_fn=allow)
    process.wait(timeout=DEADLINE)
    cores = [program.parent / name for name in ("core", f"core.{process.pid}")]
    found = next((core for core in cores if core.exists()), None)
    if found is None:
        pytest.skip("the kernel wrote no core dump here")
    return found


def dump_by_gdb(program: Path) -> Path:
    commands = ["handle SIGUSR1 nostop noprint pass", "run", "generate-core-file by_gdb.core"]
    gdb(program.parent, *(word for command in commands for word in ("-ex", command)), program.name)
    return program.parent / "by_gdb.core"


@pytest.fixture(scope="session", params=["-pie gdb", "-no-pie gdb", "-pie kernel"])
def dump(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dump:
    need("gcc", "gdb")
    position, by = request.param.split()
    program = build(tmp_path_factory.mktemp("crash"), position)
    core = dump_by_gdb(program) if by == "gdb" else dump_by_kernel(program)
    names = ["main", "ring", "crash_here", "shared_counter", "pthread_create"]
    facts = survey(program.parent, names, program.name, core.name)
    return Dump(core, program, CoreTarget.open(str(core)), facts)


def threads(dump: Dump) -> Iterator[tuple[CoreTarget, Any]]:
    for index, facts in enumerate(dump.gdb["threads"]):
        yield dump.target.select(index), facts


def test_threads_and_registers(dump: Dump) -> None:
    assert len(dump.target.threads) == 3
    for target, facts in threads(dump):
        assert target.threads[dump.gdb["threads"].index(facts)].number == facts["number"]
        assert {name: target.register(name) for name in facts["registers"]} == facts["registers"]
    assert dump.target.register("pc") == dump.target.register("rip")
    assert dump.target.register("cr3") is None
    assert dump.target.register("nonsense") is None


def test_frames_and_lines(dump: Dump) -> None:
    for target, facts in threads(dump):
        frames = target.frames(50)
        assert [frame.pc for frame in frames] == [frame["pc"] for frame in facts["frames"]]
        for frame, expected in zip(frames, facts["frames"]):
            for name, value in expected["registers"].items():
                assert frame.registers[name] == value, (frame.level, name)
            assert pc_line(target, frame.pc) == expected["line"]
    assert len(dump.target.frames(2)) == 2


def test_locations_name_the_line_of_the_function_itself(dump: Dump) -> None:
    for target, facts in threads(dump):
        place = 0
        for frame, expected in zip(target.frames(50), facts["frames"]):
            # A call returns behind itself, but what a signal interrupted has not called anything.
            called = place and function(target, Address(place)) != "__restore_rt"
            place = frame.pc
            location = target.location(Address(frame.pc - 1 if called else frame.pc))
            line = [location.file, location.line] if location and location.file else None
            assert line == expected["own_line"]


def function(target: CoreTarget, address: Address) -> str:
    location = target.location(address)
    return location.function if location else ""


def pc_line(target: CoreTarget, address: Address) -> Optional[list[object]]:
    for objfile in target.objfiles():
        elf = open_elf(objfile.path)
        if any(s.address <= address - objfile.load_bias < s.end for s in elf.loaded):
            found = line_at(elf, address - objfile.load_bias)
            return list(found) if found else None
    return None


def test_functions(dump: Dump) -> None:
    names = [function(dump.target, frame.pc) for frame in dump.target.frames(50)]
    assert names[:4] == ["crash_here", "crash_here", "crash_here", "handler"]
    assert names[-1] == "main"


def test_symbols_and_memory(dump: Dump) -> None:
    target = dump.target
    for name, (address, content, alias) in dump.gdb["symbols"].items():
        symbol = target.symbol(name)
        assert symbol is not None
        assert symbol.address == address
        assert target.read_memory(symbol.address, Size(64)).hex() == content
        location = target.location(symbol.address)
        assert location is not None and not location.offset
        assert location.function == name or alias != name
    for each, facts in threads(dump):
        address, content = facts["stack"]
        assert each.read_memory(Address(address), Size(512)).hex() == content
    ring, label = target.symbol("ring"), target.symbol("ring")
    assert ring is not None and ring.size == 16 * 24 and ring.limit >= ring.address + ring.size
    assert target.label(Address(ring.address + 40)) == label


def test_what_only_the_core_knows(dump: Dump) -> None:
    target = dump.target
    assert target.kind == "core dump" and target.architecture == "i386:x86-64"
    assert target.signal is not None
    assert (target.signal.number, target.signal.address) == (11, 16)
    entry = target.auxiliary_vector()[9]
    location = target.location(Address(entry))
    assert location is not None and location.function == "_start"
    shape = target.variable_type("ring")
    assert shape is not None and (shape.elements, shape.element_size) == (16, 24)
    names = [os.path.basename(objfile.path) for objfile in target.objfiles()]
    assert names[0] == "crash" and "libcrash.so" in names and "libc.so.6" in names
    assert target.problems == ()


def test_memory_that_is_not_there(dump: Dump) -> None:
    for address, size in [(0, 1), (16, 8), (1 << 47, 8), ((1 << 64) - 4, 8), (0x7FFFFFFFFFFF, 2)]:
        with pytest.raises(MemoryFault):
            dump.target.read_memory(Address(address), Size(size))


def test_a_given_copy_of_the_program_takes_its_place(dump: Dump, tmp_path: Path) -> None:
    copy = tmp_path / dump.program.name
    shutil.copy(dump.program, copy)
    target = CoreTarget.open(str(dump.core), [str(copy)])
    assert target.objfiles()[0].path == str(copy)
    assert target.objfiles()[0].load_bias == dump.target.objfiles()[0].load_bias
    assert [o.path for o in target.objfiles()].count(str(dump.program)) == 0
    missing = CoreTarget.open(str(dump.core), [str(tmp_path / "nothing")])
    assert len(missing.objfiles()) == len(dump.target.objfiles())
    assert "nothing" in missing.problems[0]


def test_a_cut_dump(dump: Dump, tmp_path: Path) -> None:
    cut = tmp_path / "cut.core"
    cut.write_bytes(dump.core.read_bytes()[: dump.core.stat().st_size // 2])
    if dump.core.name == "by_gdb.core":
        # GDB writes the notes last: without them there is no register to begin with.
        with pytest.raises(BadFile, match="do not lie in a file of"):
            CoreTarget.open(str(cut))
        return
    target = CoreTarget.open(str(cut))
    with pytest.raises(MemoryFault):
        target.read_memory(Address(target.register("rsp") or 0), Size(8))
    # What lies in front of the cut, or in the files, is still there.
    assert target.symbol("main") is not None
    assert len(target.frames(10)) >= 1


def test_not_a_core_and_not_x86(dump: Dump, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="not a core dump"):
        CoreTarget.open(str(dump.program))
    other = bytearray(dump.core.read_bytes()[:4096])
    other[18:20] = (183).to_bytes(2, "little")
    (tmp_path / "arm.core").write_bytes(other)
    with pytest.raises(NotSupported, match="aarch64"):
        CoreTarget.open(str(tmp_path / "arm.core"))


CONTROL = ("cr0", "cr2", "cr3", "cr4", "k_gs_base")
GUEST = """
target remote | exec qemu-system-x86_64 -machine pc -m 32 -display none -serial none -monitor none -no-reboot \
-kernel guest.elf -gdb stdio -S
hbreak *idle
continue
monitor dump-guest-memory plain.core
monitor dump-guest-memory -p paging.core
"""


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    need("gcc", "gdb", "qemu-system-x86_64")
    folder = tmp_path_factory.mktemp("guest")
    subprocess.run(["gcc", "-g", "-c", str(PROGRAMS / "guest.S"), "-o", "guest.o"], cwd=folder, check=True)
    subprocess.run(["ld", "-T", str(PROGRAMS / "guest.ld"), "guest.o", "-o", "guest.elf"], cwd=folder, check=True)
    (folder / "guest.gdb").write_text(GUEST)
    names = ["thread_block", "inner", "pml4"]
    facts = survey(folder, names, "guest.elf", "-x", "guest.gdb", more=CONTROL)
    return folder, facts


@pytest.fixture(scope="session", params=["plain.core", "paging.core"])
def dumped_guest(request: pytest.FixtureRequest, guest: tuple[Path, Any]) -> tuple[CoreTarget, Any]:
    folder, facts = guest
    return CoreTarget.open(str(folder / request.param), [str(folder / "guest.elf")]), facts


def test_guest_registers(dumped_guest: tuple[CoreTarget, Any]) -> None:
    target, facts = dumped_guest
    expected = facts["threads"][0]["registers"]
    assert expected["cr3"] and expected["fs_base"] and expected["k_gs_base"]
    assert {name: target.register(name) for name in expected} == expected


def test_guest_memory_and_symbols(dumped_guest: tuple[CoreTarget, Any]) -> None:
    target, facts = dumped_guest
    for name, (address, content, _) in facts["symbols"].items():
        symbol = target.symbol(name)
        assert symbol is not None and symbol.address == address
        assert target.read_memory(symbol.address, Size(64)).hex() == content
        # The guest maps itself twice, as kernels do while they boot.
        assert target.read_memory(Address(address & 0x7FFFFFFF), Size(64)).hex() == content
    guard = target.read_memory(Address((target.register("fs_base") or 0) + 0x28), Size(8))
    assert int.from_bytes(guard, "little") == 0x00FEEDFACECAFE00
    for missing in (0xFFFF000000000000 + (1 << 40), 0x0000800000000000, 0xFFFFFFFF81000000):
        with pytest.raises(MemoryFault):
            target.read_memory(Address(missing), Size(8))


def test_guest_frames_and_lines(dumped_guest: tuple[CoreTarget, Any]) -> None:
    target, facts = dumped_guest
    # GDB shows the 0 at the bottom of the stack as one frame more.
    expected = [frame for frame in facts["threads"][0]["frames"] if frame["pc"]]
    frames = target.frames(20)
    assert [frame.pc for frame in frames] == [frame["pc"] for frame in expected]
    assert [frame.registers["rsp"] for frame in frames] == [frame["registers"]["rsp"] for frame in expected]
    names = [location.function for frame in frames if (location := target.location(frame.pc))]
    assert names == ["idle", "inner", "outer", "high"]
    lines = [[location.file, location.line] for frame in frames if (location := target.location(frame.pc))]
    assert lines == [frame["line"] for frame in expected]


def test_guest_has_no_process(dumped_guest: tuple[CoreTarget, Any]) -> None:
    target, _ = dumped_guest
    assert target.auxiliary_vector() == {}
    assert target.signal is None
    assert len(target.objfiles()) == 1
    with pytest.raises(KdbgError, match="no thread 1; the core dump has 1"):
        target.select(1)


def test_only_a_dump_that_qemu_cut_leaves_doubt(guest: tuple[Path, Any]) -> None:
    folder, _ = guest
    assert CoreTarget.open(str(folder / "plain.core")).problems == ()
    assert "without -p" in CoreTarget.open(str(folder / "paging.core")).problems[0]
