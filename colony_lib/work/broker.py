"""The process beside an engine that holds the connection to a Dask cluster.

A process of its own, because a Dask client has threads, which an engine that forks must not have, and costs a second to
import. The engine (work/remote.py) sends it lines: first {executor, setup}, then {job, resources}, {forget: [slot]} and
{stop: [slot]}. It answers {slot, ended | lost | refused} for each job, and {state: here | away | short | failed}. It
ends when the engine does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import threading
import time
from asyncio import CancelledError

from colony_lib.base import clock, files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.store import executor_rules
from colony_lib.work.cluster import Cluster, shipped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

    Record = dict[str, Any]

_TICK = 0.5  # seconds between two looks at the connection
_COUNT = 5.0  # seconds between two counts of the cluster's workers
_AGAIN = 1.0  # seconds between two tries to connect


def main() -> int:
    """Serve one engine until it closes the pipe."""
    source = os.fdopen(os.dup(0), "rb")
    broker = Broker(jsontext.loads(source.readline()), os.dup(1))
    os.dup2(2, 1)  # what Dask prints is no answer
    threading.Thread(target=broker.listen, args=(source,), daemon=True).start()
    try:
        broker.serve()
    except ColonyError as error:
        broker.say({"state": "failed", "why": str(error)})
    broker.leave()


class Broker:
    """The jobs that are with the cluster, and the connection to it."""

    def __init__(self, order: Record, answers: int) -> None:
        self.executor: Record = order["executor"]
        self.setup: Record = order["setup"]
        self.hand = f"colony-{order['setup']['run']}-{clock.new_id()}"  # of our part in each worker
        self._answers = answers
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._client: Any = None
        self._cluster = Cluster(self.executor)
        self._asked: dict[str, dict[str, float]] = {}  # what each job needs that is with us, by slot
        self._futures: dict[str, Any] = {}  # and Dask's word for it, once it is with the cluster
        self._over = False
        self._counted = 0.0
        self._told: Record = {}  # what was last said of the cluster's size …
        self._short = ""  # … and of what it lacks

    def say(self, answer: Record) -> None:
        """Tell the engine; when it is gone there is nobody to tell."""
        try:
            files.write_all(self._answers, jsontext.dumps(answer).encode() + b"\n")
        except OSError:
            self.leave()

    def listen(self, source: Any) -> None:
        """Take in what the engine sends (a thread of its own)."""
        for line in source:
            self._events.put(("order", jsontext.loads(line)))
        self._over = True
        self._events.put(("over", None))
        if self._client is None and self.executor["deploy"] is None:
            os._exit(0)  # nobody waits for the connection any more, and there is nothing to end

    def leave(self) -> NoReturn:
        """End, and with us the cluster if it was started for this run, or our part in the workers of another."""
        self._cluster.close()
        if self.executor["deploy"] is None and self._client is not None:
            with contextlib.suppress(OSError, ValueError):  # the connection is gone, or the scheduler another one
                self._client.unregister_worker_plugin(self.hand)
        os._exit(0)

    # -- the connection

    def serve(self) -> None:
        """Connect, as often as the connection is lost, and pass jobs on. ColonyError when nobody answers."""
        self._shipped = shipped()
        while not self._over:
            self._client = client = self._connect()
            self._told = {}
            try:
                client.register_plugin(self._shipped.Hand(self.hand, self.setup), name=self.hand)
                self._count()
                self._pass_on()
            except (OSError, RuntimeError, CancelledError):  # Dask's errors of a connection are OSErrors, and these
                time.sleep(_TICK)
            if not self._over:
                self._client = None
                threading.Thread(target=client.close, args=(0,), daemon=True).start()
                self._lose("the connection to the scheduler was lost")
                self.say({"state": "away", "why": "the connection to the scheduler was lost"})

    def _connect(self) -> Any:
        deadline = time.monotonic() + self.executor["connect_timeout_seconds"]
        said = ""
        while True:
            try:
                return self._cluster.connect()
            except OSError as error:
                why = str(error).split("\n")[0] or type(error).__name__
            if self._over:
                self.leave()
            if time.monotonic() > deadline:
                raise ColonyError(f"no scheduler answers: {why}")
            if why != said:
                said = why
                self.say({"state": "away", "why": why})
            time.sleep(_AGAIN)

    def _lose(self, why: str) -> None:
        """Whatever was with the cluster is the engine's to find out about."""
        lost, self._futures, self._asked = list(self._asked), {}, {}
        for slot in lost:
            self.say({"slot": slot, "lost": why})

    # -- jobs

    def _pass_on(self) -> None:
        """Pass on jobs and what becomes of them, until the connection or the engine is gone."""
        looked = time.monotonic()
        # The client connects again by itself, perhaps to a new scheduler that knows of nothing: that is a loss too.
        connection = self._client.scheduler_comm
        while not self._over and self._client.scheduler_comm is connection:
            done = []
            jobs = []
            for kind, what in self._news():
                if kind == "done":
                    done.append(what)
                elif kind == "order" and "job" in what:
                    self._asked[what["job"]["slot"]] = what["resources"]
                    jobs.append(what)
                elif kind == "order":
                    self._submit(jobs)
                    jobs = []
                    self._take(what)
            self._submit(jobs)
            self._give(done)
            if time.monotonic() - looked > _TICK:
                looked = time.monotonic()
                if self._client.status != "running":
                    return
                self._give([each for each in self._futures.items() if each[1].status in ("lost", "cancelled")])
                if looked - self._counted > _COUNT:
                    self._count()

    def _news(self) -> Iterator[tuple[str, Any]]:
        """All that has come, waiting for the first of it."""
        try:
            yield self._events.get(timeout=_TICK)
            while True:
                yield self._events.get_nowait()
        except queue.Empty:
            return

    def _submit(self, orders: list[Record]) -> None:
        """Give the jobs to the cluster; those that need the same together, which costs its scheduler once."""
        groups: dict[str, list[Record]] = {}
        for order in orders:
            is_again = order["job"]["attempt"] > 1
            groups.setdefault(jsontext.dumps([order["resources"], is_again]), []).append(order)
        for group in groups.values():
            asked = group[0]["resources"]
            jobs = [order["job"] for order in group]
            lines = [jsontext.dumps({**job, "hand": self.hand}) for job in jobs]
            keys = [f"{job['step']}-{job['ticket']}" for job in jobs]
            futures = self._client.map(
                self._shipped.attempt, lines, key=keys, pure=False, retries=0, resources=asked or None,
                priority=int(jobs[0]["attempt"] > 1),  # what is tried again has waited in this queue before
            )  # fmt: skip
            for job, future in zip(jobs, futures, strict=True):
                self._futures[job["slot"]] = future
                future.add_done_callback(functools.partial(self._is_done, job["slot"]))
            if asked:
                self._complain()

    def _is_done(self, slot: str, future: Any) -> None:
        self._events.put(("done", (slot, future)))

    def _take(self, order: Record) -> None:
        if "forget" in order:
            futures = [self._drop(slot) for slot in order["forget"]]
            self._client.cancel([future for future in futures if future is not None], force=True)
        elif "stop" in order:
            self._client.run(self._shipped.stop, self.hand, order["stop"], on_error="ignore")

    def _drop(self, slot: str) -> Any:
        self._asked.pop(slot, None)
        future: Any = self._futures.pop(slot, None)
        return future

    def _give(self, done: list[tuple[str, Any]]) -> None:
        """Tell the engine what became of jobs, of those that are still of interest."""
        done = [(slot, future) for slot, future in done if self._futures.get(slot) is future]
        finished = [future for _, future in done if future.status == "finished"]
        # Asked for together: each question goes to the workers and back.
        answers = self._client.gather(finished, errors="skip") if finished else []
        for answer in answers:
            self._drop(answer["slot"])
            self.say(answer)
        answered = {answer["slot"] for answer in answers}
        for slot, future in done:
            if slot in answered:
                continue
            self._drop(slot)
            if future.status == "error":
                error = future.exception()
                name, said = type(error).__name__, str(error).split("\n")[0]
                # KilledWorker: several workers have died with it; what else there is came before Colony's process.
                word = "lost" if name == "KilledWorker" else "refused"
                self.say({"slot": slot, word: f"{name}: {said}"})
            else:
                self.say({"slot": slot, "lost": f"the cluster has lost it ({future.status})"})

    # -- the cluster

    def _count(self) -> None:
        """Tell the engine how large the cluster is, when that has changed, and what is missing in it."""
        self._counted = time.monotonic()
        self._census: Record = self._client.run_on_scheduler(self._shipped.census)
        threads = self._census["threads"]
        adapt = self.executor["adapt"]
        if adapt is not None:
            threads = max(threads, adapt["maximum"])  # there will be as many as there is work for
        state = {"state": "here", "threads": threads, "workers": len(self._census["workers"])}
        if state != self._told:
            self._told = state
            self.say(state)
        self._complain()

    def _complain(self) -> None:
        """Say which jobs no worker could ever do; once for each thing that is missing."""
        if self.executor["adapt"] is not None and not self._census["workers"]:
            return
        for asked in self._asked.values():
            able = any(executor_rules.is_met(asked, worker["has"]) for worker in self._census["workers"])
            if asked and not able:
                why = f"no worker of the cluster offers {executor_rules.shown(asked)}"
                if self._short != why:
                    self._short = why
                    self.say({"state": "short", "why": why})
                return
