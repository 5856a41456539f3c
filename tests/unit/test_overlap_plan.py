"""Where the calls of a copy routine are caught: at its entry or in the slots that lead there, and what is refused."""

from __future__ import annotations

import pathlib
from typing import Callable, Optional, Sequence

import dynamic_files as files
import elf_builder
import pytest
from dynamic_files import CODE, DATA, RELRO, Rel, Sym
from fakes import FakeTarget

from gdb_kdbg.assembly import CannotPlace
from gdb_kdbg.errors import NotSupported, SymbolNotFound
from gdb_kdbg.overlap_plan import EntryPlan, Plan, Planner, SlotPlan
from gdb_kdbg.target import Objfile
from gdb_kdbg.units import Address

PROGRAM, LIBRARY = 0x555555554000, 0x7FFFF7D00000
PLT = CODE + 0x806
RESOLVER, FAST, MOVE, OWN, PLAIN = (CODE + offset for offset in (0x300, 0x400, 0x500, 0x600, 0x700))
OFFERED = (
    Sym("memcpy", RESOLVER, files.IFUNC),
    Sym("__memcpy_chk", RESOLVER + 0x40, files.IFUNC),
    Sym("memmove", MOVE, size=64),
    Sym("copy_shared", MOVE, size=64),
    Sym("copy_plain", PLAIN, size=32),
    Sym("copy_behind", PLAIN + 0x24),
)


class Program:
    """A program with some slots and a library, in memory as the loader and the test left them."""

    def __init__(
        self,
        directory: pathlib.Path,
        relocations: Sequence[Rel] = (),
        own: Sequence[Sym] = (),
        offered: Sequence[Sym] = OFFERED,
    ) -> None:
        wanted = [Sym(name) for name in dict.fromkeys(r.symbol for r in relocations if r.symbol)]
        paths = (
            files.write(directory / "program", relocations, [*wanted, *own], {r.address: PLT for r in relocations}),
            files.write(directory / "library.so", (), offered),
        )
        self.target = FakeTarget(kind="native", cr3=None)
        self.target.files = [Objfile(path, bias) for path, bias in zip(paths, (PROGRAM, LIBRARY))]
        for path, bias in zip(paths, (PROGRAM, LIBRARY)):
            self.target.map(bias, pathlib.Path(path).read_bytes())
        self.resolved: list[int] = []
        self.chosen: Optional[int] = LIBRARY + FAST

    def slot(self, address: int, value: int) -> None:
        self.target.put_words(PROGRAM + address, value)

    def plan(self, text: str, is_probe: Callable[[int], bool] = lambda address: False, exact: bool = False) -> Plan:
        return Planner(self.target, self._evaluate, self._resolve, is_probe).plan(text, exact)

    def _evaluate(self, text: str) -> Address:
        try:
            return Address(int(text, 0))
        except ValueError:
            raise SymbolNotFound(f"no symbol {text}") from None

    def _resolve(self, resolver: int) -> int:
        self.resolved.append(resolver)
        if self.chosen is None:
            raise NotSupported("a slot is not bound yet")
        return self.chosen


def jump(address: int = RELRO, name: str = "memcpy") -> Rel:
    return Rel(address, files.JUMP_SLOT, 0, name)


def test_a_bound_slot_is_redirected(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump()])
    program.slot(RELRO, LIBRARY + FAST)
    plan = program.plan("memcpy")
    assert plan.slots == (SlotPlan(PROGRAM + RELRO, LIBRARY + FAST, LIBRARY + FAST, "memcpy in program"),)
    assert (plan.entries, plan.problems, plan.routines, program.resolved) == ((), (), [LIBRARY + FAST], [])


def test_a_lazy_slot_leads_to_what_its_resolver_chooses(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump()])
    program.slot(RELRO, PROGRAM + PLT)
    (slot,) = program.plan("memcpy").slots
    assert (slot.value, slot.routine) == (PROGRAM + PLT, LIBRARY + FAST)
    assert program.resolved == [LIBRARY + RESOLVER]


def test_what_a_lazy_slot_will_lead_to_may_be_unknown(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump(), Rel(RELRO + 8, files.GLOB_DAT, 0, "memcpy")])
    program.slot(RELRO, PROGRAM + PLT)
    program.slot(RELRO + 8, LIBRARY + FAST)
    program.chosen = None
    plan = program.plan("memcpy")
    assert [slot.address for slot in plan.slots] == [PROGRAM + RELRO + 8]
    (problem,) = plan.problems
    assert problem.startswith("memcpy in program: a slot is not bound yet")


def test_the_checking_variant_is_the_same_routine(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump(), jump(RELRO + 8, "__memcpy_chk"), jump(RELRO + 16, "memmove")])
    for number, value in enumerate((FAST, FAST + 0x40, MOVE)):
        program.slot(RELRO + 8 * number, LIBRARY + value)
    assert [slot.of for slot in program.plan("memcpy").slots] == ["memcpy in program", "__memcpy_chk in program"]


@pytest.mark.parametrize("value", [0, PLT])
def test_before_the_loader_is_done_it_says_so(value: int, tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump()])
    program.slot(RELRO, value)
    with pytest.raises(CannotPlace, match="is not filled yet: let the program run to its main function first"):
        program.plan("memcpy")


def test_slots_that_lead_nowhere_are_named_and_left_alone(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump(DATA), jump(DATA + 8)])
    program.slot(DATA, 0x1234_5678)
    program.slot(DATA + 8, LIBRARY + FAST)
    plan = program.plan("memcpy")
    assert [slot.address for slot in plan.slots] == [PROGRAM + DATA + 8]
    assert plan.problems == (
        f"memcpy in program: its slot at {PROGRAM + DATA:#x} leads to no code that is known, 0x12345678",
    )


def test_slots_that_lead_into_a_probe_are_left_out(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump()])
    program.slot(RELRO, LIBRARY + FAST)
    with pytest.raises(CannotPlace, match="no slot leads to memcpy, so no call of it can be told from others"):
        program.plan("memcpy", lambda address: address == LIBRARY + FAST)


def test_a_resolver_in_the_program_itself_has_a_slot_without_a_name(tmp_path: pathlib.Path) -> None:
    own = [Sym("memcpy", RESOLVER, files.IFUNC)]
    program = Program(tmp_path, [Rel(RELRO, files.IRELATIVE, RESOLVER), Rel(RELRO + 8, files.IRELATIVE, OWN)], own)
    program.slot(RELRO, PROGRAM + FAST)
    program.slot(RELRO + 8, PROGRAM + OWN)
    (slot,) = program.plan("memcpy").slots
    assert (slot.address, slot.routine, slot.of) == (PROGRAM + RELRO, PROGRAM + FAST, "memcpy in program")


def test_a_function_of_a_library_is_patched_where_it_is(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump(RELRO, "copy_plain")])
    code = bytes(range(32)) + b"\xcc" * 4
    program.target.put(LIBRARY + PLAIN, code + b"\x90" * 64)
    plan = program.plan("copy_plain")
    # What may be padding behind it ends where the next function begins.
    assert plan.entries == (EntryPlan("copy_plain", LIBRARY + PLAIN, 32, code),)
    assert (plan.slots, plan.routines) == ((), [LIBRARY + PLAIN])


def test_the_program_goes_before_its_libraries(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [], [Sym("memcpy", OWN, size=40)])
    assert program.plan("memcpy").routines == [PROGRAM + OWN]


def test_code_shared_with_memmove_is_only_caught_through_slots(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump(RELRO, "copy_shared")])
    program.slot(RELRO, LIBRARY + MOVE)
    plan = program.plan("copy_shared")
    assert (plan.entries, [slot.routine for slot in plan.slots]) == ((), [LIBRARY + MOVE])
    with pytest.raises(CannotPlace, match="copy_shared shares its code with memmove: no slot leads to copy_shared"):
        Program(tmp_path).plan("copy_shared")
    assert Program(tmp_path).plan("memmove").routines == [LIBRARY + MOVE], "who asks for memmove gets it"


def test_an_address_is_as_good_as_a_name(tmp_path: pathlib.Path) -> None:
    (entry,) = Program(tmp_path).plan(f"{LIBRARY + PLAIN:#x}").entries
    assert (entry.address, entry.size) == (LIBRARY + PLAIN, 32)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (LIBRARY + DATA, "is data, not a function"),
        (0x10, "is in no loaded file"),
    ],
)
def test_addresses_that_are_no_routine_are_refused(address: int, why: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CannotPlace, match=why):
        Program(tmp_path).plan(f"{address:#x}")


def test_the_default_version_of_a_symbol_is_the_routine(tmp_path: pathlib.Path) -> None:
    old = Sym("memcpy", PLAIN, size=40, version="V1")
    program = Program(tmp_path, [jump()], offered=[old, Sym("memcpy", RESOLVER, files.IFUNC, version="V2@")])
    program.slot(RELRO, LIBRARY + FAST)
    plan = program.plan("memcpy")
    assert (plan.entries, [slot.routine for slot in plan.slots]) == ((), [LIBRARY + FAST])
    program = Program(tmp_path, offered=[old, Sym("memcpy", OWN, size=40, version="V2@")])
    assert program.plan("memcpy").routines == [LIBRARY + OWN]
    assert Program(tmp_path, offered=[old]).plan("memcpy").routines == [LIBRARY + PLAIN]


def test_a_plt_entry_that_a_debugger_finds_under_the_name_is_not_patched(tmp_path: pathlib.Path) -> None:
    program = Program(tmp_path, [jump(RELRO, "copy"), jump(RELRO + 8, "other")], offered=[])
    stub = CODE + 0x800
    jump_by_slot = b"\xff\x25" + (RELRO - stub - 6).to_bytes(4, "little") + bytes(10)
    path = pathlib.Path(program.target.files[0].path)
    data = bytearray(path.read_bytes())
    data[stub : stub + 16] = jump_by_slot
    path.write_bytes(data)
    planner = Planner(program.target, lambda text: Address(PROGRAM + stub), program._resolve)
    program.slot(RELRO, 0)
    with pytest.raises(CannotPlace, match="is not filled yet: let the program run to its main function first"):
        planner.plan("copy")
    assert planner.plan("something").routines == [PROGRAM + stub], "asked for by another name it is code as any other"


def test_a_routine_with_another_part_is_not_whole(tmp_path: pathlib.Path) -> None:
    own = [Sym("copy", OWN, size=32), Sym("copy.cold", OWN + 0x40, size=32)]
    (entry,) = Program(tmp_path, own=own).plan("copy").entries
    assert not entry.is_whole
    (entry,) = Program(tmp_path, own=own[:1]).plan("copy").entries
    assert entry.is_whole


def test_a_label_among_the_bytes_to_be_patched_is_refused(tmp_path: pathlib.Path) -> None:
    own = [Sym("copy", OWN, size=32), Sym("copy_inside", OWN + 3, files.NOTYPE, size=0)]
    with pytest.raises(CannotPlace, match="there is a symbol in the first bytes of copy"):
        Program(tmp_path, own=own).plan("copy")
    beyond = [own[0], Sym("copy_inside", OWN + 5, files.NOTYPE, size=0)]
    assert Program(tmp_path, own=beyond).plan("copy").routines == [PROGRAM + OWN]


def test_a_routine_larger_than_any_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CannotPlace, match=f"the end of copy at {PROGRAM + OWN:#x} is not known"):
        Program(tmp_path, own=[Sym("copy", OWN, size=2 << 20)]).plan("copy")


def test_breakpoints_need_the_address_only(tmp_path: pathlib.Path) -> None:
    own = [Sym("copy", OWN, size=0), Sym("copy_inside", OWN + 3, files.NOTYPE, size=0)]
    assert Program(tmp_path, own=own).plan("copy", exact=True).entries == (EntryPlan("copy", PROGRAM + OWN, 0, b""),)


def test_a_name_that_is_unknown_gets_others_proposed(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SymbolNotFound, match="no symbol copy_plane; there are .*copy_plain"):
        Program(tmp_path).plan("copy_plane")


def kernel(directory: pathlib.Path, *symbols: elf_builder.Sym) -> Program:
    """A program whose first file is a user-mode Linux kernel."""
    builder = elf_builder.Builder()
    builder.segment(elf_builder.LOAD, 0x1000, bytes(0x100))
    for name in (".text", ".uml.setup.init", ".uml.exitcall", ".syscall_stub"):
        builder.section(name, elf_builder.PROGBITS, 0x1000, bytes(16))
    if symbols:
        builder.symbols(list(symbols))
    path = directory / "linux.uml"
    path.write_bytes(builder.build())
    program = Program(directory)
    program.target.files[0] = Objfile(str(path), 0)
    program.target.map(0x1000, bytes(0x100))
    return program


def test_a_stripped_kernel_is_not_mistaken_for_its_libc(tmp_path: pathlib.Path) -> None:
    stripped = kernel(tmp_path)
    for name in ("memcpy", "copy_plain"):
        with pytest.raises(
            NotSupported, match=f"linux.uml has no symbols: its {name} cannot be found, and libc's is not"
        ):
            stripped.plan(name)
    assert stripped.plan(f"{LIBRARY + PLAIN:#x}").routines == [LIBRARY + PLAIN]


def test_a_kernel_with_symbols_has_its_own_routine(tmp_path: pathlib.Path) -> None:
    own = elf_builder.Sym("memcpy", 0x1010, 32), elf_builder.Sym("start_kernel", 0x1080, 16)
    assert kernel(tmp_path, *own).plan("memcpy").routines == [0x1010]
    assert kernel(tmp_path, *own).plan("copy_plain").routines == [LIBRARY + PLAIN], "it was asked for by its name"
