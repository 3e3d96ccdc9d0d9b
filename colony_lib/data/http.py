"""Asking a REST source: attempts with backoff, waits for rate limits, the circuit breaker, JSON or a clear reason."""

from __future__ import annotations

import io
import random
import re
import time
from http import HTTPStatus

from requests.structures import CaseInsensitiveDict

from colony_lib.base import clock, jsontext
from colony_lib.base.errors import BUSY, FAILED, ColonyError
from colony_lib.base.text import cut, escape, show_duration
from colony_lib.data import readers, streamed
from colony_lib.data.quarantine import Unreadable
from colony_lib.data.transport import NoAnswer, Reply, Transport, with_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from typing import Any

    from colony_lib.data.limits import Breaker, Bucket
    from colony_lib.data.replies import Replies
    from colony_lib.data.sources import Tally

LONGEST_WAIT = 1e9  # seconds; a longer Retry-After is cut to it
REFUSALS = 10  # answers of 429 in a row to one request; more is not a rate limit that waiting helps against
_AGAIN = (408, 425, 500, 502, 503, 504)
LINES, STREAM = object(), object()  # instead of a value: a reply that is to be read record by record
_NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


class Stopped(Exception):
    """The fetch was interrupted while it waited."""


class Retry:
    """How often and how fast to try again; seconds."""

    __slots__ = ("attempts", "delay", "max_delay", "max_wait")

    def __init__(self, attempts: int = 4, delay: float = 0.5, max_delay: float = 30.0, max_wait: float = 60.0) -> None:
        self.attempts = attempts
        self.delay = delay
        self.max_delay = max_delay
        self.max_wait = max_wait

    def backoff(self, attempt: int) -> float:
        """Exponential from `delay`, at most `max_delay`, of which chance takes 50 to 100 %."""
        return min(self.delay * 2.0 ** min(attempt - 1, 60), self.max_delay) * random.uniform(0.5, 1.0)


class _Again(Exception):
    """An attempt that failed and may be made again."""

    def __init__(
        self,
        reason: str,
        *,
        after: float | None = None,
        limited: bool = False,
        ill: bool = True,
        body: bytes | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after  # seconds that the source asks to wait
        self.limited = limited
        self.ill = ill  # counts against the source in the circuit breaker
        self.body = body


class Client:
    """Asks one source, one page after another, and counts in the tally what it took."""

    def __init__(
        self,
        transport: Transport,
        *,
        retry: Retry,
        breaker: Breaker,
        bucket: Bucket | None,
        tally: Tally,
        stop: threading.Event,
        lines: bool = False,
        replies: Replies | None = None,
    ) -> None:
        self.transport = transport
        self.retry = retry
        self.breaker = breaker
        self.bucket = bucket
        self.tally = tally
        self.stop = stop
        self.lines = lines
        self.replies = replies

    def get(self, url: str, params: Mapping[str, str], *, end: bool = False) -> tuple[Any, Reply] | None:
        """(the reply's JSON value, or LINES or STREAM for one to be read by records, the reply); None when the answer
        is 404 and `end` says that this means there is no more.

        ColonyError: FAILED when the attempts are used up or the answer cannot get better (Unreadable with the body
        when it was no JSON); BUSY when the source or our own limit asks for a wait longer than max_wait, or the circuit
        breaker is open. Stopped when told to stop.
        """
        attempt = refusals = 0
        while True:
            self.breaker.before()
            self._take_turn()
            try:
                return self._attempt(url, params, end)
            except _Again as again:
                if again.limited:
                    refusals += 1
                    wait = max(self.retry.backoff(refusals) if again.after is None else again.after, 0.05)
                    self._may_wait(again, wait, enough=refusals > REFUSALS)
                    self.tally.waits += 1
                    self.tally.waited_seconds += wait
                else:
                    attempt += 1
                    if attempt >= self.retry.attempts:
                        raise self._failed(url, params, again, attempt) from None
                    wait = self.retry.backoff(attempt) if again.after is None else again.after
                    self._may_wait(again, wait)
                    self.tally.retries += 1
                self._sleep(wait)

    def _take_turn(self) -> None:
        wait = self.bucket.take(self.retry.max_wait) if self.bucket else 0.0
        if wait:
            self.tally.waits += 1
            self.tally.waited_seconds += wait
            self._sleep(wait)

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped

    def _attempt(self, url: str, params: Mapping[str, str], end: bool) -> tuple[Any, Reply] | None:
        """One exchange and its judgement, told to the breaker: whoever answers sensibly, if only with no, is well."""
        try:
            reply = self._asked(url, params)
        except NoAnswer as no:
            self.breaker.failed(no.reason)
            if no.permanent:
                raise ColonyError(f"{no.reason} ({self._shown(url, params)})", code=FAILED) from None
            raise _Again(no.reason) from None
        except ColonyError:
            self.breaker.succeeded()
            raise
        try:
            result = None if end and reply.status == 404 else (_judged(reply, self.lines), reply)
        except _Again as again:
            if again.ill:
                self.breaker.failed(again.reason)
            else:
                self.breaker.succeeded()
            raise
        except ColonyError:
            self.breaker.succeeded()
            raise
        self.breaker.succeeded()
        return result

    def _asked(self, url: str, params: Mapping[str, str]) -> Reply:
        """The reply, the one of the last fetch where the source says that it is still that (304)."""
        if self.replies is None:
            return self.transport.get(url, params)
        address = with_query(url, params)
        known = self.replies.known(address)
        reply = self.transport.get(url, params, known.conditions if known else None)
        if reply.status == 304 and known:
            self.replies.again(address)
            self.tally.unchanged += 1
            headers = CaseInsensitiveDict({**known.headers, **reply.headers})
            if "Content-Type" in known.headers:
                headers["Content-Type"] = known.headers["Content-Type"]
            return Reply(200, headers, known.file, reply.location, reply.url)
        if reply.status == 200:
            self.replies.note(address, reply.headers, reply.file or io.BytesIO(reply.body))
        return reply

    def _may_wait(self, again: _Again, wait: float, enough: bool = False) -> None:
        if wait <= self.retry.max_wait and not enough:
            return
        when = clock.stamp(time.time() + wait)
        asked = f"asks for a wait of {show_duration(wait)}"
        what = f"{again.reason}, {REFUSALS} times in a row" if enough else f"{again.reason}: {asked}"
        limit = f"; max_wait is {show_duration(self.retry.max_wait)}" if not enough else ""
        raise ColonyError(what, fix=f"try again after {when}{limit}", code=BUSY)

    def _shown(self, url: str, params: Mapping[str, str]) -> str:
        return self.transport.shown(with_query(url, params))

    def _failed(self, url: str, params: Mapping[str, str], again: _Again, attempts: int) -> ColonyError:
        times = f"after {attempts} attempts" if attempts > 1 else "at the only attempt"
        if again.body is not None:
            return Unreadable(f"{again.reason} {times}", origin=self._shown(url, params), body=again.body)
        return ColonyError(f"{again.reason} {times} ({self._shown(url, params)})", code=FAILED)


def _judged(reply: Reply, lines: bool) -> Any:
    """The JSON of a good answer, STREAM for one that is to be read record by record; _Again or ColonyError for any
    other. `lines`: it is NDJSON whatever it calls itself."""
    status = reply.status
    if status == 304:
        what = f"304 Not Modified from {reply.url}, which was not asked whether it is"
        raise ColonyError(what, fix="leave out of 'headers' what asks so", code=FAILED)
    if status == 204:
        return []
    if 200 <= status < 300:
        return _records(reply, lines)
    said = _said(reply)
    if status == 429:
        raise _Again("the source's rate limit (429)", after=retry_after(reply), limited=True, ill=False)
    if status in _AGAIN or status >= 500:
        raise _Again(said, after=retry_after(reply), ill=status >= 500)
    fix = "check the source's 'auth'" if status in (401, 403) else None
    raise ColonyError(f"{said} from {reply.url}", fix=fix, code=FAILED)


def _records(reply: Reply, lines: bool) -> Any:
    if lines or _type(reply) in _NDJSON:
        if streamed.cut_short(reply.file or io.BytesIO(reply.body)):
            raise _Again("the reply ends in the middle of a record", body=reply.body)
        return LINES
    return _json(reply)


def _type(reply: Reply) -> str:
    return reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _json(reply: Reply) -> Any:
    """The reply's JSON value, whatever it calls itself; _Again with the body and what it is instead."""
    kind = reply.headers.get("Content-Type", "")
    start = reply.body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<") and "html" in kind.lower()):
        raise _Again(f"HTML instead of JSON{_title(reply.body)}", body=reply.body)
    if reply.file is not None:
        return STREAM
    try:
        return jsontext.loads(_decoded(reply.body, kind))
    except ColonyError as error:
        named = _type(reply)
        what = error.what if "json" in named or not named else f"{error.what} (its type is {escape(named)[:60]})"
        raise _Again(f"the reply is {what}", body=reply.body) from None


def _decoded(body: bytes, kind: str) -> bytes | str:
    """JSON is UTF-8; only where it is not, what the reply says of itself is believed."""
    charset = re.search(r"charset=[\"']?([A-Za-z0-9._-]+)", kind)
    if not charset or charset[1].lower() in ("utf-8", "utf8"):
        return body
    try:
        body.decode("utf-8")
        return body
    except UnicodeDecodeError:
        try:
            return body.decode(charset[1])
        except (LookupError, UnicodeError):
            return body


def _title(body: bytes) -> str:
    found = _TITLE.search(body[:4096])
    title = " ".join(found[1].decode("utf-8", "replace").split()) if found else ""
    return f" ('{escape(cut(title, 60))}')" if title else ""


def _said(reply: Reply) -> str:
    """'503 Service Unavailable: try later', with what the body says where that is short and plain."""
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "an unknown status"
    text = ""
    if reply.body.lstrip().startswith(b"<"):
        text = _title(reply.body).strip(" ()'")
    elif reply.body.strip():
        text = _message(reply.body)
    return f"{reply.status} {phrase}" + (f": {escape(cut(text, 120))}" if text and text != phrase else "")


def _message(body: bytes) -> str:
    try:
        value = jsontext.loads(body)
    except ColonyError:
        return " ".join(readers.shown(body, 200).split())
    keys = ("message", "error", "detail", "title", "error_description")
    while isinstance(value, dict) and (found := [key for key in keys if key in value]):
        value = value[found[0]]
    return value if isinstance(value, str) else "" if not value else cut(jsontext.dumps(value), 120)


def retry_after(reply: Reply) -> float | None:
    """The seconds that Retry-After asks to wait, written as seconds or as a date; None without a usable one.

    A date counts from the reply's own Date: the source's clock need not be ours.
    """
    from email.utils import parsedate_to_datetime

    text = reply.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,300}(\.[0-9]{1,3})?", text):
        return min(float(text), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        now = time.time()
    return min(max(0.0, until - now), LONGEST_WAIT)
