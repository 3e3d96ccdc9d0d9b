"""Transforms a day's files: raw envelopes in; clean rows, rejected rows and a report out, all of them or none."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from colony_lib.base import clock, files, jsontext
from colony_lib.base.errors import FAILED, USAGE, ColonyError, nearest, unknown
from colony_lib.base.text import escape
from colony_lib.data import columnlineage, envelope, frames, readers, staging, table, tableschema, transform
from colony_lib.data.fieldtypes import TYPES
from colony_lib.data.frames import Frame
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.tableschema import Field
from colony_lib.data.transform import Outcome, Plan
from colony_lib.store import progress

SAMPLE = 5
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Input:
    """Records as they came: `rows`, the envelope's `head`, `file` as shown, `unread` (line, reason, what it was)."""

    __slots__ = ("file", "head", "rows", "unread")

    def __init__(
        self, file: str, head: dict[str, Any], rows: Sequence[dict[str, Any]], unread: list[readers.Problem]
    ) -> None:
        self.file = file
        self.head = head
        self.rows = rows
        self.unread = unread


class Day:
    """The datasets of one date, each transformed at most once, whoever needs it."""

    def __init__(self, pipeline: Pipeline, date: str) -> None:
        staging.check(pipeline)
        self.pipeline = pipeline
        self.date = date
        self.plans: dict[str, Plan] = {}
        self.names: list[str] = []
        self.given: dict[str, Input] = {}
        self.inputs: dict[str, Input] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.seconds: dict[str, float] = {}
        self._clean: dict[str, Frame] = {}
        self._described: dict[str, dict[str, tuple[str, int]]] = {}

    def plan(self, name: str, chain: tuple[str, ...] = ()) -> Plan:
        """The dataset's plan, those of all it needs with it. ColonyError (USAGE) for a circle of datasets."""
        if name in chain:
            circle = " → ".join([*chain[chain.index(name) :], name])
            raise ColonyError(
                f"datasets need each other: {circle}", where=self.pipeline.where("datasets", name), code=USAGE
            )
        if name not in self.plans:
            plan = Plan(name, describe(self.pipeline, name), lambda *keys: self.pipeline.where("datasets", name, *keys))
            for other in [*([plan.from_] if plan.from_ else []), *plan.uses]:
                self._known(other, name)
                self.plan(other, (*chain, name))
            self.plans[name] = plan
        return self.plans[name]

    def _known(self, name: str, user: str) -> None:
        known = [*self.pipeline.names("datasets"), *self.pipeline.names("sources")]
        if name not in known:
            raise unknown("dataset", escape(name), known, where=self.pipeline.where("datasets", user), code=USAGE)

    def dependants(self, names: Iterable[str]) -> list[str]:
        """The names and, after them, every dataset that is built from one of them."""
        found = list(names)
        for other in self.pipeline.names("datasets"):
            built_from = self.pipeline.dataset(other).get("from")
            if built_from in found and other not in found:
                found.append(other)
        return found if len(found) == len(list(names)) else self.dependants(found)

    def outcome(self, name: str) -> Outcome:
        """The dataset, transformed. ColonyError (FAILED) when there is no raw data of the date, or it is not whole."""
        if name not in self.outcomes:
            plan = self.plan(name)
            base = self.clean(plan.from_) if plan.from_ else None
            records = self.input(name).rows
            start = time.monotonic()
            self.outcomes[name] = transform.run(plan, records, self.clean, base=base)
            self.seconds[name] = time.monotonic() - start
        return self.outcomes[name]

    def input(self, name: str) -> Input:
        """The dataset's records as they came. ColonyError (FAILED) when there are none, or they are not whole."""
        if name not in self.inputs:
            plan = self.plan(name)
            self.inputs[name] = self._inherited(name, plan.from_) if plan.from_ else self._read(name, plan)
        return self.inputs[name]

    def _inherited(self, name: str, base: str) -> Input:
        origin = self.inputs.get(base)
        head = {**(origin.head if origin else {}), "from": base}
        return Input(origin.file if origin else self.pipeline.shown(self.path("transformed", base)), head, [], [])

    def clean(self, name: str) -> Frame:
        """The dataset's clean rows: transformed now from its raw data, else read as they were transformed before."""
        if name in self.outcomes:
            return self.outcomes[name].frame
        if name not in self._clean:
            plan = self.plan(name)
            path = self.path("transformed", name)
            root = self._root_source(plan)
            if root not in self.given:
                staging.take(self.pipeline, "raw", root, self.date)
                if not os.path.exists(self.path("raw", root)):
                    staging.take(self.pipeline, "transformed", name, self.date)
            if root not in self.given and not os.path.exists(self.path("raw", root)) and os.path.exists(path):
                self._clean[name] = read_clean(path)[1]
            else:
                self._clean[name] = self.outcome(name).frame
        return self._clean[name]

    def _root_source(self, plan: Plan) -> str:
        while plan.from_:
            plan = self.plan(plan.from_)
        return plan.source

    def path(self, kind: str, name: str) -> str:
        return self.pipeline.path(kind, name, self.date)

    def _read(self, name: str, plan: Plan) -> Input:
        if plan.source in self.given:
            return self.given[plan.source]
        path = self.path("raw", plan.source)
        staging.take(self.pipeline, "raw", plan.source, self.date)
        try:
            head, rows = envelope.records(path)
        except FileNotFoundError:
            raise ColonyError(
                f"there is no raw data of '{plan.source}' for {self.date} ({self.pipeline.shown(path)})",
                fix=self._how_to_get(plan),
                code=FAILED,
            ) from None
        return Input(self.pipeline.shown(path), head, rows, [])

    def _how_to_get(self, plan: Plan) -> str:
        sources = self.pipeline.names("sources")
        if plan.source in sources or not sources:
            return f"run 'colony fetch {plan.source} --date {self.date}' first"
        near = nearest(plan.source, sources) or "there is " + ", ".join(f"'{name}'" for name in sources[:6])
        return f"no source is called so; {near} Say 'source: NAME' in the dataset '{plan.dataset}'"

    def choose(self, names: Iterable[str]) -> None:
        """Make these the datasets that `write` writes; what is wrong in their descriptions is said now."""
        self.names = list(dict.fromkeys(names))
        for name in self.names:
            self.plan(name)

    def write(self) -> dict[str, Any]:
        """Transform the chosen datasets, then write the files of each; the summary of it all. Nothing is written
        when one of them cannot be transformed."""
        with progress.working():
            for name in self.names:
                self.outcome(name)
            done = {name: self.write_one(name) for name in self.names}
            for name in self.names:
                self.hand_on(name)
            return self.summary(done)

    def hand_on(self, name: str) -> None:
        """Let other machines have the files of a dataset that is written."""
        staging.put(self.pipeline, "transformed", name, self.date)

    def summary(self, datasets: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {
            "date": self.date,
            "status": "complete",
            "record_count": sum(done["rows_out"] for done in datasets.values()),
            "rejected": sum(done["rejected"] for done in datasets.values()),
            "files": [done["file"] for done in datasets.values()],
            "datasets": datasets,
        }

    def write_one(self, name: str) -> dict[str, Any]:
        """Write the files of a dataset that is transformed; its entry in the summary."""
        outcome = self.outcomes[name]
        head, rejected = self.head(name), self.rejected(name)
        path = self.path("transformed", name)
        write_list(self.path("rejected", name), rejected)
        files.write_json(self.path("transformation", name), self.report(name, head, rejected))
        envelope.write_lines(path, head, _told(name, outcome.frame))  # last: what is there is whole
        return {
            "file": self.pipeline.shown(path),
            "rows_in": outcome.rows_in + len(self.inputs[name].unread),
            "rows_out": len(outcome.frame),
            "rejected": len(rejected),
            "dropped": outcome.dropped,
            "transformations": outcome.transformations,
        }

    def rejected(self, name: str) -> list[dict[str, Any]]:
        """The dataset's rejected records, those that could not even be read first."""
        unread = [
            {"reason": reason, "transformation": "read", "row": line, "record": record}
            for line, reason, record in self.inputs[name].unread
        ]
        return unread + self.outcomes[name].rejected

    def head(self, name: str) -> dict[str, Any]:
        """The head of the transformed envelope: what was done, and where the rows came from. No time of its own is
        in it: the same input makes the same bytes."""
        plan, outcome, given = self.plans[name], self.outcomes[name], self.inputs[name]
        lineage = {
            "source": given.head.get("source") or plan.source,
            "fetch_time": given.head.get("fetch_time"),
            "file": given.file,
        }
        if plan.from_:
            lineage["from"] = plan.from_
        if plan.uses:
            lineage["enriched_from"] = plan.uses
        return {
            "dataset": name,
            "date": self.date,
            "rejected": len(outcome.rejected) + len(given.unread),
            "columns": {column: kind for column, (kind, _) in self._columns(name).items()},
            "transformations": outcome.transformations,
            "lineage": lineage,
        }

    def _columns(self, name: str) -> dict[str, tuple[str, int]]:
        if name not in self._described:
            self._described[name] = transform.describe(self.plans[name].schema, self.outcomes[name].frame)
        return self._described[name]

    def column_lineage(self, name: str) -> dict[str, Any]:
        """Which columns each column was made from, and which decided what rows there are."""
        plan = self.plans[name]
        return columnlineage.report(columnlineage.of(plan, self.outcomes[name]), plan.from_ or plan.source)

    def report(self, name: str, head: dict[str, Any], rejected: list[dict[str, Any]]) -> dict[str, Any]:
        """The transformation report (schemas/transformation-report.schema.json)."""
        outcome = self.outcomes[name]
        by_kind: dict[str, int] = {}
        for item in rejected:
            by_kind[item["transformation"]] = by_kind.get(item["transformation"], 0) + 1
        return {
            "v": 1,
            "dataset": name,
            "date": self.date,
            "timestamp": clock.now(),
            "file": self.pipeline.shown(self.path("transformed", name)),
            "rows_in": outcome.rows_in + len(self.inputs[name].unread),
            "rows_out": len(outcome.frame),
            "rejected": len(rejected),
            "dropped": outcome.dropped,
            "transformations": outcome.transformations,
            "rejections": {
                "file": self.pipeline.shown(self.path("rejected", name)),
                "by_transformation": by_kind,
                "sample": [{k: item[k] for k in ("row", "transformation", "reason")} for item in rejected[:SAMPLE]],
            },
            "columns": [
                {"name": column, "type": kind, "nulls": nulls} for column, (kind, nulls) in self._columns(name).items()
            ],
            "lineage": {**head["lineage"], "columns": self.column_lineage(name)},
            "seconds": round(self.seconds.get(name, 0.0), 3),
        }


def _told(name: str, frame: Frame) -> Iterator[list[str]]:
    """The table's rows as JSON, and how many of them are written told."""
    written = 0
    for lines in frames.lines(frame):
        progress.tell(name, "writing", written, len(frame))
        yield lines
        written += len(lines)


def describe(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """The dataset as the pipeline file has it; a source without a dataset, and anything without a pipeline file,
    is a dataset of defaults."""
    if name in pipeline.names("datasets"):
        return pipeline.dataset(name)
    if not pipeline.given or name in pipeline.names("sources"):
        return {"source": name}
    return pipeline.dataset(name)  # raises, with the nearest names


def selected(pipeline: Pipeline, tool: str = "transform") -> list[str]:
    """All datasets of the pipeline file; where it has none, its sources. ColonyError (USAGE) where there are none."""
    names = pipeline.names("datasets") or pipeline.names("sources")
    if not names:
        what = f"'{pipeline.file}' has no datasets" if pipeline.given else f"there is no {pipeline.file} here"
        raise ColonyError(what, fix=f"name a file: colony {tool} FILE", code=USAGE)
    return names


def open_input(path: str, pipeline: Pipeline) -> Input:
    """A file's records, or those on standard input ('-'): an envelope, JSON list, NDJSON or CSV."""
    unread: list[readers.Problem] = []
    staging.take_file(pipeline, path)
    try:
        head, rows = envelope.open_rows(path, unread)
        records = rows if isinstance(rows, envelope.Records) else list(rows)
    except FileNotFoundError:
        raise ColonyError(f"there is no file '{escape(path)}'", code=FAILED) from None
    refuse_page(head, path)
    return Input("-" if path == "-" else pipeline.shown(os.path.abspath(path)), head, records, unread)


def refuse_page(head: dict[str, Any], path: str) -> None:
    """ColonyError (USAGE) for a web page that was saved instead of data: read as CSV it would be one odd column."""
    columns = head.get("columns") if head.get("format") == "csv" else None
    if (
        isinstance(columns, list)
        and columns
        and str(columns[0]).lstrip().lower().startswith(("<!doctype", "<html", "<?xml", "<head", "<body"))
    ):
        name = "standard input" if path == "-" else path
        raise ColonyError(
            "this is a web page or XML, not records", where=name, fix="see what the source answered", code=USAGE
        )


def dataset_of(pipeline: Pipeline, given: Input, path: str) -> str:
    """The dataset a file belongs to: by the envelope's own word, else by its name NAME_DATE.json or NAME.csv."""
    datasets = pipeline.names("datasets")
    for key in ("dataset", "source"):
        word = given.head.get(key)
        if isinstance(word, str):
            mine = [
                n
                for n in datasets
                if pipeline.dataset(n).get("source", n) == word and not pipeline.dataset(n).get("from")
            ]
            if word in datasets or mine:
                return word if word in datasets else mine[0]
    stem = os.path.basename(path).removesuffix(".gz")
    stem = os.path.splitext(stem)[0]
    name = stem[:-11] if len(stem) > 11 and stem[-11] == "_" and stem[-10:-6].isdigit() else stem
    if name in datasets or name in pipeline.names("sources"):
        return name
    word = given.head.get("dataset") or given.head.get("source")
    word = word if isinstance(word, str) and word else "data" if path == "-" else name
    return _UNSAFE.sub("_", word).strip("._-")[:100] or "data"


def read_clean(path: str) -> tuple[dict[str, Any], Frame]:
    """(head, table) of a transformed envelope, with the columns' kinds as they were."""
    head, rows = envelope.records(path)
    return head, typed(rows, columns_of(head))


def columns_of(head: dict[str, Any]) -> dict[str, str]:
    """{column: kind} as the head of an envelope says it; of CSV the names alone are known."""
    told = head.get("columns")
    if isinstance(told, dict):
        return {str(name): str(kind) for name, kind in told.items()}
    return {str(name): "any" for name in told} if isinstance(told, list) else {}


def typed(rows: Sequence[dict[str, Any]], kinds: dict[str, str]) -> Frame:
    """The table of rows that we wrote, with every column of the kinds, in their order."""
    frame = frames.of_rows(rows)
    changed: dict[str, Any] = {}
    for name, kind in kinds.items():
        there = name in frame.columns
        column = frame[name] if there else table.empty(kind, frame.index)
        made, problem = tableschema.cast(column, Field(name, kind if kind in TYPES else "any"))
        if made is not column or not there:
            changed[name] = frames.hold(frame, made)
        if problem is not None:
            place = int(problem.rows.argmax())
            raise ColonyError(
                f"record {place + 1} is not as its head says: {problem.reason(place, column.iloc[place])}", code=FAILED
            )
    order = [*kinds, *(name for name in map(str, frame.columns) if name not in kinds)]
    return frames.picked(frames.assigned(frame, changed), dict(zip(order, order, strict=True)))


def write_list(path: str, items: Sequence[dict[str, Any]]) -> None:
    """Replace the file by a JSON list, one item a line."""
    files.write_text(
        path, "[" + ",".join("\n" + jsontext.dumps(item) for item in items) + ("\n]\n" if items else "]\n")
    )


def print_envelope(head: dict[str, Any], rows: Sequence[dict[str, Any]], write: Callable[[str], Any]) -> None:
    """The envelope on standard output, as the file would be."""
    start = jsontext.dumps({"v": envelope.VERSION, **head, "record_count": len(rows)})
    write(files.redacted(start[:-1] + ',"data":['))
    for number, row in enumerate(rows):
        write(("," if number else "") + "\n" + files.redacted(jsontext.dumps(row)))
    write("\n]}\n")
