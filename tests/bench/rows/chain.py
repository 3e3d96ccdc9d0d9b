"""Steps that each wait for the one before: how soon the next one starts."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import graphs
from tests.bench.measure import Command
from tests.bench.suite import Bench, Figure, Row, Sizes, figure


def rows(sizes: Sizes) -> list[Row]:
    return [Row(f"`workflow run`: a chain of {sizes.chain} such steps", "≤ 4 × `make -j2`")]


def measure(bench: Bench) -> Iterator[Figure]:
    count = bench.sizes.chain
    root = bench.colony()
    graphs.write(root, "chain", count, chained=True)
    floor = graphs.make(bench.folder / "make", count, chained=True)
    made = bench.pairs(floor, Command(("colony", "workflow", "run", "--quiet", "chain"), root))
    graphs.completed(bench.tell(root, "workflow", "status", "latest", "--json"), count)
    yield figure(made)
