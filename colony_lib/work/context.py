"""What a command finds as JSON on its standard input: {run, workflow, date, input, steps, item, batch_id}.

What the batches of a step read of earlier steps is the same for all, and can be large (the list that they are the
items of): it is written to a file once, and a job says where, so that a fan-out costs no square of its size.
"""

from __future__ import annotations

import os

from colony_lib.base import files, jsontext
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.store import references, runs

    Record = dict[str, Any]

_LARGE = 8 * 1024  # characters; below that a file costs more than it spares


def of(run: runs.Run, scope: references.Scope, batch: int | None) -> Record:
    """The context of a step, or of one of its batches."""
    from colony_lib.store.references import ABSENT

    return {
        "run": run.run_id,
        "workflow": run.plan["name"],
        "date": run.header["date"],
        "input": run.header.get("input"),
        "steps": scope.steps,
        "item": None if scope.item is ABSENT else scope.item,
        "batch_id": batch,
    }


class Shared:
    """The files of one engine's life with what the batches of a step read alike."""

    def __init__(self, run: runs.Run) -> None:
        self._run = run
        self._known: dict[str, str | None] = {}

    def file(self, step: str, context: Record) -> str | None:
        """The file with the `steps` of the step's context; None when that is small. All that the step depends on has
        ended before its first batch begins: its `steps` change no more."""
        if step not in self._known:
            text = jsontext.dumps(context["steps"])
            path = None
            if len(text) > _LARGE:
                path = os.path.join(os.path.dirname(paths.attempt(self._run.run_id, step, None, 1)), "context.json")
                files.write_text(path, text, durable=False)
            self._known[step] = path
        return self._known[step]


def packed(job: Record) -> Record:
    """The job as it is sent to whoever does it: without what stands in its shared file."""
    if job.get("shared") is None:
        return job
    return {**job, "context": {key: value for key, value in job["context"].items() if key != "steps"}}


def text(job: Record) -> bytes:
    """The context of a job that was sent, as its command reads it. OSError when its shared file cannot be read."""
    context = job["context"]
    if job.get("shared") is None:
        return jsontext.dumps(context).encode()
    first = {key: context[key] for key in ("run", "workflow", "date", "input")}
    last = {key: context[key] for key in context if key not in first}
    with open(job["shared"], "rb") as shared:
        steps = shared.read()
    return b'%s,"steps":%s,%s' % (jsontext.dumps(first).encode()[:-1], steps, jsontext.dumps(last).encode()[1:])
