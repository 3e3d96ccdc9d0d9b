"""Transforms one dataset: from its description a checked plan, from the plan and records the clean rows.

Knows no files (see transform_files) and no single transformation (see transformations).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import escape
from colony_lib.data import frames, table, tableschema
from colony_lib.data.frames import Frame
from colony_lib.data.tableschema import Schema
from colony_lib.data.transformations import ALIASES, REGISTRY, Apply, Step, Work
from colony_lib.data.transformations.aggregating import Aggregation
from colony_lib.store import progress

Place = Callable[..., "str | None"]
# What is always done, in this order, where the list does not say otherwise.
STANDARD = ("normalize_names", "clean_nulls", "convert_types", "normalize_dates")


class Planned:
    """A step that can be run: its description for the report, its scope, its options as written, and what does it."""

    __slots__ = ("apply", "label", "options", "scope", "type")

    def __init__(self, type: str, scope: str, label: dict[str, Any], options: Mapping[str, Any], apply: Apply) -> None:
        self.type = type
        self.scope = scope
        self.label = label
        self.options = options
        self.apply = apply


class Plan:
    """What is to be done for a dataset: `steps` in order, its `schema`, the `source` or the dataset it is built
    `from_`, the `aggregation` of the latter, and the datasets it looks up in (`uses`)."""

    __slots__ = ("aggregation", "dataset", "from_", "schema", "source", "steps", "uses")

    def __init__(self, dataset: str, description: Mapping[str, Any], place: Place) -> None:
        self.dataset = dataset
        self.from_: str | None = description.get("from")
        self.source: str = description.get("source") or dataset
        self.schema = tableschema.read(description.get("schema"), where=lambda *keys: place("schema", *keys))
        self.aggregation = None
        if description.get("aggregate") is not None:
            self.aggregation = Aggregation(description["aggregate"], lambda *keys: place("aggregate", *keys))
        given = [_written(number, item, place) for number, item in enumerate(description.get("transform") or [])]
        listed = description.get("transform") is not None
        self.steps = [self._step(item, where) for item, where in self._complete(given, listed, description)]
        self.uses = list(dict.fromkeys(s.label["dataset"] for s in self.steps if s.type == "enrich"))

    def _complete(
        self, given: list[tuple[dict[str, Any], Place]], listed: bool, description: Mapping[str, Any]
    ) -> list[tuple[dict[str, Any], Place]]:
        """The list with the standard transformations in the places where they were left out."""
        here = lambda *keys: self.schema.where  # noqa: E731
        done = list(given)
        if self.from_ is None:
            at = next((i for i, (item, _) in enumerate(done) if item["type"] != "rename"), len(done))
            for name in STANDARD:
                place = next((i for i, (item, _) in enumerate(done) if item["type"] == name), None)
                if place is None:
                    item: dict[str, Any] = {"type": name}
                    if name == "normalize_names":
                        item["case"] = description.get("fields_from", "snake_case")
                    done.insert(at, (item, here))
                    place = at
                at = place + 1
            if not listed:
                done.append(({"type": "drop_duplicates"}, here))
        if not any(item["type"] == "constraints" for item, _ in done):
            done.append(({"type": "constraints"}, here))
        temporal = any(field.temporal for field in self.schema.fields.values())
        idle = set() if self.schema.fields else {"convert_types", "constraints"}
        idle |= set() if temporal else {"normalize_dates"}
        return [(item, where) for item, where in done if item["type"] not in idle or len(item) > 1]

    def _step(self, item: dict[str, Any], place: Place) -> Planned:
        name = item["type"]
        kind = REGISTRY.get(name)
        if kind is None:
            raise unknown("transformation", escape(name), [*REGISTRY, *ALIASES], where=place("type"), code=USAGE)
        for key in item:
            if key not in kind.keys:
                raise unknown(
                    f"key of the transformation '{name}'", escape(key), kind.keys, where=place(key), code=USAGE
                )
        label = {"type": name}
        for key in ("name", "column", "dataset"):
            if item.get(key) is not None:
                label[key] = item[key]
        return Planned(name, kind.scope, label, item, kind.make(Step(name, item, self.schema, place)))


def _written(number: int, item: Any, place: Place) -> tuple[dict[str, Any], Place]:
    if not isinstance(item, Mapping) or not isinstance(item.get("type"), str):
        raise ColonyError("a transformation needs a type", where=place("transform", number), code=USAGE)
    return {**item, "type": ALIASES.get(item["type"], item["type"])}, lambda *keys: place("transform", number, *keys)


class Outcome:
    """What came of a dataset: `frame`, `rejected` [{reason, transformation, row, record}] in the order of the input,
    `transformations` [{type, …, rows_affected}], `rows_in`, `columns_in`, `dropped`."""

    __slots__ = ("columns_in", "dropped", "frame", "rejected", "rows_in", "transformations")

    def __init__(self, frame: Frame, rows_in: int, columns_in: Sequence[str]) -> None:
        self.frame = frame
        self.rows_in = rows_in
        self.columns_in = list(columns_in)
        self.dropped = 0
        self.rejected: list[dict[str, Any]] = []
        self.transformations: list[dict[str, Any]] = []


def run(
    plan: Plan,
    records: Sequence[dict[str, Any]],
    lookup: Callable[[str], Frame],
    *,
    base: Frame | None = None,
) -> Outcome:
    """Take the records (or, for a dataset built from another, that one's rows: `base`) through the plan.

    `lookup` gives another dataset's clean rows. No records are no rows, with the schema's columns.
    """
    aggregated: list[dict[str, Any]] = []
    if base is None:
        frame = frames.of_rows(records, plan.dataset)
        rows_in = len(frame)
        columns_in = list(map(str, frame.columns))
    else:
        frame, rows_in = base.reset_index(drop=True), len(base)
        columns_in = list(map(str, base.columns))
        if plan.aggregation is not None:
            frame = plan.aggregation.apply(base)
            aggregated = [{"type": "aggregate", "from": plan.from_, "rows_affected": rows_in, "groups": len(frame)}]
        records = _Rows(frame)
    work = Work(frame, plan.schema, lookup)
    outcome = Outcome(frame, rows_in, columns_in)
    outcome.transformations = aggregated + apply_steps(work, plan.steps, plan.dataset)
    finish(outcome, work, records)
    return outcome


class _Rows(Sequence[dict[str, Any]]):
    """The rows of a table, each made when it is asked for: of most none is rejected."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, place: Any) -> Any:
        return table.to_rows(self._frame.iloc[[place]])[0]


def apply_steps(work: Work, steps: Sequence[Planned], dataset: str) -> list[dict[str, Any]]:
    """Run the steps; what each did, for the report."""
    done = []
    for step in steps:
        progress.tell(dataset, " ".join(map(str, step.label.values())))
        done.append({**step.label, **step.apply(work)})
    return done


def finish(outcome: Outcome, work: Work, records: Sequence[dict[str, Any]]) -> None:
    """Put what the work came to into the outcome; `records` as they came, for those that were rejected."""
    outcome.frame = work.frame
    outcome.dropped = work.dropped
    outcome.rejected = [
        {"reason": reason, "transformation": kind, "row": place + 1, "record": records[place]}
        for place, (kind, reason) in sorted(work.rejects.items())
    ]


def describe(schema: Schema, frame: Frame) -> dict[str, tuple[str, int]]:
    """{column: (kind, nulls)} of the table, the kind by the schema where all of a column is null: what reads the file
    back needs it."""
    found = {}
    for name in map(str, frame.columns):
        column = frame[name]
        kind = table.kind(column)
        field = schema.fields.get(name)
        kind = (field.kind if field else "any") if kind == "null" else kind
        found[name] = kind, int(column.isna().sum())
    return found
