"""The benchmark's inputs are what Colony would have written, and the same for the same seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from colony_lib.base import clock
from colony_lib.store import logread, paths, points, schema
from tests.bench import inputs

END = clock.seconds("2026-11-23T12:00:00Z")


def test_points_are_a_metric_of_that_many_points_in_the_last_day(colony: Any) -> None:
    paths.use(str(colony.root))
    clock.freeze("2026-11-23T12:00:00Z")
    file = colony.root / ".colony/metrics/load_seconds.jsonl"
    inputs.points(file, 30_000, end=END)
    first = file.read_bytes()
    for line in first.split(b"\n")[:50]:
        schema.check(json.loads(line), "metric")
    window = points.Window("load_seconds", 24)
    assert (len(window), window.problems, len({labels for _, _, labels in window.points()})) == (30_000, [], 4)
    assert 125 < len(first) / 30_000 < 140
    inputs.points(file, 30_000, end=END)
    assert file.read_bytes() == first
    inputs.points(file, 30_000, end=END, seed=7)
    assert file.read_bytes() != first


def test_a_log_has_its_size_and_as_many_errors_as_it_says(colony: Any) -> None:
    paths.use(str(colony.root))
    file = colony.root / ".colony/logs/worker.jsonl"
    for every in (100, 4000, 10_000, None):
        errors = inputs.log(file, 5_000_000, end=END, error_every=every)
        assert 4_000_000 < file.stat().st_size <= 5_000_000
        lines = file.read_bytes().split(b"\n")[:-1]
        assert sum(b'"level":"error"' in line for line in lines) == errors == (len(lines) // every if every else 0)
        for line in lines[:: len(lines) // 40]:
            schema.check(json.loads(line), "log")
        sources = logread.open_all(["worker"])
        assert len(list(logread.every(sources, logread.Wanted("error")))) == errors
        assert len({json.loads(line)["id"] for line in lines}) == len(lines)


def test_tasks_are_input_for_task_add(colony: Any, tmp_path: Path) -> None:
    colony("state", "task", "add", "-", input=inputs.tasks(30))
    assert len(colony.lines("state", "task", "list", "--json")) == 30
