"""Fetching: every chosen source to its raw file for a date, whole or not at all, side by side."""

from __future__ import annotations

import os
import threading
import time

from colony_lib.base import clock, files, jsontext
from colony_lib.base.errors import BUSY, FAILED, USAGE, ColonyError
from colony_lib.base.text import plural
from colony_lib.data import envelope, quarantine, sources
from colony_lib.data.collect import Collected
from colony_lib.data.drift import Drift
from colony_lib.data.outcomes import Outcome, reads, record
from colony_lib.data.quarantine import Unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from colony_lib.data.pipeline import Pipeline
    from colony_lib.data.sources import Request, Source

PARALLEL = 8
LOADED = "load_metadata"


class Fetch:
    """A fetch of some sources for one date; building it checks all settings and asks nobody."""

    def __init__(self, pipeline: Pipeline, names: Iterable[str], date: str, since: str | None = None) -> None:
        self.pipeline = pipeline
        self.date = date
        self.stop = threading.Event()
        self.jobs: list[tuple[Request, Source]] = []
        for name in dict.fromkeys(names) or pipeline.names("sources"):
            wants = pipeline.source(name).get("incremental")
            start = since if since is not None else watermark(pipeline, name) if wants else None
            request = sources.Request(pipeline, name, date, start, self.stop)
            self.jobs.append((request, sources.open_source(request)))
        if not self.jobs:
            raise ColonyError(
                "there are no sources", where=pipeline.file, fix="describe one under 'sources:'", code=USAGE
            )
        self._keep_secrets()

    def _keep_secrets(self) -> None:
        """From here on no source's key gets into a file or a printed line, whatever a reply repeats."""
        from colony_lib.store import env
        from colony_lib.store.redact import Redactor

        own = {name: value for _, source in self.jobs for name, value in source.secrets.items()}
        if own:
            files.set_redactor(Redactor({**own, **env.secret_values()}).text)

    def plan(self) -> list[dict[str, Any]]:
        """What `run` would do, one dict a source; asks nobody and writes nothing."""
        return [
            {
                "source": request.name,
                "type": request.settings["type"],
                **source.plan(),
                "since": request.since,
                "writes": self.pipeline.shown(self.pipeline.path("raw", request.name, self.date)),
            }
            for request, source in self.jobs
        ]

    def run(self) -> list[Outcome]:
        """Fetch all sources, up to 8 at once; one that fails does not stop the others.

        When interrupted, the raw files of the sources that were not complete are as they were before.
        """
        if not self.pipeline.in_colony():
            return self._all()
        from colony_lib.store import lineage

        with lineage.recording("fetch", self.date) as run:
            reads([source.origin for _, source in self.jobs], run)
            outcomes = self._all()
            record(
                self.pipeline,
                self.date,
                [(source.origin, outcomes[at]) for at, (_, source) in enumerate(self.jobs)],
                run,
            )
        return outcomes

    def _all(self) -> list[Outcome]:
        outcomes: dict[str, Outcome] = {}
        bugs: list[BaseException] = []
        waiting = list(self.jobs)
        lock = threading.Lock()

        def work() -> None:
            while not self.stop.is_set():
                with lock:
                    if not waiting:
                        return
                    request, source = waiting.pop(0)
                try:
                    outcomes[request.name] = _one(request, source)
                except BaseException as error:  # what no fetch should raise is raised in the main thread
                    bugs.append(error)

        # Daemons: a thread that hangs in the network must not keep an interrupted process alive.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(PARALLEL, len(self.jobs)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:
            self.stop.set()
            deadline = time.monotonic() + 2
            for thread in threads:
                if thread.ident is not None:
                    thread.join(max(0.0, deadline - time.monotonic()))
            raise
        if bugs:
            raise bugs[0]
        return [outcomes[request.name] for request, _ in self.jobs]


def watermark(pipeline: Pipeline, name: str) -> str | None:
    """Up to where the source was loaded, from the document that `colony load` keeps: the least of the watermarks of
    the tables made from it; None (fetch all) when one of them has none, or the document cannot be read."""
    tables = _loaded(pipeline).get("tables")
    if not isinstance(tables, dict):
        return None
    wanted = [
        entry["load"]["table"]
        for dataset in pipeline.names("datasets")
        if (entry := pipeline.dataset(dataset)).get("source", dataset) == name and "load" in entry
    ]
    marks: list[Any] = [(tables.get(table) or {}).get("watermark") for table in wanted]
    if not marks or None in marks:
        return None
    return str(min(marks) if all(isinstance(mark, (int, float)) for mark in marks) else min(map(str, marks)))


def _loaded(pipeline: Pipeline) -> dict[str, Any]:
    from colony_lib.store import paths

    path = paths.document(LOADED) if pipeline.in_colony() else os.path.join(pipeline.state_folder(), f"{LOADED}.json")
    try:
        document = files.read_json(path, {}, follow=False)
    except ColonyError:
        return {}  # damaged; the next load makes it anew from the warehouse
    return document if isinstance(document, dict) else {}


def _one(request: Request, source: Source) -> Outcome:
    """Fetch one source; every expected trouble is in the outcome, with what there was put in quarantine."""
    from colony_lib.data.http import Stopped

    started = time.monotonic()
    fetch_time = clock.now()
    key = request.settings.get("key", [])
    collected = Collected([key] if isinstance(key, str) else key)
    kept: list[str] = []
    error: ColonyError | None = None
    path: str | None = None
    try:
        _collect(request, source, collected)
        _keep_problems(request, kept)
        _check_whole(request, source, collected, kept)
        drift = Drift(request.pipeline, request.name, collected.shape)
        policy = _check_drift(request, source, collected, drift, kept)
        path = request.pipeline.path("raw", request.name, request.date)
        _write(request, collected, path, fetch_time, drift if policy == "discard" else None)
        _keep_problems(request, kept)
        source.keep()
        if policy == "evolve":
            drift.remember()
    except Unreadable as unreadable:
        error = unreadable
        _keep_problems(request, kept)
        kept.append(quarantine.keep_body(request.pipeline, request.name, request.date, unreadable))
    except ColonyError as problem:
        error = problem
    except Stopped:
        error = ColonyError("interrupted", code=BUSY)
    except OSError as problem:
        where = f" '{problem.filename}'" if problem.filename else ""
        error = ColonyError(f"{problem.strerror or problem}{where}", code=FAILED)
    finally:
        collected.close()
    figures = _figures(request, collected, fetch_time, time.monotonic() - started)
    shown = [request.pipeline.shown(file) for file in kept]
    complete = error is None
    figures |= {"status": "complete" if complete else "busy" if error and error.code == BUSY else "failed"}
    figures |= {"filepath": request.pipeline.shown(path) if complete and path else None, "quarantine": shown}
    if error is not None:
        figures |= {"records": 0, "error": files.redacted(str(error))}
    return Outcome(request.name, figures, error)


def _collect(request: Request, source: Source, collected: Collected) -> None:
    from colony_lib.data.http import Stopped
    from colony_lib.data.readers import objects

    for batch in source.batches():
        if request.stop.is_set():
            raise Stopped
        for row in objects(batch, request.tally.problems):
            collected.add(row)
        request.tally.unique = collected.unique
    collected.check_key()


def _keep_problems(request: Request, kept: list[str]) -> None:
    """Put the records that could not be read in quarantine, all of a fetch in one file, each with its reason."""
    problems = request.tally.problems
    if problems and not kept:
        reason = f"{plural(len(problems), 'record')} could not be read"
        origin = problems[0]["origin"]
        lines = (jsontext.dumps(problem) for problem in problems)
        kept.append(quarantine.keep_rows(request.pipeline, request.name, request.date, reason, origin, lines))


def _check_whole(request: Request, source: Source, collected: Collected, kept: list[str]) -> None:
    """ColonyError (FAILED), with what came put in quarantine, when it is not as much as the source said."""
    bad = len(request.tally.problems)
    if bad and not collected.count:
        raise ColonyError(
            f"none of {plural(bad, 'record')} could be read ({request.tally.problems[0]['reason']})", code=FAILED
        )
    expected = source.expected
    if expected is None or expected - bad in collected.whole:
        return
    what = f"not complete: the source says {plural(expected, 'record')}, {collected.whole[0] + bad:,} came"
    kept.append(
        quarantine.keep_rows(request.pipeline, request.name, request.date, what, source.origin, collected.lines())
    )
    fix = "fetch again" if collected.key else "fetch again; if pages overlap, name the source's 'key'"
    raise ColonyError(what, fix=fix, code=FAILED)


def _check_drift(request: Request, source: Source, collected: Collected, drift: Drift, kept: list[str]) -> str:
    """What is to be done about fields that have changed: 'evolve' or 'discard', told in the notes. ColonyError
    (FAILED), with what came put in quarantine, when the source's policy is to freeze them."""
    policy: str = request.settings.get("schema_policy", "evolve")
    if not drift:
        return "evolve"
    if policy != "freeze":
        left_out = ", left out" if policy == "discard" and (drift.new or drift.retyped) else ""
        request.tally.notes.append(f"the fields have changed: {drift.said()}{left_out}")
        return policy
    what = f"the fields have changed: {drift.said()}"
    kept.append(
        quarantine.keep_rows(request.pipeline, request.name, request.date, what, source.origin, collected.lines())
    )
    fix = "correct the source, or take the change by 'schema_policy: evolve'"
    raise ColonyError(what, where=request.where(), fix=fix, code=FAILED)


def _write(request: Request, collected: Collected, path: str, fetch_time: str, discard: Drift | None) -> None:
    head = {"source": request.name, "fetch_time": fetch_time, "date": request.date}
    if request.since is not None:
        head["since"] = request.since
    with envelope.Writer(path, head) as out:
        for number, line in enumerate(collected.lines(), 1):
            if discard is None:
                out.add_line(line)
                continue
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
        "waits": tally.waits,
        "waited_seconds": round(tally.waited_seconds, 3),
        "duplicates": collected.duplicates,
        "conflicts": collected.conflicts,
        "quarantined": len(tally.problems),
        "seconds": round(seconds, 3),
        "notes": tally.notes,
    }
