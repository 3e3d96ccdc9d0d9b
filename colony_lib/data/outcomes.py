"""How fetches ended: in a line for people, in a summary, as an exit status, and in the colony's own records."""

from __future__ import annotations

import os

from colony_lib.base.errors import BUSY, FAILED, OK, USAGE, ColonyError
from colony_lib.base.text import plural, show_duration
from colony_lib.data import summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.pipeline import Pipeline

DOCUMENT = "fetch_results"


class Outcome:
    """How the fetch of one source ended: `figures` for the summary, and `error` unless it is complete."""

    __slots__ = ("error", "figures", "name")

    def __init__(self, name: str, figures: dict[str, Any], error: ColonyError | None = None) -> None:
        self.name = name
        self.figures = figures
        self.error = error


def record(pipeline: Pipeline, date: str, found: list[tuple[str, Outcome]], run: Any) -> None:
    """Tell the colony how the sources, each with its origin, ended: the state document, lineage (`run`, as
    store.lineage.recording gives it), metrics and log lines."""
    from colony_lib.store import documents, lineage

    keys = ("filepath", "records", "date", "fetch_time", "pages", "retries", "quarantined", "duplicates")
    found = [(origin, outcome) for origin, outcome in found if outcome.figures["status"] != "waiting"]
    complete = [outcome for _, outcome in found if outcome.error is None]
    if complete:
        new = [(outcome.name, {key: outcome.figures[key] for key in keys}) for outcome in complete]
        documents.change(DOCUMENT, [(_pointer(name), "=", value) for name, value in new])
    for origin, outcome in found:
        figures = outcome.figures
        run.inputs.append(_input(origin))
        if outcome.error is None:
            statistics = {
                "rowCount": figures["records"],
                "size": os.path.getsize(os.path.join(pipeline.root, figures["filepath"])),
            }
            run.outputs.append(lineage.file(figures["filepath"], outputStatistics=statistics))
            run.provenance.append(
                {
                    "dataset": outcome.name,
                    "date": date,
                    "source": outcome.name,
                    "fetch_time": figures["fetch_time"],
                    "rows": figures["records"],
                    "raw_file": figures["filepath"],
                    "origin": _name(_input(origin)),
                }
            )
        summary.log("fetch", *_said(outcome))
        labels = {"source": outcome.name, "date": date}
        measured = {"pipeline_records_fetched": figures["records"], "pipeline_fetch_seconds": figures["seconds"]}
        summary.measure(measured if outcome.error is None else {"pipeline_fetch_failures": 1}, labels)
    failed = [outcome for _, outcome in found if outcome.error is not None]
    if failed:
        run.failed = "; ".join(f"source '{outcome.name}': {outcome.figures['error']}" for outcome in failed)


def reads(origins: list[str], run: Any) -> None:
    """Say that these sources are being fetched."""
    run.inputs += [_input(origin) for origin in origins]
    run.running()


def _input(origin: str) -> dict[str, Any]:
    from urllib.parse import urlsplit

    from colony_lib.store import lineage

    parts = urlsplit(origin)
    if parts.scheme and parts.netloc:
        host = f"{parts.scheme}://{parts.netloc}"
        return lineage.dataset(parts.path or "/", host, dataSource={"name": host, "uri": host + (parts.path or "/")})
    return lineage.file(origin)


def _name(dataset: dict[str, Any]) -> dict[str, str]:
    return {"namespace": dataset["namespace"], "name": dataset["name"]}


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _said(outcome: Outcome) -> tuple[str, str]:
    """(level, text) of the log line."""
    if outcome.error is not None:
        return "error", f"source '{outcome.name}': {outcome.figures['error']}"
    warn = outcome.figures["quarantined"] or outcome.figures["conflicts"]
    return "warn" if warn else "info", line(outcome)


def line(outcome: Outcome) -> str:
    """The outcome in one line for people."""
    figures = outcome.figures
    if outcome.error is not None:
        return f"{outcome.name}: {figures['status']}"
    if figures["status"] == "waiting":
        waiting = ", ".join(map(str, figures["waiting"]))
        return f"{outcome.name}: this part is done, waiting for {waiting}"
    text = f"{outcome.name}: {plural(figures['records'], 'record')} in {show_duration(figures['seconds'])}"
    parts = [plural(figures["pages"], "page")] if figures["pages"] > 1 else []
    if figures["unchanged"]:
        parts.append(f"{figures['unchanged']:,} unchanged")
    if figures["retries"]:
        parts.append(f"{figures['retries']} tried again")
    if figures["waits"]:
        parts.append(f"waited {show_duration(figures['waited_seconds'])} for the rate limit")
    if figures["duplicates"]:
        parts.append(f"{plural(figures['duplicates'], 'duplicate')} dropped")
    if figures["conflicts"]:
        parts.append(f"{figures['conflicts']:,} with a key that was there before")
    if figures.get("joined"):
        parts.append(f"{figures['joined']:,} out of quarantine")
    if figures["quarantined"]:
        parts.append(f"{figures['quarantined']:,} unreadable, in quarantine")
    return text + (f" ({', '.join(parts)})" if parts else "") + f" → {figures['filepath']}"


def summarise(date: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """The summary of a fetch, as schemas/fetch-summary.schema.json has it."""
    complete = [outcome for outcome in outcomes if outcome.figures["status"] == "complete"]
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    return {
        "date": date,
        "status": "incomplete" if failed else "complete" if len(complete) == len(outcomes) else "waiting",
        "record_count": sum(outcome.figures["records"] for outcome in complete),
        "files": [outcome.figures["filepath"] for outcome in complete],
        "sources": {outcome.name: outcome.figures for outcome in outcomes},
    }


def code(outcomes: list[Outcome]) -> int:
    """The exit status: that of what failed for good before that of what may work later."""
    codes = {outcome.error.code for outcome in outcomes if outcome.error is not None}
    return next((one for one in (FAILED, USAGE, BUSY) if one in codes), max(codes, default=OK))
