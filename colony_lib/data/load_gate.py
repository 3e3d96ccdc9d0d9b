"""The gate before the warehouse: which datasets a load is for, and whether the validation of exactly these files lets
them pass."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from typing import Any

from colony_lib.base import files, jsontext
from colony_lib.base.errors import FAILED, USAGE, ColonyError, unknown
from colony_lib.base.text import escape
from colony_lib.data import staging
from colony_lib.data.pipeline import Pipeline

PASSING = ("PASS", "WARN")
_BLOCK = 1 << 20
_SHARING = {"append", "upsert"}  # modes in which several datasets may have one table
_KINDS = {"integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN", "null": ""}
RESERVED = "colony_"  # tables whose names start so are Colony's own


class Item:
    """One dataset's file on its way into a table. `fd` holds the very file that the hashes are of.

    `sha256` is of the whole file (what the validation report names), `rows_sha256` of its records alone: the
    same rows fetched again have another head, and are the same load.
    """

    __slots__ = (
        "dataset", "fd", "file", "head", "key", "kinds", "load_id", "mode", "quality_score", "rows_sha256", "schema",
        "sha256", "shown", "source", "state", "table", "validation",
    )  # fmt: skip

    def __init__(self, dataset: str, settings: dict[str, Any], file: str, shown: str) -> None:
        load = settings["load"]
        key = load.get("key") or []
        self.dataset = dataset
        self.table: str = load["table"]
        self.key: list[str] = [key] if isinstance(key, str) else list(key)
        self.mode: str = load.get("mode") or ("upsert" if self.key else "append")
        self.source: str = settings.get("source") or settings.get("from") or dataset
        self.file = file
        self.shown = shown
        self.fd = -1
        self.state = (0, 0)  # size and time of the file when it was opened
        self.head: dict[str, Any] = {}
        self.sha256 = self.rows_sha256 = self.load_id = ""
        self.kinds: dict[str, dict[str, int]] = {}  # see warehouses.Warehouse.stage
        self.validation: str | None = None
        self.quality_score: float | None = None
        self.schema: str | None = None  # in which the table is, where the warehouse has several

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def loadable(pipeline: Pipeline) -> list[str]:
    """The datasets that have a `load`, in the order of the file."""
    return [name for name in pipeline.names("datasets") if pipeline.dataset(name).get("load")]


def chosen(pipeline: Pipeline, names: list[str]) -> list[str]:
    """The datasets named, else all that have a `load`; ColonyError for an unknown one or one that is not loaded."""
    known = loadable(pipeline)
    for name in names:
        if name not in pipeline.names("datasets"):
            raise unknown("dataset", escape(name), pipeline.names("datasets"), where=pipeline.file, code=FAILED)
        if name not in known:
            raise ColonyError(
                f"dataset '{name}' is not for the warehouse: it has no 'load'",
                where=pipeline.where("datasets", name),
                fix="give it one, as in load: {table: " + name + ", mode: append}",
                code=USAGE,
            )
    if not known:
        raise ColonyError("no dataset has a 'load'", where=pipeline.file, fix="there is nothing to load", code=USAGE)
    wanted = [name for name in known if name in names] if names else known
    _check_tables(pipeline, known)
    return wanted


def _check_tables(pipeline: Pipeline, names: list[str]) -> None:
    taken: dict[str, str] = {view.lower(): f"view '{view}'" for view in pipeline.names("views")}
    replaced: dict[str, str] = {}
    for name in names:
        item = Item(name, pipeline.dataset(name), "", "")
        where = pipeline.where("datasets", name, "load", "table")
        folded = item.table.lower()
        if folded.startswith(RESERVED):
            raise ColonyError(
                f"tables named {RESERVED}… are Colony's own", where=where, fix="use another name", code=USAGE
            )
        if folded in taken:
            raise ColonyError(
                f"table '{item.table}' is also the {taken[folded]}", where=where, fix="rename one", code=USAGE
            )
        other = replaced.setdefault(folded, name)
        if other != name and not {item.mode, Item(other, pipeline.dataset(other), "", "").mode} <= _SHARING:
            raise ColonyError(
                f"datasets '{other}' and '{name}' load into one table '{item.table}', and one of them replaces it",
                where=where,
                code=USAGE,
            )


def items(pipeline: Pipeline, names: list[str], date: str, *, unchecked: bool) -> list[Item]:
    """The items to load, each with its file open. ColonyError (FAILED) that names every dataset that may not be
    loaded and why; then nothing is open."""
    staging.check(pipeline)
    found = [
        Item(name, pipeline.dataset(name), path := pipeline.path("transformed", name, date), pipeline.shown(path))
        for name in names
    ]
    refused: list[ColonyError] = []
    for item in found:
        try:
            _open(pipeline, item, date)
            _pass(pipeline, item, date, unchecked)
        except ColonyError as error:
            refused.append(error)
    if refused:
        for item in found:
            item.close()
        if len(refused) == 1:
            raise refused[0]
        reasons = "; ".join(str(error) for error in refused)
        raise ColonyError(
            f"{len(refused)} datasets may not be loaded: {reasons}", code=max(error.code for error in refused)
        )
    return found


def _open(pipeline: Pipeline, item: Item, date: str) -> None:
    staging.take(pipeline, "transformed", item.dataset, date)
    try:
        item.fd = files.open_regular(item.file)
    except FileNotFoundError:
        raise ColonyError(
            f"'{item.dataset}' of {date} is not transformed: there is no {item.shown}",
            fix=f"run 'colony transform --date {date}'",
            code=FAILED,
        ) from None
    item.state = _state(item.fd)
    with open(item.fd, "rb", _BLOCK, closefd=False) as file:
        first = file.readline(_BLOCK)
    item.sha256, item.rows_sha256 = _hashes(item.fd, len(first))
    if not first.endswith(b'"data":[\n'):
        raise ColonyError(
            "the file is not as the transformer writes it",
            where=item.shown,
            fix=f"run 'colony transform --date {date}'",
            code=FAILED,
        )
    item.head = jsontext.loads(first + b"]}", where=item.shown)
    if item.head.get("date") not in (None, date):
        raise ColonyError(
            f"the file says that it is of {escape(item.head['date'])}, not of {date}", where=item.shown, code=FAILED
        )
    identity = "\n".join((item.table, item.dataset, date, item.rows_sha256))
    if pipeline.schema_policy("datasets", item.dataset) == "discard":
        identity += "\ndiscard"  # the same rows under another policy may be other rows in the table
    item.load_id = hashlib.sha256(identity.encode()).hexdigest()[:32]


def _state(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_size, found.st_mtime_ns


def check_unchanged(item: Item) -> None:
    """ColonyError (FAILED) when the file is not as it was when its hashes were taken."""
    if _state(item.fd) != item.state:
        raise ColonyError("the file was changed while it was read", where=item.shown, fix="try again", code=FAILED)


def _hashes(fd: int, start: int) -> tuple[str, str]:
    """The SHA-256 of a file, and that of what follows so many bytes; on two cores, and of the same blocks."""
    whole, rows = hashlib.sha256(), hashlib.sha256()
    whole.update(os.pread(fd, start, 0))
    blocks: queue.Queue[bytes] = queue.Queue(8)

    def follow() -> None:
        while block := blocks.get():
            rows.update(block)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        while block := os.pread(fd, _BLOCK, start):
            blocks.put(block)
            whole.update(block)
            start += len(block)
    finally:
        blocks.put(b"")
        follower.join()
    return whole.hexdigest(), rows.hexdigest()


def _pass(pipeline: Pipeline, item: Item, date: str, unchecked: bool) -> None:
    path = pipeline.path("validation", item.dataset, date)
    staging.take(pipeline, "validation", item.dataset, date)
    shown = pipeline.shown(path)
    again = f"run 'colony validate-data --date {date}'"
    report = _report(path, shown, again)
    if isinstance(report, dict) and report.get("file_sha256") == item.sha256:
        item.validation = str(report.get("status"))
        score = report.get("quality_score")
        item.quality_score = float(score) if isinstance(score, int | float) else None
        item.kinds = _kinds(report.get("kinds"))
    if unchecked or item.validation in PASSING:
        return
    if report is None:
        raise ColonyError(f"'{item.dataset}' of {date} is not validated: there is no {shown}", fix=again, code=FAILED)
    if item.validation is None:
        raise ColonyError(
            f"the validation report of '{item.dataset}' is of another file than {item.shown}",
            where=shown,
            fix=again,
            code=FAILED,
        )
    failed = [
        str(check.get("name"))
        for check in report.get("checks") or []
        if not check.get("passed") and check.get("severity") == "fail"
    ]
    raise ColonyError(
        f"'{item.dataset}' of {date} is {escape(item.validation)}"
        + (f" ({escape(', '.join(failed))})" if failed else ""),
        where=shown,
        fix="nothing was loaded; correct the data, or load it unchecked with --unchecked",
        code=FAILED,
    )


def _kinds(told: Any) -> dict[str, dict[str, int]]:
    """{column: {JSON kind, as DuckDB names it: values}} of what a validation report tells of the kinds; {} unless all
    columns have one kind each."""
    found: dict[str, dict[str, int]] = {}
    for name, column in told.items() if isinstance(told, dict) else ():
        kind, values = (column.get("kind"), column.get("values")) if isinstance(column, dict) else (None, None)
        if not isinstance(kind, str) or kind not in _KINDS or not isinstance(values, int):
            return {}
        found[name] = {_KINDS[kind]: values} if values else {}
    return found


def _report(path: str, shown: str, again: str) -> Any:
    try:
        return files.read_json(path, None)
    except ColonyError as error:
        raise ColonyError(f"the validation report is {error.what}", where=shown, fix=again, code=FAILED) from None
