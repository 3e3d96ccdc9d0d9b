"""What a transformation leaves in the colony beside its files: lineage, log lines and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from colony_lib.base.text import plural
from colony_lib.data import summary
from colony_lib.data.transform_files import Day
from colony_lib.store import lineage


@contextmanager
def recording(day: Day) -> Iterator[Callable[[dict[str, Any]], None]]:
    """`with recording(day) as done: … done(summary)`: lineage events around the work, log lines and metrics after it.
    Outside a colony nothing is written."""
    with lineage.recording("transform", day.date) as run:

        def done(made: dict[str, Any]) -> None:
            for name, dataset in made["datasets"].items():
                if name not in day.outcomes:
                    continue  # put together before, and told then
                _trace(day, name, dataset, run)
                _tell(day, name, dataset)

        yield done


def _trace(day: Day, name: str, dataset: dict[str, Any], run: lineage.recording) -> None:
    head = day.head(name)
    came = head["lineage"]
    run.inputs.append(lineage.dataset(came["file"]))
    run.outputs.append(lineage.dataset(dataset["file"], outputStatistics={"rowCount": dataset["rows_out"]}))
    run.provenance.append(
        {
            "dataset": name,
            "date": day.date,
            "source": came["source"],
            "fetch_time": came["fetch_time"],
            "transformations": head["transformations"],
            "record_count": dataset["rows_out"],
            "rejected": dataset["rejected"],
            "file": dataset["file"],
            "raw_file": came["file"],
        }
    )


def _tell(day: Day, name: str, dataset: dict[str, Any]) -> None:
    summary.measure(
        {"pipeline_records_transformed": dataset["rows_out"], "pipeline_records_rejected": dataset["rejected"]},
        {"dataset": name, "date": day.date},
    )
    for step in dataset["transformations"]:
        if step["rows_affected"]:
            said = step.get("name") or " ".join(str(step[k]) for k in ("type", "column", "dataset") if step.get(k))
            summary.log("transform", "debug", f"transform {name}: {said}: {plural(step['rows_affected'], 'row')}")
    counts = f"{dataset['rows_in']:,} in, {dataset['rows_out']:,} out, {dataset['rejected']:,} rejected"
    summary.log("transform", "warn" if dataset["rejected"] else "info", f"transform {name} of {day.date}: {counts}")
