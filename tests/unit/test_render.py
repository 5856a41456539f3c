"""Results as JSON and as text: the annotations choose the form, nothing known is left out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Mapping, NamedTuple, Optional

import pytest

from gdb_kdbg.finding import Facts, Finding, WhyReport
from gdb_kdbg.render.columns import aligned
from gdb_kdbg.render.json import error_to_json, plain_records, to_json
from gdb_kdbg.render.json_text import record_texts
from gdb_kdbg.render.table import to_text
from gdb_kdbg.units import Address, Count, LinkAddress, Size, Word


@dataclass(frozen=True)
class Row:
    index: Count = field(metadata={"label": "#"})
    start: Address = Address(0)
    size: Size = Size(0)
    name: Optional[str] = None
    torn: bool = False
    file: Optional[str] = field(default=None, metadata={"label": "line"})
    line: Optional[int] = None
    gap: Optional[int] = field(default=None, metadata={"within": 100})
    secret: int = field(default=0, metadata={"text": False})


@dataclass(frozen=True)
class Report:
    symbol: str
    start: Address = Address(0xFFFF_FFFF_8000_0000)
    link: Optional[LinkAddress] = None
    guard: Optional[Word] = None
    size: Size = Size(4)
    lost: Optional[Count] = None
    enabled: Optional[bool] = None
    hidden: int = field(default=3, metadata={"text": False})
    addresses: tuple[Address, ...] = ()
    rows: tuple[Row, ...] = ()
    extra: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[str, Word] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sparse:
    SPARSE: ClassVar[bool] = True
    known: Optional[Address] = None
    zero: Optional[Size] = None


@dataclass(frozen=True)
class Outer:
    facts: Sparse
    dense: Row


class Slot(NamedTuple):
    slot: Annotated[Address, {"label": "address"}]
    status: str
    expected: Annotated[Optional[LinkAddress], {"unless": ("status", "resolved")}] = None
    secret: Annotated[Size, {"text": False}] = Size(0)


@dataclass(frozen=True)
class Objfile:
    name: str
    bias: Annotated[Address, {"label": "load bias"}]
    slots: tuple[Slot, ...] = ()
    notes: tuple[str, ...] = ()
    raw: Annotated[tuple[Slot, ...], {"text": False}] = ()


@dataclass(frozen=True)
class Objfiles:
    total: Count
    objfiles: tuple[Objfile, ...]


@dataclass(frozen=True)
class Slots:
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Places:
    first: Slot
    rows: tuple[Optional[Slot], ...] = ()


LIBC = Objfile("libc", Address(16), (Slot(Address(1), "lazy"),), ("one", "two"))
EMPTY = Objfile("empty", Address(32))


def json_of(result: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(to_json("ring", result))
    return data


def lines_of(result: Any) -> list[str]:
    return to_text(result).splitlines()


def finding(**facts: Any) -> Finding:
    return Finding("it broke", "rule", "likely", ("one", "two"), ("do this",), Facts(**facts))


def test_json_is_one_line_with_schema_command_data_and_problems() -> None:
    text = to_json("ring", Report("buf", problems=("p",)))
    assert "\n" not in text
    assert list(json.loads(text)) == ["schema", "command", "data", "problems"]
    assert (json.loads(text)["schema"], json.loads(text)["command"]) == (1, "ring")


def test_json_lifts_the_problems_out_of_the_data() -> None:
    result = json_of(Report("buf", problems=("one", "two")))
    assert result["problems"] == ["one", "two"]
    assert "problems" not in result["data"]
    assert json_of(Report("buf"))["problems"] == []


def test_json_writes_addresses_and_words_as_strings_and_sizes_as_numbers() -> None:
    result = json_of(Report("buf", link=LinkAddress(0x1000), guard=Word((1 << 64) - 1), addresses=(Address(16),)))
    data = result["data"]
    assert (data["start"], data["link"], data["guard"]) == ("0xffffffff80000000", "0x1000", "0xffffffffffffffff")
    assert (data["size"], data["addresses"]) == (4, ["0x10"])


def test_json_keeps_the_types_of_everything_else() -> None:
    data = json_of(Report("buf", enabled=True, rows=(Row(Count(0), torn=True),), extra={"cpu": 3}))["data"]
    assert (data["enabled"], data["lost"], data["extra"]) == (True, None, {"cpu": 3})
    assert data["rows"][0]["torn"] is True and data["rows"][0]["secret"] == 0


def test_json_of_a_sparse_object_leaves_out_what_is_unknown_and_keeps_zero() -> None:
    data = json_of(Outer(Sparse(zero=Size(0)), Row(Count(1))))["data"]
    assert data["facts"] == {"zero": 0}
    assert data["dense"]["name"] is None


def test_json_of_a_finding_has_its_facts() -> None:
    result = json_of(WhyReport("0x0 in ??", (finding(asked=Size(4), destination=Address(16)),)))
    (found,) = result["data"]["findings"]
    assert found["facts"] == {"asked": 4, "destination": "0x10"}
    assert (found["next"], found["evidence"]) == (["do this"], ["one", "two"])


def test_json_of_an_error_has_the_same_frame() -> None:
    assert json.loads(error_to_json("ring", "no target")) == {
        "schema": 1,
        "command": "ring",
        "data": None,
        "problems": ["no target"],
    }


def test_json_is_plain_ascii() -> None:
    assert to_json("ring", Report("grö\x1b")).isascii()


def test_json_writes_words_in_a_dictionary_as_strings_too() -> None:
    data = json_of(Report("buf", words={"cookie": Word((1 << 64) - 1)}))["data"]
    assert data["words"] == {"cookie": "0xffffffffffffffff"}


def test_text_labels_scalars_and_aligns_them() -> None:
    assert lines_of(Report("buf", guard=Word(5))) == [
        "symbol: buf",
        "start:  0xffffffff80000000",
        "guard:  0x0000000000000005",
        "size:   4",
    ]


def test_text_hides_unknown_scalars_and_shows_zero_and_false() -> None:
    assert "lost:" not in to_text(Report("buf"))
    lines = lines_of(Report("buf", lost=Count(0), enabled=False))
    assert "lost:    0" in lines and "enabled: False" in lines


def test_text_has_no_field_meant_for_scripts() -> None:
    text = to_text(Report("buf", rows=(Row(Count(1), secret=99),)))
    assert "hidden" not in text and "secret" not in text and "99" not in text


def test_a_table_hides_columns_nobody_filled_and_shows_zeros() -> None:
    lines = lines_of(Report("buf", rows=(Row(Count(0)), Row(Count(1), size=Size(7)))))
    header, rule, *rows = lines[lines.index("") + 1 :]
    assert header.split() == ["#", "start", "size"]
    assert set(rule) <= {"-", " "}
    assert [row.split() for row in rows] == [["0", f"{0:#018x}", "0"], ["1", f"{0:#018x}", "7"]]


def test_a_table_shows_a_column_that_one_row_filled() -> None:
    text = to_text(Report("buf", rows=(Row(Count(0)), Row(Count(1), name="x", torn=True))))
    header, _, first, second = text.splitlines()[-4:]
    assert header.split() == ["#", "start", "size", "name", "torn"]
    assert len(first.split()) == 3
    assert second.split()[-2:] == ["x", "torn"]


def test_a_table_joins_file_and_line() -> None:
    text = to_text(Report("buf", rows=(Row(Count(0), file="tty.c", line=77), Row(Count(1), file="asm.S"))))
    assert "tty.c:77" in text
    assert text.splitlines()[-1].split()[-1] == "asm.S"


def test_a_distance_too_far_to_matter_is_left_blank_in_text_but_not_in_json() -> None:
    report = Report("buf", rows=(Row(Count(0), gap=-100), Row(Count(1), gap=101)))
    assert "-100" in to_text(report) and "101" not in to_text(report)
    assert [row["gap"] for row in json_of(report)["data"]["rows"]] == [-100, 101]


def test_numbers_stand_at_the_right_and_words_at_the_left() -> None:
    text = to_text(Report("buf", rows=(Row(Count(5), name="ab"), Row(Count(100), name="abcdef"))))
    assert text.splitlines()[-2].startswith("  5")
    assert text.splitlines()[-2].endswith("ab")


def test_text_that_looks_like_a_number_is_not_reformatted() -> None:
    assert "1e5" in to_text(Report("buf", rows=(Row(Count(0), name="1e5"), Row(Count(1), name="0x10"))))


def test_lists_and_dictionaries_have_a_line_each() -> None:
    lines = lines_of(Report("buf", addresses=(Address(16), Address(32)), extra={"cpu": 3}))
    assert lines[-5:] == ["addresses:", f"  {16:#018x}", f"  {32:#018x}", "", "cpu: 3"]


def test_problems_stand_at_the_end() -> None:
    assert lines_of(Report("buf", problems=("one", "two")))[-2:] == ["problem: one", "problem: two"]
    assert "problem" not in to_text(Report("buf"))


def test_findings_are_paragraphs() -> None:
    assert lines_of(WhyReport("here", (finding(asked=Size(4)), finding()))) == [
        "stop: here",
        "",
        "it broke",
        "rule: rule",
        "confidence: likely",
        "  evidence:",
        "    - one",
        "    - two",
        "  next:",
        "    - do this",
        "",
        "it broke",
        "rule: rule",
        "confidence: likely",
        "  evidence:",
        "    - one",
        "    - two",
        "  next:",
        "    - do this",
    ]


def test_long_lines_of_a_finding_are_wrapped() -> None:
    long = Finding("word " * 60, "rule", "likely", ("evidence " * 30,), (), Facts())
    lines = lines_of(WhyReport("here", (long,)))
    assert all(len(line) <= 110 for line in lines)
    assert sum(line.count("evidence ") + line.endswith("evidence") for line in lines) == 30


def test_a_style_sees_each_text_with_its_role() -> None:
    seen: list[tuple[str, str]] = []

    def style(text: str, role: str) -> str:
        seen.append((text, role))
        return f"<{text}>"

    text = to_text(Report("buf", problems=("bad",)), style)
    assert "symbol: <buf>" in text and "<problem: bad>" in text
    assert ("buf", "symbol") in seen and ("problem: bad", "problem") in seen


def test_columns_have_a_header_dashes_and_no_blanks_at_the_ends() -> None:
    assert aligned(["#", "name"], [["1", "22"], ["a", "longer than this"]], [True, False]) == [
        "  #  name",
        "---  ----------------",
        "  1  a",
        " 22  longer than this",
    ]


def test_columns_leave_marks_of_formatting_alone() -> None:
    assert aligned(["%d"], [["%s", "{}", "100%"]], [False]) == ["%d", "----", "%s", "{}", "100%"]


def test_columns_may_be_empty() -> None:
    assert aligned(["a"], [[]], [False]) == ["a", "---"]


def test_rows_may_be_named_tuples_whose_metadata_stands_behind_the_type() -> None:
    text = to_text(Slots((Slot(Address(1), "lazy", LinkAddress(2), Size(77)),)))
    header, _, row = text.splitlines()
    assert header.split() == ["address", "status", "expected"]
    assert row.split() == [f"{1:#018x}", "lazy", f"{2:#018x}"]


def test_json_of_named_tuples_has_the_names_and_forms_of_their_fields() -> None:
    data = json_of(Slots((Slot(Address(1), "lazy"),)))["data"]
    assert data == {"slots": [{"slot": "0x1", "status": "lazy", "expected": None, "secret": 0}]}


def test_a_named_tuple_alone_is_shown_like_a_result() -> None:
    assert lines_of(Places(Slot(Address(1), "lazy"))) == [f"address: {1:#018x}", "status:  lazy"]
    assert json_of(Places(Slot(Address(1), "lazy"), (None,)))["data"]["rows"] == [None]


def test_a_cell_is_blank_where_another_field_says_so() -> None:
    rows = (Slot(Address(1), "resolved", LinkAddress(5)), Slot(Address(2), "lazy", LinkAddress(6)))
    text = to_text(Slots(rows))
    assert f"{5:#018x}" not in text and f"{6:#018x}" in text
    assert [slot["expected"] for slot in json_of(Slots(rows))["data"]["slots"]] == ["0x5", "0x6"]


def test_a_column_that_is_blank_in_all_rows_for_that_reason_is_left_out() -> None:
    assert "expected" not in to_text(Slots((Slot(Address(1), "resolved", LinkAddress(5)),)))


def test_rows_that_have_rows_show_their_scalars_and_then_their_table() -> None:
    assert lines_of(Objfiles(Count(1), (LIBC, EMPTY))) == [
        "total: 1",
        "",
        "name:      libc",
        f"load bias: {16:#018x}",
        "",
        "           address  status",
        "------------------  --------",
        f"{1:#018x}  lazy",
        "",
        "notes:",
        "  one",
        "  two",
        "",
        "name:      empty",
        f"load bias: {32:#018x}",
    ]


def test_json_of_rows_that_have_rows_keeps_all_of_them() -> None:
    first, second = json_of(Objfiles(Count(1), (LIBC, EMPTY)))["data"]["objfiles"]
    assert (first["bias"], first["slots"][0]["slot"], first["notes"]) == ("0x10", "0x1", ["one", "two"])
    assert second == {"name": "empty", "bias": "0x20", "slots": [], "notes": [], "raw": []}


def test_rows_meant_for_scripts_make_no_table() -> None:
    text = to_text(Objfiles(Count(1), (Objfile("x", Address(0), raw=(Slot(Address(9), "lazy"),)),)))
    assert "lazy" not in text


def test_a_table_of_mixed_values_has_each_in_its_form() -> None:
    @dataclass(frozen=True)
    class Mixed:
        value: Any

    rows = tuple(Mixed(value) for value in (None, True, False, 3, 1.5, "x", {"cpu": 3}))
    assert [line.strip() for line in to_text(Slots(rows)).splitlines()[2:]] == [  # type: ignore[arg-type]
        "", "value", "", "3", "1.5", "x", "cpu=3",
    ]  # fmt: skip


class Place(NamedTuple):
    name: str
    address: Optional[Address] = None
    sure: bool = True


class Nothing(NamedTuple):
    pass


@dataclass(frozen=True)
class Large:
    report: Report
    places: tuple[Place, ...]
    facts: tuple[Facts, ...]
    words: Mapping[str, Word]
    values: Any
    nothing: tuple[Nothing, ...] = (Nothing(), Nothing())
    problems: tuple[str, ...] = ('too \u2014 "large"',)


@pytest.mark.parametrize("values", [(), (1, True, None), (1.0, 1), ["a", ["b", ("c",)], {"d": 1}], (Facts(), Facts())])
def test_a_record_that_is_written_at_once_is_what_the_encoder_makes_of_it(values: Any) -> None:
    places = (Place("a\x1b"), Place("a\x1b", Address(-1)), Place("\udc80", Address(0), False))
    rows = (Row(Count(0)), Row(Count(1), Address(16), name="%s"))
    for large in (
        Large(
            Report("s", rows=rows, addresses=(Address(1), Address(1))),
            places,
            (Facts(asked=Size(3)),),
            {"w": Word(9)},
            values,
        ),
        Large(Report("%d"), places[:1], (), {}, values, (), ()),
        Facts(verdict="a"),
        Place("b"),
    ):
        plain = dict(plain_records([large])[0])
        problems = plain.pop("problems", ())
        assert record_texts(large) == (json.dumps(plain), json.dumps(problems))
