"""`colony fetch`: the sources of pipeline.yml to raw files for a date."""

from __future__ import annotations

import re

from colony_lib.base.errors import BUSY, FAILED, OK, USAGE, ColonyError
from colony_lib.cli import args, complain, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.outcomes import Outcome
    from colony_lib.data.pipeline import Pipeline

DETAILS = """\
Each source's records go to staging/raw/SOURCE_DATE.json, whole or not at all; what cannot be read goes to
staging/quarantine/ and is named. The date is the one that the data is of, not today's: --date, else the run's
(COLONY_DATE), else today. With 'staging: s3://BUCKET/PREFIX' in pipeline.yml
it is also put there, for other machines. How that file is written: 'colony help
pipelines'.

--retry-quarantine tries again what is there, of the day given or of every day: a reply, object or file that could
not be read is asked for again and its day's file replaced whole; records that were left out and can be read now join
their day. What still cannot be taken stays, with the attempt noted.

--plan fetches nothing: it prints one JSON object whose `batches` can be fetched side by side, by a step's for_each or
by anything else: each has source, date, batch, and the command that fetches just it. A batch is a source and a day;
with --parts a day's files or objects are shared out as well, and the last batch of a day puts them together.

exit status: 0 every source is complete; 1 one is not; 75 a rate limit or an open circuit breaker: try again later
"""


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony fetch",
        "fetch the sources of pipeline.yml for a date",
        [
            "colony fetch --date 2013-02-08",
            "colony fetch flights weather --date yesterday --json | jq .files",
            "colony fetch --dry-run",
            "colony fetch --retry-quarantine",
            "colony fetch flights --plan --from 2013-01-01 --to 2013-12-31",
            "colony fetch --list",
        ],
        DETAILS,
    )
    parser.add_argument("sources", metavar="SOURCE", nargs="*", help="only these sources (default: all)")
    parser.add_argument("--date", metavar="D", type=args.date, help="the date that the data is of, YYYY-MM-DD")
    parser.add_argument(
        "--since", metavar="T", type=_mark, help="what {{since}} stands for (default: up to where was loaded)"
    )
    parser.add_argument("--plan", action="store_true", help="print the batches there are as JSON and fetch nothing")
    parser.add_argument("--from", dest="first", metavar="D", type=args.date, help="with --plan: the first day")
    parser.add_argument("--to", dest="last", metavar="D", type=args.date, help="with --plan: the last day")
    parser.add_argument("--parts", metavar="N", type=args.count, help="with --plan: share a day's files out among N")
    parser.add_argument("--batch", metavar="I/N", help="fetch the I-th of N parts of the files or objects, from 0 on")
    parser.add_argument("--list", action="store_true", help="print the sources and fetch nothing")
    parser.add_argument("--dry-run", action="store_true", help="print what would be asked for and ask nobody")
    parser.add_argument("--retry-quarantine", action="store_true", help="try again what was put into quarantine")
    parser.add_argument("--pipeline", metavar="FILE", help="the pipeline file (default: pipeline.yml)")
    args.add_lock_timeout(parser)
    args.add_json(parser)
    given = parser.parse_args(argv)

    from colony_lib.data import pipeline as pipelines

    _check(given)
    pipeline = pipelines.load(given.pipeline)
    if given.plan:
        return _batches(pipeline, given)
    if given.list:
        return _list(pipeline, given)
    if given.retry_quarantine:
        return _retry(pipeline, given)
    date = pipelines.logical_date(given.date)
    from colony_lib.data.fetch import Fetch

    fetch = Fetch(pipeline, given.sources, date, given.since, one=_one(given))
    if given.dry_run:
        return _plan(fetch.plan(), given)
    return _report(date, fetch.run(), given)


def _check(given: Any) -> None:
    """ColonyError (USAGE) for options that do not go together."""
    for name, value in (("--from", given.first), ("--to", given.last), ("--parts", given.parts)):
        if value is not None and not given.plan:
            raise ColonyError(f"{name} goes with --plan", fix=f"add --plan, or leave {name} out", code=USAGE)
    modes = [f"--{name}" for name in ("plan", "list", "dry_run", "retry_quarantine", "batch") if getattr(given, name)]
    modes = [mode.replace("_", "-") for mode in modes]
    if len(modes) > 1 and {"--plan", "--batch"} & {*modes}:
        raise ColonyError(f"{modes[0]} goes with no {modes[1]}", fix="give one of them", code=USAGE)
    if (given.first is None) != (given.last is None):
        raise ColonyError("--from and --to go together", fix="give the first and the last day", code=USAGE)
    if given.first is not None and given.date is not None:
        raise ColonyError("--date goes with no --from and --to", fix="give a day or a range of days", code=USAGE)


def _batches(pipeline: Pipeline, given: Any) -> int:
    from colony_lib.data import batches, fetch_parts, fetch_plan
    from colony_lib.data import pipeline as pipelines

    parts = 1 if given.parts is None else given.parts
    if not 1 <= parts <= fetch_parts.MOST:
        raise ColonyError(f"--parts {parts:,} is not from 1 to {fetch_parts.MOST:,}", code=USAGE)
    days = batches.days(given.first, given.last) if given.first else [pipelines.logical_date(given.date)]
    show.record(fetch_plan.plan(pipeline, given.sources, days, since=given.since, parts=parts))
    return OK


def _one(given: Any) -> Any:
    """How each source is fetched: all of it, or the batch that is asked for."""
    from colony_lib.data import batches, fetch_one, fetch_parts

    if given.batch is None:
        return fetch_one.fetch
    return fetch_parts.fetching(*batches.batch(given.batch, fetch_parts.MOST))


def _retry(pipeline: Pipeline, given: Any) -> int:
    if given.since or given.dry_run:
        other = "--since" if given.since else "--dry-run"
        raise ColonyError(f"--retry-quarantine goes with no {other}", fix=f"leave {other} out", code=USAGE)
    from colony_lib.data import fetch_again
    from colony_lib.data import pipeline as pipelines
    from colony_lib.store import env

    date = pipelines.logical_date(given.date) if given.date or env.get("COLONY_DATE") else None
    codes = [_report(fetch.date, fetch.run(), given) for fetch in fetch_again.fetches(pipeline, given.sources, date)]
    if not codes:
        show.note("nothing waits in quarantine")
    return next((code for code in (FAILED, USAGE, BUSY) if code in codes), OK)


def _mark(text: str) -> str:
    if not text.strip():
        raise ColonyError("--since is empty", fix="give a time or whatever the source counts by", code=USAGE)
    return text


def _list(pipeline: Pipeline, given: Any) -> int:
    rows = []
    for name in given.sources or pipeline.names("sources"):
        source = pipeline.source(name)
        key = source.get("key")
        rows.append(
            {
                "source": name,
                "type": source["type"],
                "from": re.sub(r"//[^/@]*@", "//***@", source.get("url") or source["path"]),
                "key": [key] if isinstance(key, str) else key,
                "description": source.get("description"),
            }
        )
    if given.json:
        show.records(rows)
    else:
        show.table(rows, ["source", "type", "key", "from"])
    return OK


def _plan(plan: list[dict[str, Any]], given: Any) -> int:
    from colony_lib.base import files
    from colony_lib.base.text import escape

    if given.json:
        show.records(plan)
        return OK
    for one in plan:
        what = one.get("request") or ", ".join(one["files"]) or f"no file matches {one['path']}"
        print(files.redacted(escape(f"{one['source']}: {what} → {one['writes']}")))
    return OK


def _report(date: str, found: list[Outcome], given: Any) -> int:
    from colony_lib.base import files
    from colony_lib.data import outcomes, summary

    summary.emit(
        outcomes.summarise(date, found),
        [outcomes.line(outcome) for outcome in found if outcome.error is None],
        json=given.json,
    )
    for outcome in found:
        figures, error = outcome.figures, outcome.error
        for text in figures["notes"]:
            show.warn(files.redacted(f"source '{outcome.name}': {text}"), "fetch")
        kept = ", ".join(figures["quarantine"])
        if figures["quarantined"] and error is None:
            show.warn(f"source '{outcome.name}': {figures['quarantined']:,} unreadable, kept in {kept}", "fetch")
        if error is not None:
            what = files.redacted(f"source '{outcome.name}': {error}") + (f"; kept in {kept}" if kept else "")
            complain("fetch", ColonyError(what, code=error.code))
    return outcomes.code(found)
