"""What an attempt came to: what its command left is read, judged, kept beside the journal, and recorded."""

from __future__ import annotations

import os

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import escape, show_duration
from colony_lib.store import paths, runs, transcripts
from colony_lib.work import evidence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.work.command import Attempt

    Record = dict[str, Any]

INLINE = 32 * 1024  # bytes; a larger output is a file of its own beside the journal
_AGAIN = 75  # the exit status by which a command asks for another attempt


def record(attempt: Attempt, code: int) -> Record:
    """Read what the command left, decide what the attempt came to, keep it, record it."""
    job = attempt.job
    error: str | None = None
    status = "completed"
    output: Any = None
    if attempt.ended_by == "timeout":
        status, error = "failed", f"timed out after {show_duration(job['timeout_seconds'])}"
    elif attempt.ended_by == "cancel":
        status, error = "cancelled", "cancelled"
    elif attempt.ended_by == "stop":
        status, error = "interrupted", "interrupted"
    elif code != 0:
        status, error = "busy" if code == _AGAIN else "failed", _last_line(attempt, code)
    kept: Record = {}
    folder = paths.attempt(attempt.run.run_id, job["step"], job["batch"], job["attempt"])
    more = agent_fields(folder, code if attempt.ended_by is None else 0) if job.get("runner") else {}
    status, error = more.pop("status", status), more.pop("error", error)
    try:
        if status == "completed":
            output = _output(attempt)
            place = job.get("worktree")
            place = place if place and os.path.isdir(place) else job["folder"]
            since = job["began_ns"]
            if job.get("runner") and (began := transcripts.began(transcripts.read(folder))) is not None:
                since = min(since, int(began * 1e9))  # what earlier attempts of the conversation wrote counts
            error = evidence.missing(output, job.get("output_schema"), job.get("expect") or [], place, since)
            status = "failed" if error else "completed"
        kept = _keep(attempt, folder, output if status == "completed" else None)
        if status == "completed" and job.get("inputs") is not None:  # a step with `cache`
            from colony_lib.work import reuse

            kept |= reuse.left(attempt.run.step(job["step"]).definition, job, attempt.source)
    except ColonyError as problem:
        # Nobody knows what it did. When it must not be repeated, a person has to say whether it took effect.
        doubt = code == 0 and not attempt.run.step(job["step"]).definition.get("idempotent", True)
        status, error = "interrupted" if doubt else "failed", str(problem)
    fields = {"started": job["started"], "status": status, "exit_code": code}
    ended = runs.record("attempt_ended", **attempt.identity(), **fields, **kept, **more)
    if error and status != "completed":
        ended["error"] = attempt.redactor.text(error)
    attempt.journal.append(ended)
    return ended


def agent_fields(folder: str, code: int) -> Record:
    """What the transcript of an agent's attempt adds to its last record: `usage`, `tokens` and `cost_usd` of its paid
    replies, and, by the exit status `code` of its process, what only the transcript knows (`status`, `error`, `again`,
    `until`, `limit_reached`)."""
    records = transcripts.read(folder)
    found: Record = {}
    used = transcripts.usage(records)
    if used is not None:
        found = {"usage": used, "tokens": used["input"] + used["output"], "cost_usd": used["cost_usd"]}
    last = records[-1] if records else {"type": ""}
    if code > 128:  # it was killed from outside: the next attempt goes on with its conversation, or hands in its end
        name = _signal_name(code - 128) or "a signal"
        found |= {"status": "interrupted", "error": f"interrupted: its process was ended by {name}"}
    elif code != 0 and last["type"] in ("final", "stopped"):
        found |= {"error": last["error"], "again": last["again"]}
        if last.get("limit"):
            found["limit_reached"] = True
    elif code == _AGAIN and last["type"] == "paused":
        found |= {"status": "limited", "error": last["error"], "until": last["until"]}
    return found


def _output(attempt: Attempt) -> Any:
    """The value of what the command wrote to $COLONY_OUTPUT, else of its standard output."""
    try:
        data = files.read_bytes(attempt.scratch, limit=1 << 40)
    except FileNotFoundError:
        data = b""
    if not data:
        data = _all(attempt.out)
    data = attempt.redactor.data(data)
    if not data:
        return ""
    try:
        return jsontext.loads(data)
    except ColonyError:
        return data.decode("utf-8", "replace").rstrip("\n")


def _keep(attempt: Attempt, folder: str, output: Any) -> Record:
    """Write the streams and a large output beside the journal; returns what the record says of the output."""
    for fd, name in ((attempt.out, "stdout.log"), (attempt.err, "stderr.log")):
        if os.fstat(fd).st_size:
            # Only this attempt writes here: no lock is needed, and a power cut may take it.
            files.write_bytes(os.path.join(folder, name), attempt.redactor.data(_all(fd)), durable=False)
    if output is None:
        return {}
    text = jsontext.dumps(output)
    if len(text) <= INLINE:
        return {"output": output}
    path = os.path.join(folder, "output.json")
    files.write_text(path, text + "\n")
    files.sync_folders(folder, attempt.run.folder)  # they were made for the streams, which need not last
    return {"output_file": os.path.relpath(path, attempt.run.folder)}


def _last_line(attempt: Attempt, code: int) -> str:
    """'exit status 3: no such table', with the last words on standard error."""
    size = os.fstat(attempt.err).st_size
    tail = os.pread(attempt.err, 4096, max(0, size - 4096))
    lines = attempt.redactor.data(tail).decode("utf-8", "replace").rstrip().rsplit("\n", 1)
    said = f": {escape(lines[-1].strip())[:400]}" if lines[-1].strip() else ""
    name = _signal_name(code - 128)
    if name:
        return f"ended by {name}{said}"
    return f"exit status {code}{said}"


def _signal_name(number: int) -> str | None:
    if number <= 0:
        return None
    import signal

    return signal.Signals(number).name if number in set(signal.Signals) else None


def _all(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    parts = []
    offset = 0
    while offset < size:
        part = os.pread(fd, min(size - offset, 1 << 24), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return b"".join(parts)
