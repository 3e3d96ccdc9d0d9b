"""The process beside an engine that holds the connection to a Dask cluster.

A process of its own, because a Dask client has threads, which an engine that forks must not have, and costs a second to
import. The engine (work/remote.py) sends it lines: first {executor, setup}, then {job, resources}, {forget: [slot]} and
{stop: [slot]}. It answers {slot, ended | lost | refused} for each job, and {state: here | away | short | failed}. It
ends when the engine does.
"""

from __future__ import annotations

import os
import queue
import threading
import time

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.work import shipped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Record = dict[str, Any]

_TICK = 0.5  # seconds between two looks at the connection
_COUNT = 5.0  # seconds between two counts of the cluster's workers
_AGAIN = 1.0  # seconds between two tries to connect
_CONNECT = 10.0  # seconds for one try
# The class of Dask's by which each `deploy: {with: …}` starts a cluster, and the package that has it.
DEPLOYERS = {
    "local": ("distributed", "LocalCluster", "distributed"),
    "slurm": ("dask_jobqueue", "SLURMCluster", "dask-jobqueue"),
    "pbs": ("dask_jobqueue", "PBSCluster", "dask-jobqueue"),
    "sge": ("dask_jobqueue", "SGECluster", "dask-jobqueue"),
    "lsf": ("dask_jobqueue", "LSFCluster", "dask-jobqueue"),
    "htcondor": ("dask_jobqueue", "HTCondorCluster", "dask-jobqueue"),
    "oar": ("dask_jobqueue", "OARCluster", "dask-jobqueue"),
    "kubernetes": ("dask_kubernetes.operator", "KubeCluster", "dask-kubernetes"),
    "yarn": ("dask_yarn", "YarnCluster", "dask-yarn"),
    "ssh": ("distributed", "SSHCluster", "distributed"),
}


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
        self._answers = answers
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._client: Any = None
        self._cluster: Any = None
        self._futures: dict[str, Any] = {}  # by slot; distributed gives futures no useful type
        self._asked: dict[str, dict[str, float]] = {}  # what each of those needs
        self._over = False
        self._counted = 0.0
        self._told: Record = {}

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
        if self._client is None:
            os._exit(0)  # nobody waits for the connection any more

    def leave(self) -> NoReturn:
        """End, and with us the cluster if it was started for this run."""
        if self._cluster is not None:
            self._cluster.close()
        os._exit(0)

    # -- the connection

    def serve(self) -> None:
        """Connect, as often as the connection is lost, and pass jobs on. ColonyError when nobody answers."""
        import cloudpickle

        cloudpickle.register_pickle_by_value(shipped)
        while not self._over:
            self._client = client = self._connect()
            self._told = {}
            try:
                self._count()
                self._pass_on()
            except OSError:  # of which Dask's own errors of a connection are
                time.sleep(_TICK)
            self._client = None
            if not self._over:
                threading.Thread(target=client.close, args=(0,), daemon=True).start()
                self._lose("the connection to the scheduler was lost")
                self.say({"state": "away", "why": "the connection to the scheduler was lost"})

    def _connect(self) -> Any:
        deadline = time.monotonic() + self.executor["connect_timeout_seconds"]
        while True:
            try:
                return self._try()
            except (OSError, ValueError, RuntimeError) as error:  # of asyncio: TimeoutError is an OSError
                why = str(error).split("\n")[0] or type(error).__name__
            if self._over:
                os._exit(0)
            if time.monotonic() > deadline:
                raise ColonyError(f"no scheduler answers: {why}")
            self.say({"state": "away", "why": why})
            time.sleep(_AGAIN)

    def _try(self) -> Any:
        import distributed

        given = self.executor
        if given["deploy"] is not None:
            self._cluster = self._cluster or self._deploy(given["deploy"], given["adapt"])
            where: Any = {"address": self._cluster}
        elif given["scheduler_file"] is not None:
            if not os.path.exists(given["scheduler_file"]):
                raise OSError(f"there is no scheduler file {given['scheduler_file']}")
            where = {"scheduler_file": given["scheduler_file"]}
        else:
            where = {"address": given["address"]}
        connect: Any = distributed.Client
        return connect(**where, timeout=_CONNECT, set_as_default=False, name="colony")

    def _deploy(self, deploy: Record, adapt: Record | None) -> Any:
        import importlib

        module, name, package = DEPLOYERS[deploy["with"]]
        try:
            kind = getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise ColonyError(
                f"'deploy: {{with: {deploy['with']}}}' needs the package {package}: {error}",
                fix=f"pip install {package}",
            ) from None
        options = dict(deploy["options"])
        if deploy["with"] == "local":
            options = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": None, **options}
        try:
            cluster = kind(**options)
            if adapt is not None:
                cluster.adapt(**adapt)
            elif deploy["with"] != "ssh":  # whose workers are its hosts
                cluster.scale(deploy["workers"])
        except Exception as error:  # whatever a deployer has to say: of its options, of the system that it deploys to
            why = str(error).split("\n")[0] or type(error).__name__
            raise ColonyError(
                f"Dask's {name} could not be started: {why}", fix="see its log in the run's folder"
            ) from None
        return cluster

    def _lose(self, why: str) -> None:
        """Whatever was with the cluster is the engine's to find out about."""
        lost, self._futures, self._asked = list(self._futures), {}, {}
        for slot in lost:
            self.say({"slot": slot, "lost": why})

    # -- jobs

    def _pass_on(self) -> None:
        """Pass on jobs and what becomes of them, until the connection or the engine is gone."""
        looked = time.monotonic()
        while not self._over:
            try:
                kind, what = self._events.get(timeout=_TICK)
            except queue.Empty:
                kind, what = "", None
            if kind == "order":
                self._take(what)
            elif kind == "done":
                self._give(*what)
            if time.monotonic() - looked > _TICK:
                looked = time.monotonic()
                if self._client.status != "running":
                    return
                for slot, future in list(self._futures.items()):
                    if future.status in ("lost", "cancelled"):
                        self._give(slot, future)
                if looked - self._counted > _COUNT:
                    self._count()

    def _take(self, order: Record) -> None:
        if "job" in order:
            job, asked = order["job"], order["resources"]
            slot = job["slot"]
            key = f"{job['step']}-{job['ticket']}"
            self._asked[slot] = asked
            future = self._client.submit(
                shipped.attempt, self.setup, job, key=key, pure=False, retries=0, resources=asked or None
            )
            self._futures[slot] = future
            future.add_done_callback(lambda done: self._events.put(("done", (slot, done))))
            if asked:
                self._complain()
        elif "forget" in order:
            futures = [self._drop(slot) for slot in order["forget"]]
            self._client.cancel([future for future in futures if future is not None], force=True)
        elif "stop" in order:
            self._client.run(shipped.stop, order["stop"], on_error="ignore")

    def _drop(self, slot: str) -> Any:
        self._asked.pop(slot, None)
        future: Any = self._futures.pop(slot, None)
        return future

    def _give(self, slot: str, future: Any) -> None:
        """Tell the engine what became of a job, if that is still of interest."""
        if slot not in self._futures or self._futures[slot] is not future:
            return
        self._drop(slot)
        if future.status == "finished":
            self.say(future.result())
        elif future.status == "error":
            error = future.exception()
            name, said = type(error).__name__, str(error).split("\n")[0]
            # KilledWorker: several workers have died with it; what else there is was raised before Colony's process.
            word = "lost" if name == "KilledWorker" else "refused"
            self.say({"slot": slot, word: f"{name}: {said}"})
        else:
            self.say({"slot": slot, "lost": f"the cluster has lost it ({future.status})"})

    # -- the cluster

    def _count(self) -> None:
        """Tell the engine how large the cluster is, when that has changed, and what is missing in it."""
        self._counted = time.monotonic()
        self._census: Record = self._client.run_on_scheduler(shipped.census)
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
            able = [each for each in self._census["workers"] if all(each.get(k, 0) >= v for k, v in asked.items())]
            if asked and not able:
                shown = ", ".join(f"{name} {amount:g}" if amount >= 0.001 else name for name, amount in asked.items())
                why = f"no worker of the cluster offers {shown}"
                if self._told.get("short") != why:
                    self._told["short"] = why
                    self.say({"state": "short", "why": why})
                return

