"""Who had a task here and has it no longer, because of what was done on another machine: found, and told once.

Which claims were made here is not in the claims, so it is kept beside the journal, for those that are in force.
"""

from __future__ import annotations

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import check_name, cut
from colony_lib.store import journal, lineunion, logs, messages, paths, taskfold, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from colony_lib.store.taskfold import Task

    Loss = dict[str, Any]

SENDER = "colony"
_GIVING = ("claim", "update", "assign")  # types of events


def kept() -> set[str]:
    """The ids of the claims in force that were made here, as far as they have been shared."""
    try:
        found = files.read_json(paths.own_claims(), {}, follow=False)
    except ColonyError:
        return set()  # damaged: some loser may then not be told
    ids = found.get("claims") if isinstance(found, dict) else None
    return {str(claim) for claim in ids} if isinstance(ids, list) else set()


def keep(lines: Iterable[bytes]) -> None:
    """Note the claims among these lines of the task journal, which were written here and are yet to be shared."""
    made = claims_in(lines)
    if made:
        in_force = {task["claim"] for task in tasks.load().values() if task["status"] == "in_progress"}
        files.write_json(paths.own_claims(), {"v": 1, "claims": sorted((kept() | made) & in_force)})


def claims_in(lines: Iterable[bytes]) -> set[str]:
    """The ids of those of the lines that may give a task to somebody."""
    found = set()
    for line in lines:
        try:
            event = jsontext.loads(line) if len(line) <= lineunion.LINE_LIMIT else None
        except ColonyError:
            continue
        if isinstance(event, dict) and event.get("type") in _GIVING and isinstance(event.get("id"), str):
            found.add(event["id"])
    return found


def losses(own: set[str], journal_after: str) -> list[Loss]:
    """[{task, title, agent, claim, status, holder, text}] of each of the claims `own` that is in force by the colony's
    task journal and would not be by that of the path `journal_after`."""
    mine = (
        [task for task in tasks.load().values() if task["status"] == "in_progress" and task["claim"] in own]
        if own
        else []
    )
    if not mine:
        return []
    after = taskfold.fold(journal.read(journal_after, taskfold.check))
    pairs = [(task, after[task["id"]]) for task in mine if task["id"] in after]
    return [_loss(task, now) for task, now in pairs if (now["status"], now["claim"]) != ("in_progress", task["claim"])]


def _loss(task: Task, now: Task) -> Loss:
    agent = task["owner"] or messages.USER
    holder = None
    if now["status"] == "in_progress":
        holder = now["owner"] or messages.USER
        how = f"it went to '{cut(holder, 80)}' on another machine"
    elif now["status"] == taskfold.OPEN:
        how = "it was put back on another machine"
    else:
        how = f"it was {now['status']} on another machine"
    text = f"the task '{cut(task['title'], 80)}' ({task['id']}) is no longer with '{cut(agent, 80)}': {how}"
    made = {"task": task["id"], "title": task["title"], "agent": agent, "claim": task["claim"]}
    return made | {"status": now["status"], "holder": holder, "text": text}


def tell(found: list[Loss]) -> None:
    """A warning in the log of each loser, and a message to it (to 'user', when it is no agent of colony.yml). Told
    twice it is there once: the ids come from the claim."""
    known = messages.recipients() if found else []
    for loss in found:
        told = f"lost-{loss['claim'][:100]}"
        to = loss["agent"] if loss["agent"] in known else messages.USER
        messages.send(to, loss["text"], sender=SENDER, message_id=told)
        logs.write(_log_of(loss["agent"]), [{"id": told, "level": "warn", "message": loss["text"]}])


def _log_of(agent: str) -> str:
    try:
        return check_name(agent, "agent")
    except ColonyError:
        return messages.USER  # only a journal that was written by hand has such a name
