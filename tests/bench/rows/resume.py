"""Going on with a run that has nothing left to do: what it costs to find that out."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import graphs
from tests.bench.measure import Command
from tests.bench.suite import Bench, Figure, Row, Sizes, figure


def rows(sizes: Sizes) -> list[Row]:
    return [Row(f"`workflow resume` of a finished run of {sizes.steps:,} steps", "≤ 10 × `python3 -c pass`")]


def measure(bench: Bench) -> Iterator[Figure]:
    root = bench.colony()
    graphs.write(root, "wide", bench.sizes.steps, chained=False)
    run = bench.tell(root, "workflow", "run", "--quiet", "wide").strip()
    # It says that there is nothing to go on with, and exits with 1.
    yield figure(bench.beside_python(Command(("colony", "workflow", "resume", run), root, statuses=(0, 1))))
    graphs.completed(bench.tell(root, "workflow", "status", run, "--json"), bench.sizes.steps)
