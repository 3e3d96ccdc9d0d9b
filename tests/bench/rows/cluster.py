"""Batches on a Dask cluster of this machine: what Colony adds to Dask, and what a second worker brings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Command, Failed
from tests.bench.suite import Bench, Figure, Row, Sizes, figure
from tests.clusters import Cluster

# The same commands handed out by Dask alone: a shell each, its output brought back; nothing is written down.
MAP = """\
import subprocess, sys
from distributed import Client

def done(item):
    return subprocess.run(["sh", "-c", f"echo {item}"], check=True, capture_output=True).stdout

if __name__ == "__main__":
    count = int(sys.argv[2])
    with Client(sys.argv[1]) as client:
        assert len(client.gather(client.map(done, range(count), pure=False))) == count
"""
WORK = "awk 'BEGIN {for (i = 0; i < 12000000; i++) x += i; print {{item}}}'"  # some 0.16 s of one core here
BATCHES = 24  # of that


def rows(sizes: Sizes) -> list[Row]:
    count = sizes.steps
    return [
        Row(f"`workflow run` of {count:,} batches `echo {{{{item}}}}` on a Dask cluster of two workers", "beside Dask's `client.map` of them"),
        Row(f"{BATCHES} batches of 0.16 s of computing on two workers", "beside the same on one: 0.5 × were perfect"),
    ]  # fmt: skip


def measure(bench: Bench) -> Iterator[Figure]:
    root = bench.colony()
    count = bench.sizes.steps
    folder = bench.folder / "cluster"
    folder.mkdir()  # of the scheduler's and the workers' logs
    script = folder / "map.py"
    script.write_text(MAP, encoding="utf-8")
    two, one = Cluster(folder), Cluster(folder)
    try:
        two.start(2)
        one.start(1)
        executors = [{"name": name, "type": "dask", "address": made.address} for name, made in (("two", two), ("one", one))]
        (root / "colony.yml").write_text(json.dumps({"executors": executors}), encoding="utf-8")
        _write(root, "wide", "two", count, "echo {{item}}")
        for name in ("one", "two"):
            _write(root, name, name, BATCHES, WORK)
        mapped = Command((sys.executable, str(script), two.address, str(count)), folder)
        run = Command(("colony", "workflow", "run", "--quiet", "wide"), root)
        yield figure(bench.pairs(mapped, run))
        (step,) = json.loads(bench.tell(root, "workflow", "status", "latest", "--json"))["steps"]
        if step["output"] != list(range(count)):
            raise Failed("the batches did not give what they should")
        runs = [Command(("colony", "workflow", "run", "--quiet", name), root) for name in ("one", "two")]
        yield figure(bench.pairs(*runs))
    finally:
        two.stop()
        one.stop()


def _write(root: Path, name: str, executor: str, count: int, command: str) -> None:
    step = {"name": "each", "for_each": list(range(count)), "run": command}
    definition = {"name": name, "executor": executor, "steps": [step]}
    (root / ".colony/workflows" / f"{name}.yaml").write_text(json.dumps(definition), encoding="utf-8")
