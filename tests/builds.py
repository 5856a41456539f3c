"""Builds tests/programs/linked in every way a linker lays out slots: twenty-odd programs, each made once a session."""

from __future__ import annotations

import functools
import pathlib
import struct
from typing import Mapping, NamedTuple, Optional

import pytest
import support

SOURCES = support.ROOT / "tests" / "programs" / "linked"


class Recipe(NamedTuple):
    """How a program and its library are compiled and linked; `library` is None where it is linked in."""

    program: str
    library: Optional[str] = ""
    cut: str = ""
    linker: str = "ld"
    runs: bool = True


PIE = "-fPIE -pie"
LAZY = f"{PIE} -Wl,-z,lazy"
RELR = "-Wl,-z,pack-relative-relocs"
IBT = "-fcf-protection=full -Wl,-z,ibtplt"
# ld.lld 14 knows RELR, but does not ask for the version of glibc that applies it, which then refuses to.
LLD_RELR = "-Wl,--pack-dyn-relocs=relr -Wl,-z,now"

RECIPES: Mapping[str, Recipe] = {
    "lazy": Recipe(LAZY, "-Wl,-z,lazy"),
    "now": Recipe(f"{PIE} -Wl,-z,now", "-Wl,-z,now"),
    "no-plt": Recipe(f"{PIE} -fno-plt", "-fno-plt"),
    "relr": Recipe(f"{LAZY} {RELR}", RELR),
    "ibt": Recipe(f"{LAZY} {IBT}", IBT),
    "no-relro": Recipe(f"{LAZY} -Wl,-z,norelro", "-Wl,-z,norelro"),
    "no-pie": Recipe("-fno-pie -no-pie -Wl,-z,lazy", "-Wl,-z,lazy"),
    "no-pie-now": Recipe("-fno-pie -no-pie -Wl,-z,now", "-Wl,-z,now"),
    "static": Recipe("-fno-pie -static", None),
    "static-pie": Recipe("-fPIE -static-pie", None),
    "static-pie-relr": Recipe(f"-fPIE -static-pie {RELR}", None),
    "tlsdesc": Recipe(f"{LAZY} -mtls-dialect=gnu2", "-mtls-dialect=gnu2 -Wl,-z,lazy"),
    "emit-relocs": Recipe(f"{LAZY} -Wl,--emit-relocs", "-Wl,--emit-relocs"),
    "export-dynamic": Recipe(f"{LAZY} -Wl,--export-dynamic", "-Wl,-z,lazy"),
    "symbolic": Recipe(LAZY, "-Wl,-Bsymbolic -Wl,-z,lazy"),
    "stripped": Recipe(f"{LAZY} -s", "-Wl,-z,lazy -s", "strip"),
    "no-sections": Recipe(f"{LAZY} -s", "-Wl,-z,lazy", "sections"),
    "no-sections-no-pie": Recipe("-fno-pie -no-pie -Wl,-z,lazy", "-Wl,-z,lazy", "sections"),
    "lld-lazy": Recipe(LAZY, "-Wl,-z,lazy", linker="lld"),
    "lld-now": Recipe(f"{PIE} -Wl,-z,now", "-Wl,-z,now", linker="lld"),
    "lld-addends": Recipe(f"{LAZY} -Wl,--apply-dynamic-relocs", "-Wl,--apply-dynamic-relocs", linker="lld"),
    "lld-no-pie": Recipe("-fno-pie -no-pie -Wl,-z,lazy", "-Wl,-z,lazy", linker="lld"),
    "lld-static": Recipe("-fno-pie -static", None, linker="lld"),
    "lld-static-pie": Recipe("-fPIE -static-pie", None, linker="lld"),
    "lld-relr": Recipe(f"{PIE} {LLD_RELR}", LLD_RELR, linker="lld", runs=False),
}


def names(that_run: bool = False) -> list[str]:
    """Return the names of all builds, and of the C++ and the Rust one."""
    return [name for name, recipe in RECIPES.items() if recipe.runs or not that_run] + ["c++", "rust"]


def build(name: str, directory: pathlib.Path) -> pathlib.Path:
    """Build a program with its library beside it; return its path."""
    directory.mkdir(parents=True)
    if name == "c++":
        return _build_classes(directory)
    if name == "rust":
        return _build_rust(directory)
    recipe = RECIPES[name]
    support.require("gcc", *(["ld.lld"] if recipe.linker == "lld" else []))
    program, library = directory / "program", directory / "libuses.so"
    common = ["gcc", "-g", "-O1", *(["-fuse-ld=lld"] if recipe.linker == "lld" else [])]
    sources = [str(SOURCES / "program.c")]
    if recipe.library is None:
        sources.append(str(SOURCES / "uses.c"))
    else:
        options = ["-shared", "-fPIC", *recipe.library.split()]
        support.run(*common, *options, "-o", str(library), str(SOURCES / "uses.c"))
        sources += [str(library), "-Wl,-rpath,$ORIGIN"]
    support.run(*common, *recipe.program.split(), "-o", str(program), *sources)
    if recipe.cut == "sections":
        for file in (program, library):
            cut_section_headers(file)
    return program


def cut_section_headers(path: pathlib.Path) -> None:
    """Let a file have no section headers, as if they had never been written."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<Q", data, 0x28)
    struct.pack_into("<Q", data, 0x28, 0)
    struct.pack_into("<HH", data, 0x3C, 0, 0)
    path.write_bytes(data[:start])


def build_interposer(directory: pathlib.Path) -> pathlib.Path:
    """Build the library that puts its own function before another's."""
    library = directory / "libinterposer.so"
    support.run("gcc", "-g", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCES / "interposer.c"))
    return library


def _build_classes(directory: pathlib.Path) -> pathlib.Path:
    support.require("g++")
    program, library = directory / "program", directory / "libclasses.so"
    common = ["g++", "-g", "-O1"]
    support.run(*common, "-shared", "-fPIC", "-o", str(library), str(SOURCES / "classes.cpp"))
    main = str(SOURCES / "classes_main.cpp")
    support.run(*common, *LAZY.split(), "-o", str(program), main, str(library), "-Wl,-rpath,$ORIGIN")
    return program


def _build_rust(directory: pathlib.Path) -> pathlib.Path:
    support.require("rustc")
    program = directory / "program"
    support.run("rustc", "--edition", "2021", "-g", "-o", str(program), str(SOURCES / "program.rs"))
    return program


class Builds:
    """The builds by name, each made when it is first asked for."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self.of = functools.lru_cache(maxsize=None)(self._of)

    def _of(self, name: str) -> pathlib.Path:
        return build(name, self._directory / name)

    @functools.cached_property
    def interposer(self) -> pathlib.Path:
        """The library to be preloaded."""
        return build_interposer(self._directory)


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """The builds of this session; import this into a test's module to use it."""
    return _shared(str(tmp_path_factory.getbasetemp()))


# Each module that imports the fixture makes its own, so that only this cache keeps the builds one set.
@functools.lru_cache(maxsize=None)
def _shared(base: str) -> Builds:
    return Builds(pathlib.Path(base) / "linked")
