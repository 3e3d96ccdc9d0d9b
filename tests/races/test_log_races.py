"""Logs and metrics under many writers, kills and rewrites: what was acknowledged is there, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import jsonl
from colony_lib.store import logread, logs, metrics, paths, points

REPOSITORY = Path(__file__).resolve().parents[2]
WRITER = """\
import sys
from colony_lib.store import logs, metrics, paths
paths.use(sys.argv[1])
who, rounds = sys.argv[2], int(sys.argv[3])
for i in range(rounds):
    {write}
    sys.stdout.write(f"{{who}}-{{i}}\\n")
    sys.stdout.flush()  # the acknowledgement
"""
LOG = 'logs.raw("worker", [f"{who}-{i} " + "x" * (i % 300)], run_id="r", step="s", attempt=1)'
POINT = 'metrics.record("m", i, {"who": who}, point_id=f"{who}-{i}")'


def start(colony: Any, write: str, who: str, rounds: int, said: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    code = WRITER.format(write=write)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(colony.root), who, str(rounds)],
        cwd=REPOSITORY,
        stdout=said,
        text=True,
    )


def acknowledged(process: subprocess.Popen[str]) -> list[str]:
    text, _ = process.communicate(timeout=120)
    return [line for line in text.split("\n")[:-1]]


def test_eight_writers_of_one_log_lose_nothing_while_it_is_followed(colony: Any) -> None:
    paths.use(str(colony.root))
    following = logread.Follower(None, [])
    seen: list[str] = []
    writers = [start(colony, LOG, f"w{n}", 100) for n in range(8)]
    while any(writer.poll() is None for writer in writers):
        seen += [record["message"].split(" ")[0] for record in following.new(logread.Wanted())]
        time.sleep(0.005)
    expected = sorted(name for writer in writers for name in acknowledged(writer))
    seen += [record["message"].split(" ")[0] for record in following.new(logread.Wanted())]
    assert len(expected) == 800
    assert sorted(seen) == expected
    assert [source.bad for source in following.sources.values()] == [[]]
    problems: list[jsonl.Problem] = []
    assert len(jsonl.read(paths.log("worker"), problems)) == 800
    assert problems == []


def test_writers_shot_at_any_instant_leave_every_acknowledged_line_readable(colony: Any) -> None:
    paths.use(str(colony.root))
    expected: set[str] = set()
    for round_number in range(6):
        writers = [start(colony, LOG, f"k{round_number}{n}", 100_000) for n in range(3)]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline()
        time.sleep(0.02 * round_number)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for n, writer in enumerate(writers):
            expected.add(f"k{round_number}{n}-0")
            # What the first readline left in its buffer is lost, so the rest may begin within a name.
            expected.update(name for name in acknowledged(writer) if name.startswith(f"k{round_number}{n}-"))
    logs.line("worker", "info", "after")
    sources = logread.open_all(["worker"])
    found = [record["message"].split(" ")[0] for record in logread.every(sources, logread.Wanted())]
    assert expected <= set(found)
    assert len(found) == len(set(found))
    assert found[-1] == "after"
    assert sources[0].problems() == []


def test_a_torn_end_is_mended_by_the_next_line_and_followed_past(colony: Any) -> None:
    paths.use(str(colony.root))
    logs.line("worker", "info", "one")
    whole = Path(paths.log("worker")).read_bytes()
    for cut in range(1, len(whole), 7):
        Path(paths.log("worker")).write_bytes(whole + whole[:cut])
        following = logread.Follower(["worker"], logread.open_all(["worker"]))
        logs.line("worker", "info", "two")
        assert [record["message"] for record in following.new(logread.Wanted())] == ["two"]
        assert following.sources["worker"].problems() == []


@pytest.mark.parametrize("large", [0, points.LARGE])
def test_points_recorded_while_old_ones_are_cleared_are_all_kept(
    colony: Any, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "LARGE", large)
    paths.use(str(colony.root))
    points.Window("m", 1)  # what is imported for that takes as long as the writers do
    old = [{"name": "m", "value": 1, "ts": "2020-01-01T00:00:00Z", "id": f"old-{i}"} for i in range(2000)]
    metrics.record_many(old)
    before = metrics.moment("2021-01-01")
    removed = 0
    files = [colony.root / f"said-{n}" for n in range(4)]
    # They write until they are shot, so that however slow the machine is, every rewrite is made while they write.
    writers = [start(colony, POINT, f"w{n}", 1_000_000, file.open("w")) for n, file in enumerate(files)]
    try:
        while not all(file.stat().st_size for file in files):
            time.sleep(0.01)
        for _ in range(12):
            removed += metrics.clear("m", before)
            metrics.record_many(old[:50])
            found = points.Window("m", 1)
            assert found.problems == []
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    expected = {name for file in files for name in file.read_text().split("\n")[:-1]}
    removed += metrics.clear("m", before)
    assert removed == 2000 + 12 * 50
    lines = [json.loads(line) for line in Path(paths.metric("m")).read_text().split("\n") if line]
    found_ids = {line["id"] for line in lines}
    assert len(found_ids) == len(lines)
    # A writer shot after its line and before its word has one line more than it said.
    assert expected <= found_ids and len(found_ids - expected) <= 4


def test_a_rewrite_shot_at_any_instant_leaves_the_metric_whole(colony: Any) -> None:
    paths.use(str(colony.root))
    file = Path(paths.metric("m"))
    metrics.record_many({"name": "m", "value": i, "id": f"p-{i}"} for i in range(3000))
    code = (
        "import sys; from colony_lib.store import metrics, paths; paths.use(sys.argv[1]); print('ready', flush=True)\n"
        "while True: metrics.clear('m', '2020-01-01T00:00:00.000Z')\n"
    )
    for shot in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(colony.root)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * shot)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert file.read_text().count("\n") == 3000
        assert metrics.names() == ["m"]
    assert len(points.Window("m", 24)) == 3000
