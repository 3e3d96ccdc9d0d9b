"""Fetching: every chosen source to its raw file for a date, whole or not at all, side by side."""

from __future__ import annotations

import os
import threading
import time

from colony_lib.base import files
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.data import fetch_one, sources, staging
from colony_lib.data.outcomes import Outcome, reads, record
from colony_lib.store import progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from colony_lib.data.pipeline import Pipeline
    from colony_lib.data.sources import Request, Source

PARALLEL = 8
LOADED = "load_metadata"


class Fetch:
    """A fetch of some sources for one date; building it checks all settings and asks nobody.

    `since` is from where all of them are fetched, `sinces` from where single ones are; else their watermarks say it.
    `one` is what is done with each.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        names: Iterable[str],
        date: str,
        since: str | None = None,
        *,
        sinces: Mapping[str, str | None] | None = None,
        one: Callable[[Request, Source], Outcome] = fetch_one.fetch,
    ) -> None:
        self.pipeline = pipeline
        self.date = date
        self.one = one
        self.stop = threading.Event()
        self.jobs: list[tuple[Request, Source]] = []
        staging.check(pipeline)
        for name in dict.fromkeys(names) or pipeline.names("sources"):
            wants = pipeline.source(name).get("incremental")
            start = since if since is not None else watermark(pipeline, name) if wants else None
            if sinces is not None and name in sinces:
                start = sinces[name]
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
                    progress.tell(request.name, "fetching")
                    outcomes[request.name] = self.one(request, source)
                except BaseException as error:  # what no fetch should raise is raised in the main thread
                    bugs.append(error)
                progress.tell(request.name, "")

        # Daemons: a thread that hangs in the network must not keep an interrupted process alive.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(PARALLEL, len(self.jobs)))]
        try:
            with progress.working():
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
