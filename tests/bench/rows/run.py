"""Many steps that wait for nothing: what a step costs beside `make`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tests.bench import graphs
from tests.bench.measure import Command
from tests.bench.suite import Bench, Figure, Row, Sizes, figure, forget_caches


def rows(sizes: Sizes) -> list[Row]:
    steps = f'{sizes.steps:,} independent steps of `run: "true"` at `max_parallel: 2`, whole run'
    return [
        Row(f"`workflow run`: {steps}", "≤ 3 × `make -j2`, then 2 ×"),
        Row("the same of a workflow just written, which is read and checked first", ""),
    ]


def measure(bench: Bench) -> Iterator[Figure]:
    count = bench.sizes.steps
    root = bench.colony()
    definition = graphs.write(root, "wide", count, chained=False)
    floor = graphs.make(bench.folder / "make", count, chained=False)
    # A quiet run: `make -s` says nothing either.
    run = Command(("colony", "workflow", "run", "--quiet", "wide"), root)
    with_shell = bench.pairs(floor, graphs.make(bench.folder / "make", count, chained=False, recipe="true;"))
    made = bench.pairs(floor, run)
    graphs.completed(bench.tell(root, "workflow", "status", "latest", "--json"), count)
    yield figure(made, f"; `make` with a shell for each step {with_shell.ratio:.2f} ×")

    def written_anew() -> None:
        shutil.rmtree(root / ".colony" / "runs")
        (root / ".colony" / "runs").mkdir()
        forget_caches(root)
        definition.write_text(definition.read_text() + "\n")

    yield figure(bench.pairs(floor, run._replace(before=written_anew)))
    graphs.completed(bench.tell(root, "workflow", "status", "latest", "--json"), count)
