"""How the cost of a run grows with the batches of its fan-out: a table for CONTRIBUTING.md.

`python -m tests.bench.growth 1000 10000 100000` runs each size once on this machine; with `--cluster` on a Dask cluster
of two workers on it. It prints one Markdown table and judges nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import tables
from tests.bench.measure import Command, Run, Stopwatch, stopwatch
from tests.clusters import Cluster
from tests.conftest import REPOSITORY, clean_environment

COLUMNS = (
    "batches", "run", "a batch", "engine's memory", "files and folders", "journal a batch", "`status`", "`resume`",
)  # fmt: skip
LIST = "python3 -c 'import json; print(json.dumps(list(range({}))))'"


def row(watch: Stopwatch, root: Path, count: int, executor: str) -> tuple[str, ...]:
    """One size, measured."""
    each = {"name": "each", "executor": executor, "depends_on": ["list"], "for_each": "{{steps.list.output}}"}
    steps = [{"name": "list", "run": LIST.format(count)}, {**each, "run": "echo {{item}}"}]
    if executor == "local":
        steps[1]["parallel"] = 16
    (root / ".colony/workflows/wide.yaml").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    run = watch(Command(("colony", "workflow", "run", "--quiet", "wide"), root, seconds=7200.0))
    folder = max((root / ".colony/runs").iterdir())
    found = sum(len(names) + len(folders) for _, folders, names in os.walk(folder))
    journal = (folder / "journal.jsonl").stat().st_size
    status = watch(Command(("colony", "workflow", "status", "latest", "--json"), root))
    resume = watch(Command(("colony", "workflow", "resume", folder.name), root))
    return (
        f"{count:,}", f"{run.seconds:.1f} s", f"{1000 * run.seconds / count:.2f} ms", _memory(run), f"{found:,}",
        f"{journal / count:.0f} bytes", f"{status.seconds:.2f} s, {_memory(status)}", f"{resume.seconds:.2f} s",
    )  # fmt: skip


def _memory(run: Run) -> str:
    return f"{run.peak_bytes / 1e6:.0f} MB"


@contextlib.contextmanager
def place() -> Iterator[tuple[Stopwatch, Path]]:
    """A stopwatch and a new colony, gone afterwards."""
    build = REPOSITORY / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as name:
        root = Path(name) / "colony"
        root.mkdir()
        with stopwatch(Path(name) / "said", clean_environment()) as watch:
            watch(Command(("colony", "init"), root))
            yield watch, root


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.bench.growth", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("sizes", nargs="+", type=int, metavar="N", help="numbers of batches")
    parser.add_argument("--cluster", action="store_true", help="on a Dask cluster of two workers")
    given = parser.parse_args()
    with place() as (watch, root), contextlib.ExitStack() as after:
        executor = "local"
        if given.cluster:
            (root.parent / "cluster").mkdir()
            cluster = Cluster(root.parent / "cluster")
            after.callback(cluster.stop)
            cluster.start(2)
            executor = "cluster"
            entry = {"name": "cluster", "type": "dask", "address": cluster.address}
            (root / "colony.yml").write_text(json.dumps({"executors": [entry]}), encoding="utf-8")
        rows = []
        for count in given.sizes:
            rows.append(row(watch, root, count, executor))
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    print(tables.made(COLUMNS, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
