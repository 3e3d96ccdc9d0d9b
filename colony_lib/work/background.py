"""The processes that agents' workers are: started in sessions of their own, found by their held locks, ended."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import os
import sys
import time

from colony_lib.base import clock, files, jsontext, locks
from colony_lib.base.errors import BUSY, FAILED, OK, ColonyError
from colony_lib.store import agents, logs, paths
from colony_lib.work import launch
from colony_lib.work.worker import Worker, tell_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Record = dict[str, Any]


def foreground(agent: str) -> int:
    """Be the agent's worker, in this process, until a signal comes. ColonyError (BUSY) when there is one already."""
    token = clock.new_id()
    held = _hold(agent, token)
    if held is None:
        what = f"the worker of '{agent}' runs already (process {agents.worker_pid(agent)})"
        raise ColonyError(what, fix=f"end it with 'colony stop {agent}'", code=BUSY)
    try:
        mine = Worker(agent, token)
        tell_state(agent, "idle", os.getpid())
        mine.work()
    finally:
        locks.release(held)
    return OK


def _hold(agent: str, token: str) -> int | None:
    return locks.try_hold(agents.worker_lock(agent), note=f"process {os.getpid()} {token}")


def start(agent: str) -> int | None:
    """Start the agent's worker in the background; its process, once it holds its lock and has said so, or None when
    one runs already. ColonyError when it could not be started."""
    root = paths.root()
    sys.stdout.flush()
    sys.stderr.flush()
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _become(agent, root, theirs)
    os.close(theirs)
    os.waitpid(child, 0)
    said = b""
    while piece := os.read(ours, 4096):
        said += piece
    os.close(ours)
    answer: Record = jsontext.loads(said) if said else {"error": "its process has died"}
    if "error" in answer:
        raise ColonyError(f"the worker of '{agent}' could not be started: {answer['error']}")
    pid: int | None = answer["pid"]
    return pid


def _become(agent: str, root: str, pipe: int) -> NoReturn:
    """The rest of a forked process's life: a session of its own, no terminal, nothing inherited but the pipe."""
    status = FAILED
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.setpgid(0, 0)  # so that our process's number is our group's
        launch.leave_terminal(None)
        os.chdir(root)
        os.closerange(3, pipe)
        os.closerange(pipe + 1, max(map(int, os.listdir("/dev/fd"))) + 1)
        _serve(agent, pipe)
        status = OK
    finally:
        os._exit(status)


def _serve(agent: str, pipe: int) -> None:
    token = clock.new_id()
    try:
        held = _hold(agent, token)
        if held is not None:
            mine = Worker(agent, token)
            tell_state(agent, "idle", os.getpid())
    except (ColonyError, OSError) as error:
        files.write_all(pipe, jsontext.dumps({"error": str(error)}).encode())
        return
    files.write_all(pipe, jsontext.dumps({"pid": None if held is None else os.getpid()}).encode())
    os.close(pipe)
    if held is None:
        return
    try:
        mine.work()
    except BaseException:
        import traceback

        logs.line(agent, "error", traceback.format_exc())
        raise


def stop(names: list[str], timeout: float) -> dict[str, str]:
    """End the agents' workers: what became of each ('stopped', 'killed', 'not running', 'not running: it had died').
    ColonyError when one could not even be killed."""
    found = {name: "stopped" if _signal(name, signal.SIGTERM) else _was(name) for name in names}
    deadline = time.monotonic() + timeout
    for name in names:
        if found[name] != "stopped" or _is_gone(name, deadline):
            continue
        _signal(name, signal.SIGKILL)
        found[name] = "killed"
        if not _is_gone(name, time.monotonic() + 10.0):
            raise ColonyError(
                f"the worker of '{name}' does not end ({locks.note(agents.worker_lock(name))})", code=BUSY
            )
        tell_state(name, "stopped", None)
    return found


def _was(agent: str) -> str:
    """What a worker was that does not run; one that had died counts as stopped from now on."""
    said = files.read_json(paths.agent_state(agent), None, follow=False)
    if not isinstance(said, dict) or said.get("status") not in ("idle", "working"):
        return "not running"
    tell_state(agent, "stopped", None)
    return "not running: it had died"


def _is_gone(agent: str, deadline: float) -> bool:
    while locks.is_held(agents.worker_lock(agent)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _signal(agent: str, number: int) -> bool:
    """Signal the agent's worker, with SIGKILL its whole group if that is its own; False when none runs."""
    pid = agents.worker_pid(agent)
    if pid is None:
        return False
    try:
        if number == signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise ColonyError(f"the worker of '{agent}' is another user's process ({pid})") from None
    return True
