"""Starting, continuing and ending runs: the one path on which limits are checked before a run begins."""

from __future__ import annotations

import os
import sys
import time

from colony_lib.base import clock, files, locks
from colony_lib.base.errors import BUSY, FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import config, paths, runs, workflow
from colony_lib.work.runner import Runner, exit_status, hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Tell = Callable[[str, str, float | None, str | None], None]


def logical_dates(plan: dict[str, Any], date: str | None) -> tuple[str, str]:
    """(date, the day before it): `date`, else today in the workflow's time zone, else in the machine's."""
    import datetime

    if date is None:
        zone_name = (plan.get("trigger") or {}).get("timezone")
        moment = datetime.datetime.fromtimestamp(clock.epoch(), datetime.UTC)
        if zone_name:
            import zoneinfo

            moment = moment.astimezone(zoneinfo.ZoneInfo(zone_name))
        else:
            moment = moment.astimezone()
        day = moment.date()
    else:
        day = datetime.date.fromisoformat(date)
    return day.isoformat(), (day - datetime.timedelta(days=1)).isoformat()


class NoPlace(ColonyError):
    """So many runs of the workflow are going on as its `concurrency` allows."""


def hold_workflow(plan: dict[str, Any]) -> int:
    """One of the workflow's `concurrency` places, as a held lock. ColonyError (BUSY) when all are taken."""
    holders = []
    for place in range(plan["concurrency"]):
        path = paths.lock(f"workflow-{plan['name']}-{place}")
        fd = locks.try_hold(path, note=f"process {os.getpid()}")
        if fd is not None:
            return fd
        holders.append(locks.note(path))
    running = next((run["run_id"] for run in runs.summaries(plan["name"]) if run["status"] == "running"), None)
    raise NoPlace(
        f"workflow '{plan['name']}' is running already ({running or ', '.join(holders)})",
        fix=f"wait for it, or end it with 'colony workflow cancel {running or 'latest'}'",
        code=BUSY,
    )


def prepare(
    name: str, given: Any, date: str | None, trigger: str, more: dict[str, Any] | None = None
) -> tuple[runs.Run, list[int]]:
    """Check everything, then make the run, with what else its header says. Returns it with the locks that must be
    held while it runs."""
    plan = workflow.load(name)
    return begin(plan, given, logical_dates(plan, date), trigger, more)


def begin(
    plan: dict[str, Any],
    given: Any,
    dates: tuple[str, str],
    trigger: str,
    more: dict[str, Any] | None = None,
    first: Callable[[str], list[dict[str, Any]]] | None = None,
) -> tuple[runs.Run, list[int]]:
    """The same for a plan, and what `first` puts into the run's folder and journal before anybody sees it."""
    values, agents = check(plan, given, models=not (more or {}).get("replay"))
    place = hold_workflow(plan)
    today, yesterday = dates
    try:
        run = runs.create(
            plan, date=today, yesterday=yesterday, input=values, agents=agents, trigger=trigger, more=more, first=first
        )
        return run, [place, hold(run.run_id)]
    except BaseException:
        locks.release(place)
        raise


def check(plan: dict[str, Any], given: Any, *, models: bool = True) -> tuple[Any, dict[str, Any]]:
    """(the run's input, defaults filled in; the agents by id); ColonyError for a run that cannot be. `models`: whether
    agents will ask theirs (a replay does not)."""
    settings = config.load()
    workflow.check_against_config(plan, settings)
    values = workflow.check_input(plan, given)
    agents = {agent["id"]: agent for agent in settings["agents"]}
    _check_environment(plan, agents, models)
    for name in sorted({step["executor"] for step in plan["steps"] if "executor" in step}):
        from colony_lib.work import remote

        remote.resolved(config.executor(settings, name))
    return values, agents


def _check_environment(plan: dict[str, Any], agents: dict[str, Any], models: bool) -> None:
    """Refuse a run that would fail half-way for a variable that is not set, before anything is written."""
    known: dict[str, dict[str, str]] = {}
    for agent in dict.fromkeys(step.get("agent") for step in plan["steps"]):
        if agent is not None:
            known[agent] = config.agent_env(agents[agent])[0]
    for step in plan["steps"] if models else []:
        if not step.get("run"):
            from colony_lib.work import runners

            wrong = runners.get(agents[step["agent"]]["runner"]).missing(known[step["agent"]])
            if wrong is not None:
                if plan["file"] == plan["name"]:  # a task's: it is of no file
                    raise wrong
                what, where = f"{wrong.what}, for step '{step['name']}'", f"{plan['file']}:{step['line']}"
                raise ColonyError(what, where=where, fix=wrong.fix, code=wrong.code)


def reopen(run_id: str) -> tuple[runs.Run, list[int]]:
    """A run to go on with, and its held locks; of a completed one, with which there is nothing to do, no locks.
    ColonyError (BUSY) when another process runs it."""
    alive = hold(run_id)
    try:
        run = runs.load(run_id)
        if run.ended_status == "completed":
            locks.release(alive)
            return run, []
        place = hold_workflow(run.plan)
        if os.path.exists(runs.cancel_file(run_id)):
            os.unlink(runs.cancel_file(run_id))
        return run, [place, alive]
    except BaseException:
        locks.release(alive)
        raise


def carry_on(run: runs.Run, tell: Tell, *, resumed: bool, backfill: str | None = None) -> tuple[str, int]:
    """Run it to its end in this process; returns (status, exit status)."""
    warm(run.plan)
    runner = Runner(run, tell)
    status = runner.go(resumed=resumed, backfill=backfill)
    return status, exit_status(status, runner.signalled)


def warm(plan: dict[str, Any]) -> None:
    """Import what is heavy and will be needed, once here and not once in every process that is forked from this."""
    if any(step.get("output_schema") is not None for step in plan["steps"]):
        import jsonschema  # noqa: F401


def detach(run: runs.Run, *, resumed: bool) -> None:
    """Run it in a process of its own, in a session of its own; returns in the caller at once.

    The held locks are inherited: there is no moment at which nobody holds them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    leave_terminal(run)
    status = FAILED
    try:
        status = carry_on(run, lambda *news: None, resumed=resumed)[1]
    except ColonyError as error:
        print(f"colony workflow: {escape(error)}", file=sys.stderr)
    except Exception:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def leave_terminal(run: runs.Run | None) -> None:
    """Let go of the caller's standard streams; what this process still has to say goes into the run's folder."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    log = null
    if run is not None:
        log = os.open(os.path.join(run.folder, "engine.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 2)


def cancel(ref: str, timeout: float = 30.0) -> runs.Run:
    """End the run and all it does; returns it ended. ColonyError when it has ended already."""
    run_id = runs.find(ref)
    run = runs.load(run_id)
    if run.ended_status in ("completed", "failed", "cancelled"):
        raise ColonyError(f"the run '{run_id}' has ended already: {run.ended_status}")
    files.write_json(runs.cancel_file(run_id), {"v": 1, "ts": clock.now(), "by": os.getpid()})
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        fd = locks.try_hold(paths.run_lock(run_id, "alive"))
        if fd is not None:
            try:
                return _settle_cancelled(run_id, deadline)
            finally:
                locks.release(fd)
        time.sleep(0.05)
    raise ColonyError(f"the run '{run_id}' has been told to end and has not yet", fix="look again later", code=BUSY)


def _settle_cancelled(run_id: str, deadline: float) -> runs.Run:
    """Nobody runs it now: what outlived its engine is ended too, and the end recorded."""
    run = runs.load(run_id)
    if run.ended_status in ("completed", "failed", "cancelled"):
        return run
    from colony_lib.work import adoption, pool

    journal = runs.Journal(run_id)
    try:
        orphans = adoption.settle(run, journal)
        while orphans and time.monotonic() < deadline:
            time.sleep(0.05)
            orphans = [orphan for orphan in orphans if orphan.look(run, journal) is None]
        if not orphans:
            pool.remove_scratch(run_id)
        run = runs.load(run_id)
        waiting = [name for name, step in run.steps.items() if step.status in ("pending", "retrying", "waiting")]
        journal.append(*(runs.record("step_cancelled", step=name) for name in waiting))
        journal.append(runs.record("run_ended", status="cancelled"))
        journal.sync()
    finally:
        journal.close()
    run = runs.load(run_id)
    runs.keep_summary(run)
    return run


def decide(ref: str, step: str, decision: str, by: str, output: Any = None) -> runs.Run:
    """Record a person's word on a step that waits: 'approved' (do it, or do it again), 'done' (it took effect:
    go on with that output) or 'rejected'."""
    from colony_lib.base.errors import unknown

    run_id = runs.find(ref)
    run = runs.load(run_id)
    if step not in run.steps:
        raise unknown("step", step, run.steps)
    if run.steps[step].status != "waiting":
        raise ColonyError(f"step '{step}' does not wait: it is {run.steps[step].status}")
    if decision == "done" and not any(unit.attempts for unit in run.steps[step].units.values()):
        raise ColonyError(
            f"step '{step}' has never run, so it cannot be done", fix="approve it without --done", code=USAGE
        )
    journal = runs.Journal(run_id)
    try:
        journal.append(runs.record("step_decided", step=step, decision=decision, by=by, output=output))
        journal.sync()
    finally:
        journal.close()
    return runs.load(run_id)


def one_step(ref: str, name: str, batch: int | None, tell: Tell) -> tuple[runs.Run, str, int]:
    """Do one step of a run by itself, as the engine would; returns (run, the step's status, exit status)."""
    from colony_lib.base.errors import unknown

    run_id = runs.find(ref)
    alive = hold(run_id)
    try:
        run = runs.load(run_id)
        if name not in run.steps:
            raise unknown("step", name, run.steps)
        step = run.steps[name]
        _check_batch(step, batch)
        if step.status in runs.SUCCEEDED or (batch is not None and step.unit(batch).status in runs.SUCCEEDED):
            return run, "completed", 0
        missing = run.waiting_on(step) if step.status == "pending" else None
        if missing:
            raise ColonyError(f"step '{name}' cannot run yet: it waits for {', '.join(missing)}", code=FAILED)
        runner = Runner(run, tell)
        status = runner.go(only=name)
        if status == "completed" and step.status != "completed":
            status = step.status
        if status in runs.SUCCEEDED:
            return run, "completed", 0
        return run, status, exit_status_of_step(status, runner.signalled)
    finally:
        locks.release(alive)


def _check_batch(step: runs.Step, batch: int | None) -> None:
    if batch is None:
        return
    name = step.definition["name"]
    if not step.is_parallel:
        raise ColonyError(f"step '{name}' has no batches", fix="leave --batch out", code=USAGE)
    if step.batches is not None and batch >= step.batches:
        raise ColonyError(f"step '{name}' has {step.batches} batches, 0 to {step.batches - 1}", code=USAGE)


def exit_status_of_step(status: str, signalled: int) -> int:
    if status in ("completed", "skipped"):
        return 0
    return exit_status(status if status in ("waiting", "interrupted", "cancelled") else "failed", signalled)
