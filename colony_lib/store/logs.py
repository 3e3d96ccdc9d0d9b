"""Log lines as they are written: a journal for each agent, appended to in batches and without fsync.

A line is {v, id, ts, level, agent, message, run_id, step, attempt}, with `batch_id` for a batch of a step and
`fields` for what else a structured line said.
"""

from __future__ import annotations

from colony_lib.base import clock, jsonl, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.files import redacted
from colony_lib.store import logblocks, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping
    from typing import Any

MESSAGE_LIMIT = 64 * 1024  # bytes of UTF-8; what is longer is cut, with a mark
_CONTEXT = ("run_id", "step", "attempt")
_OWN = {"v", "id", "ts", "level", "agent", "message", "batch_id", "fields", *_CONTEXT}
_WORDS = {
    "trace": "debug", "debug": "debug", "info": "info", "notice": "info", "warn": "warn", "warning": "warn",
    "err": "error", "error": "error", "severe": "error", "critical": "error", "fatal": "error", "panic": "error",
}  # fmt: skip
# A time may stand first, as most loggers write it; then the word, perhaps in brackets.
_LEADING = (
    r"\s*(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s\]]*\]?\s+)?([\[(<]?)(" + "|".join(_WORDS) + r")\b([\])>]?)\s*(:?)"
)
_leading: re.Pattern[str] | None = None


def write(agent: str, records: Iterable[Mapping[str, Any]]) -> None:
    """Append log lines [{message[, level, ts, run_id, step, attempt, batch_id, fields]}] by one write.

    An unknown level counts as info; other keys are kept under `fields`. ColonyError when the name is none or the
    write fails.
    """
    batch = clock.new_id()
    now = clock.now()
    lines = [_line(agent, record, f"{batch}-{number:04d}", now) for number, record in enumerate(records)]
    if lines:
        before, after = jsonl.append(paths.log(agent), lines, lock=paths.lock(f"log-{agent}"))
        logblocks.grown(agent, before, after)


def line(
    agent: str, level: str, message: str, run_id: str | None = None, step: str | None = None, attempt: int | None = None
) -> None:
    """Append one log line."""
    write(agent, [{"level": level, "message": message, "run_id": run_id, "step": step, "attempt": attempt}])


def raw(
    agent: str,
    lines: Iterable[str],
    *,
    run_id: str | None = None,
    step: str | None = None,
    attempt: int | None = None,
    batch: int | None = None,
) -> None:
    """Append lines that a command wrote to standard error, each with the level that `understand` sees in it."""
    context = {"run_id": run_id, "step": step, "attempt": attempt, "batch_id": batch}
    write(agent, [{**understand(text), **context} for text in lines])


def understand(text: str) -> dict[str, Any]:
    """{level, message[, fields]} of a line as programs write it.

    A JSON object with a text `message` (or `msg`, `event`) or a known `level` (or `severity`) is taken apart: its
    other keys become `fields`. Any other line is the message whole, and its level is the word it begins with, after
    a time if there is one: ERROR, WARN, INFO, DEBUG and their kin in capitals, in brackets, or before a colon
    (`error: …`). A line without such a word is info.
    """
    if text.startswith("{") and len(text) <= MESSAGE_LIMIT:
        found = _structured(text)
        if found:
            return found
    global _leading
    if _leading is None:
        import re

        _leading = re.compile(_LEADING, re.IGNORECASE | re.ASCII)
    match = _leading.match(text[:200])
    if match and (match[2].isupper() or match[4] or (match[1] and match[3])):
        return {"level": _WORDS[match[2].lower()], "message": text}
    return {"level": "info", "message": text}


def _structured(text: str) -> dict[str, Any] | None:
    try:
        given = jsontext.loads(text)
    except ColonyError:
        return None
    if not isinstance(given, dict):
        return None
    word = next((given.pop(key) for key in ("level", "severity") if str(given.get(key)).lower() in _WORDS), None)
    message = next((given.pop(key) for key in ("message", "msg", "event") if isinstance(given.get(key), str)), None)
    if word is None and message is None:
        return None
    if message is None:
        return {"level": _level(word), "message": text}
    return {"level": _level(word), "message": message} | ({"fields": given} if given else {})


def _level(word: object) -> str:
    return _WORDS.get(str(word).lower(), "info")


def _line(agent: str, given: Mapping[str, Any], line_id: str, now: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "v": 1,
        "id": given.get("id") or line_id,
        "ts": given.get("ts") or now,
        "level": _level(given.get("level")),
        "agent": agent,
        "message": _cut(str(given.get("message", ""))),
    }
    for key in _CONTEXT:
        made[key] = given.get(key)
    if given.get("batch_id") is not None:
        made["batch_id"] = given["batch_id"]
    fields = {**(given.get("fields") or {}), **{key: given[key] for key in given if key not in _OWN}}
    if fields:
        made["fields"] = fields
    return made


def _cut(message: str) -> str:
    """The message as text that can be stored, at most MESSAGE_LIMIT bytes and a mark."""
    if len(message) * 4 <= MESSAGE_LIMIT and message.isascii():
        return message
    data = message.encode("utf-8", "backslashreplace")
    if len(data) > MESSAGE_LIMIT:
        # Secrets go before the cut, which could leave half of one that nobody knows any more.
        data = redacted(data.decode("utf-8")).encode("utf-8")
        kept = data[:MESSAGE_LIMIT].decode("utf-8", "ignore")
        return f"{kept}… [cut, {len(data):,} bytes]"
    return data.decode("utf-8")
