"""Validates files: opens any table of records, finds what its dataset must meet, and writes the report of each."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from colony_lib.base import clock, files
from colony_lib.base.errors import BUSY, FAILED, USAGE, ColonyError, unknown
from colony_lib.base.text import check_name, escape
from colony_lib.data import history, staging, validate
from colony_lib.data.checks.anomaly import HISTORY
from colony_lib.data.frames import Frame
from colony_lib.data.pipeline import Pipeline, check_date
from colony_lib.data.transform_files import Input, columns_of, dataset_of, describe, open_input, read_clean, typed
from colony_lib.store import progress


class Target:
    """A file to validate: its `dataset`, `date`, records, and the hash of the very bytes they are from."""

    __slots__ = ("dataset", "date", "given", "path", "sha256")

    def __init__(self, path: str, dataset: str, date: str, given: Input, sha256: str | None) -> None:
        self.path = path
        self.dataset = dataset
        self.date = date
        self.given = given
        self.sha256 = sha256

    @property
    def ours(self) -> bool:
        """Whether transform wrote it: then its values are in their final form."""
        return self.given.head.get("format") == "envelope" and isinstance(self.given.head.get("dataset"), str)


class Gate:
    """The validations of one call: what each dataset must meet, and the datasets that foreign keys refer to."""

    def __init__(self, pipeline: Pipeline) -> None:
        staging.check(pipeline)
        self.pipeline = pipeline
        self.targets: list[Target] = []
        self._expected: dict[str, validate.checks.Expectations] = {}
        self._others: dict[tuple[str, str], Frame] = {}
        self._keys: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}

    def expected(self, name: str) -> validate.checks.Expectations:
        """What the dataset must meet; for one that the pipeline file does not know, the defaults."""
        if name not in self._expected:
            known = [*self.pipeline.names("datasets"), *self.pipeline.names("sources")]
            description = describe(self.pipeline, name) if name in known else {}
            place = partial(self.pipeline.where, "datasets", name)
            found = validate.expectations(description, place)
            for key in found.schema.foreign_keys:
                if key.resource and key.resource not in known:
                    raise unknown(
                        "dataset", escape(key.resource), known, where=place("schema", "foreignKeys"), code=USAGE
                    )
            self._expected[name] = found
        return self._expected[name]

    def add_dataset(self, name: str, date: str) -> None:
        """Validate the dataset's transformed file of that date. ColonyError (FAILED) when it is not there."""
        describe(self.pipeline, name)
        self.expected(name)
        path = self.pipeline.path("transformed", name, date)
        staging.take(self.pipeline, "transformed", name, date)
        if not os.path.lexists(path):
            raise ColonyError(
                f"'{name}' of {date} is not transformed: there is no {self.pipeline.shown(path)}",
                fix=f"run 'colony transform --date {date}' first",
                code=FAILED,
            )
        given, sha256 = _opened(path, self.pipeline)
        self.targets.append(Target(path, name, date, given, sha256))

    def add_file(self, path: str, dataset: str | None, date: str | None, otherwise: str) -> None:
        """Validate any file ('-': standard input), as the dataset that it says or that is named."""
        given, sha256 = _opened(path, self.pipeline)
        name = dataset or dataset_of(self.pipeline, given, path)
        own = given.head.get("date")
        day = date or (check_date(own) if isinstance(own, str) else otherwise)
        name = check_name(name, "dataset", where=path)
        if any((target.dataset, target.date) == (name, day) for target in self.targets):
            what = f"two files for '{name}' of {day}: there is one report for both"
            raise ColonyError(what, where=path, fix="validate each by itself", code=USAGE)
        self.expected(name)
        self.targets.append(Target(path, name, day, given, sha256))

    def _lookup(self, name: str, date: str) -> Frame:
        """The clean rows of another dataset: of a file given in this call, else as they were transformed."""
        if (name, date) not in self._others:
            mine = next((t for t in self.targets if t.dataset == name and t.date == date and t.ours), None)
            if mine is not None:
                frame = typed(mine.given.rows, columns_of(mine.given.head))
            else:
                path = self.pipeline.path("transformed", name, date)
                staging.take(self.pipeline, "transformed", name, date)
                try:
                    _, frame = read_clean(path)
                except FileNotFoundError:
                    raise ColonyError(f"there is no {self.pipeline.shown(path)}") from None
            self._others[name, date] = frame
        return self._others[name, date]

    def _loaded(self, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
        """The different values of those columns in a table of the warehouse."""
        from colony_lib.base import locks
        from colony_lib.data import load_warehouse, warehouses

        if (table, *columns) not in self._keys:
            url, where = load_warehouse.warehouse_url(self.pipeline)
            if not warehouses.exists(url, self.pipeline.root):
                raise ColonyError("there is no warehouse yet")
            found = warehouses.connect(
                url, root=self.pipeline.root, where=where, read_only=True, timeout=locks.default_timeout
            )
            try:
                self._keys[table, *columns] = found.distinct(table, columns)
            finally:
                found.close()
        return self._keys[table, *columns]

    def shown(self, path: str) -> str:
        """The file as reports and events name it."""
        return "-" if path == "-" else self.pipeline.shown(os.path.abspath(path))

    def run(self) -> list[dict[str, Any]]:
        """Validate all targets, then write all their reports; the reports, each with `report`, the path of its file."""
        with progress.working():
            reports = [self._validate(target) for target in self.targets]
        for report in reports:
            path = self.pipeline.path("validation", report["dataset"], report["date"])
            files.write_json(path, report)
            report["report"] = self.pipeline.shown(path)
        for report in reports:
            staging.put(self.pipeline, "validation", report["dataset"], report["date"])
        return reports

    def _validate(self, target: Target) -> dict[str, Any]:
        expected = self.expected(target.dataset)
        head = target.given.head
        start = time.monotonic()
        lexical = head.get("format") == "csv" or isinstance(head.get("source"), str)
        if target.ours:
            expected, lexical = final(expected), False
        rejected = head.get("rejected") if target.ours else 0
        raw = not target.ours and bool(expected.schema.fields)
        found = validate.validate(
            target.given.rows,
            expected,
            lambda name: self._lookup(name, target.date),
            lexical=lexical,
            what=target.dataset,
            columns=columns_of(head),
            snake=raw and describe(self.pipeline, target.dataset).get("fields_from") != "as_is",
            unread=len(target.given.unread),
            rejected=rejected if isinstance(rejected, int) else 0,
            date=target.date,
            history=history.earlier(self.pipeline, target.dataset, target.date, _days(expected)),
            warehouse=self._loaded,
            final=target.ours,
        )
        return {
            "v": 1,
            "file": self.shown(target.path),
            "timestamp": clock.now(),
            **found,
            "dataset": target.dataset,
            "date": target.date,
            "file_sha256": target.sha256,
            "unreadable": [
                {"row": line, "reason": reason} for line, reason, _ in target.given.unread[: validate.SAMPLE]
            ],
            "seconds": round(time.monotonic() - start, 3),
        }


def _days(expected: validate.checks.Expectations) -> int:
    """How far the history of anomalies goes back."""
    return int(expected.option("anomaly", "history") or HISTORY)


def final(expected: validate.checks.Expectations) -> validate.checks.Expectations:
    """The same of rows that transform wrote: dates are ISO 8601, numbers are numbers, nulls are null."""
    return validate.checks.Expectations(
        expected.schema.canonical(), expected.rules, expected.thresholds, expected.required
    )


def _opened(path: str, pipeline: Pipeline) -> tuple[Input, str | None]:
    """The records and the SHA-256 of the file; None for standard input. ColonyError (BUSY) when the file was
    replaced in between."""
    if path == "-":
        return open_input(path, pipeline), None
    staging.take_file(pipeline, path)
    try:
        before = os.stat(path)
        fd = files.open_regular(path)
        with os.fdopen(fd, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        given = open_input(path, pipeline)
        after = os.stat(path)
    except FileNotFoundError:
        raise ColonyError(f"there is no file '{escape(path)}'", code=FAILED) from None
    if (before.st_ino, before.st_mtime_ns, before.st_size) != (after.st_ino, after.st_mtime_ns, after.st_size):
        raise ColonyError(f"'{escape(path)}' was changed while it was read", fix="try again", code=BUSY)
    return given, sha256


def summary(reports: Sequence[dict[str, Any]], date: str) -> dict[str, Any]:
    """What the command says of all its reports. The status is the gravest, the quality score that of the worst
    dataset; for a single file it has its report's keys too."""
    names = [r["dataset"] for r in reports]
    order = [validate.PASS, validate.WARNED, validate.FAILED]
    made: dict[str, Any] = {
        "date": date,
        "status": max((r["status"] for r in reports), key=order.index, default=validate.PASS),
        "quality_score": min((r["quality_score"] for r in reports), default=1.0),
        "record_count": sum(r["record_count"] for r in reports),
        "error_count": sum(r["error_count"] for r in reports),
        "rows_flagged": sum(r["rows_flagged"] for r in reports),
        "files": [r["report"] for r in reports],
        "datasets": {
            (r["dataset"] if names.count(r["dataset"]) == 1 else f"{r['dataset']}_{r['date']}"): _dataset(r)
            for r in reports
        },
        "checks": [{"dataset": r["dataset"], **check} for r in reports for check in r["checks"]],
    }
    if len(reports) == 1:
        made = {"file": reports[0]["file"], "timestamp": reports[0]["timestamp"], **made}
    return made


def _dataset(report: dict[str, Any]) -> dict[str, Any]:
    keys = ("status", "quality_score", "report", "record_count", "error_count", "rows_flagged", "file")
    failed = [check["name"] for check in report["checks"] if not check["passed"]]
    return {**{key: report[key] for key in keys}, "failed": failed}
