"""What a long metric amounts to."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.bench import bulk
from tests.bench.measure import Command, Failed
from tests.bench.suite import Bench, Figure, Row, Sizes, figure, forget_caches

AIM = "≤ 60 × `python3 -c pass`, ≤ 300 MB"


def rows(sizes: Sizes) -> list[Row]:
    what = f"`metrics show` over {sizes.points:,} points"
    return [Row(f"{what}, nothing in `.colony/cache`", AIM), Row(f"{what}, again", AIM)]


def measure(bench: Bench) -> Iterator[Figure]:
    root = bench.colony()
    bulk.write(root / ".colony/metrics/rows.jsonl", bulk.points(bench.sizes.points))
    count = json.loads(bench.tell(root, "metrics", "show", "rows", "--json"))["count"]
    if count != bench.sizes.points:
        raise Failed(f"of {bench.sizes.points:,} points {count:,} are counted")
    show = Command(("colony", "metrics", "show", "rows"), root)
    yield figure(bench.beside_python(show._replace(before=lambda: forget_caches(root))))
    yield figure(bench.beside_python(show))
