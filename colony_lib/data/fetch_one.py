"""The fetch of one source for one date: collected, checked, and then its raw file replaced, whole or not at all."""

from __future__ import annotations

import time
from contextlib import contextmanager

from colony_lib.base import clock, files, jsontext, locks
from colony_lib.base.errors import BUSY, FAILED, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data import envelope, staging
from colony_lib.data.collect import MAX_FIELD, Collected
from colony_lib.data.drift import Drift
from colony_lib.data.outcomes import Outcome
from colony_lib.data.pipeline import byte_count
from colony_lib.data.quarantine import DAY, PART, Keeper, Unreadable
from colony_lib.data.readers import NOT_ENCODED, shown
from colony_lib.store import progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.data.sources import Request, Source

_TOLD = 1000  # records between two words on how far it is


def fetch(request: Request, source: Source, *, again: bool = False, hand_on: bool = True) -> Outcome:
    """Fetch one source; every expected trouble is in the outcome, with what there was put in quarantine, unless it is
    a retry (`again`) of what is there already. Without `hand_on` the caller puts the file into staging."""
    started = time.monotonic()
    keeper = Keeper(request.pipeline, request.name, request.date, clock.now(), request.since, again=again)
    pages = request.settings.get("pagination", {})  # without a total to come to, nobody asks how many differ
    remembers = "total" in pages or "total_header" in pages
    collected = Collected(key_of(request), remembers=remembers, max_field=max_field(request))
    path: str | None = None
    with expected() as trouble:
        try:
            collect(request, source, collected)
            _check_whole(request, source, collected, keeper)
            drift = Drift(request.pipeline, request.name, collected.shape)
            policy = _check_drift(request, source, collected, drift, keeper)
            path = request.pipeline.path("raw", request.name, request.date)
            _write(request, collected, path, keeper, drift if policy == "discard" else None)
            if hand_on:
                staging.put(request.pipeline, "raw", request.name, request.date)
            source.keep()
            if policy == "evolve":
                drift.remember()
        except Unreadable as unreadable:
            keeper.problems(request.tally.problems, failed=True)
            keeper.body(unreadable)
            raise
        except ColonyError:
            keeper.problems(request.tally.problems, failed=True)
            raise
        finally:
            collected.close()
    error = trouble[0] if trouble else None
    seconds = time.monotonic() - started
    return outcome(request, collected, keeper.fetch_time, seconds, path, keeper.kept, error)


def max_field(request: Request) -> int:
    """The longest field, in characters, that the source takes."""
    return byte_count(request.settings.get("max_field", MAX_FIELD))


def key_of(request: Request) -> list[str]:
    key = request.settings.get("key", [])
    return [key] if isinstance(key, str) else key


@contextmanager
def expected() -> Iterator[list[ColonyError]]:
    """What a fetch may meet, put into the list instead of raised."""
    from colony_lib.data.http import Stopped

    found: list[ColonyError] = []
    try:
        yield found
    except ColonyError as problem:
        found.append(problem)
    except Stopped:
        found.append(ColonyError("interrupted", code=BUSY))
    except OSError as problem:
        where = f" '{problem.filename}'" if problem.filename else ""
        found.append(ColonyError(f"{problem.strerror or problem}{where}", code=FAILED))


def outcome(
    request: Request,
    collected: Collected,
    fetch_time: str,
    seconds: float,
    path: str | None,
    kept: list[str],
    error: ColonyError | None,
) -> Outcome:
    """How it ended, in figures; `kept` are the files that wait in quarantine."""
    figures = _figures(request, collected, fetch_time, seconds)
    waiting = [request.pipeline.shown(file) for file in kept]
    complete = error is None
    figures |= {"status": "complete" if complete else "busy" if error and error.code == BUSY else "failed"}
    figures |= {"filepath": request.pipeline.shown(path) if complete and path else None, "quarantine": waiting}
    if error is not None:
        figures |= {"records": 0, "error": files.redacted(str(error))}
    return Outcome(request.name, figures, error)


def collect(request: Request, source: Source, collected: Collected) -> None:
    """Take in all that the source gives; what cannot be read is in `request.tally.problems`."""
    from colony_lib.data.http import Stopped
    from colony_lib.data.readers import objects

    for batch in source.batches():
        if request.stop.is_set():
            raise Stopped
        for row in objects(batch, request.tally.problems):
            long = collected.add(row)
            if long is not None:
                _set_apart(request, row, long, collected.max_field)
            if not collected.count % _TOLD:
                progress.tell(request.name, "fetching", collected.count, source.expected)
        request.tally.unique = collected.unique
    collected.check_key()


def _set_apart(request: Request, row: dict[str, Any], field: str, limit: int) -> None:
    """A record with a field that is too long, its long values cut: the quarantine need not hold them either."""
    reason = f"the field '{escape(field)}' is longer than max_field ({limit:,} characters)"
    cut = {
        name: value if len(text := value if isinstance(value, str) else jsontext.dumps(value)) <= limit else shown(text)
        for name, value in row.items()
    }
    request.tally.problems.append((None, reason, jsontext.dumps(cut)))


def writing(request: Request) -> Any:
    """The lock under which a source's raw file is replaced: a retry must not put back what a fetch has replaced."""
    what = f"the raw file of '{request.name}'"
    return locks.held(request.pipeline.lock(f"raw-{request.name}"), what=what)


def _check_whole(request: Request, source: Source, collected: Collected, keeper: Keeper) -> None:
    """ColonyError (FAILED), with what came put in quarantine, when it is not as much as the source said."""
    bad = len(request.tally.problems)
    if bad and not collected.count:
        reason = request.tally.problems[0]["reason"]
        fix = "name it, such as 'encoding: latin-1'" if reason == NOT_ENCODED else None
        raise ColonyError(f"none of {plural(bad, 'record')} could be read ({reason})", fix=fix, code=FAILED)
    expected = source.expected
    if expected is None or expected - bad in collected.whole:
        return
    what = f"not complete: the source says {plural(expected, 'record')}, {collected.whole[0] + bad:,} came"
    keeper.problems(request.tally.problems, failed=True)
    keeper.day(PART, what, source.origin, collected.lines())
    fix = "fetch again" if collected.key else "fetch again; if pages overlap, name the source's 'key'"
    raise ColonyError(what, fix=fix, code=FAILED)


def _check_drift(request: Request, source: Source, collected: Collected, drift: Drift, keeper: Keeper) -> str:
    """What is to be done about fields that have changed: 'evolve' or 'discard', told in the notes. ColonyError
    (FAILED), with what came put in quarantine, when the source's policy is to freeze them."""
    policy = request.pipeline.schema_policy("sources", request.name)
    if not drift:
        return "evolve"
    if policy != "freeze":
        left_out = ", left out" if policy == "discard" and (drift.new or drift.retyped) else ""
        request.tally.notes.append(f"the fields have changed: {drift.said()}{left_out}")
        return policy
    what = f"the fields have changed: {drift.said()}"
    keeper.problems(request.tally.problems, failed=True)
    keeper.day(DAY, what, source.origin, collected.lines())
    fix = "correct the source, or take the change by 'schema_policy: evolve'"
    raise ColonyError(what, where=request.where(), fix=fix, code=FAILED)


def _write(request: Request, collected: Collected, path: str, keeper: Keeper, discard: Drift | None) -> None:
    head = {"source": request.name, "fetch_time": keeper.fetch_time, "date": request.date}
    if request.since is not None:
        head["since"] = request.since
    with writing(request), envelope.Writer(path, head) as out:
        if discard is None:
            for some in collected.blocks():
                out.add_lines(some)
        else:
            _reduced(request, collected, discard, out)
        # Before the raw file appears: a kill in between must not lose the records that are not in it.
        keeper.problems(request.tally.problems)


def _reduced(request: Request, collected: Collected, discard: Drift, out: envelope.Writer) -> None:
    """The records without what the drift leaves out; those that still do not fit are problems."""
    for number, line in enumerate(collected.lines(), 1):
        row, wrong = discard.reduce(jsontext.loads(line))
        if wrong is None:
            out.add(row)
        else:
            request.tally.problems.append((number, wrong, row))
            collected.count -= 1


def _figures(request: Request, collected: Collected, fetch_time: str, seconds: float) -> dict[str, Any]:
    tally = request.tally
    return {
        "records": collected.count,
        "date": request.date,
        "fetch_time": fetch_time,
        "pages": tally.pages,
        "retries": tally.retries,
        "unchanged": tally.unchanged,
        "waits": tally.waits,
        "waited_seconds": round(tally.waited_seconds, 3),
        "duplicates": collected.duplicates,
        "conflicts": collected.conflicts,
        "quarantined": len(tally.problems),
        "seconds": round(seconds, 3),
        "notes": tally.notes,
    }
