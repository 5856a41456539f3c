"""The copy routines of a real Linux kernel, from its file: right ones are cleared, the others not accused."""

from __future__ import annotations

import pytest
import support
import uml


@pytest.mark.parametrize("routine", ["__memcpy", "__memmove", "__memset"])
def test_the_routines_of_linux_conform(routine: str) -> None:
    report = support.kdbg("check-copy", str(uml.uml_kernel().vmlinux), routine).data("check-copy")
    assert (report["verdict"], report["breaches"]) == ("conforms", []) and report["cases"] > 30_000


@pytest.mark.parametrize("routine", ["raw_copy_to_user", "raw_copy_from_user", "strncpy_from_user"])
def test_what_asks_for_its_task_is_not_accused_in_a_file(routine: str) -> None:
    output = support.kdbg("check-copy", "--quick", str(uml.uml_kernel().vmlinux), routine)
    assert output.data("check-copy")["verdict"] == "undecidable"
    (problem,) = output.objects[0]["problems"]
    assert "its thread keeps on the stack" in problem or "set when a program starts" in problem
