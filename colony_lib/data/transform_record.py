"""What a transformation leaves in the colony beside its files: lineage, log lines and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from colony_lib.base.text import plural
from colony_lib.data import columnlineage, summary
from colony_lib.data.transform_files import Day
from colony_lib.store import lineage


@contextmanager
def recording(day: Day) -> Iterator[Callable[[dict[str, Any]], None]]:
    """`with recording(day) as done: … done(summary)`: lineage events around the work, log lines and metrics after it.
    Outside a colony nothing is written."""
    with lineage.recording("transform", day.date) as run:
        run.inputs += [lineage.file(name) for name in dict.fromkeys(_input(day, name) for name in day.names)]
        run.running()

        def done(made: dict[str, Any]) -> None:
            if made["datasets"]:
                run.inputs.clear()  # now it is known what each was really made of
            for name, dataset in made["datasets"].items():
                if name not in day.outcomes:
                    continue  # put together before, and told then
                _trace(day, name, dataset, run)
                _tell(day, name, dataset)

        yield done


def _input(day: Day, name: str) -> str:
    """The file, as shown, that the dataset is made of."""
    base = day.plans[name].from_
    return _file_of(day, base) if base else day.input(name).file


def _file_of(day: Day, name: str) -> str:
    """The file of another dataset's rows: its transformed one, or the raw one where only memory has the transformed."""
    if name in day.outcomes and name not in day.names:
        return _input(day, name)
    return day.pipeline.shown(day.pipeline.path("transformed", name, day.date))


def _trace(day: Day, name: str, dataset: dict[str, Any], run: lineage.recording) -> None:
    head, plan = day.head(name), day.plans[name]
    came = head["lineage"]
    own = _input(day, name)
    uses = {other: _file_of(day, other) for other in plan.uses}
    run.inputs.append(lineage.file(own, dict.fromkeys(day.outcomes[name].columns_in)))
    run.inputs += [lineage.file(file) for file in uses.values()]
    columns = columnlineage.facet(day.column_lineage(name), {plan.from_ or plan.source: own, **uses})
    statistics = {"rowCount": dataset["rows_out"], "size": os.path.getsize(day.path("transformed", name))}
    run.outputs.append(
        lineage.file(dataset["file"], head["columns"], outputStatistics=statistics, columnLineage=columns)
    )
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
