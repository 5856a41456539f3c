"""Events whose members are of any kind and value: nothing is raised, and everything can be shown."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import event_log

from gdb_kdbg.analysis import LogReading, read_log
from gdb_kdbg.analysis_text import analysis_lines
from gdb_kdbg.dossier_log import dossier_of_reading
from gdb_kdbg.log_files import opened
from gdb_kdbg.log_symbols import Symbolic
from gdb_kdbg.page.document import page
from gdb_kdbg.render.json import plain_records
from gdb_kdbg.render.json_text import record_texts

# Logs of a hundred events that are tried.
LOGS = int(os.environ.get("KDBG_MUTATIONS", "30000")) // 200
ODD = (None, [], {}, "x" * 300, -1, 1 << 70, -(1 << 70), "0x1", 1.5, True, [1, [2]], {"a": 1}, "\x1b[31m\u202e", 0,
       "0xffffffff80100000", "0xffff800000100000", "</script>")  # fmt: skip


def odd(chance: random.Random, value: Any) -> Any:
    if chance.random() < 0.15:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {name: odd(chance, item) for name, item in value.items() if chance.random() > 0.05}
    return [odd(chance, item) for item in value] if isinstance(value, list) else value


def line(chance: random.Random, fields: Any) -> bytes:
    kind = fields["type"]
    made = {name: odd(chance, value) for name, value in fields.items() if chance.random() > 0.03}
    made = {**made, "type": kind, "pid": chance.choice([1, 2, 3, made.get("pid")])}
    likely = {"canary_check": "corrupted", "process_exit": "by_signal"}
    if kind in likely and chance.random() < 0.5:
        made[likely[kind]] = True
    if chance.random() < 0.2:
        made["seq"] = chance.choice([0, 5, None, "x", [1]])
    return b"DBG " + json.dumps(made).encode() + b"\n"


def raw_log(chance: random.Random) -> bytes:
    lines = event_log.log(chance.randrange(1 << 30), 100, types=event_log.TYPES, damage=0.1)
    return b"".join(
        line(chance, dict(one.events[0])) if one.events and chance.random() < 0.6 else one.raw for one in lines
    )


def read(raw: bytes) -> LogReading:
    return read_log("odd.log", lambda: opened(iter([raw]), "odd.log"), Symbolic(), copies=100)


def test_whatever_stands_in_an_event_nothing_is_raised() -> None:
    chance = random.Random(8)
    for number in range(LOGS):
        raw = raw_log(chance)
        reading = read(raw)
        text = "".join(part for parts in analysis_lines(reading.analysis, True) for part, _ in parts)
        assert text.isprintable()
        plain = dict(plain_records([reading.analysis])[0])
        problems = plain.pop("problems")
        assert record_texts(reading.analysis) == (json.dumps(plain), json.dumps(problems))
        if number % 20 == 0:
            assert "\x1b" not in page(dossier_of_reading(reading, Symbolic(), lambda raw=raw: iter([raw])))
