"""One task done by one command: claimed under a lease that lives as long as both, and ended by how the command ends."""

from __future__ import annotations

import subprocess

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.store import env, leases, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

AGAIN = 75  # the exit status by which a command asks to be tried again later
GRACE = 5.0  # seconds between TERM and KILL


def do(agent: str, ref: str | None, command: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Claim a task (store.tasks.claim) and run the command with $COLONY_TASK, its id, while it is held; (the task as
    it is then, exit status of the command).

    Status 0 completes the task, 75 puts it back, any other fails it; an interruption of this process ends the command
    and puts the task back. When all is killed, the lease is free and the task ready again; when only we are, the
    command holds it until it has ended. ColonyError (FAILED) when none is ready, or the task has become another's
    meanwhile, (USAGE) when the command cannot be started.
    """
    lease = leases.new()
    with lease as held:
        task = tasks.claim(agent, ref, lease=held)
        more = {"COLONY_TASK": task["id"], "COLONY_AGENT": agent, "COLONY_LEASE": leases.spell(lease.lock)}
        try:
            child = subprocess.Popen(command, env={**env.environ(), **more}, pass_fds=[lease.fd])
        except OSError as error:
            tasks.put_back(task)
            what = f"cannot run '{escape(cut(command[0], 80))}': {error.strerror}"
            raise ColonyError(what, fix="the task is ready again", code=USAGE) from None
        try:
            status = child.wait()
        except BaseException:
            _end(child)
            tasks.put_back(task)
            raise
        if status == AGAIN:
            return tasks.put_back(task), status
        if status == 0:
            return tasks.finish(task["id"], "completed", claim=task["claim"])[0], status
        code = status if status > 0 else 128 - status
        return tasks.finish(task["id"], "failed", {"exit_status": code}, claim=task["claim"])[0], code


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def exit_status(code: int) -> int:
    """What `task claim … -- COMMAND` exits with after the command did with `code`."""
    return code if code in (0, AGAIN) else FAILED
