"""Whether the clusters of colony.yml can be worked with: reached, large enough, with this folder and its locks."""

from __future__ import annotations

import sys

from colony_lib.base import jsontext, locks
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import plural
from colony_lib.store import config, executor_rules, health, paths, workflow
from colony_lib.work.remote import resolved
from colony_lib.work.spawn import LIBRARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]

_PATIENCE = 5.0  # seconds for a scheduler to answer
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from colony_lib.work import cluster; cluster.look(sys.stdin.read())"
)


def findings() -> Iterator[Record]:
    """What `colony health` says of each executor of colony.yml that is not this machine, as store.health.finding."""
    try:
        settings = config.load()
    except ColonyError:
        return  # said already
    for executor in settings["executors"]:
        if executor["type"] == "dask":
            yield from _of(executor)


def _of(executor: Record) -> Iterator[Record]:
    name = executor["name"]
    try:
        given = resolved(executor)
    except ColonyError as error:
        yield health.finding("executor", "fail", error.what, error.fix)
        return
    answer = _ask(given)
    if "error" in answer:
        fix = "start it, or mend its entry in colony.yml" if executor["deploy"] is None else answer.get("fix")
        yield health.finding("executor", "fail", f"{name}: {answer['error']}", fix)
        return
    if executor["deploy"] is not None:
        yield health.finding("executor", "ok", f"{name}: {answer['deployer']} starts one for each run")
        return
    yield from _of_workers(name, answer)
    yield from _of_needs(executor, answer)


def _of_workers(name: str, answer: Record) -> Iterator[Record]:
    workers = answer["workers"]
    if not workers:
        yield health.finding("executor", "warn", f"{name}: it has no workers", "start some: dask worker ADDRESS")
        return
    for seen, what, fix in (
        ("folder", "does not see this folder", f"mount it there under the same path, {paths.root()}"),
        ("lock", "does not see a lock that is held here", "use a file system that keeps locks between machines"),
    ):
        blind = sorted({worker["host"] for worker in workers if not worker[seen]})
        if blind:
            yield health.finding("executor", "fail", f"{name}: {', '.join(blind[:5])} {what}", fix)
            return
    hosts, threads = len({worker["host"] for worker in workers}), sum(worker["threads"] for worker in workers)
    shown = f"{plural(len(workers), 'worker')} with {plural(threads, 'thread')} on {plural(hosts, 'machine')}"
    yield health.finding("executor", "ok", f"{name}: {shown}; they see this folder and its locks")


def _of_needs(executor: Record, answer: Record) -> Iterator[Record]:
    """Steps that no worker of the cluster could do."""
    for file in workflow.files():
        try:
            plan = workflow.load(file)
        except ColonyError:
            continue  # said already
        for step in plan["steps"]:
            asked = executor_rules.amounts(executor, step.get("resources"))
            able = any(executor_rules.is_met(asked, worker["has"]) for worker in answer["workers"])
            if step.get("executor") == executor["name"] and not able and answer["workers"]:
                what = f"no worker of {executor['name']} offers what step '{step['name']}' of {plan['name']} needs"
                fix = f"dask worker --resources '{executor_rules.shown(asked)}'"
                yield health.finding("executor", "warn", what, fix)


def _ask(executor: Record) -> Record:
    """What another process sees of the cluster (Dask is not for this one), while a lock is held here."""
    import subprocess

    path = paths.lock("health")
    order = {"executor": {**executor, "connect_timeout_seconds": _PATIENCE}, "root": paths.root(), "lock": path}
    with locks.held(path, what="another 'colony health'"):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, LIBRARY], input=jsontext.dumps(order).encode(), capture_output=True
        )
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return {"error": last or f"the process that asked ended with status {done.returncode}"}
    answer: Record = jsontext.loads(done.stdout)
    return answer
