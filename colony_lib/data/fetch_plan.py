"""What there is to fetch, as batches that can be fetched side by side, on any machine: a source and a day each, or a
share of the files or objects that a source has of a day."""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.data import batches, fetch_parts
from colony_lib.data.fetch import Fetch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from colony_lib.data.pipeline import Pipeline
    from colony_lib.data.sources import Request, Source

MOST = 100_000  # batches of a plan


def plan(
    pipeline: Pipeline, names: Iterable[str], dates: list[str], *, since: str | None = None, parts: int = 1
) -> dict[str, Any]:
    """{v, dates, batches: [{name, source, date, batch, pieces, since, writes, command}]} of the sources (all when none
    is named) and days. Fetches nothing; with `parts` > 1 it asks which files or objects there are.

    The same plan is made however often it is asked for, as long as the sources have the same. ColonyError (USAGE) for
    a source whose days have to be fetched one after the other.
    """
    chosen = list(names)
    found: list[dict[str, Any]] = []
    for date in dates:
        fetch = Fetch(pipeline, chosen, date, since)
        for request, source in fetch.jobs:
            if len(dates) > 1:
                _check_days(request, since)
            found += _of_day(request, source, parts)
            if len(found) > MOST:
                raise ColonyError(f"more than {MOST:,} batches", fix="plan fewer days, or fewer parts", code=USAGE)
    return {"v": 1, "dates": dates, "batches": found}


def _check_days(request: Request, since: str | None) -> None:
    """ColonyError (USAGE) where what one day gives depends on the day before it having been fetched or loaded."""
    if request.settings.get("only_new"):
        raise ColonyError(
            f"source '{request.name}' takes only objects that no earlier day has taken: its days cannot be planned",
            where=request.where("only_new"),
            fix="plan one day at a time",
            code=USAGE,
        )
    if request.settings.get("incremental") and since is None:
        raise ColonyError(
            f"source '{request.name}' begins where the day before it was loaded: its days cannot be planned",
            where=request.where("incremental"),
            fix="plan one day at a time, or say from where with --since",
            code=USAGE,
        )


def _of_day(request: Request, source: Source, parts: int) -> list[dict[str, Any]]:
    pieces = fetch_parts.pieces(request, source) if parts > 1 and fetch_parts.can_share(request, source) else None
    count = 1 if pieces is None else max(1, min(parts, len(pieces)))
    found = []
    for number in range(count):
        begin, end = (0, None) if pieces is None else batches.share(len(pieces), number, count)
        words = ["colony", "fetch", request.name, "--date", request.date]
        words += ["--since", request.since] if request.since is not None else []
        name = f"{request.name}_{request.date}" + (f".{number}-of-{count}" if count > 1 else "")
        found.append(
            {
                "name": name,
                "source": request.name,
                "date": request.date,
                "batch": f"{number}/{count}",
                "pieces": None if end is None else end - begin,
                "since": request.since,
                "writes": request.pipeline.shown(request.pipeline.path("raw", request.name, request.date)),
                "command": words + (["--batch", f"{number}/{count}"] if count > 1 else []),
            }
        )
    return found
