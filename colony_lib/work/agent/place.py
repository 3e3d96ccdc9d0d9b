"""Where an attempt of an agent's step is made: its folders, its transcript, its time, and what it says while it
works."""

from __future__ import annotations

import os
import sys
import time

from colony_lib.base import files, jsontext
from colony_lib.base.text import escape
from colony_lib.store import env, paths, transcripts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_MARGIN = 2.0  # seconds before the step's timeout in which we end by ourselves, with our reasons


class Ending:
    """What an attempt came to: `status` 'completed' (with its `output`), 'failed' (with the `error`; `again`: may
    another attempt do better?) or 'limited' (the API lets nobody through before `until`; the next attempt goes on from
    here). `code` is the exit status of a program that has told its output and its error itself."""

    __slots__ = ("again", "code", "error", "output", "status", "until")

    def __init__(
        self, status: str, *, output: Any = None, error: str | None = None, again: bool = True,
        until: str | None = None, code: int | None = None,
    ) -> None:  # fmt: skip
        self.status = status
        self.code = code
        self.output = output
        self.error = error
        self.again = again
        self.until = until


class Place:
    """One attempt's place. `task` is what work/agent/task.py made; `folder` is where the agent works."""

    def __init__(self, task: Record, folder: str) -> None:
        self.task = task
        self.folder = folder
        self.own = paths.attempt(task["run"], task["step"], task["batch"], task["attempt"])
        limit = task.get("timeout_seconds")
        margin = 0.0 if limit is None else min(_MARGIN, limit / 20)
        self.deadline = None if limit is None else time.monotonic() + max(limit - margin, 0.0)
        self.conversations = transcripts.of_unit(task["run"], task["step"], task["batch"], task["attempt"] - 1)
        self._transcript: transcripts.Transcript | None = None
        self._home: str | None = None

    @property
    def home(self) -> str:
        """A private folder outside the colony, for what tools keep while the attempt lasts."""
        if self._home is None:
            output = env.get("COLONY_OUTPUT")
            self._home = files.private_folder(os.path.dirname(output) if output else paths.scratch_folder(), "home-")
        return self._home

    @property
    def transcript(self) -> transcripts.Transcript:
        self._transcript = self._transcript or transcripts.Transcript(self.own)
        return self._transcript

    @property
    def before(self) -> list[Record]:
        """The records of the conversation that this attempt goes on with; [] when it begins one. One that had come to
        its end is gone on with if its process was stopped before it could hand that in."""
        last = self.conversations[-1] if self.conversations else []
        if not last or transcripts.ending(last) is None or last[-1]["type"] == "stopped":
            return last
        return [] if transcripts.newest(last) <= self.task["handed_in"] else last

    @property
    def ended(self) -> list[list[Record]]:
        """The conversations of earlier attempts that have come to their end."""
        return self.conversations[:-1] if self.before else self.conversations

    def begin(self, fields: Record) -> Record:
        """The transcript's first record: of a conversation that is continued with the number of the attempt whose it
        was. Where that had come to its end, the end stands in this transcript too."""
        before = self.before
        continues, since = (transcripts.newest(before), before[0]["ts"]) if before else (None, None)
        begun = self.transcript.add("begun", attempt=self.task["attempt"], continues=continues, since=since, **fields)
        end = transcripts.ending(before)
        if end is not None:
            self.say("the attempt before this one had come to its end, and was killed before it could say so")
            self.transcript.add("final", **{key: end[key] for key in ("status", "output", "error", "again")})
        return begun

    def say(self, text: str, level: str | None = None) -> None:
        """One line for the agent's log; as JSON where it has a level, or could be taken for something with one."""
        line = escape(text)
        if level is not None or line.startswith("{"):
            line = jsontext.dumps({"level": level or "info", "message": line})
        print(line, file=sys.stderr, flush=True)

    def left(self) -> float | None:
        """Seconds until the step's time is up; None without a limit."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        if self._transcript is not None:
            self._transcript.close()
        if self._home is not None:
            files.remove_folder(self._home)
