"""The replies of an earlier run in place of a model: `colony workflow run NAME --replay RUN`."""

from __future__ import annotations

from colony_lib.store import runs, transcripts
from colony_lib.work.agent.client import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]


class _Recorded:
    """A reply as client.Reply has it, from its record."""

    __slots__ = ("content", "context", "message_id", "model", "request_id", "stop_reason", "usage")

    def __init__(self, record: Record) -> None:
        self.content = record["content"]
        self.stop_reason = record["stop_reason"]
        self.usage: Record = {}
        self.context: int = record.get("context") or 0  # so that what followed from it follows again
        self.message_id = record["message_id"]
        self.model = record.get("model")
        self.request_id = record["request_id"]


class Recording:
    """The replies that one conversation of a step had, the `number`th of the step (counted from 0), from the
    `replies`th on."""

    def __init__(self, run_id: str, step: str, batch: int | None, number: int, replies: int) -> None:
        self._where = f"{run_id} {step}" + ("" if batch is None else f"[{batch}]")
        run = runs.load(run_id)
        attempts = run.step(step).unit(batch).attempts if step in {**run.steps, **run.handlers} else 0
        conversations = transcripts.of_unit(run_id, step, batch, attempts)
        found = conversations[number] if number < len(conversations) else []
        self._left = [record for record in found if record["type"] == "response"][replies:]

    def ask(self, request: Record, heard: Callable[[str, str], None], deadline: float | None) -> _Recorded:
        """The next recorded reply. Trouble when there is none."""
        if not self._left:
            raise Trouble("stop", f"the recording of {self._where} has no further reply", charged="no")
        reply = _Recorded(self._left.pop(0))
        for block in reply.content:
            if block.get("type") == "text":
                heard("text", block["text"])
                heard("end", "")
        return reply
