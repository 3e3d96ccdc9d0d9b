"""The small commands, which people, `watch` and scripts call again and again: the slowest of them counts."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench import bulk
from tests.bench.measure import Command, Pairs, number
from tests.bench.suite import Bench, Figure, Row, Sizes, say

READS = (
    "status", "state task list", "state task list -n 10", "state task ready -n 10", "state task show t-00000007",
    "state get counts n", "state memory search upsert", "messages list", "logs -n 10", "logs --level error -n 10",
    "metrics list", "metrics show rows", "metrics check rows >0 -q", "workflow list", "workflow status",
    "workflow history",
)  # fmt: skip
WRITES = (
    "state task add again", "state task claim --agent worker", "state task complete ID", "state task assign ID worker",
    "state set counts n+=1", "state memory add note more", "messages send worker hello", "broadcast hello",
    "metrics record rows 7",
)  # fmt: skip


def rows(sizes: Sizes) -> list[Row]:
    where = f"a colony of {sizes.tasks:,} tasks and {sizes.small_log / 1e6:.0f} MB of log"
    return [
        Row(f"the slowest of {len(READS)} small commands that read, in {where}", "≤ 2 × `python3 -c pass`"),
        Row(f"the slowest of {len(WRITES)} that write", "≤ 4 × `python3 -c pass`"),
    ]


def measure(bench: Bench) -> Iterator[Figure]:
    root = colony(bench)
    yield slowest(bench, root, READS)
    yield slowest(bench, root, WRITES)


def colony(bench: Bench) -> Path:
    """The colony that the rows name, with a little of everything else."""
    root = bench.colony()
    bulk.write(root / ".colony/state/tasks.jsonl", bulk.tasks(bench.sizes.tasks))
    bulk.write(root / ".colony/logs/worker.jsonl", bulk.log(bench.sizes.small_log, "worker"))
    for line in ("set counts n=1", "memory add decision load-by-upsert"):
        bench.tell(root, "state", *line.split())
    for word in ("one", "two", "three"):
        bench.tell(root, "broadcast", word)
        bench.tell(root, "metrics", "record", "rows", "7")
    bench.tell(root, "workflow", "run", "--quiet", "hello")
    return root


def slowest(bench: Bench, root: Path, lines: Sequence[str]) -> Figure:
    """The figure of the slowest command, and in words how the others are."""
    made: dict[str, Pairs] = {}
    ids = (bulk.task_id(number) for number in itertools.count() if number % 10 not in (5, 9))  # of tasks to be done
    for line in lines:
        made[line] = bench.beside_python(Command(words(line, ids), root))
        say(f"  {number(made[line].ratio)} × ({made[line].spread()}) colony {line}")
    worst = max(made, key=lambda line: made[line].ratio)
    middle = statistics.median(pairs.ratio for pairs in made.values())
    named = f"**{number(made[worst].ratio)} ×** (`{worst}`: {made[worst].detail()}; the middle one {number(middle)} ×)"
    return Figure(named, made[worst].spread(), len(made[worst].ratios))


def words(line: str, ids: Iterator[str]) -> Callable[[], list[str]]:
    """The command's words; for ID each time another id."""

    def fresh() -> list[str]:
        return ["colony", *(next(ids) if word == "ID" else word for word in line.split())]

    return fresh
