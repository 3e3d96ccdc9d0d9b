"""An agent's background worker: one process that claims the agent's ready tasks, one after the other, and does each
as a run of its own; its held lock says that it lives, its state file what it does."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import os
import time

from colony_lib.base import clock, files, locks
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.store import config, logs, paths, replica, runs, tasks
from colony_lib.work import launch, taskplan
from colony_lib.work.runner import Runner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from colony_lib.store.taskfold import Tasks

    Record = dict[str, Any]

LOOK = 0.5  # seconds between looks at the journal's size and at our own lock
AGAIN = 30.0  # seconds after which ready tasks are asked for anyway: a claimant's death changes no file
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0  # seconds before what cannot be done now is tried again
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Worker:
    """The worker of one agent in this process, which holds the agent's lock with `token` in its note."""

    def __init__(self, agent: str, token: str) -> None:
        self.agent = agent
        self.lease = {"lock": f"agents/{agent}", "copy": replica.name(), "token": token}
        self.stopping = False
        self.lost = False  # whether another has our lock
        self._pause = 0.0  # seconds that we wait now for what could not be done
        self._said: str | None = None
        self._told: tuple[str, Any] | None = None

    def work(self) -> None:
        """Do tasks until a signal asks for the end, or until another worker has taken our place."""
        before = [(number, signal.signal(number, self._stop)) for number in _SIGNALS]
        try:
            self._log("info", f"worker started (process {os.getpid()})")
            while not self.stopping and not self.lost:
                seen = _journal()
                if not self._do_next():
                    self._wait(seen)
            if not self.lost:
                self._tell_state("stopped")
            self._log("info", "another worker has taken over" if self.lost else "worker stopped")
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _wait(self, seen: object) -> None:
        """Until the journal of the tasks is another than was seen, or it is time to look anyway; after a failure
        until its pause is over."""
        self._tell_state("idle")
        since = time.monotonic()
        while not self.stopping and not self.lost:
            waited = time.monotonic() - since
            if (waited >= self._pause) if self._pause else (_journal() != seen or waited >= AGAIN):
                return
            time.sleep(LOOK)
            self.lost = not locks.restore()

    # -- one task

    def _do_next(self) -> bool:
        """Claim a task and do it; False when there is none, or it cannot be done now."""
        try:
            task = self._claim()
            if task is None:
                self._pause = 0.0
                return False
        except (ColonyError, OSError) as error:
            return self._not_now(f"cannot claim a task: {error}")
        if self.stopping:
            return self._put_back(task, None)
        try:
            done = self._do(task)
        except (ColonyError, OSError) as error:
            done = self._put_back(task, str(error))
        except Exception as error:
            import traceback

            self._log("debug", traceback.format_exc())
            done = self._finish(task, "failed", {"error": f"a bug in Colony: {type(error).__name__}: {error}"})
        if done:
            self._pause, self._said = 0.0, None
        return done

    def _claim(self) -> Record | None:
        known = [agent["id"] for agent in config.load()["agents"]]
        if self.agent not in known:
            raise ColonyError(f"colony.yml has no agent '{self.agent}' any more")
        try:
            return tasks.claim(self.agent, unassigned=self.agent == coordinator(known), lease=self.lease)
        except ColonyError as error:
            if error.code == FAILED:
                return None
            raise

    def _do(self, task: Record) -> bool:
        run = taskplan.earlier(task)
        if run is not None and run.ended_status in taskplan.ENDED:
            self._log("info", f"task {task['id']} was done already, by a worker that died then", run)
            return self._finish(task, str(run.ended_status), taskplan.result(run))
        resumed = run is not None
        if run is None:
            plan = taskplan.plan(self.agent, task)
            run, held = launch.begin(plan, None, launch.logical_dates(plan, None), "task", {"task": task["id"]})
        else:
            run, held = launch.reopen(run.run_id)
        try:
            self._tell_state("working", task=task["id"], run_id=run.run_id, step=taskplan.STEP)
            self._log("info", f"task {task['id']} '{cut(task['title'], 80)}' {'resumed' if resumed else 'begun'}", run)
            if run.ended_status != "completed":
                self._carry_on(run, resumed)
        finally:
            for fd in held:
                locks.release(fd)
        if run.ended_status in taskplan.ENDED:
            return self._finish(task, str(run.ended_status), taskplan.result(run))
        return self._put_back(task, None if self.stopping else _why(run), run)

    def _carry_on(self, run: runs.Run, resumed: bool) -> None:
        """As launch.carry_on; a signal that ends the run is one to us, too."""
        launch.warm(run.plan)
        runner = Runner(run, self._hear)
        runner.go(resumed=resumed)
        self.stopping = self.stopping or bool(runner.signalled)

    def _hear(self, step: str, status: str, seconds: float | None, error: str | None) -> None:
        """Progress of the run. A signal that came before the run's own handlers were there is given to it now."""
        if self.stopping:
            os.kill(os.getpid(), signal.SIGTERM)

    def _finish(self, task: Record, ending: str, result: Record) -> bool:
        """Record the task's end. While that cannot be written the task stays ours; when we are to stop before it
        could be, whoever takes the task next finds the run and does this instead of us."""
        why = f": {result['error']}" if "error" in result else ""

        def finish() -> None:
            tasks.finish(task["id"], ending, result, claim=task["claim"])
            self._log("error" if ending == "failed" else "info", f"task {task['id']} {ending}{why}")

        self._record(finish, task, f"task {task['id']} is {ending}{why}, and that cannot be recorded")
        return True

    def _put_back(self, task: Record, why: str | None, run: runs.Run | None = None) -> bool:
        """Let others have the task, and us again later; without a reason we are to stop."""
        self._record(lambda: tasks.put_back(task), task, f"task {task['id']} cannot be put back")
        if why is None:
            self._log("info", f"task {task['id']} put back: the worker is to stop", run)
            return True
        return self._not_now(f"task {task['id']} put back: {why}")

    def _record(self, act: Callable[[], object], task: Record, trouble: str) -> None:
        """Do it as soon as it can be done (a full disk, a lock); not at all when the task is another's, or we stop."""
        pause = FIRST_PAUSE
        while True:
            try:
                act()
                return
            except (ColonyError, OSError) as error:
                self._log("warn", f"{trouble}: {error}")
                if self.stopping or not _is_ours(task):
                    return
            time.sleep(pause)
            pause = min(pause * 2, AGAIN)

    def _not_now(self, why: str) -> bool:
        self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        if why != self._said:
            self._log("warn", why)
        self._said = why
        return False

    # -- what others see

    def _tell_state(self, status: str, **doing: Any) -> None:
        if (status, doing) == self._told:
            return
        try:
            tell_state(self.agent, status, None if status == "stopped" else os.getpid(), **doing)
            self._told = status, doing
        except ColonyError as error:
            self._log("warn", f"cannot tell what the worker does: {error}")

    def _log(self, level: str, message: str, run: runs.Run | None = None) -> None:
        try:
            logs.line(self.agent, level, escape(message, keep="\n"), None if run is None else run.run_id)
        except ColonyError:
            return  # a full disk, say: the work itself says what it needs


def tell_state(agent: str, status: str, pid: int | None, **doing: Any) -> None:
    """Write what the worker does (store.agents reads it)."""
    empty = {"task": None, "run_id": None, "step": None}
    state = {"v": 1, "status": status, "pid": pid, "since": clock.now(), **empty, **doing}
    files.write_json(paths.agent_state(agent), state, durable=False)


def coordinator(known: list[str]) -> str:
    """Whose the unassigned tasks are, of the agents of colony.yml, of which there is one at least."""
    return "orchestrator" if "orchestrator" in known else known[0]


def _journal() -> tuple[int, int] | None:
    try:
        state = os.stat(paths.tasks())
    except FileNotFoundError:
        return None
    return state.st_size, state.st_mtime_ns


def _is_ours(task: Record) -> bool:
    """Whether the task is still held by our claim; also where that cannot be read."""

    def held(known: Tasks) -> bool:
        if task["id"] not in known:
            return False
        found = known[task["id"]]
        return bool(found["status"] == "in_progress" and found["claim"] == task["claim"])

    try:
        return tasks.asked(held)
    except (ColonyError, OSError):
        return True


def _why(run: runs.Run) -> str:
    unit = run.step(taskplan.STEP).unit(None)
    return f"it waits for {unit.why}" if unit.status == "waiting" else f"its run {run.run_id} was interrupted"
