"""`kdbg symbol` on real binaries: whole, stripped, without section headers; C, C++ and Rust; with and without GDB."""

from __future__ import annotations

import functools
import pathlib
import re
import shutil
import subprocess
from typing import Any, Callable, Sequence

import pytest
import support

from gdb_kdbg.demangle import demangle

Program = Callable[..., pathlib.Path]

C = """
#include <stdio.h>
#include <stdlib.h>
__thread int per_thread = 3;
int shared_counter = 5;
static int __attribute__((noinline)) hidden(int x) { return x * 3 + shared_counter; }
int __attribute__((noinline)) visible(int x) { return hidden(x) + per_thread; }
extern int visible_alias(int) __attribute__((alias("visible")));
int main(int argc, char **argv) { (void)argv; printf("%d\\n", visible(argc)); abort(); }
"""

CXX = """
#include <cstdlib>
namespace outer {
struct Shape { virtual ~Shape() {} virtual int area(int) const = 0; };
struct Square : Shape { int side = 2; int area(int) const override; };
int __attribute__((noinline)) Square::area(int x) const { return side * side * x; }
template <class T> T __attribute__((noinline)) twice(T value) { return value + value; }
int __attribute__((noinline)) overloaded(int x) { return x + 1; }
int __attribute__((noinline)) overloaded(long x) { return int(x) + 2; }
}
int main(int argc, char **) {
  outer::Square square;
  outer::Shape &shape = square;
  return shape.area(argc) + outer::twice<int>(argc) + outer::overloaded(1) + outer::overloaded(1L);
}
"""

RUST = """
mod shapes {
    pub trait Area { fn area(&self, by: u64) -> u64; }
    pub struct Square(pub u64);
    impl Area for Square { #[inline(never)] fn area(&self, by: u64) -> u64 { self.0 * self.0 * by } }
    pub struct Pair<T>(pub T, pub T);
    impl<T: Copy + std::ops::Add<Output = T>> Pair<T> { #[inline(never)] pub fn sum(&self) -> T { self.0 + self.1 } }
    #[inline(never)] pub fn total(all: &[Box<dyn Area>]) -> u64 { all.iter().map(|s| s.area(2)).sum() }
}
fn main() {
    let all: Vec<Box<dyn shapes::Area>> = vec![Box::new(shapes::Square(std::env::args().count() as u64))];
    println!("{} {}", shapes::total(&all), std::hint::black_box(shapes::Pair(all.len() as u64, 2)).sum());
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Builds a source text once for each compiler and set of options."""
    folder = tmp_path_factory.mktemp("symbols")

    @functools.lru_cache(maxsize=None)
    def build(compiler: str, *options: str) -> pathlib.Path:
        support.require(compiler)
        source, suffix = {"gcc": (C, "c"), "g++": (CXX, "cc"), "rustc": (RUST, "rs")}[compiler]
        name = re.sub(r"\W+", "_", "_".join((compiler, *options)))
        path = folder / f"{name}.{suffix}"
        path.write_text(source)
        output = folder / name
        plain = ("-O1",) if compiler != "rustc" else ("-C", "opt-level=1", "--crate-name", "drawing")
        support.run(compiler, *plain, *options, "-o", str(output), str(path), cwd=folder)
        return output

    return build


def stripped(path: pathlib.Path) -> pathlib.Path:
    support.require("strip")
    copy = path.with_name(f"{path.name}.stripped")
    support.run("strip", "-o", str(copy), str(path))
    return copy


def headless(path: pathlib.Path) -> pathlib.Path:
    """A stripped copy without section headers."""
    data = bytearray(stripped(path).read_bytes())
    data[0x28:0x30], data[0x3C:0x40] = bytes(8), bytes(4)
    copy = path.with_name(f"{path.name}.headless")
    copy.write_bytes(data)
    return copy


def nm(path: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Name to address and size."""
    support.require("nm")
    lines = support.run("nm", "-S", "--defined-only", str(path)).splitlines()
    return {w[3]: (int(w[0], 16), int(w[1], 16)) for w in map(str.split, lines) if len(w) == 4}


def number(text: str) -> int:
    return int(text, 16)


def ask(path: pathlib.Path, *words: str) -> Any:
    output = support.kdbg("symbol", *words, str(path))
    assert output.status == 0, output.text
    return output.data("symbol")


def refused(path: pathlib.Path, *words: str) -> str:
    output = support.kdbg("symbol", *words, str(path))
    assert output.status == 1 and "Traceback" not in output.text
    return output.text


def one(data: Any) -> dict[str, Any]:
    assert len(data["symbols"]) == 1, data
    return dict(data["symbols"][0])


def test_a_name_and_its_address_lead_to_each_other(program: Program) -> None:
    path = program("gcc", "-g")
    address, size = nm(path)["hidden"]
    by_name, by_address = one(ask(path, "hidden")), one(ask(path, hex(address + 2)))
    for found, offset in ((by_name, 0), (by_address, 2)):
        assert (found["name"], number(found["link_address"]), found["size"]) == ("hidden", address, size)
        assert (found["offset"], found["kind"], found["section"], found["source"]) == (
            offset,
            "FUNC",
            ".text",
            ".symtab",
        )
        assert found["file"].endswith(".c") and found["line"] == 6
        assert found["note"] == "" and found["aliases"] == []


def test_other_names_of_the_place(program: Program) -> None:
    found = one(ask(program("gcc", "-g"), "visible"))
    assert [alias["name"] for alias in found["aliases"]] == ["visible_alias"]


def test_data_and_thread_local_variables(program: Program) -> None:
    path = program("gcc", "-g")
    data = one(ask(path, "shared_counter"))
    assert (data["kind"], data["section"], data["size"], data["file"]) == ("OBJECT", ".data", 4, None)
    local = one(ask(path, "per_thread"))
    assert (local["kind"], local["address"], local["link_address"]) == ("TLS", None, "0x0")
    assert "offset in each thread" in local["note"]


@pytest.mark.parametrize("cut", [stripped, headless])
def test_functions_of_stripped_code_have_bounds_and_a_made_up_name(
    program: Program, cut: Callable[[pathlib.Path], pathlib.Path]
) -> None:
    whole = program("gcc", "-g")
    path = cut(whole)
    for name in ("hidden", "visible", "main"):
        address, size = nm(whole)[name]
        found = one(ask(path, hex(address + 1)))
        assert found["name"] == f"sub_{address:x}"
        assert (number(found["link_address"]), found["offset"], found["size"]) == (address, 1, size)
        assert found["source"] == ".eh_frame_hdr" and "the name is kdbg's" in found["note"]
        assert found["section"] == (".text" if cut is stripped else "")


@pytest.mark.parametrize(("cut", "source"), [(stripped, ".dynsym"), (headless, "DYNAMIC")])
def test_what_is_exported_keeps_its_name(
    program: Program, cut: Callable[[pathlib.Path], pathlib.Path], source: str
) -> None:
    whole = program("gcc", "-g", "-rdynamic")
    found = one(ask(cut(whole), "visible"))
    assert (number(found["link_address"]), found["size"]) == nm(whole)["visible"]
    assert found["source"] == source


@pytest.mark.parametrize("options", [(), ("-Wl,-z,lazy", "-fcf-protection=none"), ("-no-pie",)])
@pytest.mark.parametrize("cut", [lambda path: path, stripped, headless])
def test_stubs_are_named_by_their_slots(
    program: Program, options: Sequence[str], cut: Callable[[pathlib.Path], pathlib.Path]
) -> None:
    support.require("objdump")
    whole = program("gcc", *options)
    text = support.run("objdump", "-d", "--no-show-raw-insn", str(whole))
    stubs = re.findall(r"^([0-9a-f]+) <(\w+)@plt>:", text, re.MULTILINE)
    assert {name for _, name in stubs} >= {"printf", "abort"}
    for address, name in stubs:
        if name != "__cxa_finalize":
            found = one(ask(cut(whole), f"0x{address}"))
            assert (found["name"], found["offset"]) == (f"{name}@plt", 0)


def test_addresses_without_a_name(program: Program) -> None:
    path = program("gcc", "-g")
    assert "is in none of 1 loaded files" in refused(path, "0x7fffffff0000")
    found = one(ask(path, "0x40"))
    assert found["name"] == "" and "no symbol covers this address" in found["note"]


def test_unknown_names_get_suggestions(program: Program) -> None:
    assert "did you mean hidden" in refused(program("gcc", "-g"), "hiden")
    assert "imports it, but no loaded file defines it" in refused(program("gcc", "-g"), "abort")
    assert "did you mean" not in refused(program("gcc", "-g"), "zzzzzzzzzzzzz")


def test_patterns(program: Program) -> None:
    path = program("gcc", "-g")
    found = ask(path, "visible*")["symbols"]
    assert sorted(item["name"] for item in found) == ["visible", "visible_alias"]
    few, every = ask(path, "*_*"), ask(path, "*_*", "--all")
    assert len(few["symbols"]) == 10 and few["shown"].endswith("(--all lists them)")
    names = {item["name"] for item in every["symbols"]}
    assert names >= {name for name in nm(path) if "_" in name}
    assert all("_" in name for name in names)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("_ZNK5outer6Square4areaEi", ["_ZNK5outer6Square4areaEi"]),
        ("outer::Square::area(int) const", ["_ZNK5outer6Square4areaEi"]),
        ("outer::Square::area", ["_ZNK5outer6Square4areaEi"]),
        ("Square::area", ["_ZNK5outer6Square4areaEi"]),
        ("outer::twice<int>", ["_ZN5outer5twiceIiEET_S1_"]),
        ("outer::twice", ["_ZN5outer5twiceIiEET_S1_"]),
        ("outer::overloaded", ["_ZN5outer10overloadedEi", "_ZN5outer10overloadedEl"]),
        ("outer::overloaded(long)", ["_ZN5outer10overloadedEl"]),
        ("outer::over*", ["_ZN5outer10overloadedEi", "_ZN5outer10overloadedEl"]),
        ("vtable for outer::Square", ["_ZTVN5outer6SquareE"]),
    ],
)
def test_cxx_names(program: Program, wish: str, expected: list[str]) -> None:
    path = program("g++", "-g")
    found = ask(path, wish)["symbols"]
    assert sorted(item["name"] for item in found) == expected
    places = nm(path)
    for item in found:
        assert (number(item["link_address"]), item["size"]) == places[item["name"]]
        assert item["demangled"] != item["name"] and item["mangled"] == item["name"]


def test_cxx_suggestions_are_demangled(program: Program) -> None:
    assert "outer::Square::area" in refused(program("g++", "-g"), "outer::Square::aera")


@pytest.mark.parametrize("mangling", ["default", "v0"])
@pytest.mark.parametrize(
    ("wish", "demangled"),
    [
        ("drawing::main", "drawing::main"),
        ("shapes::total", "drawing::shapes::total"),
        ("<drawing::shapes::Square as drawing::shapes::Area>::area",
         "<drawing::shapes::Square as drawing::shapes::Area>::area"),
        ("drawing::shapes::Pair::sum", "drawing::shapes::Pair<T>::sum|<drawing::shapes::Pair<u64>>::sum"),
    ],
)  # fmt: skip
def test_rust_names(program: Program, mangling: str, wish: str, demangled: str) -> None:
    path = program("rustc", *(["-C", f"symbol-mangling-version={mangling}"] if mangling != "default" else []))
    found = one(ask(path, wish))
    assert found["demangled"] in demangled.split("|")
    assert (number(found["link_address"]), found["size"]) == nm(path)[found["name"]]
    assert found["name"].startswith("_R") or not re.search(r"h[0-9a-f]{16}", found["demangled"])


@pytest.mark.parametrize("mangling", ["default", "v0"])
def test_rust_names_equal_those_of_the_binary_utilities(program: Program, mangling: str) -> None:
    support.require("c++filt")
    path = program("rustc", *(["-C", f"symbol-mangling-version={mangling}"] if mangling != "default" else []))
    names = [name for name in nm(path) if re.match("_R|_ZN.*17h[0-9a-f]{16}E$", name)]
    done = subprocess.run(["c++filt", "-i"], input="\n".join(names), capture_output=True, text=True, check=True)
    for name, other in zip(names, done.stdout.splitlines()):
        plain = re.sub(r"(\w)\[[0-9a-f]{1,16}\]", r"\1", re.sub("::h[0-9a-f]{16}$", "", other))
        ours = re.sub(r"( \[clone [^]]*\])+", "", demangle(name))
        assert ours == re.sub(r"(\d|true|false|'): (?:[ui](?:8|16|32|64|128|size)|bool|char)\b", r"\1", plain)
    assert len(names) > 100


def test_in_gdb_before_and_while_the_program_runs(program: Program) -> None:
    support.require("gdb")
    path = program("gcc", "-g")
    link, _ = nm(path)["visible"]
    lines = ["kdbg symbol visible", "break visible", "run", "kdbg symbol visible", "kdbg symbol $pc",
             "print/x &visible", "kdbg symbol abort", "kdbg symbol &shared_counter"]  # fmt: skip
    output = support.gdb(lines, str(path))
    before, running, pc = (one(output.data("symbol", index)) for index in range(3))
    assert number(before["address"]) == number(before["link_address"]) == link
    address = int(re.findall(r"^\$\d+ = (0x[0-9a-f]+)", output.text, re.MULTILINE)[0], 16)
    assert number(running["address"]) == number(pc["address"]) == address != link
    assert number(running["link_address"]) == link and pc["name"] in ("visible", "visible_alias")
    abort = output.data("symbol", 3)["symbols"]
    assert any("libc" in item["objfile"] for item in abort)
    assert one(output.data("symbol", 4))["name"] == "shared_counter"


def test_in_gdb_on_a_file_that_gdb_has_no_symbols_of(program: Program) -> None:
    support.require("gdb")
    whole = program("gcc", "-g", "-rdynamic")
    link, size = nm(whole)["hidden"]
    output = support.gdb(["starti", "kdbg symbol visible", f"kdbg symbol {link + 1:#x}"], str(headless(whole)))
    assert "Traceback" not in output.text
    assert (number(one(output.data("symbol", 0))["link_address"])) == nm(whole)["visible"][0]


def test_gdb_demangles_alike(program: Program) -> None:
    support.require("gdb")
    for path, wish in ((program("g++", "-g"), "outer::twice<int>"), (program("rustc"), "drawing::shapes::total")):
        output = support.gdb([f"kdbg symbol {wish}"], str(path))
        assert one(output.data("symbol")) == one(ask(path, wish))


def test_on_a_core_dump(program: Program, tmp_path: pathlib.Path) -> None:
    support.require("gdb")
    path = program("gcc", "-g")
    core = tmp_path / "core"
    support.gdb(["run", f"generate-core-file {core}"], str(path))
    output = support.kdbg("symbol", "visible", "--core", str(core), str(path))
    found = one(output.data("symbol"))
    assert number(found["link_address"]) == nm(path)["visible"][0] != number(found["address"])
    again = one(support.kdbg("symbol", found["address"], "--core", str(core), str(path)).data("symbol"))
    assert again["name"] in ("visible", "visible_alias")


def test_no_files() -> None:
    assert "no target" in support.kdbg("symbol", "main").text
    if shutil.which("gdb"):
        output = support.gdb(["kdbg symbol main"], json_format=False)
        assert "Traceback" not in output.text and "kdbg: " in output.text


def test_text_is_readable(program: Program) -> None:
    path = program("g++", "-g")
    done = subprocess.run(
        [str(support.ROOT / ".venv/bin/python"), "-m", "gdb_kdbg", "symbol", "Square::area", str(path)],
        capture_output=True, text=True, cwd=support.ROOT, check=True,
    )  # fmt: skip
    assert re.search(r"^symbol: +outer::Square::area\(int\) const$", done.stdout, re.MULTILINE)
    assert re.search(r"^mangled: +_ZNK5outer6Square4areaEi$", done.stdout, re.MULTILINE)
    assert re.search(r"^address: +0x[0-9a-f]{16}$", done.stdout, re.MULTILINE)
