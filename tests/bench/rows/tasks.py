"""The task list when it is very long."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import bulk
from tests.bench.measure import Command, Failed
from tests.bench.suite import Bench, Figure, Row, Sizes, figure, forget_caches

COMMANDS = ("state task add another", "state task claim --agent worker", "state task ready -n 10")


def rows(sizes: Sizes) -> list[Row]:
    count = f"{sizes.many_tasks:,} tasks"
    named = [Row(f"`{line.removeprefix('state ')}` with {count}", "≤ 10 × `python3 -c pass`") for line in COMMANDS]
    return [*named, Row(f"`task ready -n 10` with {count} and no index yet", "")]


def measure(bench: Bench) -> Iterator[Figure]:
    count = bench.sizes.many_tasks
    root = bench.colony()
    bulk.write(root / ".colony/state/tasks.jsonl", bulk.tasks(count))
    there = bench.tell(root, "state", "task", "list", "--json").count("\n")
    if there != count:
        raise Failed(f"of {count:,} tasks {there:,} are listed")
    for line in COMMANDS:
        yield figure(bench.beside_python(Command(("colony", *line.split()), root)))
    again = Command(("colony", *COMMANDS[-1].split()), root, before=lambda: forget_caches(root))
    yield figure(bench.beside_python(again))
