"""`kdbg analyze` as a person meets it: files of all kinds, many at once, broken ones among them, in GDB and outside."""

from __future__ import annotations

import gzip
import json
import lzma
import pathlib
import resource
import subprocess
import sys
from typing import Any, Callable, Optional

import event_log
import pytest
import support

PROGRAM = [sys.executable, "-m", "gdb_kdbg", "analyze"]
CHECK = '{{"type":"canary_check","pid":3,"fsbase":0x410000,"expected":0x41941cb3157aff00,"found":{found},' \
        '"corrupted":{bad},"when":"{when}","syscall":"ioctl"}}'  # fmt: skip
INTACT = "DBG " + CHECK.format(found="0x41941cb3157aff00", bad="false", when="pre_syscall")
DAMAGED = "DBG " + CHECK.format(found="0x41941cb35e551017", bad="true", when="post_syscall")
DUMP = (
    'DBG {"type":"ucopy_trace_dump","pid":3,"trigger":"canary_corruption","total_calls":1,"entries":'
    '[{"dst":0x410024,"src":0xffffffff8011f134,"len":4,"ret":0xffffffff80103832}]}'
)
STORY = f"booting\n{INTACT}\n/ # ls\n{DAMAGED}\n{DUMP}\n*** stack smashing detected ***\n".encode()
HEALTHY = f"booting\n{INTACT}\nall is well\n".encode()
OOPS = b"""<4>[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008
<4>[    1.000001] CPU: 0 PID: 7 Comm: tool Not tainted 6.1.0 #1
<4>[    1.000002] RIP: 0010:driver_poke+0x12/0x40
<4>[    1.000003] Call Trace:
<4>[    1.000004]  driver_ioctl+0x22/0x80
<4>[    1.000005] ---[ end trace 0000000000000000 ]---
"""


def run(*words: str, feed: Optional[bytes] = None, status: int = 3) -> tuple[str, str]:
    done = subprocess.run(
        [*PROGRAM, *words], input=feed, capture_output=True, cwd=support.ROOT, timeout=support.DEADLINE
    )
    assert done.returncode == status, done.stderr
    return done.stdout.decode(), done.stderr.decode()


def objects(*words: str, feed: Optional[bytes] = None, status: int = 3) -> list[dict[str, Any]]:
    """The JSON objects, one a log."""
    found = [json.loads(line) for line in run(*words, "--format", "json", feed=feed, status=status)[0].splitlines()]
    assert all((one["schema"], one["command"]) == (1, "analyze") for one in found)
    return found


def written(directory: pathlib.Path, name: str, data: bytes) -> str:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_a_full_disk_is_said_in_a_line(tmp_path: pathlib.Path) -> None:
    log = written(tmp_path, "serial.log", STORY)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*PROGRAM, log], stdout=full, stderr=subprocess.PIPE, cwd=support.ROOT, text=True)
    assert (done.returncode, done.stderr) == (1, "kdbg: cannot write the output: No space left on device\n")
    assert run(log)[1] == ""


def boot2dump(text: bytes) -> bytes:
    return (0xDEADBEEE).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text


def zstd(data: bytes) -> bytes:
    support.require("zstd")
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize(
    ("name", "pack", "kind"),
    [
        ("serial.log", bytes, "serial log"),
        ("serial.log.gz", gzip.compress, "serial log"),
        ("serial.log.xz", lzma.compress, "serial log"),
        ("serial.log.zst", zstd, "serial log"),
        ("crash.dump", boot2dump, "boot2dump"),
        ("crash.dump.gz", lambda data: gzip.compress(boot2dump(data)), "boot2dump"),
        ("padded.dump", lambda data: boot2dump(data) + bytes(4096), "boot2dump"),
        ("events.log", lambda data: b"\n".join(x for x in data.split(b"\n") if x[:4] == b"DBG "), "event file"),
        ("events.jsonl", lambda data: b"\n".join(x[4:] for x in data.split(b"\n") if x[:4] == b"DBG "), "event file"),
        ("windows.log", lambda data: data.replace(b"\n", b"\r\n"), "serial log"),
    ],
)
def test_every_kind_of_file_tells_the_same(
    name: str, pack: Callable[[bytes], bytes], kind: str, tmp_path: pathlib.Path
) -> None:
    path = written(tmp_path, name, pack(STORY))
    (found,) = objects(path)
    data = found["data"]
    assert (data["source"], data["kind"], found["problems"]) == (path, kind, [])
    assert data["findings"][0]["facts"]["verdict"] == "routine at fault"
    assert data["events"]["by_type"] == {"canary_check": 2, "ucopy_trace_dump": 1}


def test_oops_text_has_its_crash(tmp_path: pathlib.Path) -> None:
    for pack in (bytes, boot2dump, lambda data: data.replace(b"\n", b"\r\n")):
        (found,) = objects(written(tmp_path, "oops.log", pack(OOPS)))
        (crash,) = found["data"]["crashes"]
        assert (crash["guilty"], crash["stack"], crash["first_line"]) == (
            "driver_poke",
            ["driver_poke", "driver_ioctl"],
            1,
        )
        assert crash["frames"][0]["offset"] == 0x12


def test_directories_patterns_and_names_are_read_in_order(tmp_path: pathlib.Path) -> None:
    for name in ("logs/b.log", "logs/a.log", "logs/deep/c.log", "other/x1.log", "other/x2.log", "other/y.log"):
        written(tmp_path, name, HEALTHY)
    single = written(tmp_path, "single.log", STORY)
    found = objects(str(tmp_path / "logs"), single, str(tmp_path / "other" / "x*.log"))
    names = [pathlib.Path(one["data"]["source"]).name for one in found]
    assert names == ["a.log", "b.log", "c.log", "single.log", "x1.log", "x2.log"]
    assert [bool(one["data"]["findings"]) for one in found] == [False] * 3 + [True] + [False] * 2


def test_standard_input_is_a_log_too() -> None:
    (found,) = objects("-", feed=STORY)
    assert found["data"]["source"] == "-" and len(found["data"]["findings"]) == 1
    (found,) = objects("-", feed=HEALTHY, status=0)
    assert found["data"]["findings"] == []


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("program", b"\x7fELF\2\1\1" + bytes(100), "is an ELF file: name it with --symbols"),
        ("noise.bin", bytes(range(256)) * 64, "is no text"),
        ("zeros.bin", bytes(4096), "is no text"),
        ("missing", None, "No such file or directory"),
        ("no*.such", None, "No such file or directory"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_rest_is_done(
    name: str, data: Optional[bytes], words: str, tmp_path: pathlib.Path
) -> None:
    bad = str(tmp_path / name) if data is None else written(tmp_path, name, data)
    good, healthy = written(tmp_path, "good.log", STORY), written(tmp_path, "healthy.log", HEALTHY)
    found = objects(bad, good, healthy)
    assert [one["data"]["source"] for one in found] == [bad, good, healthy]
    assert words in found[0]["problems"][0] and found[0]["data"]["kind"] == ""
    assert [one["problems"] for one in found[1:]] == [[], []]
    assert words in run(bad, healthy, status=1)[0]


def test_a_cut_file_is_told_as_far_as_it_goes(tmp_path: pathlib.Path) -> None:
    noise = b"".join(line.raw for line in event_log.log(5, 500, types=("htrace",)))
    packed = gzip.compress(STORY + noise)
    (found,) = objects(written(tmp_path, "cut.log.gz", packed[: len(packed) - 200]))
    assert found["data"]["findings"] and "ends too soon" in found["problems"][0]
    cut = boot2dump(STORY)[: len(DUMP) + 300]
    (found,) = objects(written(tmp_path, "cut.dump", cut))
    assert found["data"]["findings"]


def test_an_empty_log_is_no_trouble(tmp_path: pathlib.Path) -> None:
    (found,) = objects(written(tmp_path, "empty.log", b""), status=0)
    assert found["data"]["lines"] == 0 and found["problems"] == []


def test_the_text_is_a_story(tmp_path: pathlib.Path) -> None:
    log = written(tmp_path, "serial.log", STORY + OOPS)
    text, said = run(log)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0].startswith(f"{log}: serial log, 12 lines, 3 events") and lines[0].endswith("1 crash")
    assert lines[1].startswith("routine at fault: the copy routine was asked for 4 bytes and wrote 8, over the guard")
    assert any(line.startswith("- line 4: guard at 0x410028") for line in lines)
    assert f"> kdbg events {log} --type canary,usercopy --pid 3" in text.replace("\n      ", " ")
    assert "driver_poke < driver_ioctl" in lines and said == ""
    assert run(written(tmp_path, "healthy.log", HEALTHY), status=0)[0].splitlines()[1] == "  nothing found"


def test_the_whole_of_a_large_log_is_read_in_little_memory(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "large.log"
    event_log.write(path, 30_000_000, 3)
    limit = 100 << 20
    done = subprocess.run(
        [*PROGRAM, str(path), "--format", "json"], capture_output=True, cwd=support.ROOT, timeout=support.DEADLINE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    data = json.loads(done.stdout)["data"]
    assert done.returncode == 3 and data["bytes"] == path.stat().st_size, done.stderr
    assert len(data["findings"]) < 200 and data["events"]["total"] > 200_000


def test_a_wrong_symbol_file_is_one_line(tmp_path: pathlib.Path) -> None:
    log = written(tmp_path, "serial.log", STORY)
    for words in (["--symbols", log], ["--symbols", str(tmp_path / "none")], ["--symbols", f"{log}=0xzz"]):
        output, said = run(log, *words, status=1)
        assert output == "" and said.startswith("kdbg: ") and len(said.splitlines()) == 1


def test_inside_gdb_it_is_the_same(tmp_path: pathlib.Path) -> None:
    log = written(tmp_path, "my log.log", STORY + OOPS)
    missing = str(tmp_path / "missing.log")
    inside = support.gdb([f"kdbg analyze '{log}' {missing}"])
    outside = support.kdbg("analyze", log, missing)
    assert inside.objects == outside.objects and len(inside.objects) == 2
    assert "the following arguments are required" in support.gdb(["kdbg analyze"]).text


def test_a_page_is_made_of_a_log_with_a_crash_alone(tmp_path: pathlib.Path) -> None:
    log, report = written(tmp_path, "oops.log", b"quiet\n" * 50 + OOPS), tmp_path / "report.html"
    output = support.kdbg("report", log, "-o", str(report), "--title", "mine")
    assert output.data("report")["findings"] == 1
    text = report.read_text()
    assert "driver_ioctl+0x22" in text and "<mark>" in text and "mine" in text
    assert "cannot open" in support.kdbg("report", str(tmp_path / "missing.log"), "-o", str(report)).text
