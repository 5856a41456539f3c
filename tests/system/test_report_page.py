"""The page of `kdbg report` in a real browser, made from the example kernel, native programs, and made-up dossiers."""

from __future__ import annotations

import pathlib
import re
import shutil
from typing import Iterator

import pytest
import support
from browser import Browser, browser, require_chromium
from dossiers import HOSTILE, HUGE, dossier, hostile, large
from support import KernelBuilder

from gdb_kdbg.dossier import Dossier
from gdb_kdbg.page.document import page

# Anything that reaches out of its box, or out of the window, without a scroll bar of its own.
_CLIPPED = """[...document.querySelectorAll("main *")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && !element.closest(".scroll, .log, .unseen, svg") && box.right > innerWidth + 1;
}).map((element) => element.outerHTML.slice(0, 120))"""
_FOCUS = """(() => {
  const at = document.activeElement, style = getComputedStyle(at);
  const ring = style.outlineStyle !== "none" || getComputedStyle(at.querySelector?.(".hit") || at).stroke !== "none";
  return [at.tagName.toLowerCase(), at.id || at.className.baseVal || at.className || at.textContent, ring];
})()"""


PRINTED = (
    "wrote 8, over the guard", "the asked range ends at the guard", "a line of the log", "__stack_chk_fail",
    "0x7ffff7d8a768", "unrelocated", "a page is missing", "culprit #4", "core dump", "kernel/tty.c:64",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    require_chromium()
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def show(chromium: Browser, made: Dossier, directory: pathlib.Path, width: int = 1280, scheme: str = "light") -> None:
    """Open the page of a dossier."""
    path = directory / "page.html"
    path.write_text(page(made), encoding="utf-8")
    show_file(chromium, path, width, scheme)


def show_file(chromium: Browser, path: pathlib.Path, width: int = 1280, scheme: str = "light") -> None:
    chromium.media(scheme)
    chromium.resize(width)
    chromium.scripts(True)
    chromium.open(path)
    assert chromium.value("document.documentElement.dataset.ready") == "yes"


def assert_quiet(chromium: Browser, requests: int = 1) -> None:
    """Nothing on the console, no request but for the page itself."""
    assert chromium.complaints() == []
    assert len(chromium.requests()) == requests, chromium.requests()


def text(chromium: Browser, selector: str) -> str:
    found = chromium.value(f"document.querySelector({selector!r}).textContent")
    assert isinstance(found, str)
    return found


def count(chromium: Browser, selector: str) -> int:
    found = chromium.value(f"document.querySelectorAll({selector!r}).length")
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("where", ["live", "gdb on the dump", "outside"])
def test_the_kernels_double_copy_is_told_and_drawn(
    where: str, chromium: Browser, kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    report, dump = tmp_path / "report.html", tmp_path / "guest.dump"
    command = f"kdbg report -o {report}"
    with support.boot(kernels(), "fault=double_copy", tmp_path) as guest:
        symbols = f"add-symbol-file {guest.programs / 'editor'}"
        stop = [symbols, "break __stack_chk_fail if $fs_base != 0", "continue"]
        output = guest.gdb([*stop, command if where == "live" else f"monitor dump-guest-memory -p {dump}"])
    if where == "gdb on the dump":
        output = support.gdb([symbols, command], str(guest.kernel), str(dump))
    elif where == "outside":
        output = support.kdbg("report", "-o", str(report), str(dump), str(guest.kernel), str(guest.programs / "editor"))
    data = output.data("report")
    assert data["path"] == str(report) and data["size"] == report.stat().st_size and data["findings"] == 1
    show_file(chromium, report)
    assert_quiet(chromium)
    assert text(chromium, "h1") == "ucopy_double was asked for 4 bytes and wrote 8, over the guard in editor (pid 3)"
    assert text(chromium, ".badge") == "Routine at fault"
    # Four bytes were overwritten; a guard is random, so that one of them may be what it was.
    assert 2 <= count(chromium, ".memory .byte.wrong") <= 4
    assert count(chromium, ".memory .copy.culprit .overrun") == 1
    assert "ends exactly where the guard begins; it wrote 4 bytes more" in text(chromium, "figcaption")
    assert text(chromium, ".moment.culprit") == "culprit #14"
    row = text(chromium, "#copies tr.culprit")
    assert re.match(r"14tty_ioctl\+0x[0-9a-f]+kernel/tty\.c:62editor \(pid 3\)ioctl:TIOCGPGRP", row), row
    assert "learn_foreground_group" in text(chromium, "#details")


def test_a_healthy_kernel_is_accused_of_nothing(
    chromium: Browser, kernels: KernelBuilder, tmp_path: pathlib.Path
) -> None:
    report = tmp_path / "report.html"
    with support.boot(kernels(), "fault=none", tmp_path) as guest:
        guest.gdb(["break tty_ioctl", "continue", "continue", f"kdbg report -o {report}"])
    show_file(chromium, report)
    assert_quiet(chromium)
    assert text(chromium, "h1") == "No rule of kdbg explains this stop"
    assert count(chromium, ".culprit, .wrong, .overrun") == 0 and count(chromium, "#marks path") > 0


def test_a_native_program_shows_its_slots(chromium: Browser, runtime: KernelBuilder, tmp_path: pathlib.Path) -> None:
    report, core = tmp_path / "report.html", tmp_path / "core"
    live = support.gdb([f"run long_copy > {tmp_path / 'out'} 2>&1", f"kdbg report -o {report}",
                        f"generate-core-file {core}"], str(runtime()))  # fmt: skip
    assert live.data("report")["summary"].startswith("caller at fault: fill+")
    show_file(chromium, report)
    assert_quiet(chromium)
    assert text(chromium, "#memory-title") == "Memory around the canary of fill"
    # All eight bytes were overwritten, and some may be what they were.
    assert count(chromium, ".memory .byte.wrong") >= 4
    assert "libc.so.6" in text(chromium, "#slots") and "RELATIVE slots relocated" in text(chromium, "#slots")
    # The core by its name among the files, and by the option.
    for words in ([str(core), str(runtime())], ["--core", str(core), str(runtime())]):
        outside = support.kdbg("report", "-o", str(report), "--title", "from a core", *words)
        assert outside.data("report")["summary"] == live.data("report")["summary"]
        show_file(chromium, report)
        assert text(chromium, "title") == "from a core – kdbg" and count(chromium, ".memory .byte.wrong") >= 4


def test_a_report_that_cannot_be_written_is_one_clear_line(runtime: KernelBuilder, tmp_path: pathlib.Path) -> None:
    output = support.gdb(["break run", "run none", f"kdbg report -o {tmp_path}/no/place.html"], str(runtime()))
    assert f"kdbg: cannot write {tmp_path}/no/place.html: there is no directory {tmp_path}/no" in output.text
    outside = support.kdbg("report", "-o", str(tmp_path), str(runtime()))
    assert outside.status == 1 and "it is a directory" in outside.problems("report")[0]


def test_the_file_of_an_option_is_completed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a-report.html").write_text("")
    output = support.gdb([f"complete kdbg report -o {tmp_path}/a-", "complete kdbg report --t"])
    assert f"kdbg report -o {tmp_path}/a-report.html" in output.text and "kdbg report --title" in output.text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2560])
def test_nothing_is_cut_off_at_any_width(width: int, scheme: str, chromium: Browser, tmp_path: pathlib.Path) -> None:
    for made in (dossier(), large(300), hostile("x" * 300)):
        show(chromium, made, tmp_path, width, scheme)
        chromium.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert chromium.value("document.documentElement.scrollWidth <= innerWidth")
        assert chromium.value(_CLIPPED) == []
        assert_quiet(chromium)


def test_dark_is_dark_and_light_is_light(chromium: Browser, tmp_path: pathlib.Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    show(chromium, dossier(), tmp_path)
    assert chromium.value(ground) == "rgb(245, 245, 242)"
    show(chromium, dossier(), tmp_path, scheme="dark")
    assert chromium.value(ground) == "rgb(18, 19, 22)"
    # On paper there is no dark.
    chromium.media("dark", "print")
    assert chromium.value(ground) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("words", [*HOSTILE, HUGE, "ر\u0627\u0644 אבג"], ids=range(len(HOSTILE) + 2))
def test_hostile_names_stay_text(words: str, chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, hostile(words), tmp_path)
    chromium.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    chromium.value("document.querySelector('#chart').focus()")
    chromium.press("ArrowLeft", "ArrowLeft", "c", "+", "0")
    assert_quiet(chromium)
    assert chromium.value("document.body.dataset.hacked === undefined && !window.hacked")
    assert count(chromium, "script") == 2 and count(chromium, "img, iframe, [onerror], [onload]") == 0
    assert chromium.value("document.documentElement.scrollWidth <= innerWidth")
    assert len(text(chromium, "main")) < 80_000


def test_the_keyboard_reaches_everything_in_order(chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, dossier(), tmp_path)
    seen = []
    for _ in range(60):
        chromium.press("Tab")
        name, what, ring = chromium.value(_FOCUS)
        if name == "body":
            break
        assert ring, f"{name} {what}: no visible focus"
        seen.append((name, what))
    names = [f"{name} {what}" for name, what in seen]
    order = [
        "a skip", "a Verdict", "button copy-button", "div scroll", "g copy culprit chosen", "button +", "div chart",
        "summary All copies as a table5", "summary Evidence1", "summary Registers1",
    ]  # fmt: skip
    places = [names.index(name) for name in order]
    assert places == sorted(places), names
    # Of the copies in the picture one is a stop for Tab, and the arrows lead to the others.
    assert sum(name == "g" for name, _ in seen) == 1


def test_arrow_keys_walk_along_the_copies(chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, large(400), tmp_path)
    chosen = "document.querySelector('#copies .detail').textContent.match(/Copy (\\\\d+)/)[1]".replace("\\\\", "\\")
    chromium.value("document.querySelector('#chart').focus()")
    assert chromium.value(chosen) == "333"
    chromium.press("ArrowLeft")
    assert chromium.value(chosen) == "332"
    chromium.press("ArrowRight", "ArrowRight")
    assert chromium.value(chosen) == "334"
    chromium.press("Home")
    assert chromium.value(chosen) == "0"
    chromium.press("ArrowLeft")
    assert chromium.value(chosen) == "0"
    chromium.press("End")
    assert chromium.value(chosen) == "399"
    chromium.press("c")
    assert chromium.value(chosen) == "333" and text(chromium, "#copies .detail").startswith("Culprit. ")
    chromium.press("ArrowDown")
    assert chromium.value(chosen) != "333"
    chromium.value("document.querySelector('.memory .copy.culprit').focus()")
    assert chromium.value(chosen) == "333"
    chromium.press("ArrowUp")
    assert chromium.value(chosen) != "333" and not text(chromium, "#memory .detail").startswith("Culprit")
    assert chromium.value("document.querySelector('#memory .detail').hidden") is False
    # What is not in the picture is not told below it.
    chromium.value("document.querySelector('#chart').focus()")
    chromium.press("End")
    assert (
        chromium.value(chosen) == "399" and chromium.value("document.querySelector('#memory .detail').hidden") is True
    )


def test_zooming_shows_each_copy_and_fit_shows_all(chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, large(2000), tmp_path)
    drawn = "(document.querySelector('#marks').innerHTML.match(/M/g) || []).length"
    crowd = "!document.querySelector('#crowd').hidden"
    whole = chromium.value(drawn)
    assert chromium.value(crowd) and whole <= 16 * 84
    chromium.value("document.querySelector('#chart').focus()")
    chromium.press(*"c++++++++")
    assert not chromium.value(crowd) and chromium.value(drawn) < whole
    assert chromium.value("document.querySelector('.moment.culprit').getAttribute('visibility')") == "visible"
    chromium.press("Home")
    assert chromium.value("document.querySelector('.moment.culprit').getAttribute('visibility')") == "hidden"
    chromium.press("0")
    assert chromium.value(drawn) == whole and chromium.value(crowd)
    chromium.value("document.querySelector('[data-zoom=in]').click()")
    assert chromium.value("document.querySelector('[data-zoom=fit]').disabled") is False


def test_a_drag_zooms_and_a_click_chooses(chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, large(2000), tmp_path)
    chromium.value("document.querySelector('#chart').scrollIntoView({behavior: 'instant', block: 'center'})")
    box = (
        "(() => { const b = document.querySelector('#chart svg').getBoundingClientRect(); return [b.left, b.top]; })()"
    )
    left, top = chromium.value(box)
    for kind, x in (("mousePressed", 300), ("mouseMoved", 340), ("mouseMoved", 400), ("mouseReleased", 400)):
        chromium.mouse(kind, left + x, top + 100)
    ticks = chromium.value(
        "[...document.querySelectorAll('#ticks text')].map((t) => Number(t.textContent.replace(',', '')))"
    )
    assert 200 < min(ticks) < max(ticks) < 600
    first = chromium.value(box.replace("#chart svg", "#marks path").replace("b.left, b.top", "b.left + 4, b.top + 4"))
    for kind in ("mousePressed", "mouseReleased"):
        chromium.mouse(kind, *first)
    assert int(text(chromium, "#copies .detail").split()[1]) in range(200, 600)
    assert_quiet(chromium)


def test_the_table_is_filtered_and_turned(chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, large(1000), tmp_path)
    assert count(chromium, "#copies-rows tr") == 100 and count(chromium, "#copies-rows tr.culprit") == 1
    assert text(chromium, "#page") == "801–900 of 1,000"
    chromium.value("document.querySelector('#later').click()")
    assert text(chromium, "#page") == "901–1000 of 1,000" and count(chromium, "#copies-rows tr.culprit") == 0
    chromium.value("(() => { const f = document.querySelector('#filter'); f.value = 'tty_ioctl+0x142 CULPRIT'; "
                   "f.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert text(chromium, "#page") == "1–1 of 1"
    assert "0x7ffff7d8a764" in text(chromium, "#copies-rows tr")


def test_a_command_is_copied(chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, dossier(), tmp_path)
    chromium.value("window.kept = ''; navigator.clipboard.writeText = async (words) => { window.kept = words; }")
    # What comes a moment later comes when it is asked for here.
    chromium.value("window.setTimeout = (later) => { window.later = later; }; 0")
    chromium.value("document.querySelector('.copy-button').focus()")
    chromium.press("Enter")
    assert chromium.value("window.kept") == "disassemble ucopy_double"
    assert text(chromium, ".copy-button") == "Copied"
    chromium.value("window.later()")
    assert text(chromium, ".copy-button") == "Copy"


def test_without_scripts_the_page_can_be_read(chromium: Browser, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(large(500)))
    chromium.resize(1280)
    chromium.scripts(False)
    try:
        chromium.open(path)
        assert_quiet(chromium)
        if shutil.which("pdftotext"):
            chromium.pdf(tmp_path / "page.pdf")
    finally:
        chromium.scripts(True)
    still = chromium.call("DOM.getOuterHTML", nodeId=chromium.call("DOM.getDocument", depth=-1)["root"]["nodeId"])
    assert 'data-ready="yes"' not in still["outerHTML"]
    visible = still["outerHTML"].partition("<main>")[2]
    assert "culprit #416" in visible and visible.count("<tr") > 100 and visible.count('id="marks"') == 1
    # What would do nothing is not shown.
    for button in visible.split("<button")[1:]:
        assert "data-zoom" in button or 'id="earlier"' in button or 'id="later"' in button or " hidden" in button
    assert "JavaScript shows all" in visible
    if shutil.which("pdftotext"):
        words = support.run("pdftotext", "-layout", str(tmp_path / "page.pdf"), "-")
        assert "the asked range ends at the guard" in words and "a page is missing" in words


def test_on_paper_all_is_unfolded_and_nothing_is_lost(chromium: Browser, tmp_path: pathlib.Path) -> None:
    support.require("pdftotext")
    show(chromium, dossier(), tmp_path)
    chromium.pdf(tmp_path / "page.pdf")
    words = support.run("pdftotext", "-layout", str(tmp_path / "page.pdf"), "-")
    assert [part for part in PRINTED if part not in words] == []
    assert "Skip to" not in words and "Keys in the chart" not in words
    # Folded again, as it was.
    assert count(chromium, "details[open]") == 0


def test_ten_thousand_copies_are_all_there(chromium: Browser, tmp_path: pathlib.Path) -> None:
    show(chromium, large(10_000), tmp_path)
    assert_quiet(chromium)
    assert chromium.value("JSON.parse(document.querySelector('#data').textContent).rows.length") == 10_000
    assert count(chromium, "#marks path") > 50 and text(chromium, ".moment.culprit") == "culprit #8333"
    assert count(chromium, "*") < 6_000
    assert shutil.disk_usage(tmp_path).free and (tmp_path / "page.html").stat().st_size < 1_500_000
