"""What changed between two states, counted for programs and in words for people and commit messages."""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.store import fields, lineunion, statetree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.store.statetree import State

    Changes = dict[str, Any]

SUBJECT_LIMIT = 90  # characters of a commit's first line
NAMES_SHOWN = 5
_VERBS = {"add": "added", "claim": "claimed", "update": "updated", "assign": "assigned", "block": "blocked"}
_VERBS |= {"unblock": "unblocked"}


def changes(old: State, new: State) -> Changes:
    """{tasks: {verb: count}, memory: {verb: count}, documents: {name: [its topmost fields that differ]}}."""
    found: Changes = {}
    for file in statetree.JOURNALS:
        counts: dict[str, int] = {}
        for line in lineunion.missing(new.journals.get(file, b""), old.journals.get(file, b"")):
            verb = _verb(line) if file == statetree.TASKS else "added"
            counts[verb] = counts.get(verb, 0) + 1
        found[file.removesuffix(".jsonl")] = counts
    documents = {}
    for name in sorted(new.fields):
        before, now = (fields.live(side.fields.get(name, {})) for side in (old, new))
        differ = [path for path in {**before, **now} if before.get(path) != now.get(path)]
        if differ or name not in old.fields:
            documents[name] = list(dict.fromkeys(map(fields.top, differ)))
    found["documents"] = documents
    return found


def _verb(line: bytes) -> str:
    try:
        event = jsontext.loads(line) if len(line) <= lineunion.LINE_LIMIT else None
    except ColonyError:
        event = None
    if not isinstance(event, dict):
        return "unreadable"
    kind = event.get("type")
    if kind == "finish" and event.get("status") in ("completed", "failed", "cancelled"):
        return str(event["status"])
    return _VERBS.get(str(kind), "changed")


def any_of(found: Changes) -> bool:
    return any(found.values())


def words(found: Changes) -> str:
    """'tasks: 3 added, 1 completed; memory: 2 added; load_metadata: rows', or '' for nothing."""
    parts = []
    for name in ("tasks", "memory"):
        if found[name]:
            parts.append(f"{name}: " + ", ".join(f"{count:,} {verb}" for verb, count in found[name].items()))
    for name, names in found["documents"].items():
        shown = [escape(cut(field, 40)) for field in names[:NAMES_SHOWN] if field]
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        parts.append(f"{name}: {', '.join(shown)}{more}" if shown else name)
    return "; ".join(parts)


def message(what: str, host: str, merged: bool) -> str:
    """A commit's message: the host and what changed, cut to a line, and all of it below where it was cut."""
    subject = f"{host}: {'merged ' if merged else ''}{what or 'the state as it is here'}"
    if len(subject) <= SUBJECT_LIMIT:
        return subject + "\n"
    return f"{cut(subject, SUBJECT_LIMIT)}\n\n" + "\n".join(what.split("; ")) + "\n"
