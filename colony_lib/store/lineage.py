"""Lineage: OpenLineage run events in `.colony/lineage/`, and where a dataset's rows came from according to them.

Each invocation of a data tool is a run: START, RUNNING once it knows what it reads, then COMPLETE, FAIL or ABORT
(https://openlineage.io/spec/2-0-2). What the seed calls provenance travels in a run facet of our own,
`colony_provenance`: what this tool knows of each dataset. Where $OPENLINEAGE_URL is set events are posted too.
"""

from __future__ import annotations

import os

from colony_lib import __version__
from colony_lib.base import clock, jsonl
from colony_lib.base.errors import ColonyError
from colony_lib.store import env, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    Event = dict[str, Any]

PRODUCER = f"https://colony.example/colony/{__version__}"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets/"
_OURS = "https://colony.example/schemas/lineage.schema.json#/$defs/"
_SCHEMAS = {
    "parent": _FACETS + "1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet",
    "nominalTime": _FACETS + "1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet",
    "errorMessage": _FACETS + "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "schema": _FACETS + "1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet",
    "dataSource": _FACETS + "1-0-1/DatasourceDatasetFacet.json#/$defs/DatasourceDatasetFacet",
    "columnLineage": _FACETS + "1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet",
    "outputStatistics": _FACETS
    + "1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet",
    "dataQualityAssertions": _FACETS
    + "1-1-0/DataQualityAssertionsDatasetFacet.json#/$defs/DataQualityAssertionsDatasetFacet",
    "colony_run": _OURS + "colony_run",
    "colony_provenance": _OURS + "colony_provenance",
}
_INPUT_FACETS = ("dataQualityAssertions",)
_OUTPUT_FACETS = ("outputStatistics",)
_STAGES = ("fetch", "transform", "validate-data", "load")
KEYS = ("source", "fetch_time", "transformations", "validation_passed", "load_time", "warehouse_table")


def facet(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A facet with what every facet must carry; names that are not OpenLineage's start with `colony_`."""
    return {"_producer": PRODUCER, "_schemaURL": _SCHEMAS[name], **values}


def dataset(name: str, namespace: str = "file", **facets: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset of an event, with facets by name, each as `facet` takes its values: the file `staging/raw/x.json`, or a
    table in the namespace of its warehouse's URL. Statistics and assertions go where OpenLineage wants them."""
    made: dict[str, Any] = {"namespace": namespace, "name": name}
    for key, values in facets.items():
        place = "inputFacets" if key in _INPUT_FACETS else "outputFacets" if key in _OUTPUT_FACETS else "facets"
        made.setdefault(place, {})[key] = facet(key, values)
    return made


def file(name: str, columns: Mapping[str, str | None] | None = None, **facets: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset of a file, by its path as shown, with where it lies and (`columns`: {name: type}) its schema."""
    from urllib.parse import quote

    if name != "-":
        path = os.path.abspath(os.path.join(paths.root_or_none() or "", name))
        facets["dataSource"] = {"name": "file", "uri": f"file://{quote(path)}"}
    if columns:
        facets["schema"] = fields(columns)
    return dataset(name, "file", **facets)


def table(name: str, warehouse: str, came_from: str, columns: Mapping[str, str | None], rows: int) -> dict[str, Any]:
    """The dataset of a table that took `rows` rows from a file, column by column; `warehouse`: its URL without any
    password, which is the namespace too."""
    same = {"type": "DIRECT", "subtype": "IDENTITY", "masking": False}
    origin = {"namespace": "file", "name": came_from, "transformations": [same]}
    made = {column: {"inputFields": [{**origin, "field": column}]} for column in columns}
    return dataset(
        name,
        warehouse,
        schema=fields(columns),
        dataSource={"name": warehouse.partition(":")[0], "uri": warehouse},
        columnLineage={"fields": made},
        outputStatistics={"rowCount": rows},
    )


def fields(columns: Mapping[str, str | None]) -> dict[str, Any]:
    """The schema facet's values of {column: its type, or None where nobody knows it}."""
    return {"fields": [{"name": name, **({"type": kind} if kind else {})} for name, kind in columns.items()]}


def _uuid(*parts: str) -> str:
    import uuid

    return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "https://colony.example/runs"), "/".join(parts)))


def run_id_of(tool: str) -> str:
    """The OpenLineage run of this invocation: inside a step made from run, step, batch and attempt, else by chance."""
    step = env.step()
    if "run_id" not in step:
        import uuid

        return str(uuid.uuid4())
    return _uuid(*(step.get(key, "") for key in ("run_id", "step", "batch_id", "attempt")), tool)


def job_of(tool: str) -> str:
    """'daily-etl.load-data' inside a step, else the tool's name."""
    step = env.step()
    return f"{step['workflow']}.{step['step']}" if "workflow" in step and "step" in step else tool


def namespace() -> str:
    """The colony's name; its folder's where colony.yml cannot be read."""
    from colony_lib.store import config

    try:
        return str(config.load()["name"])
    except ColonyError:
        return os.path.basename(paths.root())


def _run_facets(date: str | None) -> dict[str, Any]:
    step = env.step()
    facets = {}
    if date:
        facets["nominalTime"] = facet("nominalTime", {"nominalStartTime": f"{date}T00:00:00Z"})
    if "run_id" in step:
        kept = {key: value for key, value in step.items() if key in ("run_id", "workflow", "step", "agent", "attempt")}
        facets["colony_run"] = facet("colony_run", kept)
        if "workflow" in step:
            job = {"namespace": namespace(), "name": step["workflow"]}
            facets["parent"] = facet("parent", {"run": {"runId": _uuid(step["run_id"])}, "job": job})
    return facets


def emit(
    event_type: str,
    job: str,
    inputs: Sequence[Mapping[str, Any]] = (),
    outputs: Sequence[Mapping[str, Any]] = (),
    facets: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    run_id: str | None = None,
    date: str | None = None,
) -> Event | None:
    """Append one run event (START, RUNNING, COMPLETE, ABORT, FAIL, OTHER) and return it; None outside a colony.

    `facets` are run facets by name, each as `facet` takes its values; the step's, its parent run's and the logical
    date's are added. Raises ColonyError when it cannot be written.
    """
    if paths.root_or_none() is None:
        return None
    more = {name: facet(name, values) for name, values in (facets or {}).items()}
    now = clock.now()
    event: Event = {
        "v": 1,
        "id": clock.new_id(),
        "eventType": event_type,
        "eventTime": now,
        "run": {"runId": run_id or run_id_of(job), "facets": {**_run_facets(date), **more}},
        "job": {"namespace": namespace(), "name": job_of(job)},
        "inputs": _once(inputs),
        "outputs": _once(outputs),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }
    jsonl.append(os.path.join(paths.lineage_folder(), f"{now[:7]}.jsonl"), [event], lock=paths.lock("lineage"))
    return event


def _once(datasets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each dataset once, with what was said of it last."""
    return list({(one["namespace"], one["name"]): one for one in datasets}.values())


class recording:
    """`with recording("fetch", date) as run:` — START now; at the end COMPLETE with what `run.inputs`, `run.outputs`
    and `run.provenance` hold by then, after an exception FAIL with its message, after a signal ABORT. Outside a colony
    nothing is written.

    `run.running()` says RUNNING, with the inputs and outputs that are known. `run.failed = "why"` makes it FAIL
    without an exception (a validation that found FAIL).
    """

    __slots__ = ("_unsent", "date", "failed", "inputs", "outputs", "provenance", "run_id", "tool")

    def __init__(self, tool: str, date: str | None = None) -> None:
        self.tool = tool
        self.date = date
        self.run_id = run_id_of(tool)
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.provenance: list[dict[str, Any]] = []
        self.failed: str | None = None
        self._unsent: list[Event] = []

    def __enter__(self) -> recording:
        self._emit("START", {})
        return self

    def running(self) -> None:
        """Say that the work is under way, on what is in `inputs` now."""
        self._emit("RUNNING", {})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        facets: dict[str, Any] = {}
        if self.provenance:
            facets["colony_provenance"] = {"tool": self.tool, "datasets": self.provenance}
        stopped = kind is not None and not issubclass(kind, Exception)  # by a signal: nothing went wrong
        why = self.failed if error is None else "interrupted" if stopped else str(error) or type(error).__name__
        if why is None:
            self._emit("COMPLETE", facets)
            return
        facets["errorMessage"] = {"message": why, "programmingLanguage": "python"}
        try:
            self._emit("ABORT" if stopped else "FAIL", facets)
        except ColonyError:
            if error is None:
                raise  # else the tool's own error is the one to tell

    def _emit(self, event_type: str, facets: dict[str, Any]) -> None:
        event = emit(event_type, self.tool, self.inputs, self.outputs, facets, run_id=self.run_id, date=self.date)
        if event is None:
            return
        from colony_lib.store import lineagepost

        url = lineagepost.endpoint()
        if url is None:
            return
        last = event_type in ("COMPLETE", "FAIL", "ABORT")
        waiting = bool(self._unsent)  # an endpoint that failed is asked once more, at the end
        self._unsent.append(event)
        if waiting and not last:
            return
        taken, why = lineagepost.send(url, self._unsent)
        del self._unsent[:taken]
        if why is not None and last:
            count = f"{len(self._unsent)} lineage event{'s' if len(self._unsent) > 1 else ''}"
            self._warn(f"{count} not taken by {lineagepost.shown(url)}: {why}; they are in .colony/lineage/")

    def _warn(self, message: str) -> None:
        """A line in the log; what becomes of a post is no reason for the step to fail."""
        from colony_lib.store import logs

        step = env.step()
        attempt = step.get("attempt", "")
        number = int(attempt) if attempt.isdecimal() else None
        try:
            logs.line(step.get("agent", self.tool), "warn", message, step.get("run_id"), step.get("step"), number)
        except ColonyError:
            return  # the log cannot be written to either: the tool's own lines will say so


def events(problems: list[jsonl.Problem] | None = None) -> Iterator[Event]:
    """All events, oldest month first, each id once."""
    folder = paths.lineage_folder()
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".jsonl") and not name.startswith("."))
    except FileNotFoundError:
        return
    seen: set[str] = set()
    for name in names:
        for event in jsonl.iterate(os.path.join(folder, name), problems):
            if event["id"] not in seen and isinstance(event.get("run"), dict) and isinstance(event.get("job"), dict):
                seen.add(event["id"])
                yield event


def run_facet(event: Event, name: str) -> dict[str, Any]:
    """A run facet of an event; {} when it has none."""
    found = (event["run"].get("facets") or {}).get(name)
    return found if isinstance(found, dict) else {}


def of_run(run_id: str, problems: list[jsonl.Problem] | None = None) -> list[Event]:
    """The events that the steps of a workflow's run wrote, in order."""
    return [event for event in events(problems) if run_facet(event, "colony_run").get("run_id") == run_id]


def provenances(found: Iterable[Event]) -> dict[tuple[str, str], dict[str, Any]]:
    """{(dataset, date): provenance} with the seed's keys (KEYS) and dataset, date, run_id, rows and what else is known.

    A load says where the rows in the table came from, whatever was fetched again since; before the first load it is
    what the latest tools said. Values that nobody said are None.
    """
    loaded: dict[tuple[str, str], dict[str, Any]] = {}
    pending: dict[tuple[str, str], dict[str, Any]] = {}
    for event in found:
        said = run_facet(event, "colony_provenance")
        stage = said.get("tool")
        if stage not in _STAGES or (event.get("eventType") != "COMPLETE" and stage != "validate-data"):
            continue
        for entry in said.get("datasets") or []:
            if not isinstance(entry, dict) or not isinstance(entry.get("dataset"), str):
                continue
            key = (entry["dataset"], str(entry.get("date")))
            run = {"run_id": run_facet(event, "colony_run").get("run_id")}
            known = {} if stage == "fetch" else pending.get(key, {})
            pending[key] = {**known, **run, **{name: value for name, value in entry.items() if value is not None}}
            if stage == "load":
                loaded[key] = pending.pop(key)
    return {key: _shaped(entry) for key, entry in {**pending, **loaded}.items()}


def _shaped(entry: dict[str, Any]) -> dict[str, Any]:
    first = {key: entry.get(key) for key in ("dataset", "date", *KEYS)}
    return {**first, **{key: value for key, value in entry.items() if key not in first}}
