"""What cleaning and judging a table costs, beside the same written plainly in pandas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Command, Pairs, Run
from tests.bench.suite import Bench, Figure, Row, Sizes, figure

GATE = Path(__file__).parent.with_name("gate.py")


TIMES = (1, 10)  # how often over the flights
FEW = 3  # pairs of the larger


def rows(sizes: Sizes) -> list[Row]:
    what = "transform and validate {:,} flights, from a frame in memory"
    return [Row(what.format(sizes.flights * times), "≤ 0.8 × the same checks in plain pandas") for times in TIMES]


def measure(bench: Bench) -> Iterator[Figure]:
    """Each pair is one process that does both from the same rows; CPU seconds, for nothing in it waits."""
    for times in TIMES:
        yield figure(_pairs(bench, times))


def _pairs(bench: Bench, times: int) -> Pairs:
    command = Command(("python3", str(GATE), str(bench.sizes.flights), str(times)), bench.folder)
    ours, floor = [], []
    for _ in range(bench.sizes.runs if times == 1 else min(bench.sizes.runs, FEW)):
        run = bench.watch(command)
        said = json.loads(bench.watch.said().split("\n", 1)[0])
        ours.append(Run(said["ours"], said["ours"], run.peak_bytes))
        floor.append(Run(said["floor"], said["floor"], run.peak_bytes))
    return Pairs(floor, ours)
