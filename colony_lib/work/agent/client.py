"""One request to the Messages API by the `anthropic` package: the whole reply, or what kind of trouble it was.

The package's own retries are off: they would wait for as long as a server says (up to weeks), and each attempt is to be
recorded and paid for by itself.
"""

from __future__ import annotations

import time

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.store import env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]

_CONNECT = 15.0  # seconds
_SILENCE = 300.0  # seconds without a byte after which a reply counts as lost; the API pings far more often
_AGAIN = (408, 409, 425)  # and every 5xx
_TOO_LONG = ("prompt is too long", "input length and `max_tokens` exceed", "exceed context limit")
_SPENT = ("enforced_spend_limit_reached",)


class Trouble(Exception):
    """A request without a usable reply.

    `kind`: 'wait' (the API is busy or limits the rate: waiting helps, however long), 'again' (it may work the next
    time), 'stop' (it will not). `wait`: the seconds that the API asks for, or None. `charged`: 'no', or 'unknown' when
    it may have worked.
    """

    def __init__(
        self, kind: str, error: str, *, status: int | None = None, error_type: str | None = None,
        wait: float | None = None, charged: str = "unknown",
    ) -> None:  # fmt: skip
        super().__init__(error)
        self.kind = kind
        self.error = error
        self.status = status
        self.error_type = error_type
        self.wait = wait
        self.charged = charged

    def record(self) -> Record:
        """As `request_failed` has it."""
        return {
            "kind": self.kind, "status": self.status, "error_type": self.error_type, "error": self.error[:1000],
            "wait_seconds": self.wait, "charged": self.charged,
        }  # fmt: skip


_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


class Reply:
    """A whole reply, its content exactly as it came. `context`: the tokens of the window that it and its request
    took."""

    __slots__ = ("content", "context", "message_id", "model", "request_id", "stop_reason", "usage")

    def __init__(self, message: Any, request_id: str | None) -> None:
        self.content: list[Record] = [block.model_dump(mode="json", exclude_unset=True) for block in message.content]
        self.stop_reason: str = message.stop_reason
        self.usage: Record = message.usage.model_dump(mode="json", exclude_none=True)
        self.context = sum(int(self.usage.get(key) or 0) for key in _COUNTS)
        self.message_id: str = message.id
        self.model: str = message.model
        self.request_id = request_id


class Client:
    """The API, as the environment names it: ANTHROPIC_API_KEY, and ANTHROPIC_BASE_URL for another address."""

    def __init__(self) -> None:
        key = env.get("ANTHROPIC_API_KEY")
        if key is None:
            raise ColonyError(
                "ANTHROPIC_API_KEY is not set", fix="export it, or write it into the env_file of colony.yml", code=USAGE
            )
        self._key = key
        self._made: Any = None

    def _client(self) -> Any:
        if self._made is None:
            import anthropic

            # Named here, so that the package does not look for other keys and addresses where we do not know of them.
            self._made = anthropic.Anthropic(
                api_key=self._key,
                base_url=env.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com",
                max_retries=0,
                timeout=anthropic.Timeout(_SILENCE, connect=_CONNECT),
            )
        return self._made

    def ask(self, request: Record, heard: Callable[[str, str], None], deadline: float | None) -> Reply:
        """Send it and stream the reply, whose parts are told as they come: heard('text' | 'thinking' | 'end', what).
        Trouble when there is no whole reply, also when it is still coming at the deadline (monotonic seconds)."""
        client = self._client()
        import anthropic

        try:
            with client.messages.stream(**request) as stream:
                for event in stream:
                    if event.type in ("text", "thinking"):
                        heard(event.type, getattr(event, event.type))
                    elif event.type == "content_block_stop":
                        heard("end", "")
                    if deadline is not None and time.monotonic() >= deadline:
                        raise Trouble("stop", "the time was up in the middle of a reply", error_type="timeout")
                message, request_id = stream.get_final_message(), stream.request_id
        except Trouble:
            raise
        except anthropic.APIStatusError as error:
            raise of_status(error) from None
        except anthropic.APIConnectionError as error:
            raise _of_connection(error) from None
        except Exception as error:
            # Not only the package's own errors come out of it: a stream that is cut gives its transport's error, and
            # a
            # body of another shape whatever fails on it first (JSONDecodeError, AttributeError, …).
            words = f"the reply could not be read: {type(error).__name__}: {error}"[:300]
            raise Trouble("again", words, error_type="unreadable") from None
        if not message.stop_reason or not isinstance(message.content, list):
            raise Trouble("again", "the reply ended before it was whole", error_type="unfinished")
        return Reply(message, request_id)


def of_status(error: Any) -> Trouble:
    """The trouble that an error of the API means. One that came in the middle of a stream has the status 200."""
    status = error.status_code
    said = _part(error.body, "error")
    kind, words = said.get("type") or error.type, said.get("message") or error.message
    details = _part(said, "details")
    charged = "unknown" if status < 400 else "no"
    more = {"status": status, "error_type": kind, "charged": charged}
    words = f"{kind or 'error'} ({status}): {words}"
    if details.get("error_code") in _SPENT:
        return Trouble("stop", words, **more)
    if status == 429 or status == 529 or kind in ("overloaded_error", "rate_limit_error"):
        return Trouble("wait", words, wait=retry_after(error.response.headers), **more)
    if status >= 500 or status in _AGAIN or (status < 400 and kind in ("api_error", "timeout_error", None)):
        return Trouble("again", words, wait=retry_after(error.response.headers), **more)
    if any(each in words.lower() for each in _TOO_LONG) or status == 413:
        words = f"the conversation has become too long for the model: {words}"
    return Trouble("stop", words, **more)


def _part(value: Any, key: str) -> Record:
    """The object under the key; {} where there is none, whatever the body is."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _of_connection(error: Any) -> Trouble:
    cause = error.__cause__
    words = f"the API cannot be reached: {cause or error}"
    never_sent = type(cause).__name__ in ("ConnectError", "ConnectTimeout")
    return Trouble("again", words, error_type="connection", charged="no" if never_sent else "unknown")


def retry_after(headers: Any) -> float | None:
    """The seconds that `retry-after-ms` or `retry-after` (RFC 9110 §10.2.3: seconds, or a date) asks for."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < 1e9:
            return seconds
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
