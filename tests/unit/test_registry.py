"""One declaration of a command gives its usage, help, completion and parsing."""

from __future__ import annotations

import re
from typing import Optional, Sequence

import pytest

from gdb_kdbg.arguments import parse
from gdb_kdbg.errors import KdbgError
from gdb_kdbg.registry import (
    SETTINGS,
    Argument,
    Command,
    Example,
    asks_for_file,
    candidates,
    command,
    commands,
    complete,
    named,
)

ARGUMENTS = (
    Argument("what", "a thing", choices=("guard", "ground")),
    Argument("--last", "show COUNT", "count"),
    Argument("--around", "near an address", "address"),
    Argument("--any-process", "do not filter", "flag"),
)


def of(*arguments: Argument, examples: Sequence[Example] = (), description: str = "") -> Command:
    return Command("ring", "Show the ring", description, lambda session, options: None, arguments, examples, False)


RING = of(*ARGUMENTS)


@pytest.mark.parametrize(
    ("argument", "usage"),
    [
        (Argument("--on", "", "flag"), "[--on]"),
        (Argument("--last", "", "count"), "[--last COUNT]"),
        (Argument("--form", "", choices=("a", "b")), "[--form a|b]"),
        (Argument("what", ""), "[WHAT]"),
        (Argument("file", "", "file", required=True), "FILE"),
    ],
)
def test_usage_shows_what_may_be_left_out_in_brackets(argument: Argument, usage: str) -> None:
    assert argument.usage() == usage
    assert of(argument).usage() == f"kdbg ring {usage}"


def test_usage_of_a_command_without_arguments_is_its_name() -> None:
    assert of().usage() == "kdbg ring"


def test_an_options_value_is_named_without_dashes() -> None:
    assert Argument("--any-process", "").destination == "any_process"
    assert Argument("what", "").destination == "what"


def test_help_has_summary_usage_description_arguments_and_examples() -> None:
    text = of(
        ARGUMENTS[1], examples=[Example("kdbg ring --last 4", "the newest four")], description="More.\n"
    ).help_text()
    assert text.splitlines() == [
        "Show the ring.",
        "Usage: kdbg ring [--last COUNT]",
        "",
        "More.",
        "",
        "  --last  show COUNT",
        "",
        "Examples:",
        "  (gdb) kdbg ring --last 4",
        "      the newest four",
    ]


def test_help_leaves_out_what_a_command_has_not() -> None:
    assert of(description="More.").help_text().splitlines() == ["Show the ring.", "Usage: kdbg ring", "", "More."]


@pytest.mark.parametrize("declared", commands(), ids=lambda declared: declared.name)
def test_every_command_has_a_help_fit_for_gdb(declared: Command) -> None:
    lines = declared.help_text().splitlines()
    # GDB shows the first line alone in `help kdbg`; the terminal has at least 120 columns.
    assert re.fullmatch(r"[A-Z].*[^.]\.", lines[0])
    assert declared.description.strip()
    assert all(len(line) <= 120 for line in lines)
    assert not any(line.startswith(" ") for line in declared.description.splitlines())
    assert declared.examples or declared.name == "status"
    assert all(argument.help for argument in declared.arguments)


@pytest.mark.parametrize("declared", commands(), ids=lambda declared: declared.name)
def test_every_example_of_a_command_parses(declared: Command) -> None:
    for example in declared.examples:
        typed = re.split(r" -- |pipe | \| ", example.line)
        line = next(part for part in typed if part.startswith(f"kdbg {declared.name}"))
        parse(declared, line.split()[2:])


def test_every_setting_has_a_default_among_its_choices() -> None:
    for setting in SETTINGS:
        assert setting.summary and setting.description
        assert not setting.choices or setting.default in setting.choices


def test_declaring_keeps_the_function_and_its_docstring(monkeypatch: pytest.MonkeyPatch) -> None:
    import gdb_kdbg.registry as registry

    monkeypatch.setattr(registry, "_registry", registry.Registry())

    @command("probe", "Try it")
    def probe(session: object, options: object) -> int:
        """Body."""
        return 5

    (declared,) = (c for c in registry._registry._commands.values() if c.name == "probe")
    assert declared.run is probe
    assert declared.help_text().splitlines() == ["Try it.", "Usage: kdbg probe", "", "Body."]


@pytest.mark.parametrize(
    ("text", "word", "answer"),
    [
        ("", "", ["guard", "ground", "--last", "--around", "--any-process"]),
        ("gu", "gu", ["guard"]),
        ("--", "", ["last", "around", "any-process"]),
        ("--a", "a", ["around", "any-process"]),
        ("--any-p", "p", ["process"]),
        ("--any-process", "process", ["process"]),
        ("--last 4 --l", "l", []),
        ("--last 4 --a", "a", ["around", "any-process"]),
        ("--last ", "", ["guard", "ground", "--around", "--any-process"]),
        ("--x", "x", []),
    ],
)
def test_completion_answers_what_stands_behind_the_part_gdb_has_broken_off(
    text: str, word: str, answer: Sequence[str]
) -> None:
    assert sorted(complete(RING, text, word) or []) == sorted(answer)


@pytest.mark.parametrize(
    ("text", "word", "answer"),
    [
        ("--kind ", "", ["red", "green", "great"]),
        ("--kind gr", "gr", ["green", "great"]),
        ("--kind red,", "", ["red", "green", "great"]),
        ("--kind red,gre", "gre", ["green", "great"]),
        ("--kind red,gre", "red,gre", ["red,green", "red,great"]),
        ("--kind blue,r", "r", ["red"]),
        ("--kind x", "x", []),
        ("--kind red --l", "l", ["last"]),
    ],
)
def test_completion_of_a_list_offers_the_next_of_it(text: str, word: str, answer: Sequence[str]) -> None:
    kinds = Argument("--kind", "only these", suggested=("red", "green", "great"))
    listing = of(kinds, Argument("--last", "the last", "count"))
    assert complete(listing, text, word) == answer


@pytest.mark.parametrize("text", ["", "--", "--la"])
def test_completion_leaves_the_word_to_gdb_when_it_asks_for_it(text: str) -> None:
    word: Optional[str] = None
    assert complete(RING, text, word) is None


def test_an_option_already_given_is_offered_no_more() -> None:
    assert "--last" not in candidates(RING, ["--last", "4"])
    assert "--last" in candidates(RING, ["--around"])


def test_options_are_parsed_by_their_kind() -> None:
    options = parse(RING, ["guard", "--last", "0x10", "--around", "$fs_base+0x28", "--any-process"])
    assert (options.what, options.last, options.around, options.any_process) == ("guard", 16, "$fs_base+0x28", True)


def test_options_not_given_are_none_or_false() -> None:
    options = parse(RING, [])
    assert (options.what, options.last, options.around, options.any_process) == (None, None, None, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--last", "many"], "not a count: 'many'"),
        (["--last", "-1"], "not a count: '-1'"),
        (["--last"], "expected one argument"),
        (["--nothing"], "unrecognized arguments: --nothing"),
        (["guard", "more"], "unrecognized arguments: more"),
        (["--las"], "unrecognized arguments: --las"),
        (["--help"], "unrecognized arguments: --help"),
    ],
)
def test_a_wrong_line_is_an_error_for_the_user_and_never_an_exit(words: list[str], message: str) -> None:
    with pytest.raises(KdbgError, match=re.escape(message)) as raised:
        parse(RING, words)
    assert str(raised.value).endswith("(help kdbg ring)")


def test_a_required_argument_must_be_given() -> None:
    required = of(Argument("file", "", "file", required=True))
    with pytest.raises(KdbgError, match="required: file"):
        parse(required, [])
    assert parse(required, ["a.out"]).file == "a.out"


def test_a_word_outside_the_choices_is_refused() -> None:
    with pytest.raises(KdbgError, match="invalid choice: 'nonsense'"):
        parse(RING, ["nonsense"])
    assert parse(RING, ["ground"]).what == "ground"


WITH_FILE = of(Argument("--output", "where to", "file", short="-o"), Argument("--on", "on", "flag"))


def test_a_short_name_is_another_name_of_its_option() -> None:
    assert parse(WITH_FILE, ["-o", "x.html"]).output == parse(WITH_FILE, ["--output", "x.html"]).output == "x.html"
    assert WITH_FILE.usage() == "kdbg ring [-o FILE] [--on]"
    assert "  -o, --output  where to" in WITH_FILE.help_text()
    assert candidates(WITH_FILE, []) == ["--output", "--on"] and candidates(WITH_FILE, ["-o", "x"]) == ["--on"]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("-o ", True),
        ("-o re", True),
        ("--output re", True),
        ("-o a b", False),
        ("-o", False),
        ("--on re", False),
        ("", False),
    ],
)
def test_behind_an_option_for_files_a_file_is_typed(text: str, asked: bool) -> None:
    assert asks_for_file(WITH_FILE, text) is asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [("", True), ("a", True), ("a b", True), ("--on b", True), ("-", False), ("--o", False), ("--pid 3", False)],
)
def test_a_bare_word_of_a_command_for_files_is_a_file(text: str, asked: bool) -> None:
    command = of(Argument("logs", "them", "file", required=True, many=True), Argument("--on", "on", "flag"),
                 Argument("--pid", "of which", "count"))  # fmt: skip
    assert asks_for_file(command, text) is asked
    assert command.usage() == "kdbg ring LOGS... [--on] [--pid COUNT]"
    assert parse(command, ["a", "b", "--on"]).logs == ["a", "b"]


def test_a_command_that_is_named_is_the_one_of_all() -> None:
    for one in commands():
        assert named(one.name) is one
    assert named("no-such-command") is None
