"""The order of lookups out of memory that looks like glibc's, and out of memory that does not."""

from __future__ import annotations

import random
from typing import Mapping, Sequence

import pytest
from fakes import FakeTarget
from test_linkmap import LIBC, LIST, LOADER, MAIN, PAGE, R_DEBUG, process

from gdb_kdbg.lookup_orders import LookupOrders
from gdb_kdbg.target import Target

SCOPE, MEMBERS = 0x3B0, 0x2F0
PLUGIN = (0x7FFFF7A00000, b"/lib/plugin.so", 0x7FFFF7A03E00)
HEAP, STEP = LIST // PAGE * PAGE + 0x100000, PAGE
FILES = (MAIN, LIBC, LOADER, PLUGIN)
NODES = [HEAP + number * STEP for number in range(len(FILES))]
SECTIONS = [dynamic for _, _, dynamic in FILES]
GLOBAL, OWN = (0, 1, 2), (3, 1)


def glibc(scopes: Mapping[int, Sequence[int]], offset: int = SCOPE) -> FakeTarget:
    """A process whose link maps have scopes: by the number of the file, the files whose groups are searched."""
    target = process()
    target.put_words(R_DEBUG, 1, NODES[0])
    for number, (bias, name, dynamic) in enumerate(FILES):
        node = NODES[number]
        target.map(node, bytes(STEP))
        following = NODES[number + 1] if number + 1 < len(NODES) else 0
        target.put_words(node, bias, node + 0xE00, dynamic, following, 0)
        target.put(node + 0xE00, name + b"\0")
        members = [NODES[member] for member in (OWN if number == 3 else GLOBAL)]
        target.put_words(node + 0xC00, *members)
        target.put_words(node + MEMBERS, node + 0xC00, len(members))
    for number, groups in scopes.items():
        node = NODES[number]
        target.put_words(node + offset - 0x28, *(NODES[group] + MEMBERS for group in groups), 0)
        target.put_words(node + offset, node + offset - 0x28)
    return target


def orders_of(target: Target) -> dict[int, tuple[int, ...]]:
    told = LookupOrders(target, None)
    return {section: tuple(order) for section in SECTIONS if (order := told.of(section)) is not None}


WHOLE = {0: (0,), 1: (0,), 3: (0, 3)}


def test_what_dlopen_loaded_is_searched_behind_the_program() -> None:
    orders = orders_of(glibc(WHOLE))
    everywhere = tuple(SECTIONS[number] for number in GLOBAL)
    assert orders == {
        **{SECTIONS[number]: everywhere for number in GLOBAL},
        SECTIONS[3]: (*everywhere, *(SECTIONS[number] for number in OWN)),
    }


def test_a_file_that_was_opened_to_be_bound_to_itself_first() -> None:
    found = orders_of(glibc({**WHOLE, 3: (3, 0)}))[SECTIONS[3]]
    assert found[: len(OWN)] == tuple(SECTIONS[number] for number in OWN)


@pytest.mark.parametrize("offset", [0x100, 0x2C8, 0x400, 0x5F8])
def test_the_field_may_be_anywhere(offset: int) -> None:
    assert len(orders_of(glibc(WHOLE, offset))) == len(FILES)


def test_a_list_that_has_grown_lies_elsewhere() -> None:
    target = glibc(WHOLE)
    place = HEAP + 0x40000
    target.map(place, bytes(0x1000))
    target.put_words(place, *(NODES[group] + MEMBERS for group in (0, 3, 0)), 0)
    target.put_words(NODES[3] + SCOPE, place)
    assert len(orders_of(target)[SECTIONS[3]]) == 2 * len(GLOBAL) + len(OWN)


def test_few_reads() -> None:
    target = glibc(WHOLE)
    orders_of(target)
    assert len(target.reads) <= len(FILES) + 5


def test_nothing_is_said_where_two_fields_look_alike() -> None:
    target = glibc(WHOLE)
    target.put_words(NODES[3] + 0x500, NODES[3] + SCOPE - 0x28)
    assert orders_of(target) == {}


@pytest.mark.parametrize("scopes", [{0: (0,), 3: (3,)}, {1: (0,), 2: (0,), 3: (0,)}, {}], ids=["two", "program", "all"])
def test_nothing_is_said_where_files_are_without(scopes: Mapping[int, Sequence[int]]) -> None:
    assert orders_of(glibc(scopes)) == {}


def test_nothing_is_said_before_the_list_is_made() -> None:
    assert orders_of(process(0)) == {}


def test_any_memory_gives_an_order_of_known_files_or_none() -> None:
    generator = random.Random(7)
    for _ in range(300):
        target = glibc(WHOLE)
        for _ in range(generator.choice((1, 3, 20))):
            place = generator.choice(NODES) + generator.randrange(0x100, STEP, 8)
            word = generator.choice(
                (0, 1, generator.choice(NODES), generator.choice(NODES) + 0x2F0, place, 1 << 63, -1)
            )
            target.put_words(place, word)
        orders = orders_of(target)
        assert all(set(order) <= set(SECTIONS) for order in orders.values())
