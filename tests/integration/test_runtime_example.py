"""The walk through examples/runtime/README.md is what a reader will see."""

from __future__ import annotations

import re

import pytest
import support
from runtimes import build_runtime, shared

README = (support.ROOT / "examples" / "runtime" / "README.md").read_text()
# What a program is called in the README, what kdbg is asked, and the paragraph it answers with.
STORY = re.compile(r"<!-- (c|rust)-(memcpy|vtable)-(bfd|lld): kdbg why -->\n\n.*?\n\n(.*?)\n    rule: ", re.DOTALL)


def without_numbers(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+|:\d+", "#", " ".join(text.split()))


@pytest.mark.parametrize(("language", "fault", "linker", "summary"), STORY.findall(README))
def test_the_story_in_the_readme_is_told(language: str, fault: str, linker: str, summary: str) -> None:
    support.require("gcc", "gdb", *(["rustc"] if language == "rust" else []), *(["ld.lld"] if linker == "lld" else []))
    program = build_runtime(shared(), language, fault, linker)
    text = support.gdb(["run", "kdbg why"], str(program), json_format=False).text
    assert without_numbers(summary) in without_numbers(text)
    assert "confidence: certain" in text


def test_the_readme_tells_both_crashes_in_both_languages() -> None:
    told = {(language, fault) for language, fault, _, _ in STORY.findall(README)}
    assert told >= {("c", "memcpy"), ("c", "vtable"), ("rust", "memcpy"), ("rust", "vtable")}
    assert "<!-- transcript" not in README
