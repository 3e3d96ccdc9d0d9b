"""The process in which an agent does its step (`colony-run-step --agent`): prepares its place, lets its runner work,
keeps what was made, and says how it ended by its exit status: 0, 1, or 75 when the model's API lets nobody through for
now."""

from __future__ import annotations

import os
import sys

from colony_lib.base import files, jsontext
from colony_lib.base.errors import BUSY, FAILED, OK, ColonyError
from colony_lib.store import env, paths
from colony_lib.work import runners
from colony_lib.work.agent.place import Ending, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Record = dict[str, Any]

_STATUS = {"completed": OK, "failed": FAILED, "limited": BUSY}


def main() -> NoReturn:
    """Do the step that standard input describes. ColonyError for what a person must mend."""
    context = jsontext.loads(sys.stdin.buffer.read())
    task = context["task"]
    if task["runner"] in runners.PAID:
        from colony_lib.work import confine

        confine.hide_ourselves()  # the key is in our environment, and a tool's process may be the same user's
    folder = _folder(task)
    with Place(task, folder) as place:
        try:
            ending = runners.get(task["runner"]).perform(place, context)
        except ColonyError as error:
            ending = _stopped(place, error)
        _keep_work(place, ending)
        try:
            code = _tell(place, ending)
        except ColonyError as error:
            code = _tell(place, _stopped(place, error))
    sys.stderr.flush()
    os._exit(code)  # taking the client's thousand modules apart one by one would take a quarter of a second


def _stopped(place: Place, error: ColonyError) -> Ending:
    """The end of an attempt that could not go on: a disk that is full, a key that is not set. Its conversation has not
    come to an end, and the next attempt goes on with it."""
    ending = Ending("failed", error=str(error), again=error.code == FAILED)
    try:
        place.transcript.add("stopped", error=ending.error, again=ending.again)
    except ColonyError as other:
        place.say(str(other), "error")  # it may be the very disk; then the log says why
    return ending


def _folder(task: Record) -> str:
    """The folder in which the agent works: its worktree, where it has one, else the colony's root."""
    agent = task["agent"]
    if not agent["worktree_branch"]:
        return paths.root()
    from colony_lib.work import worktree

    folder, warning = worktree.ready(agent, task["shared_paths"])
    if warning:
        print(f"WARN {warning}", file=sys.stderr, flush=True)
    if folder != paths.root():
        worktree.keep_leftovers(agent, folder, task["shared_paths"])
    return folder


def _keep_work(place: Place, ending: Ending) -> None:
    """Commit what the step changed in the agent's worktree, on the agent's branch, whatever the step came
    to."""
    task = place.task
    if place.folder == paths.root():
        return
    from colony_lib.work import worktree

    head = f"{task['step']}: {_summary(ending)}"
    trailers = {"Colony-Run": task["run"], "Colony-Step": task["step"], "Colony-Attempt": str(task["attempt"])}
    try:
        commit = worktree.commit(task["agent"], place.folder, task["shared_paths"], head, trailers)
    except ColonyError as error:  # the step is done and paid for; the next one commits what is there
        place.say(f"the work is not committed yet: {error}", "warn")
        return
    if commit:
        place.say(f"the work is commit {commit[:12]} on {task['agent']['worktree_branch']}")


def _summary(ending: Ending) -> str:
    if ending.status != "completed":
        return f"{ending.status}: {(ending.error or '').splitlines()[0][:60] if ending.error else ''}".rstrip(": ")
    if ending.output is None:
        return "done"
    text = ending.output if isinstance(ending.output, str) else jsontext.dumps(ending.output)
    return " ".join(text.split())[:60] or "done"


def _tell(place: Place, ending: Ending) -> int:
    if ending.code is not None:
        return ending.code
    if ending.status == "completed":
        output = env.get("COLONY_OUTPUT")
        text = ending.output if isinstance(ending.output, str) else jsontext.dumps(ending.output)
        if output:
            files.write_text(output, text, durable=False)
        else:
            print(text)
    elif ending.error:
        place.say(ending.error, "error" if ending.status == "failed" else "warn")
    sys.stdout.flush()
    return _STATUS[ending.status]
