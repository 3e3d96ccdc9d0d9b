"""Taskwarrior's list of tasks beside Colony's: the same tasks, the same two commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.bench import bulk
from tests.bench.measure import Command, Failed, Stopwatch, duration, number, pairs

SIZES = (1_000, 100_000)
COLUMNS = ("what", "Colony", "taskwarrior", "Colony's time to taskwarrior's", "spread")
# What is said where it is not there; it is not on PyPI.
MISSING = "not installed: on Debian and Ubuntu, 'apt-get install taskwarrior'"
OFF = ("rc.confirmation=off", "rc.verbose=nothing", "rc.gc=on")


def version() -> str:
    """Failed when there is no taskwarrior. (Another program has the name `task` too.)"""
    program = shutil.which("task")
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip() if program else ""
    if not said[:1].isdigit():
        raise Failed(MISSING)
    return said


def rows(watch: Stopwatch, folder: Path, runs: int, seconds: float) -> Iterator[tuple[str, ...]]:
    """A line for each size and command."""
    for count in SIZES:
        root, theirs = folder / f"colony-{count}", folder / f"task-{count}"
        for place in (root / ".colony", theirs):
            place.mkdir(parents=True)
        bulk.write(root / ".colony" / "state" / "tasks.jsonl", bulk.tasks(count))
        environment = {"TASKDATA": str(theirs), "TASKRC": "/dev/null"}
        bulk.write(theirs / "tasks.json", _imported(root / ".colony" / "state" / "tasks.jsonl"))
        watch(Command(("task", *OFF, "import", "tasks.json"), theirs, seconds=seconds, environment=environment))
        counted = Command(("task", *OFF, "count"), theirs, environment=environment)
        watch(counted)
        if watch.said().strip() != str(count):
            raise Failed(f"of {count:,} tasks taskwarrior has {watch.said().strip()}")
        for ours, other in (
            (("state", "task", "add", "another"), ("add", "another")),
            (("state", "task", "ready", "-n", "10"), ("ready", "limit:10")),
        ):
            made = pairs(
                watch,
                Command(("task", *OFF, *other), theirs, environment=environment, seconds=seconds),
                Command(("colony", *ours), root, seconds=seconds),
                runs,
            )
            what = f"`task {' '.join(ours[2:])}` with {count:,} tasks"
            yield (what, duration(made.ours), duration(made.floor), f"**{number(made.ratio)} ×**", made.spread())
        shutil.rmtree(root)
        shutil.rmtree(theirs)


def _imported(journal: Path) -> Iterator[str]:
    """The tasks of a journal of ours as taskwarrior imports them, those done as done. None of them waits for another:
    with the tenth that does in ours, one `task add` beside 100,000 was not done in two minutes."""
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    finished = {event["task"] for event in events if event["type"] == "finish"}
    for event in events:
        if event["type"] == "add":
            stamp = event["ts"][:19].replace("-", "").replace(":", "") + "Z"
            made = {"uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, event["task"])), "status": "pending"}
            made |= {"description": event["title"], "entry": stamp}
            if event["task"] in finished:
                made |= {"status": "completed", "end": stamp}
            yield json.dumps(made) + "\n"
