"""What each agent is doing: told from held locks and the runs' journals, never from somebody's word alone."""

from __future__ import annotations

import os
from itertools import islice

from colony_lib.base import files, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths, runs, spending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

RECENT = 50  # runs whose summaries are looked at; of older ones only whether a process holds their lock
_BUSY = ("running", "retrying")


class Survey:
    """The runs that matter now: `live` (running or waiting for a person) with their journals read, and `bad`, the
    summaries of those whose workflow has had no newer run since they failed or were interrupted."""

    __slots__ = ("_records", "bad", "live")

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self.live: list[runs.Run] = []
        last: dict[str, Record] = {}
        for summary in islice(runs.summaries(), RECENT):
            if summary["status"] in ("running", "waiting"):
                self.live.append(runs.load(summary["run_id"]))
            last.setdefault(summary["workflow"], summary)
        older = (run_id for run_id in runs.ids()[RECENT:] if locks.is_held(paths.run_lock(run_id, "alive")))
        self.live += [runs.load(run_id) for run_id in older]
        self.bad = [summary for summary in last.values() if summary["status"] in ("failed", "interrupted")]

    def record(self, run_id: str) -> Record:
        """The run as runs.Run.record has it, without outputs; read once."""
        if run_id not in self._records:
            run = next((run for run in self.live if run.run_id == run_id), None) or runs.load(run_id)
            self._records[run_id] = run.record(outputs=False)
        return self._records[run_id]


def worker_lock(agent_id: str) -> str:
    """The lock that an agent's background worker holds while it lives; its state is in paths.agent_state."""
    return paths.lock(f"agents/{agent_id}")


def worker_pid(agent_id: str) -> int | None:
    """The process of the agent's worker; None when none runs. Only a held lock's note is believed."""
    lock = worker_lock(agent_id)
    words = locks.note(lock).split()
    known = len(words) > 1 and words[0] == "process" and words[1].isdigit()
    return int(words[1]) if known and locks.is_held(lock) else None


def with_workers(known: list[str]) -> list[str]:
    """The agents, of colony.yml (`known`) or not, whose workers run, or have died without anybody's having said so."""
    return [name for name in dict.fromkeys([*known, *_written()]) if (_worker(name) or _NOTHING)["status"] != "stopped"]


def _written() -> list[str]:
    """The agents of which there is a state file."""
    folder = os.path.dirname(paths.agent_state("any"))
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = [name.removesuffix(".json") for name in names if name.endswith(".json") and name[0] not in "._-"]
    return [name for name in found if not name.endswith(".inbox")]


def states(config: Record, survey: Survey) -> list[Record]:
    """One record for each agent of colony.yml, in its order: {id, role, status, pid, task, run_id, step, since,
    tokens, cost_usd} (schemas/agent.schema.json).

    `working`: a live run has a running step of the agent, or its worker has a task. `idle`: its worker is alive
    without one. `failed`: its step failed in the newest run of a workflow, or its worker died. Else `stopped`.
    `tokens` and `cost_usd` are of today (UTC), by the ledger; of an agent that is not in it, of its step or task.
    """
    busy: dict[str, Record] = {}
    for run in survey.live:
        for record in survey.record(run.run_id)["steps"]:
            if record["agent"] and record["status"] in _BUSY:
                state = {"status": "working", "pid": _pid(run, record["name"]), "since": record["started"]}
                state["task"] = run.header.get("task")
                busy.setdefault(record["agent"], {**_at_step(run.run_id, record), **state})
    failed: dict[str, Record] = {}
    for summary in survey.bad:
        for record in survey.record(summary["run_id"])["steps"] if summary["status"] == "failed" else []:
            if record["agent"] and record["status"] == "failed":
                state = {"status": "failed", "since": record["ended"]}
                failed.setdefault(record["agent"], {**_at_step(summary["run_id"], record), **state})
    spent = spending.today()
    found = []
    for agent in config["agents"]:
        name = agent["id"]
        worker = _worker(name)
        at_work = worker if worker and worker["status"] != "stopped" else None
        state = busy.get(name) or at_work or failed.get(name) or worker or {}
        used = dict(zip(("tokens", "cost_usd"), spent[name])) if name in spent else {}
        found.append({"id": name, "role": agent["role"], **_NOTHING, **state, **used})
    return found


_NOTHING: Record = {
    "status": "stopped",
    "pid": None,
    "task": None,
    "run_id": None,
    "step": None,
    "since": None,
    "tokens": 0,
    "cost_usd": 0.0,
}


def _at_step(run_id: str, record: Record) -> Record:
    used = {"tokens": record["tokens"], "cost_usd": record["cost_usd"]}
    return {"run_id": run_id, "step": record["name"], **used}


def _pid(run: runs.Run, step: str) -> int | None:
    """The process of the step's running attempt, as the attempt's held lock names it."""
    for unit in run.step(step).units.values():
        if unit.status == "running" and unit.slot:
            lock = paths.run_lock(run.run_id, unit.slot)
            words = locks.note(lock).split()
            if words and words[0].isdigit() and locks.is_held(lock):
                return int(words[0])
    return None


def _worker(agent_id: str) -> Record | None:
    """What the agent's worker says of itself, if a worker there was; its lock decides whether it lives."""
    try:
        said = files.read_json(paths.agent_state(agent_id), None, follow=False)
    except ColonyError:
        said = None  # damaged: the lock still tells whether it lives
    alive = locks.is_held(worker_lock(agent_id))
    if not isinstance(said, dict):
        return {"status": "idle"} if alive else None
    state = {key: said[key] for key in _NOTHING if key in said}
    if alive:
        return {**state, "status": "working" if said.get("task") else "idle"}
    if said.get("status") in ("idle", "working"):
        return {**state, "status": "failed", "pid": None}  # it died without saying so
    return {**state, "status": "stopped", "pid": None}
