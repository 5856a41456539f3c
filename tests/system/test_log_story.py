"""What a serial log tells of the example kernel's faults, with no machine to ask: the same verdicts as on it."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any, Callable, Iterator

import pytest
import support
from browser import Browser, browser, require_chromium
from support import KernelBuilder

Logs = Callable[..., pathlib.Path]
# As tests/system/test_verdicts.py has them. A log cannot tell which routine a pointer in memory led to at that time.
EXPECTED: dict[str, dict[str, Any]] = {
    "double_copy": {
        "verdict": "routine at fault", "asked": 4, "wrote": 8, "tag": "ioctl:TIOCGPGRP", "system_call": "ioctl",
        "pid": 3, "victim": "guard", "victim_address": "0x410028", "destination": "0x410024",
    },
    "wrong_size": {
        "verdict": "caller at fault", "asked": 8, "wrote": 8, "tag": "ioctl:TIOCGPGRP", "system_call": "ioctl",
        "pid": 3, "victim": "guard", "victim_address": "0x410028", "destination": "0x410024",
    },
    "wild_copy": {
        "verdict": "caller at fault", "asked": 8, "wrote": 8, "tag": "ioctl:TIOCGWINSZ", "system_call": "ioctl",
        "pid": 3, "victim": "guard", "victim_address": "0x410028", "destination": "0x410028",
    },
    "user_overflow": {"verdict": "program at fault", "pid": 3, "victim": "guard", "victim_address": "0x410028"},
}  # fmt: skip
COPIES = ("double_copy", "wrong_size", "wild_copy")
# What happens in every run, as it is meant to: a child of `signals` dies, and `logger` asks for what is not there.
USUAL = ["null-dereference", "missing-system-calls"]


@pytest.fixture(scope="module")
def logs(kernels: KernelBuilder, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Runs the kernel once with each fault and each choice of events, and keeps its serial log."""

    @functools.lru_cache(maxsize=None)
    def run(fault: str, events: str, **build: int) -> pathlib.Path:
        directory = tmp_path_factory.mktemp(f"{fault}-{events.replace(',', '-')}")
        with support.boot(kernels(**build), f"fault={fault} debug={events}", directory, stopped=False) as guest:
            guest.wait()
        return directory / "serial.log"

    return run


def analysis(log: pathlib.Path, *symbols: pathlib.Path) -> Any:
    words = [word for path in symbols for word in ("--symbols", str(path))]
    output = support.kdbg("analyze", str(log), *words)
    (found,) = output.objects
    assert found["problems"] == []
    assert output.status == (3 if found["data"]["findings"] or found["data"]["crashes"] else 0)
    return found["data"]


def rules(data: Any) -> list[str]:
    return [finding["rule"] for finding in data["findings"]]


@pytest.mark.parametrize("has_symbols", [True, False], ids=["symbols", "numbers"])
@pytest.mark.parametrize("events", ["canary", "canary,usercopy", "all"])
@pytest.mark.parametrize("fault", EXPECTED)
def test_the_log_alone_tells_the_story(
    fault: str, events: str, has_symbols: bool, logs: Logs, kernels: KernelBuilder
) -> None:
    data = analysis(logs(fault, events), *([kernels()] if has_symbols else []))
    assert rules(data) == ["guard-changed", *(USUAL if events == "all" else [])]
    assert data["crashes"] == []
    finding = data["findings"][0]
    facts = finding["facts"]
    for name, value in EXPECTED[fault].items():
        assert facts.get(name) == value, (name, facts)
    assert finding["confidence"] == "likely" and finding["next"]
    assert facts.get("process") == ("editor" if events == "all" else None)
    if has_symbols and fault in COPIES:
        assert facts["caller"].startswith("tty_ioctl+") and facts["file"] == "kernel/tty.c" and facts["line"] > 0
    told = " ".join(finding["evidence"])
    assert ("it was done during the system call ioctl" in told) is (fault in COPIES)
    assert ("killed by SIGABRT" in told) is (events == "all")


@pytest.mark.parametrize("build", [{"DEBUG": 0}, {"SIZES": 0}], ids=["g0", "no-sizes"])
@pytest.mark.parametrize("fault", EXPECTED)
def test_other_builds_tell_the_same(fault: str, build: dict[str, int], logs: Logs, kernels: KernelBuilder) -> None:
    data = analysis(logs(fault, "canary", **build), kernels(**build))
    facts = data["findings"][0]["facts"]
    assert rules(data) == ["guard-changed"]
    assert {name: facts.get(name) for name in EXPECTED[fault]} == EXPECTED[fault]
    assert fault not in COPIES or facts["caller"].startswith("tty_ioctl+")


@pytest.mark.parametrize("events", ["canary", "canary,usercopy", "canary,usercopy,panic"])
def test_a_healthy_log_is_silent(events: str, logs: Logs) -> None:
    data = analysis(logs("none", events))
    assert data["findings"] == [] and data["crashes"] == [] and data["events"]["total"] > 50


def test_with_all_events_a_healthy_run_accuses_nobody(logs: Logs, kernels: KernelBuilder) -> None:
    data = analysis(logs("none", "all"), kernels())
    assert rules(data) == USUAL
    dereference, missing = data["findings"]
    assert dereference["facts"]["process"] == "signals" and dereference["facts"]["fault_address"] == "0x0"
    assert missing["facts"] == {"system_call": "gettid"}


def test_every_phase_of_a_copy_fault_is_named(logs: Logs, kernels: KernelBuilder) -> None:
    data = analysis(logs("unmapped", "canary,usercopy,process"), kernels())
    facts = [finding["facts"] for finding in data["findings"]]
    # A child of `signals` dies in every run.
    assert rules(data) == ["copy-fault"] * 4 + ["fatal-signal"]
    facts = facts[:4]
    assert [fact["phase"] for fact in facts] == ["leading", "bulk", "trailing", "small"]
    assert [(fact["remaining"], fact["asked"]) for fact in facts] == [(390, 390), (326, 390), (6, 390), (2, 4)]
    assert {fact["routine"] for fact in facts} == {"ucopy"} and {fact["process"] for fact in facts} == {"edges"}
    assert [fact["tag"] for fact in facts] == ["uname:utsname"] * 3 + ["ioctl:TIOCGPGRP"]


def test_a_panic_has_its_backtrace_by_name(logs: Logs, kernels: KernelBuilder) -> None:
    data = analysis(logs("panic", "panic"), kernels())
    assert rules(data) == ["panic"]
    assert data["findings"][0]["facts"]["function"] == "kernel_main"
    assert any("boot_higher_half" in line for line in data["findings"][0]["evidence"])
    assert len(data["crashes"]) == 1, "the console has the panic in plain text too"


def test_hostile_tags_stay_text(logs: Logs) -> None:
    text = json.dumps(analysis(logs("hostile", "all")), ensure_ascii=False)
    assert text.isprintable()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    require_chromium()
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def value(chromium: Browser, expression: str) -> Any:
    return chromium.value(expression)


def show(chromium: Browser, report: pathlib.Path) -> None:
    chromium.resize(1280)
    chromium.scripts(True)
    chromium.open(report)
    assert value(chromium, "document.documentElement.dataset.ready") == "yes"
    assert chromium.complaints() == [] and len(chromium.requests()) == 1


@pytest.mark.parametrize("where", ["outside", "gdb"])
def test_the_page_of_a_log(
    where: str, chromium: Browser, logs: Logs, kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    report, log = tmp_path / "report.html", logs("double_copy", "all")
    if where == "outside":
        output = support.kdbg("report", str(log), str(kernels()), "-o", str(report))
    else:
        output = support.gdb([f"kdbg report {log} -o {report}"], str(kernels()))
    assert output.data("report")["findings"] == 3
    show(chromium, report)
    title = "The copy routine was asked for 4 bytes and wrote 8, over the guard in editor (pid 3)"
    assert value(chromium, "document.querySelector('h1').textContent") == title
    assert value(chromium, "document.querySelector('.badge').textContent") == "Routine at fault"
    # Four bytes were overwritten; the guard is random, so that some of them may be what they were.
    assert 2 <= value(chromium, "document.querySelectorAll('.memory .byte.wrong').length") <= 4
    assert value(chromium, "document.querySelectorAll('.memory .copy.culprit .overrun').length") == 1
    assert value(chromium, "document.querySelector('.moment.culprit').textContent") == "culprit #14"
    marked = value(chromium, "[...document.querySelectorAll('#details mark')].map((line) => line.textContent).join()")
    assert '"corrupted":true' in marked and '"trigger":"canary"' in marked
    # The keyboard gets to the copies.
    value(chromium, "document.getElementById('chart').focus()")
    chromium.press("ArrowLeft")
    assert "Copy 13" in value(chromium, "document.querySelector('#copies .detail').textContent")


def test_the_page_of_a_healthy_log_accuses_nobody(chromium: Browser, logs: Logs, tmp_path: pathlib.Path) -> None:
    report = tmp_path / "report.html"
    support.kdbg("report", str(logs("none", "canary,usercopy")), "-o", str(report))
    show(chromium, report)
    assert value(chromium, "document.querySelector('h1').textContent") == "No rule of kdbg explains this log"
    assert value(chromium, "document.querySelectorAll('.culprit, .wrong, .overrun').length") == 0
    assert value(chromium, "document.querySelectorAll('#marks path').length") > 0
