"""`kdbg check-copy` on real routines: all mistakes, no accusation of a right one, and what users do wrong."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Callable, Iterator, Optional, Sequence

import copies
import pytest
import support
from copies import CORRECT, CRASHES, MISTAKES, Mistake
from support import KernelBuilder, gdb, kdbg, require, run

from gdb_kdbg import copy_cases, copy_exercise
from gdb_kdbg.check_copy_command import check_copy
from gdb_kdbg.copy_report import CopyReport
from gdb_kdbg.elf import open_elf
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.object_image import ObjectImage
from gdb_kdbg.offline.session import OfflineSession
from gdb_kdbg.units import Size

Check = Callable[..., CopyReport]
# What can only be seen at sizes, alignments or distances that the quick exercise leaves out.
NOT_QUICK = {"move_far_64", "above_a_page", "size_of_16_bits", "jumps_out", "aligned_from_2048"}
# In an object file what is called elsewhere is not there yet, which is no mistake.
NOT_IN_OBJECT = {"calls_undefined"}
ALL_CASES = ("good_aligned_words", "good_memmove_sse2", "good_copy_from_user")


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="session")
def files(directory: pathlib.Path) -> Sequence[pathlib.Path]:
    """The object file and the program that hold our own routines."""
    return copies.build_copies(directory)


@pytest.fixture(scope="session")
def check() -> Check:
    """Exercises routines in this process; a file is opened once."""
    sessions: dict[pathlib.Path, OfflineSession] = {}

    def call(
        path: pathlib.Path, routine: str, contract: Optional[str], mode: str = "default", args: Optional[str] = None
    ) -> CopyReport:
        session = sessions.setdefault(path, OfflineSession(None, [str(path)], {}))
        return check_copy(session, routine, contract, args, mode)

    return call


def is_found(report: CopyReport, mistake: Mistake) -> bool:
    """The first breach is of the right kind, has the right smallest size and says what it should."""
    first = report.breaches[0] if report.breaches else None
    verdict = "undecidable" if mistake.kind == copies.UNSUPPORTED else "breaks"
    return (
        first is not None
        and report.verdict == verdict
        and (first.kind, first.smallest) == (mistake.kind, mistake.size)
        and mistake.text in first.summary
    )


# The default exercise as it is, but for the sizes above the smallest that is wrong: those take most of the time.
def limit_sizes(monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    every = copy_cases.sizes
    monkeypatch.setattr(copy_cases, "sizes", lambda mode: [size for size in every(mode) if size <= largest])


@pytest.mark.parametrize("mistake", [*MISTAKES, *CRASHES], ids=lambda mistake: mistake.symbol)
def test_each_mistake_is_found_in_the_program(
    mistake: Mistake, files: Sequence[pathlib.Path], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four sizes that do not return end the exercise.
    limit_sizes(monkeypatch, mistake.size + (4 if mistake.kind == copies.OVERFLOW else 1))
    report = check(files[1], mistake.symbol, mistake.contract)
    assert is_found(report, mistake), report.breaches


@pytest.mark.parametrize(
    "mistake",
    [m for m in (*MISTAKES, *CRASHES) if m.symbol not in NOT_QUICK | NOT_IN_OBJECT],
    ids=lambda mistake: mistake.symbol,
)
def test_each_mistake_is_found_in_the_object_quickly(
    mistake: Mistake, files: Sequence[pathlib.Path], check: Check
) -> None:
    report = check(files[0], mistake.symbol, mistake.contract, "quick")
    assert is_found(report, mistake), report.breaches


@pytest.mark.parametrize("symbol", sorted(NOT_QUICK))
def test_the_others_are_found_in_the_object(
    symbol: str, files: Sequence[pathlib.Path], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake = next(m for m in MISTAKES if m.symbol == symbol)
    limit_sizes(monkeypatch, mistake.size + 1)
    assert is_found(check(files[0], mistake.symbol, mistake.contract), mistake)


@pytest.mark.parametrize("symbol", CORRECT)
def test_what_is_right_is_cleared(symbol: str, files: Sequence[pathlib.Path], check: Check) -> None:
    for path in files:
        report = check(path, symbol, CORRECT[symbol], "quick")
        assert (report.verdict, report.breaches, report.problems) == ("conforms", (), ()), path


@pytest.mark.parametrize("symbol", ALL_CASES)
def test_what_is_right_is_cleared_by_all_cases(symbol: str, files: Sequence[pathlib.Path], check: Check) -> None:
    report = check(files[1], symbol, CORRECT[symbol])
    assert (report.verdict, report.breaches) == ("conforms", ())
    assert report.cases > 40_000


def test_reads_within_a_word_are_noted_and_no_breach(files: Sequence[pathlib.Path], check: Check) -> None:
    report = check(files[1], "good_aligned_words", "memcpy", "quick")
    assert report.notes == ("reads up to 7 bytes beyond the source, but never into a further page",)


def test_what_an_object_calls_elsewhere_is_no_mistake_of_its_own(files: Sequence[pathlib.Path], check: Check) -> None:
    report = check(files[0], "calls_undefined", "memcpy", "quick")
    assert (report.verdict, [breach.kind for breach in report.breaches]) == ("undecidable", [copies.LEAVES])
    told = "it calls no_such_helper, which the file does not define: try it in a linked program"
    assert report.problems == (told,)


# Through the PLT of a library, whose slots the dynamic linker has not filled yet; and through a pointer.
WRAPPERS = """
void *memcpy(void *d, const void *s, unsigned long n);
typedef void *Copy(void *, const void *, unsigned long);
static Copy *volatile chosen = memcpy;
void *through_plt(void *d, const void *s, unsigned long n) { memcpy(d, s, n); return d; }
void *through_pointer(void *d, const void *s, unsigned long n) { return chosen(d, s, n); }
void *to_nowhere(void *d, const void *s, unsigned long n) { return ((Copy *) 0x10)(d, s, n); }
"""


@pytest.mark.parametrize(
    ("routine", "verdict"),
    [("through_plt", "undecidable"), ("through_pointer", "undecidable"), ("to_nowhere", "breaks")],
)
def test_where_a_library_is_led_by_slots_is_open(
    routine: str, verdict: str, directory: pathlib.Path, check: Check
) -> None:
    source, path = directory / "wrappers.c", directory / "wrappers.so"
    require("gcc")
    if not path.exists():
        source.write_text(WRAPPERS)
        run("gcc", "-O1", "-fno-builtin", "-fPIC", "-shared", "-o", str(path), str(source))
    report = check(path, routine, "memcpy", "quick")
    assert (report.verdict, [breach.kind for breach in report.breaches]) == (verdict, [copies.LEAVES])
    assert all("data that is set when a program starts" in problem for problem in report.problems)


def test_what_changed_the_state_is_named(files: Sequence[pathlib.Path], check: Check) -> None:
    (state,) = check(files[1], "rounding_left_changed", "memcpy", "quick").breaches
    assert "ldmxcsr" in state.by
    (access,) = check(files[1], "access_left_open", "copy_from_user", "quick").breaches
    assert access.kind == copies.USER_ACCESS and access.cases > 100


# As a kernel is linked: its constants are in the segment with the code, and the exception table is among them. Two
# entries of 12 bytes could be three of 8, too.
LINUX_COPY = """
#include "macros.h"
FUNCTION linux_copy
    mov %edx, %ecx
    shr $3, %ecx
    and $7, %edx
    LINUX 1f, rep movsq
    mov %edx, %ecx
    LINUX 2f, rep movsb
    mov %ecx, %eax
    ret
1:  lea (%rdx,%rcx,SCALE), %ecx
2:  mov %ecx, %eax
    ret
END linux_copy
"""


@pytest.mark.parametrize(("scale", "expected"), [(8, []), (4, [(copies.REMAINDER, 8)])])
def test_an_exception_table_among_the_code_is_read(
    scale: int, expected: list[tuple[str, int]], directory: pathlib.Path, check: Check
) -> None:
    source, path = directory / f"linux{scale}.S", directory / f"linux{scale}"
    source.write_text(LINUX_COPY)
    require("gcc", "ld")
    options = ["-nostdlib", "-static", "-no-pie", "-Wl,-z,noseparate-code,-e,linux_copy,--build-id=none"]
    run("gcc", f"-I{copies.SOURCES}", f"-DSCALE={scale}", *options, "-o", str(path), str(source))
    report = check(path, "linux_copy", "copy_from_user", "quick")
    assert [(breach.kind, breach.smallest) for breach in report.breaches] == expected, report


def test_the_breach_names_its_instruction(files: Sequence[pathlib.Path], check: Check) -> None:
    for path in files:
        (past, reads) = check(path, "double_small", "memcpy", "quick").breaches
        assert past.summary == "sizes 1-7, any alignment: wrote 2 x size"
        assert past.by == reads.by == "double_small+0x11: rep movsb"
    (jump,) = check(files[1], "jumps_out", "memcpy", "quick").breaches
    assert jump.by.startswith("jumps_out+0xe: jmp 0x10")


# Routines of others.


def third_party(directory: pathlib.Path, vectors: bool = False) -> list[copies.ThirdParty]:
    require("gcc", "ld", "nm")
    found = copies.third_party(directory / "third", vectors)
    assert found, "the C library's archive (libc6-dev) is missing, or has none of its variants"
    return found


def test_the_c_library_is_cleared_variant_by_variant(directory: pathlib.Path, check: Check) -> None:
    found = third_party(directory)
    assert len({routine.symbol for routine in found}) >= 8
    reports = {routine.symbol: check(routine.file, routine.symbol, routine.contract, "quick") for routine in found}
    assert {symbol: report.breaches for symbol, report in reports.items() if report.verdict != "conforms"} == {}


@pytest.mark.parametrize("symbol", ["__memmove_ssse3"])
def test_the_c_library_is_cleared_by_all_cases(symbol: str, directory: pathlib.Path, check: Check) -> None:
    routine = next((one for one in third_party(directory) if one.symbol == symbol), None)
    if routine is None:
        pytest.skip(f"this C library has no {symbol}")
    assert check(routine.file, routine.symbol, routine.contract).verdict == "conforms"


# The library learns at its start from which size on it goes around the caches: in a file that is 0.
LIBRARY = "__memmove_sse2_unaligned_erms"


def test_what_hangs_on_data_set_at_the_start_is_no_breach(files: Sequence[pathlib.Path], check: Check) -> None:
    require("nm")
    if f" {LIBRARY}\n" not in run("nm", str(files[1])):
        pytest.skip(f"this C library has no {LIBRARY}")
    report = check(files[1], LIBRARY, None, "quick")
    assert report.verdict in ("undecidable", "conforms")
    assert all("depends on data that is set when a program starts: __x86_" in problem for problem in report.problems)


def test_a_stripped_program_of_others(check: Check, directory: pathlib.Path) -> None:
    support.require("busybox")
    busybox = shutil.which("busybox") or ""
    members = {routine.symbol: routine.file for routine in third_party(directory)}
    if "__memset_sse2_unaligned_erms" not in members:
        pytest.skip("no such routine in this C library")
    elf = open_elf(busybox)
    image = ObjectImage(open_elf(str(members["__memset_sse2_unaligned_erms"])))
    symbol = image.symbol("__memset_sse2_unaligned_erms")
    assert symbol is not None
    # The code of the same version of the library; what follows are distances to data.
    place = pathlib.Path(busybox).read_bytes().find(image.read_memory(symbol.address, Size(32)))
    links = [s.address + place - s.offset for s in elf.loaded if s.offset <= place < s.offset + s.file_size]
    if not links:
        pytest.skip("this busybox is not linked statically with the C library's archive")
    report = check(pathlib.Path(busybox), f"{links[0]:#x}", "memset", "quick")
    assert report.verdict in ("conforms", "undecidable") and (report.problems or not report.breaches)


def test_the_example_kernel(kernels: KernelBuilder, check: Check) -> None:
    kernel = kernels()
    for path in (kernel, kernel.parent / "probe" / "ucopy_double.S.o"):
        report = check(path, "ucopy_double", None, "quick")
        assert (report.contract, report.verdict) == ("copy_user", "breaks")
        assert report.breaches[0].summary == "sizes 1-7, any alignment: wrote 2 x size"
    for path in (kernel, kernel.parent / "probe" / "ucopy.S.o"):
        report = check(path, "ucopy", None, "quick")
        assert (report.verdict, report.breaches) == ("conforms", ()), path


# What users do wrong.

SOURCE = """
.globl too_large, forever
.type too_large, @function
too_large: .fill 0x100000, 1, 0x90
ret
.size too_large, . - too_large
.type forever, @function
forever: jmp forever
.size forever, . - forever
.data
.globl some_data
some_data: .quad 0
"""


@pytest.fixture(scope="session")
def odd(directory: pathlib.Path) -> pathlib.Path:
    """An object file with what cannot be exercised."""
    source, output = directory / "odd.s", directory / "odd.o"
    source.write_text(SOURCE)
    run("gcc", "-c", "-o", str(output), str(source))
    return output


def complaint(check: Check, *arguments: str | pathlib.Path, **options: str) -> str:
    with pytest.raises(KdbgError) as raised:
        check(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_names_that_are_not_there(check: Check, files: Sequence[pathlib.Path]) -> None:
    assert "no symbol 'good_mempcpi'; there are good_mempcpy" in complaint(check, files[0], "good_mempcpi", "mempcpy")
    assert "no symbol 'good_mempcpi'; there are good_mempcpy" in complaint(check, files[1], "good_mempcpi", "mempcpy")


def test_what_is_no_routine(check: Check, files: Sequence[pathlib.Path], odd: pathlib.Path) -> None:
    assert "some_data at 0x" in complaint(check, odd, "some_data", "memcpy")
    assert "environ at 0x" in complaint(check, files[1], "environ", "memcpy")
    assert "is data, not a function" in complaint(check, files[1], "environ", "memcpy")
    assert "0x100001 bytes of code: too large for a copy routine" in complaint(check, odd, "too_large", "memcpy")
    assert "the name 'main' tells no contract" in complaint(check, files[1], "main", None)


def test_an_indirect_function_copies_nothing(check: Check, files: Sequence[pathlib.Path]) -> None:
    text = complaint(check, files[1], "memcpy", None)
    assert "memcpy is an indirect function, which only chooses one of its variants" in text and "__memcpy_" in text


def test_a_routine_that_never_returns_is_given_up(check: Check, odd: pathlib.Path) -> None:
    report = check(odd, "forever", "memcpy")
    (breach,) = report.breaches
    assert (breach.kind, report.verdict, report.cases) == (copies.ENDLESS, "breaks", 4)
    assert report.notes == ("sizes that did not return were given up: 0, 1, 2, 3",)


def test_a_stripped_file_is_checked_by_address(
    check: Check, files: Sequence[pathlib.Path], directory: pathlib.Path
) -> None:
    stripped = directory / "stripped"
    require("strip", "nm")
    run("strip", "-o", str(stripped), str(files[1]))
    place = next(line.split()[0] for line in run("nm", str(files[1])).splitlines() if line.endswith(" double_small"))
    report = check(stripped, f"0x{place}", "memcpy", "quick")
    assert report.breaches[0].summary == "sizes 1-7, any alignment: wrote 2 x size"
    assert "no symbol 'double_small'" in complaint(check, stripped, "double_small", "memcpy")


def test_files_that_are_none(check: Check, files: Sequence[pathlib.Path], directory: pathlib.Path) -> None:
    for length in (0, 40, 5000):
        cut = directory / f"cut{length}.o"
        cut.write_bytes(files[0].read_bytes()[:length])
        assert complaint(check, cut, "good_phases", "memcpy").startswith(("malformed ELF file", f"{cut} is empty"))
    assert "no such file" in complaint(check, directory / "nowhere.o", "good_phases", "memcpy")


def test_files_that_are_not_what_is_checked(
    check: Check, files: Sequence[pathlib.Path], directory: pathlib.Path
) -> None:
    archive = directory / "copies.a"
    require("ar")
    run("ar", "rc", str(archive), str(files[0]))
    assert complaint(check, archive, "good_phases", "memcpy").endswith("the member out that is meant (ar x)")
    session = OfflineSession(None, [str(files[0]), str(files[1])], {})
    with pytest.raises(KdbgError, match=r"is an object file: name it alone, or link it with the others first"):
        check_copy(session, "good_phases", "memcpy", None, "quick")
    with pytest.raises(KdbgError, match="no target: name a file before what is looked for"):
        check_copy(OfflineSession(None, [], {}), "good_phases", "memcpy", None, "quick")


def test_a_name_that_is_not_there_is_told_before_its_contract(check: Check, files: Sequence[pathlib.Path]) -> None:
    assert "no symbol 'good_phasis'" in complaint(check, files[0], "good_phasis", None)


def test_another_architecture(check: Check, directory: pathlib.Path) -> None:
    require("aarch64-linux-gnu-gcc")
    source = directory / "arm.c"
    source.write_text("void *copy(char *d, char *s, long n) { while (n--) *d++ = *s++; return d; }")
    for name, options in (("arm.o", ["-c"]), ("arm.so", ["-shared", "-nostdlib"])):
        run("aarch64-linux-gnu-gcc", *options, "-o", str(directory / name), str(source))
        assert "aarch64" in complaint(check, directory / name, "copy", "memcpy")


def test_without_unicorn(files: Sequence[pathlib.Path], directory: pathlib.Path) -> None:
    hidden = directory / "hidden"
    hidden.mkdir()
    (hidden / "unicorn.py").write_text("raise ImportError('hidden')")
    done = subprocess.run(
        [sys.executable, "-m", "gdb_kdbg", "check-copy", str(files[1]), "good_phases", "--contract", "memcpy"],
        capture_output=True, text=True, cwd=support.ROOT, env={**os.environ, "PYTHONPATH": str(hidden)},
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "kdbg: unicorn is missing for this python: run scripts/setup, or install it with pip\n"


def test_outside_gdb_with_its_own_registers(files: Sequence[pathlib.Path]) -> None:
    output = kdbg(
        "check-copy", str(files[1]), "good_rep_movsb", "--contract", "memcpy", "--quick", "--args", "dst=rsi,src=rdi"
    )
    assert output.data("check-copy")["verdict"] == "breaks"
    output = kdbg("check-copy", "--quick", str(files[0]), "good_rep_movsb", "--contract", "memcpy")
    assert output.data("check-copy")["verdict"] == "conforms"


# Inside GDB.


def test_the_code_in_memory_is_what_is_run_and_nothing_is_written(
    files: Sequence[pathlib.Path], tmp_path: pathlib.Path
) -> None:
    require("gdb")
    command = "kdbg check-copy double_small --contract memcpy --quick"
    before, after, core = tmp_path / "before", tmp_path / "after", tmp_path / "core"
    bounds = "&_init (char*)&_init+0x40000", "&__data_start &_end"
    script = [
        "break main", "run", command,
        # jae becomes jmp: the first of the two copies is never made.
        "set *(unsigned char *) ((char *) &double_small + 7) = 0xeb",
        *(f"dump binary memory {before}{n} {pair}" for n, pair in enumerate(bounds)),
        command,
        *(f"dump binary memory {after}{n} {pair}" for n, pair in enumerate(bounds)),
        f"generate-core-file {core}", "kill", f"core-file {core}", command,
    ]  # fmt: skip
    output = gdb(script, str(files[1]))
    verdicts = [output.data("check-copy", index)["verdict"] for index in range(3)]
    assert verdicts == ["breaks", "conforms", "conforms"], output.text
    for n in range(2):
        content = pathlib.Path(f"{before}{n}").read_bytes()
        assert len(content) > 1000 and content == pathlib.Path(f"{after}{n}").read_bytes()
    outside = kdbg("check-copy", "--core", str(core), str(files[1]), "double_small", "--contract", "memcpy", "--quick")
    assert outside.data("check-copy")["verdict"] == "conforms"


def test_the_c_library_of_a_running_process(files: Sequence[pathlib.Path]) -> None:
    require("gdb", "nm")
    if f" {LIBRARY}\n" not in run("nm", str(files[1])):
        pytest.skip(f"this C library has no {LIBRARY}")
    report = gdb(["break main", "run", f"kdbg check-copy {LIBRARY} --quick"], str(files[1])).data("check-copy")
    assert (report["contract"], report["verdict"], report["breaches"]) == ("memmove", "conforms", [])


def test_the_plt_entry_of_a_library_to_come_is_not_accused(directory: pathlib.Path) -> None:
    source, program = directory / "stub.c", directory / "stub"
    source.write_text("#include <string.h>\nint main(int c, char **v) { char b[99]; return *stpncpy(b, v[0], c); }\n")
    run("gcc", "-O1", "-fno-builtin", "-Wl,-z,lazy", "-o", str(program), str(source))
    check = "kdbg check-copy --quick --contract memcpy stpncpy"
    output = gdb(["starti", check, "break main", "continue", check], str(program))
    assert "is only the PLT entry of stpncpy in" in output.text
    assert "let the program run to its main function, and name stpncpy itself" in output.text
    # As soon as the library is there it is the routine that an indirect function chooses.
    (report,) = [item["data"] for item in output.objects if item["command"] == "check-copy"]
    assert report["routine"].startswith("__stpncpy_")


OWN_COPY = """
void *memcpy(void *, const void *, unsigned long);
static __attribute__((noinline)) void *memccpy(void *d, const void *s, unsigned long n)
{
    char *to = d;
    const char *from = s;
    while (n--)
        *to++ = *from++;
    return d;
}
int main(void)
{
    char a[4];
    return memccpy(a, "abc", 4) != a || memcpy(a, a, 0) != a;
}
"""


def test_a_name_stands_for_what_the_program_calls(tmp_path: pathlib.Path) -> None:
    require("gdb", "gcc", "nm")
    source, program = tmp_path / "own.c", tmp_path / "own"
    source.write_text(OWN_COPY)
    run("gcc", "-O1", "-w", "-fno-builtin", "-fno-tree-loop-distribute-patterns", "-o", str(program), str(source))
    commands = ["kdbg check-copy memccpy --contract memcpy --quick", "kdbg check-copy memcpy --quick"]
    output = gdb(["break main", "run", *commands], str(program))
    own, library = output.data("check-copy", 0), output.data("check-copy", 1)
    assert (own["routine"], own["verdict"], own["notes"]) == ("memccpy", "conforms", [])
    # The dynamic linker has a memcpy of its own, too, which the program never calls; the library chooses one.
    assert library["routine"].startswith("__mem") and library["contract"] == "memcpy"
    assert "memcpy is an indirect function, which chose this one here" in library["notes"]


def test_a_file_without_a_process_in_gdb(files: Sequence[pathlib.Path]) -> None:
    require("gdb")
    output = gdb(["kdbg check-copy double_small --contract memcpy --quick"], str(files[1]))
    assert output.data("check-copy")["breaches"][0]["summary"] == "sizes 1-7, any alignment: wrote 2 x size"


# How it goes on.


def test_progress_and_the_first_breach_are_told(files: Sequence[pathlib.Path], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(copy_exercise, "_TELLS", 0.0)
    monkeypatch.setattr(OfflineSession, "progress", lambda self, text: told.append(text))
    check_copy(OfflineSession(None, [str(files[1])], {}), "double_small", "memcpy", None, "quick")
    assert told[0].startswith("first breach: writes past the end, size 1, destination % 64 = 0")
    assert "% of" in told[-1] and told[-1].endswith(" cases")


# Told of after two seconds, it is interrupted then.
def interrupted(command: Sequence[str], terminal: int, output: Iterator[bytes]) -> tuple[int, str]:
    # A shell's background jobs ignore the interrupt, and so does what they start.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal, cwd=support.ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        seen = b""
        while b"% of" not in seen:
            seen += next(output)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=support.DEADLINE)
    finally:
        process.kill()
    return process.returncode, text.decode(errors="replace")


def chunks(descriptor: int) -> Iterator[bytes]:
    while True:
        yield os.read(descriptor, 4096)


def test_ctrl_c_ends_it_at_once_outside_gdb(files: Sequence[pathlib.Path]) -> None:
    ours, theirs = os.openpty()
    arguments = ["check-copy", str(files[1]), "good_byte_loop", "--contract", "memcpy", "--thorough"]
    status, text = interrupted([sys.executable, "-m", "gdb_kdbg", *arguments], theirs, chunks(ours))
    assert (status, text) == (130, "")
    os.close(ours)
    os.close(theirs)


def test_ctrl_c_ends_it_at_once_in_gdb(files: Sequence[pathlib.Path]) -> None:
    require("gdb")
    ours, theirs = os.pipe()
    lines = [
        f"source {support.ROOT / 'gdbinit.py'}",
        "kdbg check-copy good_byte_loop --contract memcpy --thorough",
        "python import threading; print('threads:', [one.name for one in threading.enumerate()])",
    ]
    words = [word for line in lines for word in ("-ex", line)]
    status, text = interrupted(["gdb", "-nx", "-batch", *words, str(files[1])], theirs, chunks(ours))
    assert "threads: ['MainThread']" in text, (status, text)
    assert "conforms" not in text
    os.close(ours)
    os.close(theirs)
