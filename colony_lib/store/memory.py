"""What the colony remembers: short texts of a type that are added, searched and never changed."""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import check_name
from colony_lib.store import journal, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.base.jsonl import Problem


def check(event: dict[str, Any]) -> str | None:
    if not isinstance(event.get("type"), str) or not event["type"]:
        return "its 'type' is not text"
    return None if isinstance(event.get("text"), str) else "its 'text' is not text"


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    """As `--json` gives it (schemas/memory.schema.json)."""
    return {key: event[key] for key in ("id", "ts", "type")} | {"from": event.get("by", "user"), "text": event["text"]}


def add(kind: str, text: str) -> dict[str, Any]:
    """Remember a text under a type (a name such as 'decision'). On the disk when this returns."""
    check_name(kind, "memory type")
    if not text.strip():
        raise ColonyError("there is nothing to remember: the text is empty", code=USAGE)
    with journal.changing(paths.memory(), paths.lock("memory"), check, "the memory") as log:
        return _shown(log.add(type=kind, text=text))


def everything(problems: list[Problem] | None = None) -> list[dict[str, Any]]:
    """All that is remembered, the oldest first."""
    return [_shown(event) for event in journal.read(paths.memory(), check, problems)]


def search(words: str, *, kind: str | None = None, problems: list[Problem] | None = None) -> list[dict[str, Any]]:
    """What holds all of the words (parted by white space; anywhere in type or text; case does not matter), the
    newest first; with `kind`, of that type only. No words match everything."""
    wanted = words.casefold().split()
    found = []
    for memory in reversed(everything(problems)):
        if kind is None or memory["type"] == kind:
            text = f"{memory['type']}\n{memory['text']}".casefold()
            if all(word in text for word in wanted):
                found.append(memory)
    return found
