"""`kdbg triage` as a person meets it: pools, Ctrl-C, a Dask cluster, an object store, inside GDB."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple
from xml.sax.saxutils import escape

import oops
import pytest
import support
from terminals import INTERRUPT, Terminal

PROGRAM = [sys.executable, "-m", "gdb_kdbg", "triage"]


def run(*words: str, status: int = 0, environment: Optional[Mapping[str, str]] = None) -> str:
    done = subprocess.run(
        [*PROGRAM, *words], capture_output=True, text=True, cwd=support.ROOT, timeout=support.DEADLINE,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def report(*words: str, environment: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """What JSON says, the problems among it."""
    found = json.loads(run(*words, "--format", "json", environment=environment))
    assert (found["schema"], found["command"]) == (1, "triage")
    return {**found["data"], "problems": found["problems"]}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Logs, a fifth of which cannot be read."""
    directory = tmp_path_factory.mktemp("logs")
    oops.write_logs(directory, 240)
    oops.write_trouble(directory, 60)
    return directory


@pytest.fixture(scope="module")
def expected(logs: pathlib.Path) -> Dict[str, Any]:
    return report(str(logs), "--jobs", "1")


def test_each_mistake_is_a_group_and_each_bad_file_is_told(logs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    mistakes = oops.write_logs(directory, 100)
    oops.write_trouble(directory, 20)
    (directory / "directory.log").mkdir()
    found = report(f"{directory}/*.log")
    counted = {mistake.guilty: mistakes.count(mistake) for mistake in mistakes}
    assert {group["guilty"]: group["crashes"] for group in found["groups"]} == counted
    assert (found["logs"], found["crashes"], found["quiet"]) == (121, 90, 10)
    assert (found["binary"], found["unreadable"]) == (9, 12)
    assert found["problems"] == ["1 more files were not read, or not to the end"]
    reasons = {row["file"]: row["reason"] for row in found["not_read"]}
    assert len(reasons) == 20
    assert reasons[str(directory / "directory.log")] == "no regular file: a directory"
    assert reasons[str(directory / "trouble-0002.log")] == "no regular file: a pipe"


def test_a_pool_finds_what_one_process_finds(logs: pathlib.Path, expected: Dict[str, Any]) -> None:
    assert report(str(logs), "--jobs", "3") == report(str(logs)) == expected
    assert (expected["logs"], expected["crashes"]) == (300, 216)


def test_a_machine_with_one_processor_may_have_a_pool_too(logs: pathlib.Path, expected: Dict[str, Any]) -> None:
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        assert report(str(logs), "--jobs", "2") == report(str(logs)) == expected
    finally:
        os.sched_setaffinity(0, all_of_them)


def test_the_table_has_a_line_for_each_group(logs: pathlib.Path, expected: Dict[str, Any]) -> None:
    lines = run(str(logs)).splitlines()
    for group in expected["groups"]:
        assert any(group["guilty"] in line and group["first_seen"] in line for line in lines)
    assert any(line.endswith("no regular file: a pipe") for line in lines)


def test_words_that_a_shell_made_of_a_glob_are_all_read(logs: pathlib.Path) -> None:
    names = sorted(str(path) for path in logs.glob("00000*.log"))
    assert report(*names)["logs"] == len(names) == 10


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/nowhere/*.log"], "no logs at"),
        (["--jobs", "0", "."], "--jobs 0 would read nothing"),
        (["--resume", "/dev/full/x", "."], "cannot go on from"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(words: List[str], says: str) -> None:
    text = run(*words, status=1)
    assert text.startswith("kdbg: ") and says in text and text.count("\n") == 1


def test_a_second_run_goes_on_from_the_first(
    logs: pathlib.Path, expected: Dict[str, Any], tmp_path: pathlib.Path
) -> None:
    state = tmp_path / "state"
    assert report(str(logs), "--resume", str(state)) == expected
    kept = json.loads(state.read_text())["logs"]
    assert len(kept) == 240
    assert report(str(logs), "--resume", str(state)) == expected


def test_ctrl_c_tells_and_keeps_what_was_read_and_ends_all_processes(tmp_path: pathlib.Path) -> None:
    directory, state = tmp_path / "logs", tmp_path / "state"
    directory.mkdir()
    # One log under many names: minutes of reading, though it takes no room.
    first = directory / "0000.log"
    first.write_text(oops.crash_log(oops.mistakes(1)[0], random.Random(1), before=80_000))
    for number in range(1, 2000):
        os.link(first, directory / f"{number:04d}.log")
    with Terminal([*PROGRAM, str(directory), "--jobs", "2", "--resume", str(state)]) as terminal:
        terminal.wait_for("of 2000 logs read")
        support.wait_until(state.exists, "nothing is kept of what was read")
        children = pathlib.Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
        terminal.type(INTERRUPT)
        shown = terminal.wait_for_end()
    assert "interrupted: " in shown and "Traceback" not in shown
    assert len(children) == 2
    support.wait_until(lambda: not any(is_running(pathlib.Path("/proc", child)) for child in children), "they run on")
    kept = set(json.loads(state.read_text())["logs"])
    assert 0 < len(kept) < 2000
    for path in directory.iterdir():
        if str(path) not in kept:
            path.unlink()
    assert report(str(directory), "--resume", str(state))["groups"][0]["crashes"] == len(kept)


# Each reader says that it has a batch, and waits with it for a file.
HELD = """
import os, pathlib, select, sys
from gdb_kdbg import triage_pool
from gdb_kdbg.offline.program import main
work, held = triage_pool.work, pathlib.Path(sys.argv[1])
def wait_and_work(batch, keep):
    (held / str(os.getpid())).touch()
    while not (held / "go").exists():
        select.select([], [], [], 0.01)
    return work(batch, keep)
triage_pool.work = wait_and_work
sys.exit(main(sys.argv[2:]))
"""


def two_readers(directory: pathlib.Path) -> Tuple["subprocess.Popen[bytes]", List[pathlib.Path]]:
    """A triage of a hundred logs, both of whose readers have a batch and wait for the file `go`."""
    logs, held = directory / "logs", directory / "held"
    logs.mkdir()
    held.mkdir()
    oops.write_logs(logs, 100)
    words = [sys.executable, "-c", HELD, str(held), "triage", str(logs), "--jobs", "2", "--format", "json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=support.ROOT)
    support.wait_until(lambda: len(list(held.iterdir())) == 2, "no processes were started")
    return process, [pathlib.Path("/proc", path.name) for path in held.iterdir()]


def test_a_reader_that_is_killed_costs_no_result(tmp_path: pathlib.Path) -> None:
    process, readers = two_readers(tmp_path)
    os.kill(int(readers[0].name), signal.SIGKILL)
    (tmp_path / "held" / "go").touch()
    output = process.communicate(timeout=support.DEADLINE)[0]
    assert json.loads(output)["data"]["crashes"] == 90
    # Another one took its place.
    assert len(list((tmp_path / "held").iterdir())) == 4


def test_readers_end_when_the_program_is_killed(tmp_path: pathlib.Path) -> None:
    process, readers = two_readers(tmp_path)
    assert all(map(is_running, readers))
    process.kill()
    process.wait()
    (tmp_path / "held" / "go").touch()
    support.wait_until(lambda: not any(map(is_running, readers)), "they went on")
    assert process.stdout is not None
    process.stdout.close()


# Where nobody waits for orphans, what is left of them stays.
def is_running(process: pathlib.Path) -> bool:
    try:
        return ") Z " not in (process / "stat").read_text()
    except OSError:
        return False


def test_inside_gdb_one_process_reads(logs: pathlib.Path, expected: Dict[str, Any]) -> None:
    support.require("gdb")
    output = support.gdb([f"kdbg triage {logs}", f"kdbg triage {logs} --jobs 2"])
    assert output.data("triage") == {name: value for name, value in expected.items() if name != "problems"}
    assert "GDB reads logs alone" in output.text


# --- Dask ---


def write_events(directory: pathlib.Path) -> str:
    """Logs of a kernel that tells of faults in events; every eighth tells of none."""
    fault = (
        'DBG {"type":"usercopy_fault","pid":%d,"fault_addr":0x10001000,"ip":0xffffffff8011f000,"label":"bulk_qwords",'
        '"dst":0x10000ffe,"src":0xffffffff8011f040,"remaining":2,"orig_len":4,"ctx":"ioctl:TIOCGPGRP"}\n'
    )
    directory.mkdir()
    for number in range(80):
        (directory / f"{number}.log").write_text("boot\n" + (fault % number if number % 8 else ""))
    return str(directory)


def test_a_cluster_finds_what_one_process_finds(
    logs: pathlib.Path, expected: Dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    import distributed

    monkeypatch.setenv("PYTHONPATH", str(support.ROOT))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path)
    ) as cluster:
        assert report(str(logs), "--dask", cluster.scheduler_address) == expected
        state = str(tmp_path / "state")
        assert report(str(logs), "--dask", cluster.scheduler_address, "--resume", state) == expected
        assert report(str(logs), "--resume", state) == expected
        events = write_events(tmp_path / "events")
        found = report(events, "--dask", cluster.scheduler_address)
        assert found == report(events, "--jobs", "1") == report(events, "--jobs", "2")
    assert [(group["type"], group["guilty"]) for group in found["groups"]] == [("copy-fault", "ioctl:TIOCGPGRP")]
    assert (found["crashes"], found["quiet"]) == (70, 10)


def test_a_cluster_that_is_not_there_is_said_in_a_line(logs: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        server.listen()
        closer = threading.Thread(target=lambda: server.accept()[0].close())
        closer.start()
        assert "what listens there is something else" in run(str(logs), "--dask", address, status=1)
        closer.join()
    text = run(str(logs), "--dask", address, status=1)
    assert f"no Dask scheduler at {address}: " in text and text.count("\n") == 1
    assert "(it is HOST:PORT)" in run(str(logs), "--dask", "nonsense", status=1)


# --- S3 ---


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as listing and reading need; the objects belong to the server."""

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(path.query)
        bucket, _, key = urllib.parse.unquote(path.path).lstrip("/").partition("/")
        if bucket != "fleet":
            self._answer(404, b"<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>")
        elif not key:
            self._answer(200, self._listing(query.get("prefix", [""])[0]))
        else:
            self._object(key)

    do_HEAD = do_GET

    def log_message(self, *words: Any) -> None:
        pass

    @property
    def _objects(self) -> Dict[str, bytes]:
        return self.server.objects  # type: ignore[attr-defined, no-any-return]

    def _listing(self, prefix: str) -> bytes:
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-03-01T12:00:00.000Z</LastModified>"
            f"<ETag>&quot;{len(data)}&quot;</ETag><Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, data in sorted(self._objects.items())
            if key.startswith(prefix)
        )
        return (
            f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>fleet</Name>'
            f"<IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        ).encode()

    def _object(self, key: str) -> None:
        if key not in self._objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        data = self._objects[key]
        start, end = self._range(len(data))
        headers = {"Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT", "ETag": f'"{len(data)}"'}
        if "Range" in self.headers:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._answer(206 if "Range" in self.headers else 200, data[start:end], headers)

    def _range(self, size: int) -> Tuple[int, int]:
        first, _, last = self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")
        return int(first), min(size, int(last) + 1 if last else size)

    def _answer(self, status: int, body: bytes, headers: Optional[Dict[str, str]] = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def store() -> Iterator[Tuple[Dict[str, bytes], Dict[str, str]]]:
    """The objects of a bucket `fleet`, and the environment in which it is the store."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.objects = {}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "*", "no_proxy": "*",
        "AWS_CONFIG_FILE": os.devnull, "AWS_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    try:
        yield server.objects, environment  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_objects_of_a_store_are_read_as_files_are(
    store: Tuple[Dict[str, bytes], Dict[str, str]], tmp_path: pathlib.Path
) -> None:
    objects, environment = store
    directory = tmp_path / "logs"
    directory.mkdir()
    oops.write_logs(directory, 20)
    objects.update((f"consoles/{path.name}", path.read_bytes()) for path in directory.iterdir())
    objects["other/x.log"] = b"not to be read"
    words = ["s3://fleet/consoles/", "--resume", str(tmp_path / "state")]
    found, local = report(*words, environment=environment), report(str(directory))
    assert [(g["crashes"], g["guilty"]) for g in found["groups"]] == [
        (g["crashes"], g["guilty"]) for g in local["groups"]
    ]
    assert (found["logs"], found["crashes"], found["unreadable"]) == (20, 18, 0)
    assert found["groups"][0]["first_log"].startswith("s3://fleet/consoles/0")
    assert found["groups"][0]["first_seen"] == "2026-03-01T12:00:00Z"
    assert report(*words, environment=environment) == found
    assert "cannot list s3://none/" in run("s3://none/", status=1, environment=environment)
