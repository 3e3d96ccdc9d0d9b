"""Messages between agents and the user: one journal, each message to one agent or to all."""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import check_name
from colony_lib.store import journal, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.base.jsonl import Problem

ALL = "all"
USER = "user"  # who types commands outside any step; agents can write to them too


def check(event: dict[str, Any]) -> str | None:
    wrong = [key for key in ("by", "to", "text") if not isinstance(event.get(key), str) or not event[key]]
    return f"its '{wrong[0]}' is not text" if wrong else None


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    """As `--json` gives it (schemas/message.schema.json)."""
    return {key: event[key] for key in ("id", "ts")} | {"from": event["by"], "to": event["to"], "text": event["text"]}


def recipients() -> list[str]:
    """The agents of colony.yml, 'all' and 'user'."""
    from colony_lib.store import config

    return [*(agent["id"] for agent in config.load()["agents"]), ALL, USER]


def send(to: str, text: str, *, sender: str | None = None, message_id: str | None = None) -> dict[str, Any]:
    """Send a text to an agent, 'all' or 'user'; on the disk when this returns. The sender is the agent whose step
    this is, else 'user'. With a `message_id` that was sent before nothing is sent, and that message returned.
    ColonyError: FAILED with the nearest names for an unknown agent, USAGE for no text."""
    if not text.strip():
        raise ColonyError("the message is empty", code=USAGE)
    if to not in (ALL, USER) and to not in (known := recipients()):
        raise unknown("agent", check_name(to, "agent"), known)
    more = {} if sender is None else {"by": sender}
    if message_id is not None:
        more["id"] = message_id
    with journal.changing(paths.messages(), paths.lock("messages"), check, "the messages") as log:
        sent = None
        if message_id is not None:
            sent = next((event for event in log.events if event["id"] == message_id), None)
        return _shown(sent or log.add(to=to, text=text, **more))


def everything(to: str | None = None, problems: list[Problem] | None = None) -> list[dict[str, Any]]:
    """The messages in the order they were sent; with `to`, those to that agent and those to all."""
    events = journal.read(paths.messages(), check, problems)
    return [_shown(event) for event in events if to is None or event["to"] in (to, ALL)]


def check_recipient(name: str, found: list[dict[str, Any]]) -> None:
    """ColonyError (FAILED) for an agent that is neither in colony.yml nor in the messages found."""
    if not any(message["to"] == name for message in found) and name not in (known := recipients()):
        raise unknown("agent", check_name(name, "agent"), known)
