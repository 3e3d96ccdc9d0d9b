"""What Claude Code says while it works, and what it reports at its end."""

from __future__ import annotations

from colony_lib.base import clock, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import cut, show_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from colony_lib.work.agent.leash import Leash
    from colony_lib.work.agent.limits import Time
    from colony_lib.work.agent.place import Place

    Record = dict[str, Any]

_KEPT = 4_000  # characters of a tool's result in an event
_REPORT = 3.0  # seconds for its last words when it is to end; the attempt's grace is longer
_LINGER = 10.0  # seconds that it may take to go after its last words
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_OF_MODEL = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
GONE = "No conversation found"


class Over(Exception):
    """The step has come to an end that is no answer; `limit`: because a limit is reached."""

    def __init__(self, error: str, *, again: bool = True, limit: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.again = again
        self.limit = limit


class Paused(Exception):
    """The API lets nobody through until a time (ISO 8601, or None when it does not say)."""

    def __init__(self, error: str, until: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.until = until


class Watch:
    """One call, listened to: what it says is told to the agent's log, journalled, counted, and ended when it must be.

    Afterwards `report` is its last event, None when there was none; `said` the last line on standard error; `why` what
    we ended it for; `code` its exit status; `turns` the replies that were seen.
    """

    def __init__(
        self, place: Place, leash: Leash, note: Callable[..., Any], time: Time, *,
        called: Callable[[str], None], calls: float | None, tokens: float | None,
    ) -> None:  # fmt: skip
        """`called` is told the id of each call of a tool; `calls` and `tokens`: how many it may make and use."""
        self._place = place
        self._leash = leash
        self._note = note
        self._time = time
        self._called = called
        self._calls_left = calls
        self._tokens_left = tokens
        self.report: Record | None = None
        self.said = ""
        self.why: BaseException | None = None
        self.code = 0
        self._used: dict[str, int] = {}  # tokens by reply
        self._calls = 0
        self._names: dict[str, str] = {}  # of the tools called

    @property
    def turns(self) -> int:
        return len(self._used)

    def listen(self) -> None:
        """Until it has ended."""
        try:
            for source, line in self._leash.lines():
                self._hear(source, line)
        finally:
            self.code = self._leash.close()
        if self._leash.stopping:
            self.why = SystemExit(143)  # as the TERM that came would have had it

    def _hear(self, source: str, line: str) -> None:
        if source == "err":
            self.said = line.strip()
            self._place.say(line.rstrip())
        elif source == "out":
            self._event(line)
        elif self._leash.stopping:
            self._stop(SystemExit(143))
        else:
            try:
                self._time.check()
            except ColonyError as error:
                self._stop(Over(str(error), again=False, limit=True))

    def _stop(self, why: BaseException) -> None:
        if self.why is None and self.report is None:
            self.why = why
            self._leash.interrupt(_REPORT)

    def _event(self, line: str) -> None:
        try:
            event = jsontext.loads(line)
        except ColonyError:
            event = None
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "system":
            self._system(event)
        elif kind in ("assistant", "user"):
            self._message(kind, event.get("message"))
        elif kind == "result":
            self.report = event
            self._leash.finish_in(_LINGER)
        elif kind is None:
            self._place.say(cut(line, 400))  # not of the form that was asked for; a person may make sense of it

    def _system(self, event: Record) -> None:
        if event.get("subtype") == "init":
            self._place.say(f"Claude Code {event.get('claude_code_version')} with {event.get('model')}")
        elif event.get("subtype") == "api_retry":
            self._retry(event)

    def _retry(self, event: Record) -> None:
        """The API has not answered, and it is going to try again: that may be without hope, or too late."""
        status, wait = event.get("error_status"), float(event.get("retry_delay_ms") or 0) / 1000
        error = f"{event.get('error') or 'no answer'}" + (f" ({status})" if status else "")
        left = self._place.left()
        if status in (401, 403):
            self._stop(verdict({"api_error_status": status}, error))
        elif status in (429, 529) and left is not None and wait >= left:
            said = f"the API asks to wait {show_duration(wait)}, past this step's time: {error}"
            self._stop(Paused(said, clock.stamp(clock.epoch() + wait)))
        else:
            self._place.say(f"{error}; trying again in {show_duration(wait)}", "warn")

    def _message(self, role: str, message: Any) -> None:
        if not isinstance(message, dict) or message.get("model") == "<synthetic>":
            return  # its own words for an error, which the report has as well
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        blocks = [_short(block) for block in blocks if block.get("type") in ("text", "tool_use", "tool_result")]
        if blocks:
            self._note("event", role=role, message_id=message.get("id"), content=blocks)
        for block in blocks:
            self._say(role, block)
        if role == "assistant":
            self._count(message, blocks)

    def _say(self, role: str, block: Record) -> None:
        say = self._place.say
        if block["type"] == "text" and role == "assistant":
            for line in block["text"].split("\n"):
                if line.strip():
                    say(line)
        elif block["type"] == "tool_use":
            self._names[block["id"]] = block["name"]
            say(f"→ {_shown(block)}")
        elif block["type"] == "tool_result":
            name = self._names.get(block["tool_use_id"], "tool")
            failed = f" (an error): {cut(' '.join(block['content'].split()), 160)}" if block["is_error"] else ""
            say(f"← {name}{failed}")

    def _count(self, message: Record, blocks: list[Record]) -> None:
        used = message.get("usage") or {}
        self._used[str(message.get("id"))] = sum(int(used.get(key) or 0) for key in _COUNTS)
        for block in blocks:
            if block["type"] == "tool_use":
                self._calls += 1
                self._called(block["id"])
        tokens = sum(self._used.values())
        if self._calls_left is not None and self._calls > self._calls_left:
            self._stop(
                Over(
                    "the limit of tool calls is reached; raise limits.tool_calls, or budget.tool_calls of the workflow",
                    again=False,
                    limit=True,
                )
            )
        elif self._tokens_left is not None and tokens > self._tokens_left:
            left = f"{max(self._tokens_left, 0):,.0f}"
            self._stop(Over(f"it has used {tokens:,} tokens, and the limits had left {left}", again=False, limit=True))


def usage(report: Record) -> Record:
    """What was used as the API spells it: by all models together, where they are told apart (`usage` leaves some
    out)."""
    models = [each for each in (report.get("modelUsage") or {}).values() if isinstance(each, dict)]
    if not models:
        total = report.get("usage") or {}
        return {key: int(total.get(key) or 0) for key in _COUNTS}
    pairs = zip(_COUNTS, _OF_MODEL, strict=True)
    return {ours: sum(int(each.get(its) or 0) for each in models) for ours, its in pairs}


def error(report: Record) -> str | None:
    """What it says went wrong; None for an answer. `is_error` may come with the subtype 'success'."""
    if not report.get("is_error") and report.get("subtype") == "success":
        return None
    said = "; ".join(map(str, report.get("errors") or [])) or report.get("result") or report.get("subtype")
    return " ".join(str(said).split())


def verdict(report: Record, error: str) -> Over | Paused:
    """What an error means for the step."""
    status = report.get("api_error_status")
    if status in (429, 529):
        return Paused(error, None)
    if status in (401, 403) or "/login" in error:
        fix = "set ANTHROPIC_API_KEY, or run 'claude' once and log in"
        return Over(f"Claude Code is not let in: {error}; {fix}", again=False)
    if report.get("stop_reason") == "refusal":
        return Over(f"the model refused the step: {error}", again=False)
    hopeless = isinstance(status, int) and 400 <= status < 500 and status not in (408, 409)
    return Over(error, again=not hopeless)


def _short(block: Record) -> Record:
    """A block as the journal keeps it: the result of a tool as text, and not all of a long one."""
    if block["type"] != "tool_result":
        return block
    content = block.get("content")
    parts = content if isinstance(content, list) else [{"text": str(content or "")}]
    text = "\n".join(str(each.get("text") or f"({each.get('type')})") for each in parts if isinstance(each, dict))
    kept = text if len(text) <= _KEPT else f"{text[:_KEPT]}\n… ({len(text) - _KEPT:,} more characters)"
    named = {"type": "tool_result", "tool_use_id": block.get("tool_use_id")}
    return {**named, "is_error": bool(block.get("is_error")), "content": kept}


def _shown(block: Record) -> str:
    """A call as the log shows it."""
    given = block.get("input")
    first = next(iter(given.values()), "") if isinstance(given, dict) else ""
    words = first if isinstance(first, str) and first else jsontext.dumps(given)
    return f"{block['name']}: {cut(' '.join(words.split()), 160)}"
