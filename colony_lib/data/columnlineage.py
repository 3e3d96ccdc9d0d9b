"""Which columns each column of a transformed dataset was made from: from the plan and its report, without the data.

DIRECT is what a value is made of: IDENTITY (as it was), TRANSFORMATION or AGGREGATION. INDIRECT is what decides which
rows there are: FILTER, JOIN, GROUP_BY (https://openlineage.io/docs/spec/facets/dataset-facets/column_lineage_facet).
To add a transformation: write what it does to the columns as a function of (columns, step) and name it in EFFECTS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from colony_lib.data import expression
from colony_lib.data.tableschema import Schema
from colony_lib.data.transform import Outcome, Plan

IDENTITY, TRANSFORMATION, AGGREGATION = "IDENTITY", "TRANSFORMATION", "AGGREGATION"
FILTER, JOIN, GROUP_BY = "FILTER", "JOIN", "GROUP_BY"
OWN = ""  # the dataset's own input, whatever file that is
Field = tuple[str, str]  # (dataset or OWN, column)


class Step:
    """A transformation that was done: its `options` as written, and what it reported (`counts`)."""

    __slots__ = ("counts", "options", "schema", "type")

    def __init__(self, type: str, options: Mapping[str, Any], counts: Mapping[str, Any], schema: Schema) -> None:
        self.type = type
        self.options = options
        self.counts = counts
        self.schema = schema

    @property
    def idle(self) -> bool:
        """Whether it changed nothing at all."""
        return not any(self.counts.get(key) for key in ("rows_affected", "rejected", "nulled"))

    def names(self, key: str) -> list[str]:
        given = self.options.get(key)
        return [] if given is None else [given] if isinstance(given, str) else [str(name) for name in given]

    def pairs(self, key: str) -> dict[str, str]:
        given = self.options.get(key)
        return (
            {str(k): str(v) for k, v in given.items()}
            if isinstance(given, Mapping)
            else {n: n for n in self.names(key)}
        )


class Columns:
    """`made` {column: {field: subtype}}, `steps` {column: what was done to it}, `rows` {field: subtype}: what
    decided which rows there are."""

    __slots__ = ("made", "rows", "steps")

    def __init__(self, names: Iterable[str]) -> None:
        self.made: dict[str, dict[Field, str]] = {name: {(OWN, name): IDENTITY} for name in names}
        self.steps: dict[str, list[str]] = {name: [] for name in self.made}
        self.rows: dict[Field, str] = {}

    def rename(self, names: Mapping[str, str]) -> None:
        self.made = {names.get(name, name): fields for name, fields in self.made.items()}
        self.steps = {names.get(name, name): steps for name, steps in self.steps.items()}

    def keep(self, names: Iterable[str]) -> None:
        kept = list(names)
        self.made = {name: self.made.get(name, {}) for name in kept}
        self.steps = {name: self.steps.get(name, []) for name in kept}

    def changed(self, names: Iterable[str], what: str) -> None:
        """The values of those columns are others now, of the same origin."""
        for name in names:
            fields = self.made.get(name)
            if fields is not None:
                self.made[name] = {f: TRANSFORMATION if sub == IDENTITY else sub for f, sub in fields.items()}
                self.steps[name].append(what)

    def make(self, name: str, of: Iterable[str], subtype: str, what: str) -> None:
        """The column is made anew from those columns."""
        parts = list(of)
        fields = {field: subtype for part in parts for field in self.made.get(part, {})}
        before = [step for part in parts for step in self.steps.get(part, [])]
        self.made[name] = fields
        self.steps[name] = [*dict.fromkeys(before), what]

    def decide(self, names: Iterable[str], subtype: str) -> None:
        """Those columns decide which rows there are."""
        for name in names:
            for field in self.made.get(name, {}):
                self.rows.setdefault(field, subtype)


def of(plan: Plan, outcome: Outcome) -> Columns:
    """The columns of the outcome's frame, each with the fields it was made from."""
    columns = Columns(outcome.columns_in)
    done = list(outcome.transformations)
    if plan.aggregation is not None:
        _aggregated(columns, plan)
        done = done[1:]
    for planned, counts in zip(plan.steps, done, strict=True):
        EFFECTS[planned.type](columns, Step(planned.type, planned.options, counts, plan.schema))
    columns.keep(map(str, outcome.frame.columns))
    return columns


def report(columns: Columns, own: str) -> dict[str, Any]:
    """For the transformation report: {fields: {column: {from: [{dataset, field, subtype}], steps}}, rows: […]}, the
    dataset's own input by the name `own`."""

    def listed(fields: Mapping[Field, str]) -> list[dict[str, str]]:
        return [{"dataset": ds or own, "field": name, "subtype": subtype} for (ds, name), subtype in fields.items()]

    made = {name: {"from": listed(fields), "steps": columns.steps[name]} for name, fields in columns.made.items()}
    return {"fields": made, "rows": listed(columns.rows)}


def facet(found: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """The values of OpenLineage's columnLineage facet of such a report; `files` {dataset: its file}."""

    def field(one: Mapping[str, str], kind: str, steps: list[str]) -> dict[str, Any]:
        how = {"type": kind, "subtype": one["subtype"], "masking": False}
        if steps:
            how["description"] = ", ".join(steps)
        name = files.get(one["dataset"], one["dataset"])
        return {"namespace": "file", "name": name, "field": one["field"], "transformations": [how]}

    fields = {
        name: {"inputFields": [field(one, "DIRECT", made["steps"]) for one in made["from"]]}
        for name, made in found["fields"].items()
    }
    return {"fields": fields, "dataset": [field(one, "INDIRECT", []) for one in found["rows"]]}


def _aggregated(columns: Columns, plan: Plan) -> None:
    aggregation = plan.aggregation
    assert aggregation is not None
    before = dict(columns.made)
    columns.decide(aggregation.by, GROUP_BY)
    if aggregation.where is not None:
        columns.decide(aggregation.where.columns, FILTER)
    for measure in aggregation.measures:
        of_ = measure.of.columns if measure.of is not None else ()
        text = f"{measure.function}({measure.of.text if measure.of is not None else ''})"
        fields = {field: AGGREGATION for name in of_ for field in before.get(name, {})}
        columns.made[measure.name], columns.steps[measure.name] = fields, [text]
    columns.keep([*aggregation.by, *(measure.name for measure in aggregation.measures)])


def _renamed(columns: Columns, step: Step) -> None:
    columns.rename(step.counts.get("renamed") or {})
    for name in step.counts.get("missing_columns") or []:
        columns.made.setdefault(name, {})
        columns.steps.setdefault(name, ["not in the data"])


def _texts(columns: Columns, step: Step) -> None:
    # Any column may hold texts here: types are made afterwards.
    if not step.idle:
        columns.changed(step.names("columns") or list(columns.made), step.type)


def _typed(columns: Columns, step: Step) -> None:
    fields = [field for field in step.schema.fields.values() if not field.temporal and field.type != "any"]
    _converted(columns, step, [field.name for field in fields])


def _dated(columns: Columns, step: Step) -> None:
    temporal = [field.name for field in step.schema.fields.values() if field.temporal]
    _converted(columns, step, [*dict.fromkeys([*temporal, *step.pairs("columns")])])


def _converted(columns: Columns, step: Step, names: list[str]) -> None:
    if not step.idle:
        columns.changed(names, step.type)
    if step.counts.get("rejected"):
        columns.decide(names, FILTER)


def _constrained(columns: Columns, step: Step) -> None:
    names = [f.name for f in step.schema.fields.values() if f.constraints or f.name in step.schema.primary_key]
    if step.counts.get("rejected"):
        columns.decide(names, FILTER)
    if step.options.get("action") == "null" and not step.idle:
        columns.changed(names, step.type)


def _bounded(columns: Columns, step: Step) -> None:
    name = str(step.options["column"])
    action = step.options.get("action", "reject" if step.type == "range" else "flag")
    if action == "flag":
        default = f"{name}_out_of_range" if step.type == "range" else f"{name}_outlier"
        columns.make(str(step.options.get("flag") or default), [name], TRANSFORMATION, step.type)
    elif action == "reject":
        columns.decide([name], FILTER)
    elif not step.idle:
        columns.changed([name], step.type)


def _filled(columns: Columns, step: Step) -> None:
    if not step.idle:
        columns.changed(step.options["columns"], step.type)


def _derived(columns: Columns, step: Step) -> None:
    formula = expression.parse(step.options["expression"], where=None)
    columns.make(str(step.options["column"]), formula.columns, TRANSFORMATION, formula.text)


def _enriched(columns: Columns, step: Step) -> None:
    dataset = str(step.options["dataset"])
    columns.decide(step.pairs("on"), JOIN)
    for theirs in step.pairs("on").values():
        columns.rows.setdefault((dataset, theirs), JOIN)
    for theirs, ours in step.pairs("columns").items():
        columns.made[ours] = {(dataset, theirs): IDENTITY}
        columns.steps[ours] = []


def _filtered(columns: Columns, step: Step) -> None:
    columns.decide(expression.parse(step.options["where"], where=None).columns, FILTER)


def _without_nulls(columns: Columns, step: Step) -> None:
    columns.decide(step.names("columns"), FILTER)


def _distinct(columns: Columns, step: Step) -> None:
    if not step.idle:
        columns.decide(step.counts.get("key") or list(columns.made), FILTER)


def _dropped(columns: Columns, step: Step) -> None:
    gone = step.names("columns")
    columns.keep([name for name in columns.made if name not in gone])


def _selected(columns: Columns, step: Step) -> None:
    columns.keep(step.names("columns"))


EFFECTS: dict[str, Callable[[Columns, Step], None]] = {
    "normalize_names": _renamed,
    "rename": _renamed,
    "clean_nulls": _texts,
    "convert_types": _typed,
    "normalize_dates": _dated,
    "constraints": _constrained,
    "range": _bounded,
    "outliers": _bounded,
    "fill_nulls": _filled,
    "derive": _derived,
    "enrich": _enriched,
    "filter": _filtered,
    "drop_nulls": _without_nulls,
    "drop_duplicates": _distinct,
    "drop_columns": _dropped,
    "select": _selected,
}
