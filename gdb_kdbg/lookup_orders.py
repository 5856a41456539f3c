"""In which order glibc's dynamic linker looks symbols up for each loaded file.

What dlopen loads is not in the order of loading for others: a file has a scope of its own, a list of groups of files.
glibc keeps it behind the public part of `struct link_map`, at an offset that differs between its versions. So the field
is found by what only it looks like: a pointer to pointers, ended by a null, to pairs of an array and a count, and all
that the arrays hold are link maps. If not exactly one offset is so for all files, nothing is said.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Collection, Iterator, Optional, Sequence

from .elf import ElfFile
from .linkmap import Pages, link_maps
from .target import Target

# The public fields come first; glibc's structure has some 1,200 bytes.
_PUBLIC, _SIZE = 40, 0x600
# A scope is the groups of the program, of what was opened, and of itself.
_GROUPS = 16
_NEAR = 1 << 24
# All groups of a process together; one of a thousand libraries has a thousand members.
_MEMBERS = 1 << 18
_Group = Sequence[int]


class LookupOrders:
    """Which files are searched for a symbol that a file needs; all are told by their dynamic sections' addresses."""

    def __init__(self, target: Target, program_file: Optional[ElfFile]) -> None:
        """Read the scopes of all files; there are none before they are loaded, and with other linkers than glibc's."""
        pages = Pages(target)
        self._sections = {n: loaded.dynamic_address for n, loaded in link_maps(target, pages, program_file).items()}
        groups = _Groups(pages, self._sections)
        offsets = {offset for node in self._sections for offset in groups.offsets_in(node)}
        self._scopes: dict[int, Sequence[_Group]] = {}
        if len(offsets) != 1:
            return
        offset = offsets.pop()
        scopes = {node: groups.scope_at(groups.word_at(node + offset)) for node in self._sections}
        # The linker's own map is the only one that may be without: its slots are bound as those of the program.
        program = next(iter(scopes.values()))
        if program and sum(map(bool, scopes.values())) >= len(scopes) - 1:
            for node, section in self._sections.items():
                # Each namespace lists the dynamic linker again; the first one is its own.
                self._scopes.setdefault(section, scopes[node] or program)

    @property
    def files(self) -> Collection[int]:
        """All files that the dynamic linker has loaded."""
        return self._sections.values()

    def of(self, section: int) -> Optional[Sequence[int]]:
        """Return the files that a lookup from a file searches, the first first; None where memory does not tell."""
        scope = self._scopes.get(section)
        return [self._sections[node] for group in scope for node in group] if scope else None


class _Groups:
    """Groups and lists of them at places in memory, each read once; hostile memory may be full of them."""

    def __init__(self, pages: Pages, nodes: Collection[int]) -> None:
        self._pages = pages
        self._nodes = sorted(nodes)
        self._members = frozenset(nodes)
        self._known: dict[int, _Group] = {}
        self._left = _MEMBERS

    def offsets_in(self, node: int) -> Iterator[int]:
        """Yield where in a link map there is a pointer to a list of groups that lies in a link map too.

        There it is until it grows; to follow every pointer would cost many reads.
        """
        words = struct.unpack(f"<{_SIZE // 8}Q", self._pages.read(node, _SIZE) or bytes(_SIZE))
        for index in range(_PUBLIC // 8, len(words)):
            if 0 < self._behind_node(words[index]) < _SIZE and self.scope_at(words[index]):
                yield 8 * index

    def word_at(self, place: int) -> int:
        return int.from_bytes(self._pages.read(place, 8) or b"", "little")

    def scope_at(self, start: int) -> Sequence[_Group]:
        """Return the groups of a list that ends with a null; empty if it is no such list."""
        scope: list[_Group] = []
        for index in range(_GROUPS if self._may_be_used(start) else 0):
            word = self.word_at(start + 8 * index)
            if not word:
                return scope
            group = self._group_at(word) if 0 < self._behind_node(word) < _SIZE else ()
            if not group:
                return ()
            scope.append(group)
        return ()

    def _group_at(self, place: int) -> _Group:
        if place not in self._known:
            self._known[place] = self._read_group(place)
        return self._known[place]

    def _read_group(self, place: int) -> _Group:
        array, count = struct.unpack("<QI", self._pages.read(place, 12) or bytes(12))
        if not 0 < count <= min(len(self._nodes), self._left) or not self._may_be_used(array):
            return ()
        self._left -= count
        group = struct.unpack(f"<{count}Q", self._pages.read(array, 8 * count) or bytes(8 * count))
        return group if self._members.issuperset(group) else ()

    # Before memory is asked for: what is in use lies in link maps, or was allocated as those were.
    def _may_be_used(self, address: int) -> bool:
        following = bisect_right(self._nodes, address)
        is_before = following < len(self._nodes) and self._nodes[following] - address < _NEAR
        return address % 8 == 0 and (is_before or 0 <= self._behind_node(address) < _NEAR)

    # How far behind the start of a link map an address is, negative where none is before it.
    def _behind_node(self, address: int) -> int:
        index = bisect_right(self._nodes, address) - 1
        return address - self._nodes[index] if index >= 0 else -1
