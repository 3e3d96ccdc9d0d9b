"""`colony lineage`: where a dataset's rows came from, in words, as a graph or by column, and what a run's steps did."""

from __future__ import annotations

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError, unknown
from colony_lib.base.text import escape
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.base.jsonl import Problem

DETAILS = """\
The data tools write OpenLineage run events to .colony/lineage/, a file a month. Of a dataset that was loaded this
prints where the rows in the warehouse came from, else what is known so far. --json prints one object for a
DATASET (or its table), one a line for all of them, and a RUN's events, one a line. --graph draws what DATASET came
from, down to the sources; --columns lists the fields that each of its columns was made from.

With OPENLINEAGE_URL set the tools also post each event to that endpoint (with OPENLINEAGE_API_KEY as bearer token
and OPENLINEAGE_ENDPOINT as path, by default api/v1/lineage). One that does not answer within 5 s, or refuses, fails
no step: the log says so, and the events are in the files.
"""


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony lineage",
        "show where a dataset's rows came from",
        [
            "colony lineage",
            "colony lineage flights --date 2013-02-08",
            "colony lineage flights --json | jq .transformations",
            "colony lineage flights --dot | dot -Tsvg -o flights.svg",
            "colony lineage flights --columns",
            "colony lineage latest",
        ],
        DETAILS,
    )
    parser.add_argument(
        "what", metavar="DATASET|RUN", nargs="?", help="a dataset, its table, or a run (id or 'latest')"
    )
    parser.add_argument("--date", metavar="D", type=args.date, help="of this date only (default: the newest)")
    views = parser.add_mutually_exclusive_group()
    views.add_argument("--graph", action="store_true", help="draw what it came from (with --json: as one object)")
    views.add_argument("--dot", action="store_true", help="the graph in Graphviz's language")
    views.add_argument("--mermaid", action="store_true", help="the graph as a Mermaid flowchart")
    views.add_argument("--columns", action="store_true", help="list where each column came from")
    args.add_json(parser)
    given = parser.parse_args(argv)
    drawn = given.graph or given.dot or given.mermaid or given.columns
    if given.json and (given.dot or given.mermaid):
        raise ColonyError("--json and a drawing", fix="give one of them", code=USAGE)
    if drawn and given.what is None:
        raise ColonyError("a graph of what?", fix="name a dataset or its table", code=USAGE)

    from colony_lib.store import lineage

    problems: list[Problem] = []
    found = list(lineage.events(problems))
    known = lineage.provenances(found)
    try:
        if given.what is None:
            return _all(known, given)
        mine = {
            key: entry for key, entry in known.items() if given.what in (entry["dataset"], entry["warehouse_table"])
        }
        if mine:
            return _one(mine, given, found if drawn else None)
        if drawn:
            names = {name for entry in known.values() for name in (entry["dataset"], entry["warehouse_table"]) if name}
            raise unknown("dataset", escape(given.what), names)
        return _run(found, known, given)
    finally:
        show.problems(problems, "lineage")


def _of_date(known: dict[tuple[str, str], dict[str, Any]], date: str | None) -> list[dict[str, Any]]:
    return [entry for key, entry in sorted(known.items()) if date is None or entry["date"] == date]


def _all(known: dict[tuple[str, str], dict[str, Any]], given: Any) -> int:
    """Each dataset's newest date, or all of the date that was asked for."""
    newest = {entry["dataset"]: entry for entry in _of_date(known, given.date)}
    if given.json:
        show.records(newest.values())
    else:
        show.table(
            newest.values(),
            ["dataset", "date", "source", "fetch_time", "validation_passed", "load_time", "warehouse_table"],
        )
        if not newest:
            of = f" of {given.date}" if given.date else ""
            show.nothing(f"no data{of} has been fetched, transformed or loaded here")
    return OK


def _one(mine: dict[tuple[str, str], dict[str, Any]], given: Any, events: list[dict[str, Any]] | None) -> int:
    """One date of the dataset: its provenance, or of these events the graph."""
    entries = _of_date(mine, given.date)
    if not entries:
        dates = sorted({entry["date"] for entry in mine.values()})
        raise ColonyError(
            f"nothing is known of '{escape(given.what)}' of {given.date}", fix=f"its dates are {', '.join(dates[-6:])}"
        )
    entry = max(entries, key=lambda one: (one["date"], one.get("load_time") or ""))
    from colony_lib.cli import lineage_view

    if events is not None:
        lineage_view.draw(events, entry, given)
    elif given.json:
        show.record(entry)
    else:
        lineage_view.print_lines(lineage_view.words(entry))
    return OK


def _run(found: list[dict[str, Any]], known: dict[tuple[str, str], dict[str, Any]], given: Any) -> int:
    from colony_lib.store import lineage, runs

    try:
        run_id = runs.find(given.what)
    except ColonyError as error:
        if error.code != FAILED or given.what == "latest":
            raise
        names = {name for entry in known.values() for name in (entry["dataset"], entry["warehouse_table"]) if name}
        raise unknown("dataset or run", escape(given.what), names) from None
    events = [
        event
        for event in found
        if lineage.run_facet(event, "colony_run").get("run_id") == run_id
        and (given.date is None or given.date in str(lineage.run_facet(event, "nominalTime").get("nominalStartTime")))
    ]
    if given.json:
        show.records(events)
        return OK
    rows: list[dict[str, Any]] = []
    ended = {event["run"].get("runId") for event in events if event.get("eventType") in ("COMPLETE", "FAIL", "ABORT")}
    for event in events:
        kind = event.get("eventType")
        if kind != "START" and (kind != "RUNNING" or event["run"].get("runId") not in ended):
            head = {"time": event.get("eventTime"), "job": event["job"].get("name"), "event": event.get("eventType")}
            rows += [{**head, "does": does, "dataset": name} for does, name in _sides(event)] or [head]
    show.table(rows, ["time", "job", "event", ("does", ""), "dataset"])
    return OK


def _sides(event: dict[str, Any]) -> list[tuple[str, str]]:
    """('reads' or 'writes', dataset) of an event."""
    sides = (("reads", "inputs"), ("writes", "outputs"))
    return [
        (does, str(one.get("name"))) for does, key in sides for one in event.get(key) or [] if isinstance(one, dict)
    ]
