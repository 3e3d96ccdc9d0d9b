"""What an agent's step was asked, answered and did: a journal in each attempt's folder.

Each record is on the disk before the next thing happens. An attempt whose predecessor was cut off goes on with its
conversation: its first record, `begun`, names the attempt that it `continues`, and the conversation is what both
journals say. Only the attempt itself writes its journal, and no record is ever changed. The kinds of records:

`begun` {attempt, continues, since, runner, model, asked, system, tools, first, schema, form, max_tokens, limits},
`request` {request, messages, digest, max_tokens, reservation},
`response` {request, message_id, request_id, model, content, stop_reason, context, usage, cost_usd, price, reported,
turns},
`request_failed` {request, kind, status, error_type, error, wait_seconds, charged: yes | no | unknown},
`tool_started` {tool_use_id, name, input_digest, effect, key},
`tool_ended` {tool_use_id, is_error, content, exit_status, seconds, output_file, unknown},
`messages` {ids, text}, `nudge` {kind, text}, `compact` {text}: from here on the model is sent this in place of what
came before, `session` {session_id},
`event` {role, message_id, content} (of a runner that keeps its conversations itself),
`paused` {error, until}, `stopped` {error, again}: the attempt ended and its conversation did not,
`final` {status, output, error, again}.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, jsonl
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Record = dict[str, Any]

NAME = "transcript.jsonl"


class Transcript:
    """The journal of one attempt, held open by the attempt's own process."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, NAME)
        self._fd = jsonl.open_append(self.path)
        self._new = os.fstat(self._fd).st_size == 0

    def add(self, kind: str, /, **fields: Any) -> Record:
        """Append a record; it is on the disk when this returns. ColonyError when it cannot be."""
        record = {"v": 1, "id": clock.new_id(), "ts": clock.now(), "type": kind, **fields}
        jsonl.append_to(self._fd, self.path, [record])
        jsonl.sync(self._fd, self.path, new=self._new)
        if self._new:
            from colony_lib.base.files import sync_folders

            sync_folders(os.path.dirname(self.path), paths.runs_folder())
            self._new = False
        return record

    def close(self) -> None:
        os.close(self._fd)


def read(folder: str) -> list[Record]:
    """The records of the attempt in that folder; [] when it has none. An unreadable line that is not the last is passed
    over."""
    path = os.path.join(folder, NAME)
    if not os.path.lexists(path):
        return []
    return [record for record in jsonl.read(path) if isinstance(record.get("type"), str)]


def of_unit(run_id: str, step: str, batch: int | None, attempts: int) -> list[list[Record]]:
    """The conversations of a step or batch over its attempts 1 to `attempts`, in order, those that had one."""
    found: list[list[Record]] = []
    for number in range(1, attempts + 1):
        own = read(paths.attempt(run_id, step, batch, number))
        if not own or own[0]["type"] != "begun":
            continue  # it came to nothing: its first record could not be written
        if own[0].get("continues") and found:
            found[-1] += own
        else:
            found.append(own)
    return found


def ending(records: Iterable[Record]) -> Record | None:
    """The record that ended the conversation, if it has ended."""
    return next((record for record in records if record["type"] == "final"), None)


def newest(records: list[Record]) -> int:
    """The newest attempt in whose transcripts the conversation is."""
    return max(int(record["attempt"]) for record in records if record["type"] == "begun")


def began(records: list[Record]) -> float | None:
    """When the conversation that an attempt's own records are part of began, in seconds since 1970; None when there is
    none."""
    if not records or records[0]["type"] != "begun":
        return None
    return clock.seconds(records[0].get("since") or records[0]["ts"])


def usage(records: Iterable[Record]) -> Record | None:
    """What the replies among the records used: {model, input, output, cache_read, cache_write, requests, cost_usd,
    reported}; `input` counts what was read from and written to the cache as well. None when there is no reply."""
    total: Record = {"model": None, "input": 0, "output": 0, "cache_read": 0, "cache_write": 0, "requests": 0}
    total |= {"cost_usd": 0.0, "reported": False}
    seen: set[str] = set()
    for record in records:
        if record["type"] != "response" or record["id"] in seen:
            continue
        seen.add(record["id"])
        used = record.get("usage") or {}
        read_, written = _count(used, "cache_read_input_tokens"), _count(used, "cache_creation_input_tokens")
        total["model"] = record.get("model") or total["model"]
        total["input"] += _count(used, "input_tokens") + read_ + written
        total["output"] += _count(used, "output_tokens")
        total["cache_read"] += read_
        total["cache_write"] += written
        total["requests"] += record.get("turns") or 1
        total["cost_usd"] = round(total["cost_usd"] + (record.get("cost_usd") or 0.0), 9)
        total["reported"] = total["reported"] or bool(record.get("reported"))
    return total if total["requests"] else None


def _count(used: Record, key: str) -> int:
    value = used.get(key)
    return value if isinstance(value, int) and value > 0 else 0
