"""What cleaning and judging a table costs, beside the same written plainly in pandas: in memory, and from file to file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path

from colony_lib.data import envelope
from tests.bench import gate
from tests.bench.measure import Command, Failed, Pairs, Run
from tests.bench.suite import Bench, Figure, Row, Sizes, figure
from tests.data import loading

GATE = Path(__file__).parent.with_name("gate.py")


TIMES = (1, 10)  # how often over the flights
FEW = 3  # pairs of the larger
WHY_WHOLE = "; the script knows no lineage and no history, and hashes nothing"


def rows(sizes: Sizes) -> list[Row]:
    what = "transform and validate {:,} flights, from a frame in memory"
    return [
        *(Row(what.format(sizes.flights * times), "≤ 0.8 × the same checks in plain pandas") for times in TIMES),
        Row(f"`colony transform` and `colony validate-data` of {sizes.flights:,} flights", "beside plain pandas in a script"),
    ]


def measure(bench: Bench) -> Iterator[Figure]:
    """Each pair is one process that does both from the same rows; CPU seconds, for nothing in it waits."""
    for times in TIMES:
        yield figure(_pairs(bench, times))
    yield figure(_whole(bench), WHY_WHOLE)


def _pairs(bench: Bench, times: int) -> Pairs:
    command = Command(("python3", str(GATE), str(bench.sizes.flights), str(times)), bench.folder)
    ours, floor = [], []
    for _ in range(bench.sizes.runs if times == 1 else min(bench.sizes.runs, FEW)):
        run = bench.watch(command)
        said = json.loads(bench.watch.said().split("\n", 1)[0])
        ours.append(Run(said["ours"], said["ours"], run.peak_bytes))
        floor.append(Run(said["floor"], said["floor"], run.peak_bytes))
    return Pairs(floor, ours)


def _whole(bench: Bench) -> Pairs:
    """Two commands, from the raw file to the transformed one and its verdict; the script reads and writes JSON Lines."""
    root = bench.colony()
    records = gate.records(bench.sizes.flights)
    raw = root / "staging" / "raw" / f"flights_{loading.DATE}.json"
    envelope.write(str(raw), {"source": "flights", "date": loading.DATE}, records)
    with (root / "flights.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)
    sources = {"flights": {"type": "file", "path": "flights.jsonl"}}
    pipeline = {"version": 1, "sources": sources, "datasets": {"flights": gate.DATASET}}
    (root / "pipeline.yml").write_text(json.dumps(pipeline), encoding="utf-8")
    (root / "floor.py").write_text(_script(), encoding="utf-8")

    def made() -> None:
        head, _ = envelope.read(str(root / "staging" / "transformed" / raw.name))
        report = json.loads((root / "reports" / f"validation_{raw.name}").read_text(encoding="utf-8"))
        if head["record_count"] != bench.sizes.flights or report["status"] != "PASS":
            raise Failed(f"of {bench.sizes.flights:,} flights {head['record_count']:,} came through: {report['status']}")

    both = " && ".join(f"colony {tool} --date {loading.DATE}" for tool in ("transform", "validate-data"))
    return bench.pairs(Command(("python3", "floor.py"), root), Command(("sh", "-c", both), root, after=made))


def _script() -> str:
    """The floor of `gate`, from file to file."""
    return f"""\
import pandas as pd

INTEGERS = {gate.INTEGERS!r}
KEY = {gate.KEY!r}

class flights:
    columns = {list(gate.flights.columns)!r}

{inspect.getsource(gate.floor).replace("-> tuple[int, float]", "")}
{inspect.getsource(gate._wrong).replace("-> Any", "")}

if __name__ == "__main__":
    raw = pd.read_json("flights.jsonl", lines=True, convert_dates=False)
    floor(raw)
    raw.to_json("made.jsonl", orient="records", lines=True)
"""
