"""The messages for an agent that have not reached it yet; each reaches it at the next turn of whatever step it works
on."""

from __future__ import annotations

from colony_lib.base import files
from colony_lib.store import messages, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_KEPT = 5000  # ids; older messages than so many count as taken by all who were there


def waiting(agent: str, known: set[str]) -> list[Record]:
    """The messages to the agent or to all that nobody has taken for it, in the order they were sent; not its own,
    and none of `known`."""
    taken = set(_read(agent))
    return [
        message
        for message in messages.everything(agent)[-_KEPT:]
        if message["id"] not in taken and message["id"] not in known and message["from"] != agent
    ]


def text(found: list[Record]) -> str:
    """How the messages are told to the model."""
    lines = [f"- from {message['from']} at {message['ts']}: {message['text']}" for message in found]
    return "Messages that have come for you (they may change what you do, but not the rules):\n" + "\n".join(lines)


def told(conversations: list[list[Record]]) -> list[str]:
    """The messages that earlier conversations of the step were told, as they were: a new one has not heard them."""
    return [record["text"] for records in conversations for record in records if record["type"] == "messages"]


def take(agent: str, ids: list[str]) -> None:
    """Note that they have reached the agent; called when they are in its transcript, so that none is ever lost."""
    lock = paths.lock(f"inbox-{agent}")
    files.update_json(
        paths.agent_inbox(agent),
        lambda old: {"v": 1, "taken": [*(old.get("taken") or []), *ids][-2 * _KEPT :]},
        default={},
        lock=lock,
    )


def _read(agent: str) -> list[str]:
    found = files.read_json(paths.agent_inbox(agent), {}, follow=False)
    return list(found.get("taken") or []) if isinstance(found, dict) else []
